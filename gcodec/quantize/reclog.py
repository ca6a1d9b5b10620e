"""Reciprocal + logarithm quantisation: levels in a geometric progression of base 2**(1/K).

FastSGD (Yang, Chen, Zeng, Gao, arXiv 2112.04291) maps a value to its reciprocal and rounds the
logarithm of that to an integer. log(1/|v|) is -log|v|, so the same integers come from exponent and
mantissa of v directly: q = K * exponent + (how many of K mantissa thresholds are at or below the
mantissa), which is round(K log2|v|) with no reciprocal that could overflow and no logarithm that
could differ between machines. Thresholds are the exact integers ceil(2**((j + 1/2)/K + 23)).

A level is 2**(q/K) * 2/(sqrt(b) + 1/sqrt(b)), b = 2**(1/K): the point with the least worst relative
error, (b - 1)/(b + 1).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import inf, isqrt, ldexp, nextafter, sqrt

import numpy as np

from .contract import Grid

STEPS = (1, 2, 4, 8, 16)
SIGNIFICAND = 1 << 23
LOWEST_OCTAVE, HIGHEST_OCTAVE = -149, 127


@dataclass(frozen=True)
class ReciprocalLog:
    """Round |x| to `per_octave` levels per factor of two; the sign travels as its own bit.

    Parameters
    ----------
    per_octave : int
        K, one of 1, 2, 4, 8, 16: relative error at most 33.4, 17.2, 8.65, 4.34, 2.17 %.

    Notes
    -----
    The decoded level v of x satisfies x/2 <= v <= 2x, so x - v is exact in float32 (Sterbenz).
    """

    per_octave: int = 4

    def __post_init__(self) -> None:
        if self.per_octave not in STEPS or not isinstance(self.per_octave, int | np.integer):
            raise ValueError(f"per_octave is one of {STEPS}, not {self.per_octave!r}")
        object.__setattr__(self, "per_octave", int(self.per_octave))

    def grid(self, low: int, high: int) -> Grid:
        whole = _whole_grid(self.per_octave)
        first, last = np.searchsorted(
            whole.boundaries, np.array([low, high], np.uint32), side="right"
        )
        return Grid(whole.boundaries[first:last], whole.levels[first : last + 1], whole.bound)


@lru_cache
def _whole_grid(steps: int) -> Grid:
    """The grid over every float32 magnitude above zero."""
    thresholds = _thresholds(steps)
    points = _points(steps)
    boundaries = [
        _pattern(threshold, octave)
        for octave in range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1)
        for threshold in thresholds
    ]
    levels = [
        ldexp(point, octave)
        for octave in range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1)
        for point in points
    ]
    levels.append(ldexp(points[0], HIGHEST_OCTAVE + 1))
    return Grid(
        np.array(boundaries, np.uint32), np.array(levels, np.float32), _bound(thresholds, points)
    )


def _thresholds(steps: int) -> list[int]:
    """Smallest significands s with (s / 2**23)**(2K) >= 2**(2j + 1), j = 0..K-1, exactly."""
    thresholds = []
    for j in range(steps):
        power = 1 << (2 * j + 1) + 23 * 2 * steps
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


def _pattern(significand: int, octave: int) -> int:
    """Smallest float32 pattern with a value of at least significand * 2**(octave - 23)."""
    if octave >= -126:
        return ((octave + 127) << 23) + (significand - SIGNIFICAND)
    return -(-significand >> (-126 - octave))


def _bound(thresholds: list[int], points: list[float]) -> float:
    """Worst relative error over an octave, from rounded levels and integer bins, rounded up."""
    worst = Fraction(0)
    levels = [Fraction(float(np.float32(p))) * SIGNIFICAND for p in (*points, 2 * points[0])]
    lowest = [SIGNIFICAND, *thresholds]
    highest = [*(t - 1 for t in thresholds), 2 * SIGNIFICAND - 1]
    for level, low, high in zip(levels, lowest, highest, strict=True):
        worst = max(worst, abs(level / low - 1), abs(level / high - 1))
    return nextafter(float(worst), inf)
