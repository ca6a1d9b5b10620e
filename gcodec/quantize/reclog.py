"""Reciprocal + logarithm quantisation: levels in a geometric progression.

FastSGD (Yang, Chen, Zeng, Gao, arXiv 2112.04291) maps a value to its reciprocal and rounds the
logarithm of that to an integer. log(1/|v|) is -log|v|, so the same integers, negated, come from
`format.logarithm` with no reciprocal that could overflow and no logarithm that could differ between
machines.
"""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import inf, nextafter

import numpy as np

from ..format.elements import Element, Patterns
from ..format.ids import BoundKind
from ..format.logarithm import Scale, check_base, root_of_two, scale
from .contract import Grid, Kept, bound, widest_gap
from .uniform import check_bits, check_seed


@dataclass(frozen=True)
class ReciprocalLog:
    """Round `|x|` to a power of a base, or nearly; the sign travels as its own bit.

    Parameters
    ----------
    per_octave : int, optional
        K, levels per factor of two, one of 1, 2, 4 (the default), 8, 16: relative error at most
        33.4, 17.2, 8.65, 4.34, 2.17 %.
    base : float, optional
        b in place of 2**(1/K), 1.03 to 3: relative error at most (b - 1)/(b + 1), and what rounding
        to the element type adds. At most one of `per_octave` and `base` may be given.
    bits : int, optional
        Bits per value with its sign, 2 to 12: no more than 2**(bits - 1) levels, zero among them,
        from that of the largest magnitude down; what is below the lowest becomes zero. As many as
        the data reach if not given.
    stochastic : bool
        Whether to round to either neighbour, so that it is right on average; errors up to b + 1
        times as large. Where `bits` leave levels out, the lowest and zero are neighbours.
    seed : int
        Of stochastic rounding, together with the tensor's name and the step.

    Notes
    -----
    Rounded to nearest, the decoded level v of x is 0 or satisfies x/2 <= v <= 2x, so x - v is exact
    (Sterbenz).
    """

    per_octave: int | None = None
    base: float | None = None
    bits: int | None = None
    stochastic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        per_octave, base = check_base(self.per_octave, self.base)
        object.__setattr__(self, "per_octave", per_octave)
        object.__setattr__(self, "base", base)
        if self.bits is not None:
            object.__setattr__(self, "bits", check_bits(self.bits, 2, 12))
        object.__setattr__(self, "stochastic", bool(self.stochastic))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def grid(self, kept: Kept) -> Grid:
        element, whole = kept.element, _whole_grid(kept.element, self.per_octave, self.base)
        assert whole.boundaries is not None
        starts = scale(element, self.per_octave, self.base).starts
        first = bisect_right(starts, kept.low, 1, whole.levels.size) - 1
        last = bisect_right(starts, kept.high, 1, whole.levels.size) - 1
        if self.stochastic:
            levels = whole.levels[max(first - 1, 0) : last + 2]
            if kept.low == 0 or first == 0:
                levels = np.append(element.pattern.type(0), levels)
            largest = np.array([max(kept.high, int(levels[-1]))], element.pattern)
            return self._between(kept, np.unique(np.append(levels, largest)))
        boundaries, levels = whole.boundaries[first:last], whole.levels[first : last + 1]
        if kept.low == 0:
            boundaries = np.append(element.pattern.type(1), boundaries)
            levels = np.append(element.pattern.type(0), levels)
        levels = self._highest(levels)
        boundaries = boundaries[boundaries.size + 1 - levels.size :]
        return Grid(levels, boundaries, BoundKind.RELATIVE, whole.bound)

    def ranges(self, element: Element) -> tuple[Patterns, Patterns, float]:
        """Where the range of each level starts, and ends; all levels; the bound of rounding."""
        whole = _whole_grid(element, self.per_octave, self.base)
        starts = np.array(scale(element, self.per_octave, self.base).starts, element.pattern)
        return starts, whole.levels, whole.bound

    def _highest(self, levels: Patterns) -> Patterns:
        """As many of ascending levels as `bits` allow, with +0 below them if some are left out."""
        if self.bits is None or np.count_nonzero(levels) < 1 << self.bits - 1:
            return levels
        return np.append(levels.dtype.type(0), levels[1 - (1 << self.bits - 1) :])

    def _between(self, kept: Kept, levels: Patterns) -> Grid:
        """The grid of stochastic rounding: where levels are left out, what is small moves far."""
        highest = self._highest(levels)
        if highest is levels:
            gap = _relative_gap(kept.element, self.per_octave, self.base)
            return Grid(levels, None, BoundKind.RELATIVE, gap)
        gap = widest_gap(kept, highest)
        return Grid(highest, None, BoundKind.ABSOLUTE, bound(kept, gap))


@lru_cache
def _whole_grid(element: Element, per_octave: int | None, base: float | None) -> Grid:
    """The grid over every magnitude above zero."""
    whole = scale(element, per_octave, base)
    return Grid(
        np.array(whole.levels, element.pattern),
        np.array(whole.starts[1:-1], element.pattern),
        BoundKind.RELATIVE,
        _attained(element, whole) if base is None else _limit(element, base),
    )


def _attained(element: Element, whole: Scale) -> float:
    """Worst relative error over an octave, from rounded levels and integer bins, rounded up."""
    one, two = element.nearest(1.0), element.nearest(2.0)
    first, last = (bisect_right(whole.starts, edge) - 1 for edge in (one, two - 1))
    worst = Fraction(0)
    for i in range(first, last + 1):
        level = Fraction(element.number(whole.levels[i]))
        for edge in (max(whole.starts[i], one), min(whole.starts[i + 1], two) - 1):
            worst = max(worst, abs(level / Fraction(element.number(edge)) - 1))
    return nextafter(float(worst), inf)


def _limit(element: Element, base: float) -> float:
    """A bound of the relative error with any base: of the level, and of its two roundings."""
    b, roundings = Fraction(base), Fraction(1, 2 << element.precision) + Fraction(1, 1 << 51)
    return nextafter(float((b - 1 + 2 * b * roundings) / (b + 1)), inf)


def _relative_gap(element: Element, per_octave: int | None, base: float | None) -> float:
    """A bound of the distance between neighbouring levels, relative to the lower one."""
    if base is None:
        assert per_octave is not None
        return root_of_two(per_octave) - 1 + 2.0**-6
    unit = 2 << element.precision
    return nextafter(float(Fraction(base) * (unit + 1) / (unit - 1) - 1), inf)
