"""Answers to a selector's questions: the same over a dense gradient and its key-value pairs."""

from itertools import accumulate
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import scratch
from .arrays import Numbers, read_only, widen
from .format.elements import Element, Patterns
from .parallel import LEAST, run, split
from .select.contract import Decision, Moments

HISTOGRAM_BINS = 2048
SAMPLES = 1 << 14
SEGMENT = 30
LANES = 16
STRIDED = 64
"""Of so many elements one counts where an average need not be exact."""

STRIDE = 1 << 14
"""Ranges of threads end at multiples of this: of cache lines, and of what kernels do at a time."""

SLACK = 128
"""Room beyond what is wanted: `collect` stops short of the last 64."""


class Candidates(NamedTuple):
    """Elements of at least a magnitude: position within the chunk, pattern, number by chunk.

    top : the largest magnitude pattern
    """

    floor: int
    keys: NDArray[np.uint32]
    bits: Patterns
    counts: NDArray[np.int64]
    top: int

    def positions(self, chunk_log2: int) -> NDArray[np.int64]:
        """Flat positions."""
        chunks = np.repeat(np.arange(self.counts.size), self.counts)
        positions: NDArray[np.int64] = (chunks << chunk_log2) + self.keys
        return positions

    def picked(self, choice: Decision, kernels: ModuleType) -> "Candidates":
        """Those that are chosen, in the same memory."""
        if choice.kept == self.keys.size:
            return self
        kept = kernels.pick(self.keys, self.bits, self.counts, choice.threshold, choice.ties)
        return self._replace(keys=self.keys[:kept], bits=self.bits[:kept])


class Sum(NamedTuple):
    """`out = gamma * grad + beta * residual`, to be worked out on the way."""

    grad: Numbers
    residual: Numbers
    gamma: Any
    beta: Any
    out: Numbers

    def part(self, start: int, stop: int) -> "Sum":
        grad, residual, gamma, beta, out = self
        return Sum(grad[start:stop], residual[start:stop], gamma, beta, out[start:stop])


