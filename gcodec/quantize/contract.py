"""What a quantiser answers."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Grid(NamedTuple):
    """Levels of |x|; code = number of boundaries at or below the magnitude's bit pattern.

    boundaries : uint32[levels - 1], ascending magnitude bit patterns
    levels : float32[levels], ascending, above zero
    bound : |decoded - x| <= bound * |x| + 2**-150 for every x in the grid's range
    """

    boundaries: NDArray[np.uint32]
    levels: NDArray[np.float32]
    bound: float


class Quantizer(Protocol):
    """A method of rounding; a frozen dataclass whose `repr` evaluates back to it."""

    def grid(self, low: int, high: int) -> Grid | None:
        """The grid for magnitude patterns in [low, high], 1 <= low; None to send values as is."""
