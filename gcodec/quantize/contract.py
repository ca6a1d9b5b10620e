"""What a quantiser answers."""

from typing import NamedTuple, Protocol

from ..format.elements import Element, Patterns


class Grid(NamedTuple):
    """Levels of |x|; code = number of boundaries at or below the magnitude's bit pattern.

    boundaries : patterns[levels - 1], of magnitudes, ascending
    levels : patterns[levels], of magnitudes, ascending; zero only for zero itself
    bound : |decoded - x| <= bound * |x| + half the smallest number, for every x in the grid's range
    """

    boundaries: Patterns
    levels: Patterns
    bound: float


class Quantizer(Protocol):
    """A method of rounding; a frozen dataclass whose `repr` evaluates back to it."""

    def grid(self, element: Element, low: int, high: int) -> Grid | None:
        """The grid for magnitude patterns in [low, high]; None to send values as they are."""
