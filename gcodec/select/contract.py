"""What a selector is given and what it answers.

Magnitudes are the bit patterns of |x|, which order like the magnitudes themselves; a decision on
them is exact and the same on every backend.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..format.elements import Element, Patterns


class Decision(NamedTuple):
    """Keep magnitudes above `threshold` and the first `ties` equal to it: `kept` in all.

    `fallback` says that an estimate was off and exact selection took its place. `state` is what the
    selector wants to be given next time: a JSON value.
    """

    threshold: int
    ties: int
    kept: int
    fallback: bool = False
    state: Any = None


class Picked(NamedTuple):
    """Keep the elements at ascending `positions`; zeros among them only if `zeros` is set.

    Values are multiplied by `scale`.
    """

    positions: NDArray[np.int64]
    zeros: bool = False
    scale: float = 1.0


class Drawn(NamedTuple):
    """Keep `kept` elements at positions that follow from `seed`, zeros too.

    If `unbiased` is set, a value is multiplied by the number of positions its own was drawn from.
    """

    kept: int
    seed: int
    unbiased: bool = False


Choice = Decision | Picked | Drawn


class Moments(NamedTuple):
    """Magnitudes above a threshold: how many, their sum, and that of their squares."""

    number: int
    total: float
    squares: float


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

    def strata(self, samples: int, seed: int) -> NDArray[np.int64]:
        """A position drawn from each of so many equal strata of [0, n)."""

    def sample(self, positions: NDArray[np.int64]) -> Patterns:
        """Magnitudes at ascending positions."""

    def largest(self) -> int:
        """The largest magnitude, 0 if there is none."""

    def moments(self, threshold: int) -> Moments:
        """Of the magnitudes above `threshold`; sums in float64, in one order on all backends."""

    def mean(self) -> float:
        """Mean of every 64th signed element."""

    def logarithm(self) -> float:
        """Mean logarithm of every 64th magnitude above zero."""

    def above(self, threshold: int) -> tuple[NDArray[np.int64], Patterns]:
        """Ascending positions of the magnitudes above `threshold`, and these."""

    def largest_of_blocks(self, block: int, k: int) -> NDArray[np.int64]:
        """Ascending positions of the k largest nonzeros of every `block` elements in a row."""


class Selector(Protocol):
    """A method of choosing; a frozen dataclass whose `repr` evaluates back to it."""

    def density(self, n: int) -> float:
        """The fraction asked for, from the parameters alone: it sets the chunk size."""

    def decide(self, statistics: Statistics, state: Any = None) -> Choice:
        """The decision for one gradient; `state` is what the last one of this tensor left."""
