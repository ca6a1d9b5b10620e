"""What a quantiser is given and what it answers."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..format.elements import Element, Patterns
from ..format.ids import BoundKind


class Kept(Protocol):
    """Elements to be quantised."""

    element: Element
    low: int
    """Least magnitude pattern that they can have; 0 if zeros may occur."""
    high: int
    """Largest magnitude pattern that they can have."""

    @property
    def exponent(self) -> int:
        """`magnitudes` are in units of 2**exponent: 0 unless squares would overflow."""

    @property
    def magnitudes(self) -> NDArray[np.float64]:
        """|x| of each."""

    @property
    def extent(self) -> tuple[float, float]:
        """The least and the largest magnitude, 0 if there is none; takes no room."""

    @property
    def least_above_zero(self) -> float:
        """The least magnitude that is not 0, or 0; takes no room."""

    def scaled(self, patterns: Patterns) -> NDArray[np.float64]:
        """Numbers of magnitude patterns, in the same units."""

    @property
    def negative(self) -> NDArray[np.bool_]:
        """Which have a sign bit."""

    def norm(self, kind: str) -> float:
        """The largest magnitude (`max`) or the Euclidean norm (`l2`), in the same units.

        It is 1 where elements are in units of that norm of their block.
        """

    def deviation(self, scale: float) -> float:
        """The standard deviation of x / scale, signs included; there are elements."""


class Grid(NamedTuple):
    """Levels of |x|, and which of them an x becomes.

    levels : patterns[levels] of magnitudes, ascending
    boundaries : patterns[levels - 1] of magnitudes, ascending: the index of x is the number of them
        at or below |x|. None for stochastic rounding: x becomes one of the two levels beside it,
        that at distance d of a gap g with probability 1 - d/g.
    bound_kind, bound : what holds for every element in the range, as in spec 11.6
    negative : patterns[levels], the levels of negative elements if they differ
    """

    levels: Patterns
    boundaries: Patterns | None
    bound_kind: BoundKind
    bound: float
    negative: Patterns | None = None


class Quantizer(Protocol):
    """A method of rounding; a frozen dataclass whose `repr` evaluates back to it.

    Where blocks have scales, these are a `norm` of what is in them, as in `gcodec.scaling.divide`:
    `max` if the method names no other. If it is `per_sign`, a block has one for each sign.
    """

    @property
    def seed(self) -> int:
        """Of stochastic rounding."""

    def grid(self, kept: Kept) -> Grid | None:
        """The grid for these elements; None to send values as they are."""


def patterns(kept: Kept, numbers: NDArray[np.float64]) -> Patterns:
    """The nearest pattern of each magnitude, none of them infinite."""
    element, top = kept.element, kept.element.infinity - 1
    found = [min(element.nearest(number, kept.exponent), top) for number in numbers.tolist()]
    return np.array(found, element.pattern)


def at_least(kept: Kept, numbers: NDArray[np.float64]) -> Patterns:
    """The smallest pattern of at least each magnitude."""
    found = patterns(kept, numbers)
    return found + (kept.scaled(found) < numbers).astype(found.dtype)


def halfway(kept: Kept, levels: Patterns) -> Patterns:
    """Boundaries of rounding to the nearest of ascending levels, ties up."""
    numbers = kept.scaled(levels)
    return at_least(kept, (numbers[1:] + numbers[:-1]) / 2)


def bound(kept: Kept, error: float) -> float:
    """An error of `magnitudes` as a bound of the elements themselves: never rounded down to 0."""
    scaled = float(np.ldexp(error, kept.exponent))
    return scaled if scaled or not error else float(np.nextafter(0.0, 1.0))


def widest_gap(kept: Kept, levels: Patterns) -> float:
    """The largest distance between neighbouring levels."""
    return float(np.diff(kept.scaled(levels)).max(initial=0.0))
