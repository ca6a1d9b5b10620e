"""Rounded logarithms of magnitudes as ranges of bit patterns: exact, and alike on all machines.

The integer of x is n = round(log_b |x|): b**(n - 1/2) <= |x| < b**(n + 1/2). For b = 2**(1/K) it
comes from exponent and mantissa: K * exponent + (how many of K mantissa thresholds are at or below
the mantissa). Thresholds are the exact integers ceil(2**((j + 1/2)/K + p)), for significands of p
bits below the point (23 in float32). For any other b all b**(n + 1/2) are worked out, in integers.

A level is b**n * 2/(sqrt(b) + 1/sqrt(b)): the point with the least worst relative error,
(b - 1)/(b + 1).
"""

from fractions import Fraction
from functools import lru_cache
from math import isqrt, sqrt
from typing import Final, NamedTuple

import numpy as np

from .elements import Element

STEPS: Final = (1, 2, 4, 8, 16)
LEAST: Final = 1.03
MOST: Final = 3.0


class Scale(NamedTuple):
    """Magnitudes above zero, by their integers.

    first : the integer of the smallest
    starts : starts[i] to starts[i + 1] - 1 are the patterns with the integer first + i
    levels : levels[i] is the pattern of their level
    """

    first: int
    starts: list[int]
    levels: list[int]


def check_base(per_octave: int | None, base: float | None) -> tuple[int | None, float | None]:
    """Steps per octave or a base, whichever is given; 4 steps per octave if neither is."""
    if per_octave is not None and base is not None:
        raise ValueError("give one of per_octave and base")
    if base is not None:
        if not LEAST <= base <= MOST:
            raise ValueError(f"base is a number from {LEAST} to {MOST}, not {base!r}")
        return None, float(base)
    if per_octave is None:
        return 4, None
    if per_octave not in STEPS or not isinstance(per_octave, int | np.integer):
        raise ValueError(f"per_octave is one of {STEPS}, not {per_octave!r}")
    return int(per_octave), None


@lru_cache
def scale(element: Element, per_octave: int | None, base: float | None) -> Scale:
    """The scale of an element type, as `check_base` gives its steps."""
    if base is not None:
        return _of_base(element, base)
    assert per_octave is not None
    return _of_octaves(element, per_octave)


def root_of_two(steps: int) -> float:
    """2**(1/K), by square roots only: rounded alike everywhere."""
    root = 2.0
    for _ in range(steps.bit_length() - 1):
        root = sqrt(root)
    return root


def centre(base: float) -> float:
    """The level of the integer 0, each operation rounded to float64."""
    return 2 / (sqrt(base) + 1 / sqrt(base))


def _scale(element: Element, first: int, boundaries: list[int], levels: list[int]) -> Scale:
    top = element.infinity
    return Scale(first, [1, *boundaries, top], [min(level, top - 1) for level in levels])


def _of_octaves(element: Element, steps: int) -> Scale:
    thresholds, points = _thresholds(steps, element.precision), _points(steps)
    octaves = range(element.lowest, element.bias + 1)
    boundaries = [_pattern(element, t, octave) for octave in octaves for t in thresholds]
    levels = [element.nearest(point, octave) for octave in octaves for point in points]
    levels.append(element.nearest(points[0], element.bias + 1))
    return _scale(element, steps * element.lowest, boundaries, levels)


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
    """Levels of the octave [1, 2) in float64."""
    base = root_of_two(steps)
    points = [centre(base)]
    while len(points) < steps:
        points.append(points[-1] * base)
    return points


def _pattern(element: Element, significand: int, octave: int) -> int:
    """Smallest pattern with a value of at least significand * 2**(octave - precision)."""
    shift = octave - element.precision - element.lowest
    if shift >= 0:
        return (shift << element.precision) + significand
    return -(-significand >> -shift)


def _of_base(element: Element, base: float, guard: int = 64) -> Scale:
    """From powers in `guard` bits below the smallest number, rounded down and up: they agree."""
    lower, upper = (_from_powers(element, base, guard, sign) for sign in (1, -1))
    return lower if lower == upper else _of_base(element, base, 2 * guard)


def _from_powers(element: Element, base: float, guard: int, sign: int) -> Scale:
    """With every power rounded down, or up if sign is -1: the power itself is then negative."""
    bits, ratio = guard - element.lowest, Fraction(base)
    square = abs(_units(ratio, 2 * bits, sign))
    root = isqrt(square) if sign > 0 else -1 - isqrt(square - 1)
    level = _units(Fraction(centre(base)), bits, sign)
    up, down = (
        _climb(element, root, level, abs(_units(step, 2 * guard, sign)), guard)
        for step in (ratio, 1 / ratio)
    )
    boundaries, levels = zip(*down[-2:0:-1], *up, strict=True)
    return _scale(element, 2 - len(down), list(boundaries[:-1]), list(levels))


def _units(number: Fraction, bits: int, sign: int) -> int:
    """sign * number in units of 2**-bits, rounded down."""
    return sign * (number.numerator << bits) // number.denominator


def _climb(
    element: Element, boundary: int, level: int, step: int, guard: int
) -> list[tuple[int, int]]:
    """Patterns of boundaries and levels, up to the first boundary beyond the other numbers."""
    found: list[tuple[int, int]] = []
    while not found or 1 < found[-1][0] < element.infinity:
        found.append((_at_least(element, boundary, guard), _nearest(element, level, guard)))
        boundary, level = boundary * step >> 2 * guard, level * step >> 2 * guard
    return found


def _at_least(element: Element, number: int, guard: int) -> int:
    """Smallest pattern of at least |number| * 2**(lowest - guard)."""
    drop = max(number.bit_length() - 1 - element.precision, guard)
    return (drop - guard << element.precision) - (-abs(number) >> drop)


def _nearest(element: Element, number: int, guard: int) -> int:
    """Pattern nearest to |number| * 2**(lowest - guard), ties to even."""
    drop = max(number.bit_length() - 1 - element.precision, guard)
    odd = abs(number) >> drop & 1
    units = abs(number) + (1 << drop - 1) - 1 + odd >> drop
    return (drop - guard << element.precision) + units
