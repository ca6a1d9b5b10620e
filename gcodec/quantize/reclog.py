"""Reciprocal + logarithm quantisation: levels in a geometric progression of base 2**(1/K).

FastSGD (Yang, Chen, Zeng, Gao, arXiv 2112.04291) maps a value to its reciprocal and rounds the
logarithm of that to an integer. log(1/|v|) is -log|v|, so the same integers come from exponent and
mantissa of v directly: q = K * exponent + (how many of K mantissa thresholds are at or below the
mantissa), which is round(K log2|v|) with no reciprocal that could overflow and no logarithm that
could differ between machines. Thresholds are the exact integers ceil(2**((j + 1/2)/K + p)), for
significands of p bits below the point (23 in float32).

A level is 2**(q/K) * 2/(sqrt(b) + 1/sqrt(b)), b = 2**(1/K): the point with the least worst relative
error, (b - 1)/(b + 1).
"""

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import inf, isqrt, nextafter, sqrt

import numpy as np

from ..format.elements import Element
from ..format.ids import BoundKind
from .contract import Grid, Kept
from .uniform import check_seed

STEPS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class ReciprocalLog:
    """Round |x| to `per_octave` levels per factor of two; the sign travels as its own bit.

    Parameters
    ----------
    per_octave : int
        K, one of 1, 2, 4, 8, 16: relative error at most 33.4, 17.2, 8.65, 4.34, 2.17 %.
    stochastic : bool
        Whether to round to either neighbour, so that it is right on average; errors up to 2.5 times
        as large.
    seed : int
        Of stochastic rounding, together with the tensor's name and the step.

    Notes
    -----
    Rounded to nearest, the decoded level v of x satisfies x/2 <= v <= 2x, so x - v is exact
    (Sterbenz).
    """

    per_octave: int = 4
    stochastic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_octave not in STEPS or not isinstance(self.per_octave, int | np.integer):
            raise ValueError(f"per_octave is one of {STEPS}, not {self.per_octave!r}")
        object.__setattr__(self, "per_octave", int(self.per_octave))
        object.__setattr__(self, "stochastic", bool(self.stochastic))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def grid(self, kept: Kept) -> Grid:
        element, whole = kept.element, _whole_grid(kept.element, self.per_octave)
        assert whole.boundaries is not None
        edges = _edges(element, self.per_octave)
        first, last = bisect_right(edges, max(kept.low, 1)), bisect_right(edges, kept.high)
        if self.stochastic:
            levels = whole.levels[max(first - 1, 0) : last + 2]
            if kept.low == 0 or first == 0:
                levels = np.append(element.pattern.type(0), levels)
            largest = np.array([max(kept.high, int(levels[-1]))], element.pattern)
            levels = np.unique(np.append(levels, largest))
            return Grid(levels, None, BoundKind.RELATIVE, 2.0 ** (1 / self.per_octave) - 1 + 2**-6)
        boundaries, levels = whole.boundaries[first:last], whole.levels[first : last + 1]
        if kept.low == 0:
            boundaries = np.append(element.pattern.type(1), boundaries)
            levels = np.append(element.pattern.type(0), levels)
        return Grid(levels, boundaries, BoundKind.RELATIVE, whole.bound)


@lru_cache
def _whole_grid(element: Element, steps: int) -> Grid:
    """The grid over every magnitude above zero."""
    thresholds = _thresholds(steps, element.precision)
    points = _points(steps)
    octaves = range(element.lowest, element.bias + 1)
    boundaries = [_pattern(element, t, octave) for octave in octaves for t in thresholds]
    levels = [element.nearest(point, octave) for octave in octaves for point in points]
    levels.append(element.nearest(points[0], element.bias + 1))
    return Grid(
        np.minimum(np.array(levels, element.pattern), element.pattern.type(element.infinity - 1)),
        np.array(boundaries, element.pattern),
        BoundKind.RELATIVE,
        _bound(element, thresholds, points),
    )


@lru_cache
def _edges(element: Element, steps: int) -> list[int]:
    """Boundaries of the whole grid."""
    boundaries = _whole_grid(element, steps).boundaries
    return [] if boundaries is None else boundaries.tolist()


def _thresholds(steps: int, precision: int) -> list[int]:
    """Smallest significands s with (s / 2**p)**(2K) >= 2**(2j + 1), j = 0..K-1, exactly."""
    thresholds = []
    for j in range(steps):
        power = 1 << (2 * j + 1) + precision * 2 * steps
        root = power
        for _ in range((2 * steps).bit_length() - 1):  # the 2K-th root is log2(2K) square roots
            root = isqrt(root)
        thresholds.append(root if root ** (2 * steps) == power else root + 1)
    return thresholds


def _points(steps: int) -> list[float]:
    """Levels of the octave [1, 2) in float64, by square roots only: rounded alike everywhere."""
    base = 2.0
    for _ in range(steps.bit_length() - 1):
        base = sqrt(base)
    centre = 2 / (sqrt(base) + 1 / sqrt(base))
    points = [centre]
    while len(points) < steps:
        points.append(points[-1] * base)
    return points


def _pattern(element: Element, significand: int, octave: int) -> int:
    """Smallest pattern with a value of at least significand * 2**(octave - precision)."""
    shift = octave - element.precision - element.lowest
    if shift >= 0:
        return (shift << element.precision) + significand
    return -(-significand >> -shift)


def _bound(element: Element, thresholds: list[int], points: list[float]) -> float:
    """Worst relative error over an octave, from rounded levels and integer bins, rounded up."""
    one, unit = element.nearest(1.0), 1 << element.precision
    levels = [element.nearest(point) - one for point in (*points, 2 * points[0])]
    lowest = [unit, *thresholds]
    highest = [*(t - 1 for t in thresholds), 2 * unit - 1]
    worst = Fraction(0)
    for steps, low, high in zip(levels, lowest, highest, strict=True):
        level = unit + Fraction(steps, 2 if steps < 0 else 1)  # half units below one
        worst = max(worst, abs(level / low - 1), abs(level / high - 1))
    return nextafter(float(worst), inf)
