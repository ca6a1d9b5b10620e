"""Element types as layouts of bits: rounding to each, against NumPy and exact fractions."""

from fractions import Fraction
from math import inf, ldexp, nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rationals import number, search

from gcodec.format.elements import ELEMENTS, FLOAT32
from gcodec.format.ids import ElementType

FLOAT16, BFLOAT16, FLOAT64 = (
    ELEMENTS[kind] for kind in (ElementType.FLOAT16, ElementType.BFLOAT16, ElementType.FLOAT64)
)
EVERY = pytest.mark.parametrize("element", ELEMENTS.values(), ids=lambda element: element.name)
SMALL = pytest.mark.parametrize("element", [FLOAT16, BFLOAT16], ids=lambda element: element.name)
NUMPY = {FLOAT16: np.float16, FLOAT32: np.float32, FLOAT64: np.float64}


def numpy_nearest(element, x):
    with np.errstate(over="ignore", under="ignore"):
        return int(NUMPY[element](x).view(element.pattern))


POSITIVE = st.floats(0, allow_nan=False, allow_infinity=False)


@EVERY
def test_numbers_are_those_of_numpy(element):
    """The definition above, so that the other tests may rest on it."""
    top = element.infinity
    patterns = [0, 1, 2, (1 << element.precision) - 1, 1 << element.precision, top // 2, top - 1]
    for pattern in patterns:
        bits = np.array([pattern], element.pattern)
        if element is BFLOAT16:
            value = (bits.astype(np.uint32) << 16).view(np.float32)[0]
        else:
            value = bits.view(NUMPY[element])[0]
        assert Fraction(float(value)) == number(element, pattern)


@SMALL
def test_every_number_its_midpoints_and_their_neighbours(element):
    """All finite magnitudes, subnormals included; past the largest, infinity."""
    for pattern in range(element.infinity):
        here, there = number(element, pattern), number(element, pattern + 1)
        middle = (here + there) / 2
        assert float(middle) == middle
        assert element.nearest(float(here)) == pattern
        assert element.nearest(nextafter(float(middle), 0.0)) == pattern
        assert element.nearest(float(middle)) == pattern + pattern % 2
        assert element.nearest(nextafter(float(middle), inf)) == pattern + 1


@EVERY
@settings(max_examples=500)
@given(data=st.data())
def test_any_magnitude_by_exact_search(element, data):
    top = element.infinity - (2 if element is FLOAT64 else 1)
    pattern = data.draw(st.integers(0, top))
    share = data.draw(st.sampled_from([Fraction(1, 2), Fraction(1, 4), Fraction(0)]))
    here, there = number(element, pattern), number(element, pattern + 1)
    wanted = float(here + (there - here) * share)
    for close in (wanted, nextafter(wanted, 0.0), nextafter(wanted, inf)):
        if close < inf:
            assert element.nearest(close) == search(element, Fraction(close))


@pytest.mark.parametrize("element", NUMPY, ids=lambda element: element.name)
@settings(max_examples=2000)
@given(x=POSITIVE)
def test_any_double_as_numpy_rounds_it(element, x):
    assert element.nearest(x) == numpy_nearest(element, x)


@pytest.mark.parametrize("element", [FLOAT16, FLOAT32], ids=lambda element: element.name)
def test_doubles_of_every_size_as_numpy_rounds_them(element):
    """What few draws hit: the range of the type, its subnormals, and halves of its units."""
    rng = np.random.default_rng(0)
    exponents = rng.integers(element.lowest - 3, element.bias + 3, 20_000)
    digits = rng.integers(1, 1 << element.precision + 3, 20_000)
    for digit, exponent in zip(digits.tolist(), exponents.tolist(), strict=True):
        x = ldexp(digit, exponent - element.precision)
        assert element.nearest(x) == numpy_nearest(element, x)


@given(x=POSITIVE)
@settings(max_examples=2000)
def test_any_double_as_bfloat16(x):
    assert BFLOAT16.nearest(x) == search(BFLOAT16, Fraction(x))


@EVERY
@settings(max_examples=500)
@given(x=st.floats(1, 2, exclude_max=True), shift=st.integers(-1200, 1100))
def test_an_exponent_beside_the_number(element, x, shift):
    """x * 2**shift, also where it has no place in a double."""
    assert element.nearest(x, shift) == search(element, Fraction(x) * Fraction(2) ** shift)


@EVERY
def test_ends_of_the_range(element):
    largest, past = (number(element, element.infinity - 1 + i) for i in (0, 1))
    assert past == Fraction(2) ** (element.bias + 1)
    assert element.nearest(0.0) == 0
    assert element.nearest(1.0, element.lowest) == 1
    assert element.nearest(1.0, element.lowest - 1) == 0, "half the smallest: to even"
    assert element.nearest(nextafter(1.0, 2), element.lowest - 1) == 1
    assert element.nearest(3.0, element.lowest - 1) == 2, "one and a half: to even"
    scale = element.bias + 1 - 60
    for exact, expected in (
        (largest, element.infinity - 1),
        (past, element.infinity),
        ((largest + past) / 2, element.infinity),
        (4 * past, element.infinity),
    ):
        digits = exact / Fraction(2) ** scale
        if float(digits) == digits:
            assert element.nearest(float(digits), scale) == expected
    assert element.nearest(1.0, 5000) == element.infinity
    assert element.nearest(1.0, -5000) == 0


@EVERY
def test_magnitudes_and_signs(element):
    top = 1 << element.bits - 1
    magnitudes = [0, 1, element.infinity, top - 1]
    patterns = np.array([m | s for s in (0, top) for m in magnitudes], element.pattern)
    assert element.magnitudes(patterns).tolist() == magnitudes * 2
    assert element.magnitudes(patterns).dtype == element.pattern
    assert element.signs(patterns).tolist() == [0] * 4 + [1] * 4


@EVERY
def test_infinity_is_the_first_magnitude_that_is_not_finite(element):
    """And magnitudes order as patterns do."""
    bits = np.array([element.infinity - 1, element.infinity, element.infinity + 1], element.pattern)
    if element is BFLOAT16:
        values = (bits.astype(np.uint32) << 16).view(np.float32)
    else:
        values = bits.view(NUMPY[element])
    assert np.isfinite(values).tolist() == [True, False, False]
    assert np.isinf(values).tolist() == [False, True, False]
