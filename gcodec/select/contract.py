"""What a selector is given and what it answers.

Magnitudes are the bit patterns of |x|, which order like the magnitudes themselves; a decision on
them is exact and the same on every backend.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..format.elements import Element, Patterns


class Decision(NamedTuple):
    """Keep magnitudes above `threshold` and the first `ties` equal to it: `kept` in all."""

    threshold: int
    ties: int
    kept: int


class Statistics(Protocol):
    """What can be asked about a gradient of `n` elements; zeros are elements too."""

    n: int
    element: Element
    stream: int
    """Differs from tensor to tensor and from step to step; seeds are mixed with it."""

    def count_above(self, threshold: int) -> int:
        """Elements with a magnitude above `threshold`."""

    def kth(self, k: int) -> tuple[int, int]:
        """The k-th largest magnitude, 1 <= k <= n, and how many are above it."""

    def sample(self, positions: NDArray[np.int64]) -> Patterns:
        """Magnitudes at ascending positions."""


class Selector(Protocol):
    """A method of choosing; a frozen dataclass whose `repr` evaluates back to it."""

    def density(self, n: int) -> float:
        """The fraction asked for, from the parameters alone: it sets the chunk size."""

    def decide(self, statistics: Statistics) -> Decision:
        """The decision for one gradient."""
