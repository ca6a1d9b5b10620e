"""What a step takes, by the number of elements: a line, steps of a power of two, or a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Affine:
    """`start` seconds, and `each` for every element."""

    start: float
    each: float

    def __post_init__(self) -> None:
        for value in (self.start, self.each):
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"{self}: give finite numbers of 0 or more")

    def __call__(self, sizes: NDArray[np.int64]) -> Any:
        return self.start + self.each * sizes

    @classmethod
    def fit(cls, cost: Callable[[NDArray[np.int64]], Any], sizes: Sequence[int]) -> "Affine":
        """The line of least squares through a cost at these sizes, neither number below 0."""
        x = np.unique(np.asarray(sizes, np.int64))
        y = np.broadcast_to(np.asarray(cost(x), np.float64), x.shape)
        spread = x - x.mean()
        each = max(float(spread @ y) / max(float(spread @ spread), 1.0), 0.0)
        return cls(max(float(y.mean()) - each * float(x.mean()), 0.0), each)


@dataclass(frozen=True)
class PowerOfTwo:
    """`start` seconds, and `each` for every cell of the power of two from `share` * elements up.

    What a count-sketch of power-of-two columns takes: neither affine nor concave.
    """

    start: float
    each: float
    share: float = 1.0

    def __post_init__(self) -> None:
        for value in (self.start, self.each, self.share):
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"{self}: give finite numbers of 0 or more")

    def __call__(self, sizes: NDArray[np.int64]) -> Any:
        cells = np.maximum(np.ceil(self.share * np.asarray(sizes)), 1)
        return self.start + self.each * np.exp2(np.ceil(np.log2(cells)))


@dataclass(frozen=True)
class Table:
    """Measured seconds at some sizes; straight lines between, and past both ends.

    Below the first size it takes what the first takes; past the last it goes on as between the last
    two, but never down.
    """

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(map(int, self.sizes)))
        object.__setattr__(self, "seconds", tuple(map(float, self.seconds)))
        if not self.sizes or len(self.sizes) != len(self.seconds):
            raise ValueError(
                f"{len(self.sizes)} sizes and {len(self.seconds)} times: give as many, one at least"
            )
        if any(a >= b for a, b in zip(self.sizes, self.sizes[1:], strict=False)):
            raise ValueError(f"sizes ascend, which {list(self.sizes)} do not")
        if not all(isfinite(value) and value >= 0 for value in self.seconds):
            raise ValueError(f"times are finite and 0 or more, which {list(self.seconds)} are not")

    def __call__(self, sizes: NDArray[np.int64]) -> Any:
        x, y = np.asarray(self.sizes, np.float64), np.asarray(self.seconds)
        found = np.interp(sizes, x, y)
        if x.size > 1:
            slope = max((y[-1] - y[-2]) / (x[-1] - x[-2]), 0.0)
            found = found + slope * np.maximum(np.asarray(sizes) - x[-1], 0)
        return found
