"""Elements as numbers, and sums of them in order."""

import numpy as np

from .selection import magnitudes


def extent(bits, first):
    """The least magnitude pattern, the least from `first` on, and the largest.

    There are elements; the second is one below `first` if the largest is.
    """
    sizes = magnitudes(bits).tolist()
    return min(sizes), min(sizes, key=lambda size: (size < first, size)), max(sizes)


def sum_in_order(bits, units, scale, center):
    """Sums of x / scale and of (x / scale - center)**2, one after the other (float64).

    `units` as for `to_numbers`.
    """
    total = squares = 0.0
    negative = magnitudes(bits) != bits
    for x, below in zip(to_numbers(bits, units).tolist(), negative.tolist(), strict=True):
        quotient = (-x if below else x) / scale
        total += quotient
        squares += (quotient - center) * (quotient - center)
    return total, squares


def to_numbers(bits, units):
    """Magnitudes of bit patterns as float64.

    `units` is (shift, factor, factor): so far left, exponent and fraction stand where those of a
    float64 do, and times both factors the exponent is right. Subnormal numbers are then as well.
    """
    shift, factor, more = units
    patterns = magnitudes(bits).astype(np.uint64) << np.uint64(shift)
    return patterns.view(np.float64) * factor * more
