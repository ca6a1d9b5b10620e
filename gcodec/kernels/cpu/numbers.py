"""Elements as numbers, some at a time, and sums of them in order."""

import numpy as np

from .jit import inner, kernel, magnitude, viewed

TILE = 1 << 10
"""Numbers that stay in the nearest cache."""


@kernel
def extent(bits, first):
    """The least magnitude pattern, the least from `first` on, and the largest.

    There are elements; the second is one below `first` if the largest is.
    """
    kind = bits.dtype.type
    start, least, above, most = kind(first), kind(~kind(0)), kind(~kind(0)), kind(0)
    for i in range(bits.size):
        size = magnitude(bits[i])
        least, most = min(least, size), max(most, size)
        above = min(above, kind(size - start))  # what is less wraps around
    return least, kind(above + start), most


@kernel
def sum_in_order(bits, units, scale, center):
    """Sums of x / scale and of (x / scale - center)**2, one after the other (float64).

    `units` as for `to_numbers`.
    """
    patterns = np.empty(TILE, np.uint64)
    numbers = viewed(patterns, np.float64)
    total = squares = 0.0
    for start in range(0, bits.size, TILE):
        part = bits[start : start + TILE]
        to_numbers(part, units, patterns, numbers)
        _divide(part, scale, numbers)
        for i in range(part.size):
            x = numbers[i]
            total += x
            squares += (x - center) * (x - center)
    return total, squares


@inner
def to_numbers(bits, units, patterns, numbers):
    """Magnitudes of bit patterns: `numbers` (float64) are those of `patterns` (uint64).

    `units` is (shift, factor, factor): so far left, exponent and fraction stand where those of a
    float64 do, and times both factors the exponent is right. Subnormal numbers are then as well.
    """
    shift, factor, more = units
    for i in range(bits.size):
        patterns[i] = np.uint64(magnitude(bits[i])) << shift
    for i in range(bits.size):
        numbers[i] = numbers[i] * factor * more


@inner
def _divide(bits, scale, numbers):
    """Magnitudes by a scale, with the signs of their bit patterns."""
    sign = np.uint64(bits.itemsize * 8 - 1)
    for i in range(bits.size):
        x = numbers[i] / scale
        numbers[i] = -x if np.uint64(bits[i]) >> sign else x
