"""From kept elements to codes on a quantiser's grid, and to what they decode to."""

from functools import cached_property
from math import frexp
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import narrow, widen
from .format.draws import mix
from .format.elements import Element, Patterns
from .format.ids import BoundKind, Rounding
from .gathering import Kept
from .quantize import Cast
from .quantize.contract import Grid, Quantizer

SAFE_OCTAVES = 400
"""Squares and sums of numbers within so many octaves of one neither overflow nor vanish."""


class Rounded(NamedTuple):
    """Kept elements as they go.

    element : the type they decode to
    bits : patterns of what they decode to
    codes, signs : index into the grid's levels and 1 where negative; none if values travel as they
        are
    """

    kept: Kept
    element: Element
    bits: Patterns
    grid: Grid | None
    codes: NDArray[np.uint32]
    signs: NDArray[np.uint32]
    bound_kind: BoundKind
    bound: float
    rounding: Rounding


class _Values:
    """What a quantiser may ask about kept elements, worked out when it does."""

    def __init__(self, element: Element, bits: Patterns, low: int, high: int) -> None:
        self.element, self.low, self.high = element, low, high
        self._bits = bits
        octave = frexp(element.number(high))[1]
        self.exponent = octave if abs(octave) > SAFE_OCTAVES else 0

    @cached_property
    def magnitudes(self) -> NDArray[np.float64]:
        return self.scaled(self.element.magnitudes(self._bits))

    def scaled(self, patterns: Patterns) -> NDArray[np.float64]:
        """Numbers of magnitude patterns, in units of 2**exponent."""
        numbers = widen(patterns, self.element).astype(np.float64)
        return np.ldexp(numbers, -self.exponent) if self.exponent else numbers

    @cached_property
    def negative(self) -> NDArray[np.bool_]:
        return self.element.signs(self._bits).astype(bool)


def round_values(
    quantize: Quantizer, kept: Kept, element: Element, top: int, stream: int, kernels: ModuleType
) -> Rounded:
    """Round kept elements, of which none has a magnitude pattern above `top`."""
    nothing = np.empty(0, np.uint32)
    if isinstance(quantize, Cast) and quantize.element().precision < element.precision:
        target = quantize.element()
        bits = narrow(widen(kept.bits, element), target, saturate=True)
        bound = _cast_bound(kept.bits, element, bits, target)
        return Rounded(kept._replace(bits=bits), target, bits, None, nothing, nothing,
                       BoundKind.ABSOLUTE, bound, Rounding.NEAREST)  # fmt: skip
    values = _Values(element, kept.bits, kept.least, max(kept.least, top))
    grid = quantize.grid(values)
    if grid is None:
        return Rounded(kept, element, kept.bits, None, nothing, nothing,
                       BoundKind.EXACT, 0.0, Rounding.NEAREST)  # fmt: skip
    codes = np.empty(kept.bits.size, np.uint32)
    if grid.boundaries is None:
        numbers = values.scaled(grid.levels)
        seed = np.uint64(mix(quantize.seed, stream))
        kernels.round_randomly(values.magnitudes, numbers, seed, kept.positions(), codes)
    else:
        kernels.quantize(kept.bits, grid.boundaries, codes)
    signs = element.signs(kept.bits)
    levels = grid.levels[codes]
    if grid.negative is not None:
        levels = np.where(signs, grid.negative[codes], levels)
    signs = signs * (levels != 0)
    rounding = Rounding.STOCHASTIC if grid.boundaries is None else Rounding.NEAREST
    bits = levels | (signs.astype(element.pattern) << element.pattern.type(element.bits - 1))
    rounded = Rounded(
        kept, element, bits, grid, codes, signs, grid.bound_kind, grid.bound, rounding
    )
    return _without_zeros(rounded) if kept.seed is None else rounded


def _cast_bound(exact: Patterns, element: Element, bits: Patterns, target: Element) -> float:
    """The largest error of rounding to a narrower type."""
    wide = widen(exact, element).astype(np.float64)
    return float(np.abs(widen(bits, target) - wide).max(initial=0.0))


def _without_zeros(rounded: Rounded) -> Rounded:
    """Leave out what became zero, if that is most: one bit is the least that a code takes."""
    kept, stays = rounded.kept, rounded.bits != 0
    if 2 * int(np.count_nonzero(stays)) >= stays.size:
        return rounded
    chunks = np.repeat(np.arange(kept.counts.size), kept.counts)
    counts = np.bincount(chunks[stays], minlength=kept.counts.size).astype(np.int64)
    return rounded._replace(
        kept=kept._replace(keys=kept.keys[stays], bits=kept.bits[stays], counts=counts),
        bits=rounded.bits[stays],
        codes=rounded.codes[stays],
        signs=rounded.signs[stays],
    )
