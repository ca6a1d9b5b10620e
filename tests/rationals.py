"""What patterns of an element type stand for, in exact fractions; rounding by search."""

from bisect import bisect_left
from fractions import Fraction


def number(element, pattern):
    """A finite magnitude, by the definition of IEEE 754; infinity as if numbers went on."""
    exponent, significand = divmod(pattern, 1 << element.precision)
    if exponent:
        significand += 1 << element.precision
    return significand * Fraction(2) ** (max(exponent, 1) - 1 + element.lowest)


def search(element, wanted):
    """The pattern nearest to a fraction, ties to even: by bisection over all magnitudes."""
    above = bisect_left(range(element.infinity), wanted, key=lambda p: number(element, p))
    if above == 0:
        return 0
    below = above - 1
    left, right = wanted - number(element, below), number(element, above) - wanted
    if left == right:
        return below + below % 2
    return below if left < right else above
