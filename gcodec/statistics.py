"""Answers to a selector's questions: the same over a dense gradient and its key-value pairs."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .arrays import read_only
from .format.elements import Element, Patterns

HISTOGRAM_BINS = 2048
SAMPLES = 1 << 14


class DenseStatistics:
    """Statistics of `bits`, the patterns of all n elements."""

    def __init__(self, bits: Patterns, element: Element, stream: int, kernels: ModuleType) -> None:
        self.n, self.element, self.stream = bits.size, element, stream
        self._bits, self._kernels = bits, kernels

    def count_above(self, threshold: int) -> int:
        return int(self._kernels.count_above(self._bits, threshold))

    def kth(self, k: int) -> tuple[int, int]:
        """Exact: among candidates above a sampled bound if there are enough, else among all."""
        stride = max(self.n // SAMPLES, 1)
        sampled = np.sort(self.element.magnitudes(self._bits[::stride]))
        rank = int(k / stride * 1.25) + 16
        if stride > 1 and rank < sampled.size // 8:
            room = 2 * rank * stride
            candidates, keys = np.empty(room, self._bits.dtype), np.empty(room, np.uint32)
            below = int(sampled[sampled.size - rank]) - 1
            count = np.zeros(1, np.int64)
            found = 0
            if below >= 0:
                found = int(
                    self._kernels.gather(self._bits, 0, below, 0, 62, keys, candidates, count)
                )
            if k <= found <= room:
                return self._kth_of(read_only(candidates[:found]), k)
        return self._kth_of(self._bits, k)

    def _kth_of(self, bits: Patterns, k: int) -> tuple[int, int]:
        scratch = np.empty(HISTOGRAM_BINS, np.int64)
        threshold, above = self._kernels.kth_magnitude(bits, k, scratch)
        return int(threshold), int(above)

    def sample(self, positions: NDArray[np.int64]) -> Patterns:
        return self.element.magnitudes(self._bits[positions])


class PairStatistics:
    """Statistics of n elements of which only those at `keys` are not zero."""

    def __init__(
        self,
        keys: NDArray[np.int64],
        bits: Patterns,
        n: int,
        element: Element,
        stream: int,
        kernels: ModuleType,
    ) -> None:
        self.n, self.element, self.stream = n, element, stream
        self._keys = keys
        self._stored = DenseStatistics(read_only(bits), element, stream, kernels)

    def count_above(self, threshold: int) -> int:
        return self._stored.count_above(threshold)

    def kth(self, k: int) -> tuple[int, int]:
        return self._stored.kth(k) if k <= self._stored.n else (0, self._stored.n)

    def sample(self, positions: NDArray[np.int64]) -> Patterns:
        at = np.minimum(np.searchsorted(self._keys, positions), max(self._keys.size - 1, 0))
        drawn = np.zeros(positions.size, self.element.pattern)
        if self._keys.size:
            found = self._keys[at] == positions
            drawn[found] = self._stored.sample(at[found])
        return drawn