class DenseStatistics:
    """Statistics of `bits`, the patterns of all n elements.

    Elements that are large are collected on the way, so that they need not be looked for again:
    they are `start` to `start + n` of a frame with chunks of 2**chunk_log2. If the elements are a
    sum that is not there yet, the same pass over them adds.
    """

    def __init__(
        self,
        bits: Patterns,
        element: Element,
        stream: int,
        kernels: ModuleType,
        start: int = 0,
        chunk_log2: int = SEGMENT,
        pending: Sum | None = None,
    ) -> None:
        self.n, self.element, self.stream = bits.size, element, stream
        self._there, self._kernels, self._start, self._chunk_log2 = bits, kernels, start, chunk_log2
        self._pending = pending
        self._numbers: Numbers | None = None
        self._found: Candidates | None = None

    @property
    def _bits(self) -> Patterns:
        """All patterns, worked out."""
        self.finish()
        return self._there

    def finish(self) -> None:
        """Make sure that the elements are there."""
        if self._pending is not None:
            run(self._add, split(self.n, LEAST, STRIDE))
            self._pending = None

    def _add(self, start: int, stop: int) -> None:
        if self._pending is not None:
            self._kernels.compensate(*self._pending.part(start, stop))

    def candidates(self, floor: int, room: int, most: int) -> Candidates | None:
        """Elements of at least `floor`, or some more; None if they are many more than `most`."""
        if self._found is not None and self._found.floor <= floor:
            return self._found
        size = self._there.size
        share, limit = room / max(size, 1), most / max(size, 1)
        ranges = split(size, LEAST, STRIDE) or [(0, 0)]
        rooms = [min(int(share * (stop - start)), stop - start) + SLACK for start, stop in ranges]
        ends = [0, *accumulate(rooms)]
        keys, bits = (scratch.empty(ends[-1], kind) for kind in (np.uint32, self._there.dtype))
        places = {start: slice(*ends[i : i + 2]) for i, (start, _) in enumerate(ranges)}

        def collect(start: int, stop: int) -> Candidates | None:
            place = places[start]
            return self._collect(floor, limit, keys[place], bits[place], start, stop)

        parts = run(collect, ranges)
        self._pending = None
        there = [part for part in parts if part is not None]
        if len(there) < len(parts):
            return None
        self._found = there[0] if len(there) == 1 else _joined(there, keys, bits)
        return self._found

    def _collect(
        self,
        floor: int,
        limit: float,
        keys: NDArray[np.uint32],
        bits: Patterns,
        start: int,
        stop: int,
    ) -> Candidates | None:
        """Candidates among a range, up to a share `limit` of it, in the room there is or in more.

        Elements of a pending sum are there afterwards.
        """
        size, log2, offset = stop - start, self._chunk_log2, self._start + start
        room, most = keys.size, min(int(limit * size), size) + SLACK
        last = self._start + self._there.size - 1 >> log2
        counts = np.zeros(last + 1 if size else 0, np.int64)
        own, sums = self._there[start:stop], None
        if self._pending is not None:
            sums = self._pending.part(start, stop)
            own = sums.out.view(self.element.pattern)
        at = kept = top = 0
        while True:
            what = own, offset, floor, log2, at, kept, keys, bits, counts
            if sums is None:
                at, kept, largest = self._kernels.collect(*what)
            else:
                at, kept, largest = self._kernels.collect_sum(*sums, *what)
            top = max(top, int(largest))
            if at == size:
                return Candidates(floor, keys[:kept], bits[:kept], counts, top)
            if room >= most:
                self._add(start + at, stop)
                return None
            room = min(max(2 * room, kept * size // max(at, 1) * 9 // 8), most)
            keys, bits = _longer(keys, kept, room), _longer(bits, kept, room)

    def chosen(self, choice: Decision) -> Candidates:
        """The elements of a decision. The last question: what was collected is overwritten."""
        floor = choice.threshold + (choice.ties == 0)
        found = self.candidates(floor, choice.kept, self._there.size)
        assert found is not None
        return found.picked(choice, self._kernels)

    def count_above(self, threshold: int) -> int:
        found = self.candidates(threshold + 1, self.n // 80, self.n // 8)
        if found is None:
            return int(self._kernels.count_above(self._bits, threshold))
        if found.floor == threshold + 1:
            return found.keys.size
        return int(self._kernels.count_above(read_only(found.bits), threshold))

    def largest(self) -> int:
        return int(self._kernels.magnitude_max(self._bits))

    def moments(self, threshold: int) -> Moments:
        if self._numbers is None:
            self._numbers = read_only(widen(self._bits, self.element))
        sums = np.zeros((3, LANES))
        self._add_tail(self._numbers.dtype.type(self.element.number(threshold)), sums)
        count, total, squares = sums[2, :3].tolist()
        return Moments(int(count), total, squares)

    def mean(self) -> float:
        sampled = widen(self._strided(STRIDED), self.element).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            total = float(sampled.cumsum()[-1]) if sampled.size else 0.0
        return total / -(-self.n // STRIDED)

    def _add_tail(self, threshold: Any, sums: NDArray[np.float64]) -> None:
        self._kernels.tail_sums(self._numbers, threshold, sums)

    def _strided(self, stride: int) -> Patterns:
        """The patterns at every so many positions, of which zeros may be missing."""
        return self._bits[::stride]

    def logarithm(self) -> float:
        sampled = widen(self.element.magnitudes(self._strided(STRIDED)), self.element)
        sampled = sampled[sampled > 0].astype(np.float64)
        if not sampled.size:
            sampled = np.ones(1)
        return float(np.log(sampled).mean())

    def above(self, threshold: int) -> tuple[NDArray[np.int64], Patterns]:
        found = self.candidates(threshold + 1, self.n // 80, self.n)
        assert found is not None
        positions = found.positions(self._chunk_log2) - self._start
        magnitudes = self.element.magnitudes(found.bits)
        stays = magnitudes > threshold
        return positions[stays], magnitudes[stays]

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
        stride = max(self._there.size // SAMPLES, 1)
        rank = int(k / stride * 1.2) + 16
        if stride > 1 and rank < self._there.size // stride // 8:
            positions = np.arange(0, self._there.size, stride, dtype=np.int64)
            sampled = np.sort(self._magnitudes(positions))
            floor = int(sampled[sampled.size - rank])
            most = 2 * rank * stride
            found = self.candidates(floor, most * 17 // 32, most) if floor else None
            if found is not None and found.keys.size >= k:
                return self._kth_of(read_only(found.bits), k)
        return self._kth_of(self._bits, k)

    def _kth_of(self, bits: Patterns, k: int) -> tuple[int, int]:
        scratch = np.empty(HISTOGRAM_BINS, np.int64)
        threshold, above = self._kernels.kth_magnitude(bits, k, scratch)
        return int(threshold), int(above)

    def strata(self, samples: int, seed: int) -> NDArray[np.int64]:
        positions = np.empty(samples, np.int64)
        self._kernels.draw_strata(self.n, np.uint64(seed), positions)
        return positions

    def sample(self, positions: NDArray[np.int64]) -> Patterns:
        return self._magnitudes(positions)

    def _magnitudes(self, positions: NDArray[np.int64]) -> Patterns:
        """Of some elements, which need not be there."""
        if self._pending is None:
            return self.element.magnitudes(self._taken(self._there, positions))
        grad, residual, gamma, beta, _ = self._pending
        ours, theirs = (self._taken(array, positions) for array in (grad, residual))
        with np.errstate(over="ignore", invalid="ignore"):
            total = ours * gamma + theirs * beta
        return self.element.magnitudes(total.view(self.element.pattern))

    def _taken(self, array: NDArray[Any], positions: NDArray[np.int64]) -> NDArray[Any]:
        taken = np.empty(positions.size, array.dtype)
        self._kernels.take(read_only(array), positions, taken)
        return taken


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

    def _add_tail(self, threshold: Any, sums: NDArray[np.float64]) -> None:
        self._kernels.tail_sums_of_pairs(self._keys, self._numbers, threshold, sums)

    def _strided(self, stride: int) -> Patterns:
        strided: Patterns = self._bits[self._keys % stride == 0]
        return strided


def _longer(array: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    longer = scratch.empty(room, array.dtype)
    longer[:used] = array[:used]
    return longer


def _joined(parts: list[Candidates], keys: NDArray[np.uint32], bits: Patterns) -> Candidates:
    """All in order, in the memory that they were given if they are still there."""
    counts: NDArray[np.int64] = np.add.reduce([part.counts for part in parts])
    size = sum(part.keys.size for part in parts)
    if size > keys.size or not all(np.may_share_memory(part.keys, keys) for part in parts):
        keys, bits = scratch.empty(size, keys.dtype), scratch.empty(size, bits.dtype)
    end = 0
    for part in parts:
        start, end = end, end + part.keys.size
        keys[start:end], bits[start:end] = part.keys, part.bits
    top = max(part.top for part in parts)
    return Candidates(parts[0].floor, keys[:size], bits[:size], counts, top)
