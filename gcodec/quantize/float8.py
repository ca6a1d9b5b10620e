"""Eight bits of floating point, scaled by a power of two: e4m3, e5m2 (Micikevicius et al. 2022)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..format.ids import BoundKind
from .contract import Grid, Kept, bound, halfway, patterns

FORMATS = {"e4m3": (4, 3, 448.0), "e5m2": (5, 2, 57344.0)}


@dataclass(frozen=True)
class Float8:
    """Round `|x|` to the nearest of an 8-bit format; the largest kept meets its top octave.

    Parameters
    ----------
    format : {"e4m3", "e5m2"}
        Exponent and mantissa bits: relative error at most 1/16 or 1/8, down to 2**-14 or 2**-29
        times the largest, and absolute below.
    """

    format: str = "e4m3"
    seed: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format is one of {', '.join(FORMATS)}, not {self.format!r}")

    def grid(self, kept: Kept) -> Grid:
        exponent_bits, mantissa_bits, largest = FORMATS[self.format]
        bias = (1 << exponent_bits - 1) - 1
        fields = np.arange(1 << exponent_bits + mantissa_bits)
        exponent, mantissa = fields >> mantissa_bits, fields % (1 << mantissa_bits)
        implied = (exponent > 0) << mantissa_bits
        numbers = np.ldexp(
            (mantissa + implied).astype(np.float64), np.maximum(exponent, 1) - bias - mantissa_bits
        )
        numbers = numbers[numbers <= largest]
        _, high = kept.extent
        octave = int(np.frexp(high)[1] - np.frexp(largest)[1])
        if high > float(np.ldexp(largest, octave)):
            octave += 1
        levels = np.unique(patterns(kept, np.ldexp(numbers, octave)))
        step = float(np.ldexp(1.0, octave + 1 - bias - mantissa_bits))
        boundaries = halfway(kept, levels)
        worst = max(step / 2, high * 2.0 ** -(mantissa_bits + 1))
        return Grid(levels, boundaries, BoundKind.ABSOLUTE, bound(kept, worst))
