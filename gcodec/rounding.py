"""From kept elements to codes on a quantiser's grid, and to what they decode to."""

from functools import cached_property
from math import frexp, inf, nextafter
from sys import float_info
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import scratch
from .arrays import narrow, read_only, widen
from .format.draws import mix
from .format.elements import Element, Patterns
from .format.ids import BoundKind, Rounding
from .format.scales import UNSCALED, Runs, Scales, places
from .gathering import Kept
from .parallel import LEAST_KEPT, run, split
from .quantize import Cast
from .quantize.contract import Grid, Quantizer
from .scaling import FLOAT64, divide, finite_levels, multiply

SAFE_OCTAVES = 400
"""Squares and sums of numbers within so many octaves of one neither overflow nor vanish."""


Joint = NDArray[np.unsignedinteger[Any]]
"""Numbers of levels with their signs: bytes if they are enough."""

AT_A_TIME = 1 << 16
"""Elements that stay in the cache."""


class Rounded(NamedTuple):
    """Kept elements as they go.

    element : the type they decode to
    joint : 2 * level + 1 where negative, of each; none if values travel as they are
    table : what each such number decodes to; zeros have no sign
    own_signs : whether negative levels are others than the positive ones
    scaling : what that is multiplied by
    """

    kept: Kept
    element: Element
    joint: Joint | None
    table: Patterns
    own_signs: bool
    bound_kind: BoundKind
    bound: float
    rounding: Rounding
    scaling: Scales = UNSCALED

    def decoded(self, kernels: ModuleType) -> Patterns:
        """Patterns of what the elements decode to."""
        if self.joint is None:
            return self.kept.bits
        patterns = self.table[self.joint]
        if not self.scaling.each:
            return patterns
        kept, coded = self.kept, np.ones(self.kept.counts.size, np.bool_)
        where = kept.keys, kept.counts, coded, 0, kept.chunk_log2
        return multiply(patterns, self.element, *where, self.scaling, kernels)


class _Values:
    """What a quantiser may ask about kept elements, worked out when it does."""

    def __init__(
        self, element: Element, bits: Patterns, low: int, high: int, unit: str | None = None
    ) -> None:
        self.element, self.low, self.high = element, low, high
        self.bits, self._unit = bits, unit

    @cached_property
    def exponent(self) -> int:
        octave = frexp(self.element.number(self.high))[1]
        return octave if abs(octave) > SAFE_OCTAVES else 0

    @cached_property
    def magnitudes(self) -> NDArray[np.float64]:
        return self.scaled(self.element.magnitudes(self.bits))

    @cached_property
    def extent(self) -> tuple[float, float]:
        least, most = self.element.infinity, 0
        for start in range(0, self.bits.size, AT_A_TIME):
            part = self.element.magnitudes(self.bits[start : start + AT_A_TIME])
            least, most = min(least, int(part.min())), max(most, int(part.max()))
        low, high = self.scaled(np.array([min(least, most), most], self.element.pattern)).tolist()
        return low, high

    def scaled(self, patterns: Patterns) -> NDArray[np.float64]:
        """Numbers of magnitude patterns, in units of 2**exponent."""
        numbers = widen(patterns, self.element).astype(np.float64)
        return np.ldexp(numbers, -self.exponent) if self.exponent else numbers

    def norm(self, kind: str) -> float:
        if kind == self._unit and self.bits.size:
            return 1.0
        _, top = self.extent
        if kind == "l2" and top:
            top *= float(np.sqrt(np.square(self.magnitudes / top).cumsum()[-1]))
        return top

    @cached_property
    def negative(self) -> NDArray[np.bool_]:
        return self.element.signs(self.bits).astype(bool)


