"""How much is asked for, and estimates that stay near it."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from .contract import Decision, Statistics

SMALL: Final = 4096
FEW: Final = 32


@dataclass(frozen=True)
class Amount:
    """A fraction or a number of elements; `seed` and the like are checked by `whole_number`.

    Parameters
    ----------
    ratio : float, optional
        Fraction kept, in (0, 1]: k = max(1, round(ratio * n)).
    k : int, optional
        Number kept, at least 1. Exactly one of `ratio` and `k` must be given.
    """

    ratio: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.k is None):
            raise ValueError("give exactly one of ratio and k")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ValueError(f"ratio is the fraction kept, in (0, 1], not {self.ratio}")
        if self.k is not None:
            if not isinstance(self.k, int | np.integer) or self.k < 1:
                raise ValueError(f"k is the number kept, an integer of at least 1, not {self.k!r}")
            object.__setattr__(self, "k", int(self.k))

    def wanted(self, n: int) -> int:
        """How many of `n` elements to keep, if so many are not zero."""
        k = self.k if self.k is not None else max(1, round((self.ratio or 0) * n))
        return min(k, n)

    def density(self, n: int) -> float:
        return self.wanted(n) / n if n else 1.0


def whole_number(name: str, value: object, least: int | None = None) -> int:
    """An integer parameter, of at least `least`."""
    if not isinstance(value, int | np.integer) or (least is not None and value < least):
        of = "" if least is None else f" of at least {least}"
        raise ValueError(f"{name} is an integer{of}, not {value!r}")
    return int(value)


def exact(statistics: Statistics, k: int, *, fallback: bool = False) -> Decision:
    """The k largest, ties by ascending index; all nonzeros if there are fewer."""
    if k == 0:
        return Decision(0, 0, 0)
    threshold, above = statistics.kth(k)
    ties = k - above if threshold else 0
    return Decision(threshold, ties, above + ties, fallback)


def too_small(statistics: Statistics, k: int) -> bool:
    """Whether there is too little to estimate anything from."""
    return statistics.n < SMALL or k < FEW


def bounded(
    statistics: Statistics, threshold: float, k: int, lowest: float = 0.5, highest: float = 2.0
) -> Decision:
    """Keep what is above a threshold, or exactly k where that is not `lowest` to `highest` of k.

    Where fewer than k elements are not zero, they are what k counts against.
    """
    pattern = statistics.element.nearest(threshold) if threshold > 0 else 0
    count = statistics.count_above(pattern)
    if not lowest * k <= count <= highest * k:
        decision = exact(statistics, k, fallback=True)
        if not lowest * decision.kept <= count <= highest * decision.kept:
            return decision
    return Decision(pattern, 0, count)
