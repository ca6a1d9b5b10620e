"""CPU kernels by name and arguments, run on a device where what they are given is there.

What comes out is on the host. Kernels that work on what was kept stay on the CPU, and so does all
that is given arrays of the host.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendUnavailableError
from . import elementwise, selection, sketch
from .resident import FLAT, Resident, take

ROOM = 16
"""One in so many elements has room on the device, however few are expected."""


class Collected(NamedTuple):
    """What a pass collects, all of it there.

    keys, values : room for them; starts : where those of each chunk begin, and their number
    top : the largest magnitude pattern of all elements
    """

    keys: Any
    values: Any
    starts: Any
    top: Any


class _Found(NamedTuple):
    """What a pass collected.

    what : which elements of at least which magnitude, by which chunks
    starts, top : on the host; done : how many have been copied
    """

    what: tuple[int, ...]
    there: Collected
    starts: NDArray[np.int64]
    top: int
    done: int


class Twins:
    """Kernels of one call, over those of the CPU: what a pass found is there until the next."""

    def __init__(self, cpu: ModuleType) -> None:
        self._cpu = cpu
        self._found: _Found | None = None

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._cpu, name)

        def on_host(*arguments: Any) -> Any:
            if any(isinstance(argument, Resident) for argument in arguments):
                raise BackendUnavailableError(
                    f"what this recipe asks of all elements ({name}) has no CUDA kernel: copy the "
                    "gradient to the host"
                )
            return kernel(*arguments)

        return on_host

    def magnitude_max(self, bits: Any) -> int:
        """Largest magnitude pattern, 0 if empty."""
        if not isinstance(bits, Resident):
            return int(self._cpu.magnitude_max(bits))
        return _count(bits, 0)[1]

    def count_above(self, bits: Any, threshold: int) -> int:
        """Elements whose magnitude pattern is above `threshold`."""
        if not isinstance(bits, Resident):
            return int(self._cpu.count_above(bits, threshold))
        return _count(bits, threshold)[0]

    def take(self, array: Any, positions: NDArray[np.int64], out: NDArray[Any]) -> None:
        """`out = array[positions]`."""
        (take if isinstance(array, Resident) else self._cpu.take)(array, positions, out)

    def kth_magnitude(self, bits: Any, k: int, histogram: NDArray[np.int64]) -> tuple[int, int]:
        """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it.

        A pass over all elements for each digit.
        """
        if not isinstance(bits, Resident):
            low, above = self._cpu.kth_magnitude(bits, k, histogram)
            return int(low), int(above)
        kind, name, launcher = bits.dtype.type, f"histogram_{bits.dtype}", bits.launcher
        low, high, above = 0, int(np.iinfo(kind).max >> 1), 0
        counts = np.empty(selection.BINS, np.uint64)
        while low < high:
            shift = max((high - low).bit_length() - (selection.BINS - 1).bit_length(), 0)
            bins = launcher.zeros(counts.size, np.uint64)
            what = bits.handle, kind(low), kind(high), np.uint32(shift), bits.vectors, bins
            launcher.launch(name, min(bits.tiles(), selection.MOST_BLOCKS), *what)
            launcher.get(bins, counts)
            digit = (high - low) >> shift
            while above + int(counts[digit]) < k:
                above += int(counts[digit])
                digit -= 1
            low += digit << shift
            high = min(low + (1 << shift) - 1, high)
        return low, above

    def tail_sums(self, numbers: Any, threshold: Any, sums: NDArray[np.float64]) -> None:
        """Count, sum and sum of squares of |x| above a threshold, into `sums[2, :3]`."""
        if not isinstance(numbers, Resident):
            self._cpu.tail_sums(numbers, threshold, sums)
            return
        tiles, launcher = -(-numbers.size // selection.SUMMED), numbers.launcher
        parts = np.empty((tiles, 2, selection.SUMS))
        there, count = launcher.put(parts), launcher.zeros(1, np.uint64)
        grid = max(-(-tiles // (selection.THREADS // selection.SUMS)), 1)
        launcher.launch(f"tail_sums_{numbers.dtype}", grid, numbers.handle, threshold, there, count)
        found = np.empty(1, np.uint64)
        launcher.get(there, parts)
        launcher.get(count, found)
        sums[2, 0] += found[0]
        for which in range(2):  # in order, as the others add up
            in_order = np.append(sums[2, 1 + which], parts[:, which].reshape(-1)).cumsum()
            sums[2, 1 + which] = in_order[-1]

    def compensate(self, grad: Any, residual: Any, gamma: Any, beta: Any, out: Any) -> None:
        """`out = gamma * grad + beta * residual`."""
        if not isinstance(out, Resident):
            self._cpu.compensate(grad, residual, gamma, beta, out)
            return
        bits = out.view(f"u{out.itemsize}")
        none = int(np.iinfo(bits.dtype).max)  # of which there is no magnitude
        launch_collect(bits, none, FLAT, 0, (grad, residual, gamma, beta))

    def correct(
        self, grad: Any, velocity: Any, residual: Any, momentum: Any, nesterov: bool,
        new_velocity: Any, out: Any,
    ) -> None:  # fmt: skip
        """DGC's momentum correction."""
        given = grad, velocity, residual
        if not isinstance(out, Resident):
            self._cpu.correct(*given, momentum, nesterov, new_velocity, out)
        elif out.size:
            handles = (array.handle for array in given)
            rest = momentum, np.uint32(nesterov), new_velocity.handle, out.handle
            grid = -(-out.size // elementwise.THREADS)
            out.launcher.launch(f"correct_{out.dtype}", grid, *handles, *rest)

    def scatter(
        self, keys: Any, counts: Any, chunk_log2: int, values: NDArray[Any], out: Any
    ) -> None:
        """`out[position] = value`; keys may be there, with where those of each chunk begin."""
        if not isinstance(out, Resident):
            self._cpu.scatter(keys, counts, chunk_log2, values, out)
        elif keys.size:
            launcher, kind = out.launcher, np.dtype(f"u{out.itemsize}")
            if isinstance(keys, Resident):
                where = keys.handle, counts.handle
            else:
                starts = np.append(0, np.cumsum(counts)).astype(np.uint64)
                where = launcher.put(np.ascontiguousarray(keys)), launcher.put(starts)
            given = *where, np.uint64(chunk_log2), launcher.put(values.view(kind))
            to = out.view(kind).handle
            launcher.launch(f"scatter_{kind}", where[1].size - 1, *given, to)
            launcher.wait()

    def collect(self, bits: Any, *where: Any) -> tuple[int, int, int]:
        """Append elements whose magnitude pattern is at least `floor`, from number `at` on.

        As on the CPU, but that the pass looks at all elements: a call that goes on with another
        `at`, or asks the same again, copies what is there of the pass before.
        """
        if not isinstance(bits, Resident):
            at, kept, top = self._cpu.collect(bits, *where)
            return int(at), int(kept), int(top)
        return self._collect(None, bits, *where)

    def collect_sum(
        self, grad: Any, residual: Any, gamma: Any, beta: Any, out: Any, bits: Any, *where: Any
    ) -> tuple[int, int, int]:
        """As `collect`, of a sum that is worked out on the way: `bits` are those of `out`."""
        sums = grad, residual, gamma, beta
        if not isinstance(bits, Resident):
            at, kept, top = self._cpu.collect_sum(*sums, out, bits, *where)
            return int(at), int(kept), int(top)
        return self._collect(sums, bits, *where)

    def _collect(
        self,
        sums: Any,
        bits: Resident,
        offset: int,
        floor: int,
        chunk_log2: int,
        at: int,
        kept: int,
        keys: NDArray[np.uint32],
        values: NDArray[Any],
        counts: NDArray[np.int64],
    ) -> tuple[int, int, int]:
        log2 = FLAT if offset & ((1 << chunk_log2) - 1) else chunk_log2
        found, what = self._found, (bits.address, bits.size, int(floor), log2)
        if found is None or found.what != what:
            assert at == 0
            found = _collect(bits, what, max(keys.size - kept, bits.size // ROOM), sums)
        if at == 0:
            found = found._replace(done=0)
        done, size = found.done, min(keys.size - kept, int(found.starts[-1]) - found.done)
        own, part = slice(kept, kept + size), slice(done, done + size)
        bits.launcher.get(found.there.keys[part], keys[own])
        bits.launcher.get(found.there.values[part], values[own])
        self._found = found._replace(done=done + size)
        chunks = np.arange(found.starts.size - 1, dtype=np.int64) << log2
        in_each = np.diff(np.clip(found.starts, done, done + size))
        positions = np.repeat(chunks, in_each) + keys[own] + offset
        keys[own] = positions & ((1 << chunk_log2) - 1)
        counts += np.bincount(positions >> chunk_log2, minlength=counts.size)
        if done + size == found.starts[-1]:
            at = bits.size
        elif size:
            at = int(positions[-1]) - offset + 1
        return at, kept + size, found.top

    def found(self, bits: Resident, floor: int, chunk_log2: int) -> Collected | None:
        """What the last pass collected, if it was asked just that."""
        found = self._found
        same = found is not None and found.what == (bits.address, bits.size, floor, chunk_log2)
        return found.there if found is not None and same else None

    def insert(
        self, values: Any, start: int, tables: Any, columns_log2: int, begin: int, end: int,
        cells: NDArray[Any],
    ) -> None:  # fmt: skip
        """Add values of the positions from `start` on to rows of a sketch, on the host."""
        if not isinstance(values, Resident):
            self._cpu.insert(values, start, tables, columns_log2, begin, end, cells)
            return
        assert (begin, end) == (0, cells.shape[0])
        launcher, there = values.launcher, values.launcher.put(cells)
        slices = -(-cells.shape[1] // sketch.slice_of(cells.itemsize))
        where = np.uint64(start), launcher.put(tables), np.uint64(columns_log2)
        launcher.launch(f"insert_{cells.dtype}", end * slices, values.handle, *where, there)
        launcher.get(there, cells)

    def estimate(
        self, start: int, tables: Any, columns_log2: int, cells: NDArray[Any], agree: bool, out: Any
    ) -> None:
        """Estimates of the positions from `start` on, from cells on the host."""
        if not isinstance(out, Resident):
            self._cpu.estimate(start, tables, columns_log2, cells, agree, out)
        elif out.size:
            launcher = out.launcher
            where = np.uint64(start), launcher.put(tables), np.uint64(columns_log2)
            given = *where, launcher.put(cells), np.uint32(agree), out.handle
            launcher.launch(f"estimate_{cells.dtype}", -(-out.size // sketch.THREADS), *given)
            launcher.wait()

    def settle(
        self, residual: Any, keys: Any, counts: NDArray[np.int64], chunk_log2: int, decoded: Any
    ) -> None:
        """`residual[position] -= decoded`."""
        if not isinstance(residual, Resident):
            self._cpu.settle(residual, keys, counts, chunk_log2, decoded)
        elif keys.size:
            launcher, minus = residual.launcher, residual.dtype.type(-1)
            starts = np.append(0, np.cumsum(counts)).astype(np.uint64)
            where = launcher.put(np.ascontiguousarray(keys)), launcher.put(starts)
            given = *where, np.uint64(chunk_log2), launcher.put(np.ascontiguousarray(decoded))
            name = f"accumulate_{residual.dtype}"
            launcher.launch(name, counts.size, *given, minus, residual.handle)
            launcher.wait()

    def settle_levels(
        self, residual: Any, keys: Any, counts: Any, chunk_log2: int, joint: Any, table: Any
    ) -> None:
        """`settle` of what each number decodes to."""
        if isinstance(residual, Resident):
            self.settle(residual, keys, counts, chunk_log2, table[joint])
        else:
            self._cpu.settle_levels(residual, keys, counts, chunk_log2, joint, table)


def launch_collect(
    bits: Resident, floor: int, chunk_log2: int, room: int, sums: Any = None
) -> Collected:
    """All elements of at least a magnitude pattern, as far as there is room.

    `sums` are a gradient, a residual and their factors: their sum is then what `bits` become.
    """
    kind, launcher, tiles = bits.dtype.type, bits.launcher, bits.tiles()
    keys, values = launcher.empty(room, np.uint32), launcher.empty(room, kind)
    starts = launcher.empty(-(-bits.size >> chunk_log2) + 1, np.uint64)
    top = launcher.zeros(1, selection.top_of(kind))
    progress = launcher.zeros(tiles + 1, np.uint64)
    rest = np.uint64(chunk_log2), progress, keys, values, starts, top
    if sums is None:
        name, given, vectors = "collect", (bits.handle,), bits.vectors
    else:
        grad, residual, gamma, beta = sums
        ours, theirs = (array.view(bits.dtype) for array in (grad, residual))
        name, given = "collect_sum", (ours.handle, theirs.handle, gamma, beta, bits.handle)
        vectors = ours.vectors & theirs.vectors & bits.vectors
    launcher.launch(f"{name}_{bits.dtype}", tiles, *given, kind(floor), vectors, *rest)
    return Collected(keys, values, starts, top)


def _collect(bits: Resident, what: tuple[int, ...], room: int, sums: Any) -> _Found:
    """All elements of at least a magnitude; in a second pass if there are more than `room`."""
    *_, floor, log2 = what
    there = launch_collect(bits, floor, log2, room, sums)
    starts = np.empty(there.starts.size, np.uint64)
    most = np.empty(1, selection.top_of(bits.dtype.type))
    bits.launcher.get(there.starts, starts)
    if int(starts[-1]) > room:
        there = launch_collect(bits, floor, log2, int(starts[-1]))
    bits.launcher.get(there.top, most)
    return _Found(what, there, starts.astype(np.int64), int(most[0]) if starts[-1] else 0, 0)


def _count(bits: Resident, threshold: int) -> tuple[int, int]:
    """How many are above, and the largest."""
    kind, launcher = bits.dtype.type, bits.launcher
    count, top = launcher.zeros(1, np.uint64), launcher.zeros(1, selection.top_of(kind))
    what = bits.handle, kind(threshold), bits.vectors, count, top
    launcher.launch(f"count_above_{bits.dtype}", bits.tiles(), *what)
    found, most = np.empty(1, np.uint64), np.empty(1, selection.top_of(kind))
    launcher.get(count, found)
    launcher.get(top, most)
    return int(found[0]), int(most[0])
