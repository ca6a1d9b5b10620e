"""Answers to a selector's questions: the same over a dense gradient and its key-value pairs."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .arrays import Numbers, read_only, widen
from .format.elements import Element, Patterns
from .select.contract import Moments

HISTOGRAM_BINS = 2048
SAMPLES = 1 << 14
SEGMENT = 30
LANES = 16


class DenseStatistics:
    """Statistics of `bits`, the patterns of all n elements."""

    def __init__(self, bits: Patterns, element: Element, stream: int, kernels: ModuleType) -> None:
        self.n, self.element, self.stream = bits.size, element, stream
        self._bits, self._kernels = bits, kernels
        self._numbers: Numbers | None = None

    def count_above(self, threshold: int) -> int:
        return int(self._kernels.count_above(self._bits, threshold))

    def largest(self) -> int:
        return int(self._kernels.magnitude_max(self._bits))

    def moments(self, threshold: int) -> Moments:
        count, total, squares, _ = self._tail(threshold)
        return Moments(int(count), total, squares)

    def mean(self) -> float:
        return self._tail(0)[3] / self.n

    def _tail(self, threshold: int) -> list[float]:
        if self._numbers is None:
            self._numbers = read_only(widen(self._bits, self.element))
        sums = np.zeros((5, LANES))
        self._add_tail(self.element.number(threshold), sums)
        answer: list[float] = sums[4, :4].tolist()
        return answer

    def _add_tail(self, threshold: float, sums: NDArray[np.float64]) -> None:
        self._kernels.tail_sums(self._numbers, threshold, sums)

    def _strided(self, stride: int) -> Patterns:
        """The patterns at every so many positions, of which zeros may be missing."""
        return self._bits[::stride]

    def logarithm(self) -> float:
        sampled = widen(self.element.magnitudes(self._strided(64)), self.element)
        sampled = sampled[sampled > 0].astype(np.float64)
        if not sampled.size:
            sampled = np.ones(1)
        return float(np.log(sampled).mean())

    def above(self, threshold: int) -> tuple[NDArray[np.int64], Patterns]:
        room = self.count_above(threshold)
        keys, bits = np.empty(room, np.uint32), np.empty(room, self._bits.dtype)
        counts = np.zeros((self._bits.size >> SEGMENT) + 1, np.int64)
        self._kernels.gather(self._bits, 0, threshold, 0, SEGMENT, keys, bits, counts)
        positions: NDArray[np.int64] = np.repeat(np.arange(counts.size) << SEGMENT, counts)
        return positions + keys, self.element.magnitudes(bits)

    def largest_of_blocks(self, block: int, k: int) -> NDArray[np.int64]:
        edges = np.minimum(np.arange(0, self.n + block, block, dtype=np.int64), self.n)
        return self._largest_between(edges, k)

    def _largest_between(self, edges: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        positions = np.empty(int(np.minimum(np.diff(edges), k).sum()), np.int64)
        scratch = np.empty(HISTOGRAM_BINS, np.int64)
        count = self._kernels.largest_between(self._bits, edges, k, scratch, positions)
        return positions[:count]

    def kth(self, k: int) -> tuple[int, int]:
        """Exact: among candidates above a sampled bound if there are enough, else among all."""
        stride = max(self._bits.size // SAMPLES, 1)
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


class PairStatistics(DenseStatistics):
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
        super().__init__(read_only(bits), element, stream, kernels)
        self.n = n
        self._keys = keys

    def kth(self, k: int) -> tuple[int, int]:
        return super().kth(k) if k <= self._keys.size else (0, self._keys.size)

    def sample(self, positions: NDArray[np.int64]) -> Patterns:
        at = np.minimum(np.searchsorted(self._keys, positions), max(self._keys.size - 1, 0))
        drawn = np.zeros(positions.size, self.element.pattern)
        if self._keys.size:
            found = self._keys[at] == positions
            drawn[found] = super().sample(at[found])
        return drawn

    def above(self, threshold: int) -> tuple[NDArray[np.int64], Patterns]:
        at, magnitudes = super().above(threshold)
        return self._keys[at], magnitudes

    def largest_of_blocks(self, block: int, k: int) -> NDArray[np.int64]:
        edges = np.searchsorted(self._keys, np.arange(0, self.n + block, block))
        return self._keys[self._largest_between(edges, k)]

    def _add_tail(self, threshold: float, sums: NDArray[np.float64]) -> None:
        self._kernels.tail_sums_of_pairs(self._keys, self._numbers, threshold, sums)

    def _strided(self, stride: int) -> Patterns:
        strided: Patterns = self._bits[self._keys % stride == 0]
        return strided
