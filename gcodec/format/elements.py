"""Floating-point types of elements, as layouts of bit patterns (spec 11.4)."""

from math import frexp, inf, isfinite, ldexp
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .ids import ElementType

Patterns = NDArray[np.unsignedinteger]
"""Bit patterns of elements: uint16, uint32 or uint64 by the element type."""


class Element(NamedTuple):
    """An IEEE 754 layout: sign, exponent, and `precision` bits of significand below the point."""

    type: ElementType
    pattern: np.dtype[np.unsignedinteger]
    precision: int

    @property
    def bits(self) -> int:
        return self.pattern.itemsize * 8

    @property
    def name(self) -> str:
        return self.type.name.lower()

    @property
    def infinity(self) -> int:
        """The magnitude pattern of infinity; NaNs are above it."""
        return (1 << self.bits - 1) - (1 << self.precision)

    @property
    def bias(self) -> int:
        """Exponent of the largest octave [2**bias, 2**(bias + 1)); that of 1 is its field."""
        return (self.infinity >> self.precision) // 2

    @property
    def lowest(self) -> int:
        """Exponent of the smallest number above zero."""
        return 1 - self.bias - self.precision

    def number(self, magnitude: int) -> float:
        """The number that a magnitude pattern stands for."""
        if magnitude >= self.infinity:
            return inf
        field, significand = magnitude >> self.precision, magnitude % (1 << self.precision)
        unit = self.lowest + max(field - 1, 0)
        return ldexp(significand + (min(field, 1) << self.precision), unit)

    def nearest(self, number: float, exponent: int = 0) -> int:
        """The pattern nearest to number * 2**exponent >= 0, ties to even; infinity past the end."""
        if not number:
            return 0
        if not isfinite(number):
            return self.infinity
        octave = frexp(number)[1] - 1 + exponent
        unit = max(octave - self.precision, self.lowest)
        units = round(ldexp(number, exponent - unit))
        return min((unit - self.lowest << self.precision) + units, self.infinity)

    def magnitudes(self, patterns: Patterns) -> Patterns:
        """Patterns without their sign; they order like the magnitudes."""
        return patterns & self.pattern.type((1 << self.bits - 1) - 1)

    def signs(self, patterns: Patterns) -> NDArray[np.uint32]:
        """1 where the sign bit is set."""
        return (patterns >> self.pattern.type(self.bits - 1)).astype(np.uint32)


ELEMENTS: Final = {
    kind: Element(kind, np.dtype(pattern), precision)
    for kind, pattern, precision in (
        (ElementType.FLOAT32, np.uint32, 23),
        (ElementType.FLOAT16, np.uint16, 10),
        (ElementType.BFLOAT16, np.uint16, 7),
        (ElementType.FLOAT64, np.uint64, 52),
    )
}
FLOAT32: Final = ELEMENTS[ElementType.FLOAT32]
