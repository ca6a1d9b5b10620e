"""From kept elements to codes on a quantiser's grid, and to what they decode to."""

from functools import cached_property
from math import frexp
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import narrow, read_only, widen
from .format.draws import mix
from .format.elements import Element, Patterns
from .format.ids import BoundKind, Rounding
from .gathering import Kept
from .parallel import LEAST_KEPT, run, split
from .quantize import Cast
from .quantize.contract import Grid, Quantizer

SAFE_OCTAVES = 400
"""Squares and sums of numbers within so many octaves of one neither overflow nor vanish."""


class Rounded(NamedTuple):
    """Kept elements as they go.

    element : the type they decode to
    joint : 2 * level + 1 where negative, of each; none if values travel as they are
    table : what each such number decodes to; zeros have no sign
    own_signs : whether negative levels are others than the positive ones
    """

    kept: Kept
    element: Element
    joint: NDArray[np.uint32] | None
    table: Patterns
    own_signs: bool
    bound_kind: BoundKind
    bound: float
    rounding: Rounding

    def decoded(self) -> Patterns:
        """Patterns of what the elements decode to."""
        return self.kept.bits if self.joint is None else self.table[self.joint]


class _Values:
    """What a quantiser may ask about kept elements, worked out when it does."""

    def __init__(self, element: Element, bits: Patterns, low: int, high: int) -> None:
        self.element, self.low, self.high = element, low, high
        self._bits = bits

    @cached_property
    def exponent(self) -> int:
        octave = frexp(self.element.number(self.high))[1]
        return octave if abs(octave) > SAFE_OCTAVES else 0

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
    if isinstance(quantize, Cast) and quantize.element().precision < element.precision:
        target = quantize.element()
        bits = narrow(widen(kept.bits, element), target, saturate=True)
        bound = _cast_bound(kept.bits, element, bits, target)
        return _as_they_are(kept._replace(bits=bits), target, BoundKind.ABSOLUTE, bound)
    values = _Values(element, kept.bits, kept.least, max(kept.least, top))
    grid = quantize.grid(values)
    if grid is None:
        return _as_they_are(kept, element, BoundKind.EXACT, 0.0)
    joint = np.empty(kept.bits.size, np.uint32)
    if grid.boundaries is None:
        numbers = values.scaled(grid.levels)
        seed = np.uint64(mix(quantize.seed, stream))
        kernels.round_randomly(values.magnitudes, numbers, seed, kept.positions(), joint)
        joint = joint << np.uint32(1) | element.signs(kept.bits)
    else:
        bits, boundaries = read_only(kept.bits), grid.boundaries

        def quantize_part(start: int, stop: int) -> None:
            kernels.quantize(bits[start:stop], boundaries, joint[start:stop])

        run(quantize_part, split(bits.size, LEAST_KEPT))
    table = _table(grid, element)
    zeros = not table.all()
    if zeros:
        plain = np.arange(table.size, dtype=np.uint32)
        plain[table == 0] &= ~np.uint32(1)
        joint = np.take(plain, joint)
    rounding = Rounding.STOCHASTIC if grid.boundaries is None else Rounding.NEAREST
    rounded = Rounded(kept, element, joint, table, grid.negative is not None,
                      grid.bound_kind, grid.bound, rounding)  # fmt: skip
    return _without_zeros(rounded, kernels) if zeros and kept.seed is None else rounded


def _as_they_are(kept: Kept, element: Element, kind: BoundKind, bound: float) -> Rounded:
    nothing = np.empty(0, element.pattern)
    return Rounded(kept, element, None, nothing, False, kind, bound, Rounding.NEAREST)


def _table(grid: Grid, element: Element) -> Patterns:
    """Each level and its negative, by turns."""
    table = np.empty((grid.levels.size, 2), element.pattern)
    table[:, 0] = grid.levels
    negative = grid.levels if grid.negative is None else grid.negative
    sign = element.pattern.type(1 << element.bits - 1)
    table[:, 1] = negative | sign
    table[negative == 0, 1] = 0
    return table.reshape(-1)


def _cast_bound(exact: Patterns, element: Element, bits: Patterns, target: Element) -> float:
    """The largest error of rounding to a narrower type."""
    wide = widen(exact, element).astype(np.float64)
    return float(np.abs(widen(bits, target) - wide).max(initial=0.0))


def _without_zeros(rounded: Rounded, kernels: ModuleType) -> Rounded:
    """Leave out what became zero, if that is most: one bit is the least that a code takes."""
    kept, joint, stays = rounded.kept, rounded.joint, rounded.table != 0
    assert joint is not None
    if 2 * int(np.count_nonzero(np.take(stays, joint))) >= joint.size:
        return rounded
    keys, bits, counts = kept.keys, kept.bits, kept.counts
    size = kernels.leave_out(keys, bits, joint, counts, stays)
    kept = kept._replace(keys=keys[:size], bits=bits[:size])
    return rounded._replace(kept=kept, joint=joint[:size])