def round_values(
    quantize: Quantizer,
    kept: Kept,
    element: Element,
    top: int,
    stream: int,
    kernels: ModuleType,
    runs: Runs | None = None,
    all_stay: bool = False,
) -> Rounded:
    """Round kept elements, of which none has a magnitude pattern above `top`.

    Blocks have a scale if they are given as `runs`. Where most elements become zero those are left
    out, unless `all_stay` is set.
    """
    if isinstance(quantize, Cast) and quantize.element().precision < element.precision:
        target = quantize.element()
        bits = narrow(widen(kept.bits, element), target, saturate=True)
        bound = _cast_bound(kept.bits, element, bits, target)
        return _as_they_are(kept._replace(bits=bits), target, BoundKind.ABSOLUTE, bound)
    values = _Values(element, kept.bits, kept.least, max(kept.least, top))
    scaling, asked = UNSCALED, values
    if runs is not None:
        values, asked, scaling = _in_units(quantize, values, kept, runs, kernels)
    grid = quantize.grid(asked)
    if grid is None:
        return _as_they_are(kept, element, BoundKind.EXACT, 0.0)
    table = _table(grid, values.element)
    joint: Joint = scratch.empty(kept.bits.size, _kind(table))
    if grid.boundaries is None:
        numbers, codes = asked.scaled(grid.levels), np.empty(joint.size, np.uint32)
        seed = np.uint64(mix(quantize.seed, stream))
        kernels.round_randomly(values.magnitudes, numbers, seed, kept.positions(), codes)
        joint[:] = codes << np.uint32(1) | element.signs(kept.bits)
    else:
        bits, boundaries = read_only(values.bits), grid.boundaries

        def quantize_part(start: int, stop: int) -> None:
            kernels.quantize(bits[start:stop], boundaries, joint[start:stop])

        run(quantize_part, split(bits.size, LEAST_KEPT))
    if scaling.each:
        table = finite_levels(table, scaling, element)
    zeros = np.count_nonzero(table) < table.size
    if zeros:
        joint = np.take(_plain(table, joint.dtype), joint)
    rounding = Rounding.STOCHASTIC if grid.boundaries is None else Rounding.NEAREST
    rounded = Rounded(kept, element, joint, table, grid.negative is not None,
                      grid.bound_kind, grid.bound, rounding, scaling)  # fmt: skip
    if zeros and kept.seed is None and not all_stay:
        rounded = _without_zeros(rounded, kernels)
    if scaling.each:
        bound = _largest_error(rounded, kernels)
        return rounded._replace(bound_kind=BoundKind.ABSOLUTE, bound=bound)
    return rounded


def _in_units(
    quantize: Quantizer, values: _Values, kept: Kept, runs: Runs, kernels: ModuleType
) -> tuple[_Values, _Values, Scales]:
    """Elements in units of the scales of their blocks, those of them that have any, and scales."""
    blocks = np.empty(kept.bits.size, np.int64)
    kernels.find_blocks(kept.keys, kept.counts, kept.chunk_log2, places(runs), blocks)
    norm, each = getattr(quantize, "norm", "max"), 1 + getattr(quantize, "per_sign", False)
    what = values.magnitudes, values.exponent, values.negative
    bits, there, scaling = divide(*what, blocks, runs, norm, each, values.element)
    some = bits if there.all() else bits[there]
    magnitudes = FLOAT64.magnitudes(some)
    low = int(magnitudes.min(initial=FLOAT64.infinity - 1))
    high = max(low, int(magnitudes.max(initial=0)))
    all_values, asked = (_Values(FLOAT64, part, low, high, norm) for part in (bits, some))
    return all_values, asked, scaling


def _largest_error(rounded: Rounded, kernels: ModuleType) -> float:
    """Of elements that do not become zero."""
    element, decoded = rounded.element, rounded.decoded(kernels)
    exact, found = (
        widen(bits, element).astype(np.float64) for bits in (rounded.kept.bits, decoded)
    )
    errors = np.abs(found - exact)
    error = float(errors.max(initial=0.0, where=found != 0))
    return min(nextafter(error, inf), float_info.max) if error else 0.0


class Coding(NamedTuple):
    """How all elements are rounded to nearest.

    boundaries : ascending magnitude patterns: the level is how many are at or below
    plain : what goes for 2 * level + sign
    table : what that decodes to
    """

    element: Element
    boundaries: Patterns
    plain: Joint
    table: Patterns
    bound_kind: BoundKind
    bound: float
    rounding: Rounding = Rounding.NEAREST
    scaling: Scales = UNSCALED


def round_all(quantize: Quantizer, bits: Patterns, element: Element, top: int) -> Coding | None:
    """How to round elements of which the largest has a pattern `top`; None if that is drawn."""
    grid = quantize.grid(_Values(element, bits, 0, top))
    if grid is None or grid.boundaries is None:
        return None
    table = _table(grid, element)
    boundaries = read_only(grid.boundaries)
    return Coding(element, boundaries, _plain(table, np.uint32), table, grid.bound_kind, grid.bound)


def _plain(table: Patterns, kind: Any) -> Joint:
    """Each number of a table, or that of the positive level if it is a zero."""
    plain = np.arange(table.size, dtype=kind)
    plain[table == 0] &= ~plain.dtype.type(1)
    return plain


def _kind(table: Patterns) -> type[np.uint8] | type[np.uint32]:
    """Of the smallest numbers that tell the entries of a table apart."""
    return np.uint8 if table.size <= 1 << 8 else np.uint32


def _as_they_are(kept: Kept, element: Element, kind: BoundKind, bound: float) -> Rounded:
    nothing = np.empty(0, element.pattern)
    return Rounded(kept, element, None, nothing, False, kind, bound, Rounding.NEAREST)


def _table(grid: Grid, element: Element) -> Patterns:
    """Each level and its negative, by turns."""
    table = grid.levels.repeat(2)
    if grid.negative is not None:
        table[1::2] = grid.negative
    sign = element.pattern.type(1 << element.bits - 1)
    table[1::2] |= sign
    table[table == sign] = 0
    return table


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
