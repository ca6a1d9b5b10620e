"""CPU kernels by name and arguments, run on a device where what they are given is there.

What comes out is on the host. Kernels that work on what was kept stay on the CPU, and so does all
that is given arrays of the host.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendUnavailableError
from . import selection
from .launch import Launcher

ALIGNMENT = 16
ROOM = 16
"""One in so many elements has room on the device, however few are expected."""

FLAT = 32
"""The logarithm of a chunk that holds all: keys are then positions."""


class Resident:
    """Bit patterns or numbers on a device, as far as they are asked like a NumPy array."""

    def __init__(
        self, handle: Any, size: int, dtype: Any, address: int, launcher: Launcher
    ) -> None:
        self.handle, self.size, self.dtype = handle, size, np.dtype(dtype)
        self.address, self.launcher = address, launcher
        self.itemsize = self.dtype.itemsize

    def __getitem__(self, key: Any) -> Any:
        """A part of it that is there too, or elements at positions or at strides, on the host."""
        if isinstance(key, slice):
            start, stop, step = key.indices(self.size)
            if step == 1:
                address = self.address + start * self.itemsize
                size = max(stop - start, 0)
                part = self.handle[start : start + size]
                return Resident(part, size, self.dtype, address, self.launcher)
            key = np.arange(start, stop, step, dtype=np.int64)
        positions = np.ascontiguousarray(key, np.int64)
        out = np.empty(positions.size, self.dtype)
        take(self, positions, out)
        return out

    def view(self, dtype: Any = None) -> "Resident":
        """The same memory as elements of as many bits."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        assert dtype.itemsize == self.itemsize
        handle = self.handle.view(dtype)
        return Resident(handle, self.size, dtype, self.address, self.launcher)

    def setflags(self, *, write: bool) -> None:
        """Kernels know what they may write."""

    def astype(self, *_: Any, **__: Any) -> Any:
        raise BackendUnavailableError(
            f"what this recipe asks of all elements has no CUDA kernel for {self.dtype}: copy the "
            "gradient to the host, or to float32"
        )

    def host(self) -> NDArray[Any]:
        """A copy."""
        out = np.empty(self.size, self.dtype)
        self.launcher.get(self.handle, out)
        return out

    @property
    def vectors(self) -> np.uint32:
        """Whether 16 bytes at a time can be read."""
        return np.uint32(self.address % ALIGNMENT == 0)

    def tiles(self) -> int:
        return max(-(-self.size // selection.tile_of(self.itemsize)), 1)


class _Found(NamedTuple):
    """What a pass collected.

    what : which elements of at least which magnitude, by which chunks
    keys, values : there; starts : where those of each chunk begin; top : the largest magnitude
    done : how many have been copied
    """

    what: tuple[int, ...]
    keys: Any
    values: Any
    starts: NDArray[np.int64]
    top: int
    done: int


def take(array: Resident, positions: NDArray[np.int64], out: NDArray[Any]) -> None:
    """`out = array[positions]`."""
    if not out.size:
        return
    there, launcher = array.launcher.empty(out.size, out.dtype), array.launcher
    grid = -(-out.size // selection.THREADS)
    launcher.launch(f"take_{array.dtype}", grid, array.handle, launcher.put(positions), there)
    launcher.get(there, out)


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

    def collect(
        self,
        bits: Any,
        offset: int,
        floor: int,
        chunk_log2: int,
        at: int,
        kept: int,
        keys: NDArray[np.uint32],
        values: NDArray[Any],
        counts: NDArray[np.int64],
    ) -> tuple[int, int, int]:
        """Append elements whose magnitude pattern is at least `floor`, from number `at` on.

        As on the CPU, but that the pass looks at all elements: a call that goes on with another
        `at`, or asks the same again, copies what is there of the pass before.
        """
        where = offset, floor, chunk_log2, at, kept, keys, values, counts
        if not isinstance(bits, Resident):
            at, kept, top = self._cpu.collect(bits, *where)
            return int(at), int(kept), int(top)
        log2 = FLAT if offset & ((1 << chunk_log2) - 1) else chunk_log2
        found, what = self._found, (bits.address, bits.size, int(floor), log2)
        if found is None or found.what != what:
            assert at == 0
            found = _collect(bits, what, max(keys.size - kept, bits.size // ROOM))
        if at == 0:
            found = found._replace(done=0)
        done, size = found.done, min(keys.size - kept, int(found.starts[-1]) - found.done)
        own, part = slice(kept, kept + size), slice(done, done + size)
        bits.launcher.get(found.keys[part], keys[own])
        bits.launcher.get(found.values[part], values[own])
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


def _collect(bits: Resident, what: tuple[int, ...], room: int) -> _Found:
    """All elements of at least a magnitude; in a second pass if there are more than `room`."""
    *_, floor, log2 = what
    kind, launcher, tiles = bits.dtype.type, bits.launcher, bits.tiles()
    starts = np.empty(-(-bits.size >> log2) + 1, np.uint64)
    most = np.empty(1, selection.top_of(kind))
    while True:
        keys, values = launcher.empty(room, np.uint32), launcher.empty(room, kind)
        begins, top = launcher.empty(starts.size, np.uint64), launcher.zeros(1, most.dtype)
        progress = launcher.zeros(tiles + 1, np.uint64)
        given = bits.handle, kind(floor), bits.vectors, np.uint64(log2), progress
        launcher.launch(f"collect_{bits.dtype}", tiles, *given, keys, values, begins, top)
        launcher.get(begins, starts)
        total = int(starts[-1])
        if total <= room:
            break
        room = total
    launcher.get(top, most)
    return _Found(what, keys, values, starts.astype(np.int64), int(most[0]) if total else 0, 0)


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
