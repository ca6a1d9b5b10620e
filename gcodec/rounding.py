"""From kept elements to codes on a quantiser's grid, and to what they decode to."""

from functools import cached_property
from math import frexp, inf, ldexp, nextafter, sqrt
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

LOWEST = FLOAT64.lowest
"""Exponent of the smallest float64."""


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
        self,
        element: Element,
        bits: Patterns,
        low: int,
        high: int,
        kernels: ModuleType,
        unit: str | None = None,
    ) -> None:
        self.element, self.low, self.high = element, low, high
        self.bits, self._kernels, self._unit = read_only(bits), kernels, unit

    @cached_property
    def exponent(self) -> int:
        octave = frexp(self.element.number(self.high))[1]
        return octave if abs(octave) > SAFE_OCTAVES else 0

    @cached_property
    def magnitudes(self) -> NDArray[np.float64]:
        return self.scaled(self.element.magnitudes(self.bits))

    @cached_property
    def _ends(self) -> list[float]:
        """The least, the least above zero and the largest magnitude; 0 if there is none."""
        first = self.element.nearest(1.0, LOWEST - 1 + self.exponent) + 1  # half of it becomes 0
        if not self.bits.size:
            return [0.0, 0.0, 0.0]
        least, above, most = map(int, self._kernels.extent(self.bits, first))
        above = above if most >= first else 0
        ends: list[float] = self.scaled(
            np.array([least, above, most], self.element.pattern)
        ).tolist()
        return ends

    @property
    def extent(self) -> tuple[float, float]:
        return self._ends[0], self._ends[2]

    @property
    def least_above_zero(self) -> float:
        return self._ends[1]

    def scaled(self, patterns: Patterns) -> NDArray[np.float64]:
        """Numbers of magnitude patterns, in units of 2**exponent."""
        numbers = widen(patterns, self.element).astype(np.float64)
        return np.ldexp(numbers, -self.exponent) if self.exponent else numbers

    @property
    def units(self) -> tuple[np.uint64, float, float]:
        """Those of `magnitudes`, for kernels."""
        octaves = FLOAT64.bias - self.element.bias - self.exponent
        first = min(octaves, FLOAT64.bias)
        shift = np.uint64(FLOAT64.precision - self.element.precision)
        return shift, ldexp(1.0, first), ldexp(1.0, octaves - first)

    def norm(self, kind: str) -> float:
        if kind == self._unit and self.bits.size:
            return 1.0
        _, top = self.extent
        if kind == "l2" and top:
            top *= sqrt(self._kernels.sum_in_order(self.bits, self.units, top, 0.0)[1])
        return top

    def deviation(self, scale: float) -> float:
        what = self.bits, self.units, scale
        total, _ = self._kernels.sum_in_order(*what, 0.0)
        _, squares = self._kernels.sum_in_order(*what, total / self.bits.size)
        return sqrt(squares / self.bits.size)

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
    values = _Values(element, kept.bits, kept.least, max(kept.least, top), kernels)
    scaling, asked = UNSCALED, values
    if runs is not None:
        values, asked, scaling = _in_units(quantize, values, kept, runs, kernels)
    grid = quantize.grid(asked)
    if grid is None:
        return _as_they_are(kept, element, BoundKind.EXACT, 0.0)
    table = _table(grid, values.element)
    joint: Joint = scratch.empty(kept.bits.size, _kind(table))
    if scaling.each:
        table = finite_levels(table, scaling, element)
    if grid.boundaries is None:
        seed = np.uint64(mix(quantize.seed, stream))
        zeros = int(np.count_nonzero(table[::2] == 0))
        levels, rounding = asked.scaled(grid.levels), Rounding.STOCHASTIC
        staying = _drawn(values, levels, zeros, seed, kept, joint, kernels)
    else:
        staying = _nearest(values.bits, read_only(grid.boundaries), table, joint, kernels)
        rounding = Rounding.NEAREST
    rounded = Rounded(kept, element, joint, table, grid.negative is not None,
                      grid.bound_kind, grid.bound, rounding, scaling)  # fmt: skip
    if 2 * staying < joint.size and kept.seed is None and not all_stay:
        rounded = _without_zeros(rounded, kernels)
    if scaling.each:
        bound = _largest_error(rounded, kernels)
        return rounded._replace(bound_kind=BoundKind.ABSOLUTE, bound=bound)
    return rounded


def _drawn(
    values: _Values,
    levels: NDArray[np.float64],
    zeros: int,
    seed: np.uint64,
    kept: Kept,
    joint: Joint,
    kernels: ModuleType,
) -> int:
    """Levels of elements, right on average, the first `zeros` of which are zero; how many do not
    become that."""
    ends, bits, units = np.append(0, kept.counts.cumsum()), values.bits, values.units

    def draw(begin: int, end: int) -> int:
        own = slice(ends[begin], ends[end])
        chosen = kept.keys[own], kept.counts[begin:end], begin, kept.chunk_log2
        return int(
            kernels.round_randomly(bits[own], units, levels, zeros, seed, *chosen, joint[own])
        )

    least = max(LEAST_KEPT * kept.counts.size // max(bits.size, 1), 1)
    return sum(run(draw, split(kept.counts.size, least)))


def _nearest(
    bits: Patterns, boundaries: Patterns, table: Patterns, joint: Joint, kernels: ModuleType
) -> int:
    """Levels of elements; how many do not become zero."""
    stays, plain = table != 0, _plain(table, joint.dtype)

    def quantize(start: int, stop: int) -> int:
        kernels.quantize(bits[start:stop], boundaries, joint[start:stop])
        if stays.all():
            return stop - start
        staying = 0
        for at in range(start, stop, AT_A_TIME):
            part = joint[at : min(at + AT_A_TIME, stop)]
            part[:] = plain[part]
            staying += int(np.count_nonzero(stays[part]))
        return staying

    return sum(run(quantize, split(bits.size, LEAST_KEPT)))


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
    all_values, asked = (_Values(FLOAT64, part, low, high, kernels, norm) for part in (bits, some))
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


def round_all(
    quantize: Quantizer, bits: Patterns, element: Element, top: int, kernels: ModuleType
) -> Coding | None:
    """How to round elements of which the largest has a pattern `top`; None if that is drawn."""
    grid = quantize.grid(_Values(element, bits, 0, top, kernels))
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
    """Leave out what became zero: worth it for most, as one bit is the least that a code takes."""
    kept, joint, stays = rounded.kept, rounded.joint, rounded.table != 0
    assert joint is not None
    keys, bits, counts = kept.keys, kept.bits, kept.counts
    size = kernels.leave_out(keys, bits, joint, counts, stays)
    kept = kept._replace(keys=keys[:size], bits=bits[:size])
    return rounded._replace(kept=kept, joint=joint[:size])
