"""Answers to a selector's questions: the same over a dense gradient and its key-value pairs."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .arrays import read_only

MAGNITUDE = np.uint32(0x7FFF_FFFF)
HISTOGRAM_BINS = 2048


class DenseStatistics:
    """Statistics of `bits`, the patterns of all n elements."""

    def __init__(self, bits: NDArray[np.uint32], stream: int, kernels: ModuleType) -> None:
        self.n, self.stream = bits.size, stream
        self._bits, self._kernels = bits, kernels

    def count_above(self, threshold: int) -> int:
        return int(self._kernels.count_above(self._bits, threshold))

    def kth(self, k: int) -> tuple[int, int]:
        threshold, above = self._kernels.kth_magnitude(
            self._bits, k, np.empty(HISTOGRAM_BINS, np.int64)
        )
        return int(threshold), int(above)

    def sample(self, positions: NDArray[np.int64]) -> NDArray[np.uint32]:
        return self._bits[positions] & MAGNITUDE


class PairStatistics:
    """Statistics of n elements of which only those at `keys` are not zero."""

    def __init__(
        self,
        keys: NDArray[np.int64],
        bits: NDArray[np.uint32],
        n: int,
        stream: int,
        kernels: ModuleType,
    ) -> None:
        self.n, self.stream = n, stream
        self._keys, self._stored = keys, DenseStatistics(read_only(bits), stream, kernels)

    def count_above(self, threshold: int) -> int:
        return self._stored.count_above(threshold)

    def kth(self, k: int) -> tuple[int, int]:
        return self._stored.kth(k) if k <= self._stored.n else (0, self._stored.n)

    def sample(self, positions: NDArray[np.int64]) -> NDArray[np.uint32]:
        at = np.minimum(np.searchsorted(self._keys, positions), max(self._keys.size - 1, 0))
        drawn = np.zeros(positions.size, np.uint32)
        if self._keys.size:
            found = self._keys[at] == positions
            drawn[found] = self._stored.sample(at[found])
        return drawn
