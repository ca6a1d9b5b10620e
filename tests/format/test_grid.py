"""The grid of reclog as section 13 states it, in exact fractions, for every element type."""

import json
import struct
from fractions import Fraction
from math import ceil, inf, nextafter, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from document import SPEC, block
from hypothesis import given, settings
from hypothesis import strategies as st
from rationals import number, search

from gcodec.format import logarithm
from gcodec.format.elements import ELEMENTS, FLOAT32
from gcodec.quantize import ReciprocalLog

STEPS = (1, 2, 4, 8, 16)
EVERY = pytest.mark.parametrize("element", ELEMENTS.values(), ids=lambda element: element.name)
SMALL = pytest.mark.parametrize(
    "element", [e for e in ELEMENTS.values() if e.bits == 16], ids=lambda element: element.name
)


def thresholds(steps, precision):
    """Smallest s with (s / 2^p)^(2K) >= 2^(2j + 1), j = 0 to K - 1: by bisection."""
    found = []
    for j in range(steps):
        low, high = 2**precision, 2 ** (precision + 1)
        while high - low > 1:
            middle = (low + high) // 2
            enough = Fraction(middle, 2**precision) ** (2 * steps) >= 2 ** (2 * j + 1)
            low, high = (low, middle) if enough else (middle, high)
        found.append(high)
    return found


def points(steps):
    """P_0 to P_(K - 1), each operation rounded to a double."""
    b = 2.0
    for _ in range(STEPS.index(steps)):
        b = sqrt(b)
    found = [2 / (sqrt(b) + 1 / sqrt(b))]
    for _ in range(steps - 1):
        found.append(found[-1] * b)
    return found


def grid_of(steps, element, low, high):
    return ReciprocalLog(steps).grid(SimpleNamespace(element=element, low=low, high=high))


def whole(element, steps):
    return grid_of(steps, element, 1, element.infinity - 1)


def octaves(element):
    """All that there are; of many, those where something can change."""
    p, u, e = element.precision, element.lowest, element.bias
    if element.bits < 64:
        return range(u, e + 1)
    return [*range(u, u + p + 4), *range(-3, 4), *range(e - 3, e + 1)]


@EVERY
@pytest.mark.parametrize("steps", STEPS)
def test_boundaries(element, steps):
    p, u, e = element.precision, element.lowest, element.bias
    found, bits = whole(element, steps).boundaries, thresholds(steps, p)
    assert found.dtype == element.pattern
    assert found.size == steps * (e - u + 1)
    for o in octaves(element):
        for j, threshold in enumerate(bits):
            if o - p >= u:
                expected = (o - p - u) * 2**p + threshold
                assert number(element, expected) == threshold * Fraction(2) ** (o - p)
            else:
                expected = ceil(Fraction(threshold, 2 ** (u - o + p)))
            assert found[steps * (o - u) + j] == expected


@EVERY
@pytest.mark.parametrize("steps", STEPS)
def test_levels(element, steps):
    u, e = element.lowest, element.bias
    found, centres = whole(element, steps).levels, points(steps)
    assert found.dtype == element.pattern
    assert found.size == steps * (e - u + 1) + 1
    for o in octaves(element):
        for j, centre in enumerate(centres):
            nearest = search(element, Fraction(centre) * Fraction(2) ** o)
            assert found[steps * (o - u) + j] == min(nearest, element.infinity - 1)
    last = search(element, Fraction(centres[0]) * Fraction(2) ** (e + 1))
    assert found[-1] == min(last, element.infinity - 1)


@EVERY
@pytest.mark.parametrize("steps", STEPS)
def test_bound(element, steps):
    """The worst relative error over the octave [1, 2): of all numbers, or of the ends of bins."""
    grid = whole(element, steps)
    one = search(element, Fraction(1))
    two = one + (1 << element.precision)
    if element.bits == 16:
        numbers = np.arange(one, two)
    else:
        inside = [int(b) for b in grid.boundaries if one < b < two]
        numbers = np.array([one, *inside, *(b - 1 for b in inside), two - 1])
    codes = np.searchsorted(grid.boundaries, numbers.astype(element.pattern), side="right")
    worst = max(
        abs(number(element, int(level)) / number(element, int(x)) - 1)
        for x, level in zip(numbers, grid.levels[codes], strict=True)
    )
    assert grid.bound == nextafter(float(worst), inf)


def check_bound(element, grid, patterns):
    """|v - x| <= bound * |x| + 2^(u - 1), as section 11.6 has it."""
    codes = np.searchsorted(grid.boundaries, patterns, side="right")
    bound, least = Fraction(grid.bound), Fraction(2) ** (element.lowest - 1)
    for pattern, level in zip(patterns.tolist(), grid.levels[codes].tolist(), strict=True):
        x, v = number(element, pattern), number(element, level)
        assert v > 0
        assert abs(v - x) <= bound * x + least, (pattern, level)


@SMALL
@pytest.mark.parametrize("steps", STEPS)
def test_the_bound_holds_for_every_number(element, steps):
    check_bound(element, whole(element, steps), np.arange(1, element.infinity, dtype=np.uint16))


@EVERY
@pytest.mark.parametrize("steps", STEPS)
def test_the_bound_holds_where_bins_end(element, steps):
    grid = whole(element, steps)
    rng = np.random.default_rng(steps)
    some = rng.choice(grid.boundaries, min(grid.boundaries.size, 500), replace=False)
    ends = np.concatenate((some, some - element.pattern.type(1), grid.boundaries[-20:]))
    check_bound(element, grid, np.append(ends, element.pattern.type(element.infinity - 1)))


@EVERY
@settings(max_examples=300)
@given(data=st.data(), steps=st.sampled_from(STEPS))
def test_a_part_of_the_grid_has_the_same_levels(element, data, steps):
    patterns = st.integers(0, element.infinity - 1)
    low, *between, high = sorted(data.draw(st.lists(patterns, min_size=2, max_size=6)))
    part, all_of_it = grid_of(steps, element, low, high), whole(element, steps)
    assert part.levels.size == part.boundaries.size + 1
    assert part.bound == all_of_it.bound
    for pattern in (low, *between, high):
        level, expected = (
            grid.levels[
                np.searchsorted(grid.boundaries, element.pattern.type(pattern), side="right")
            ]
            for grid in (part, all_of_it)
        )
        assert level == (expected if pattern else 0)


@EVERY
@pytest.mark.parametrize("high", [0, 1, 2, 1000])
def test_zeros_have_a_level_of_their_own(element, high):
    assert "a level +0 with a boundary 1 stands before all others" in " ".join(SPEC.split())
    grid, above = (grid_of(4, element, low, high) for low in (0, 1))
    assert (grid.levels[0], grid.boundaries[0]) == (0, 1)
    assert grid.levels[1:].tolist() == above.levels.tolist()
    assert grid.boundaries[1:].tolist() == above.boundaries.tolist()


def test_numbers_in_the_specification():
    """Its table is that of float32; this file's formulas, and the library's, give the same."""

    def pattern(value):
        return struct.pack(">d", value).hex()

    stated = json.loads(block("json reclog-grid"))
    assert tuple(map(int, stated)) == STEPS == logarithm.STEPS
    for steps, grid in stated.items():
        assert grid["thresholds"] == thresholds(int(steps), 23)
        assert grid["levels"] == [pattern(point) for point in points(int(steps))]
        assert grid["bound"] == pattern(whole(FLOAT32, int(steps)).bound)
