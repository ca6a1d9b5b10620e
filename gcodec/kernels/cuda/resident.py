"""Arrays in a device's memory, asked by the CPU's code as NumPy arrays are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendUnavailableError
from . import elementwise, selection
from .launch import Launcher

ALIGNMENT = 16

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

    def __setitem__(self, positions: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Of elements at positions, each at most once."""
        assert self.size <= 1 << FLAT
        if positions.size:
            kind, launcher = np.dtype(f"u{self.itemsize}"), self.launcher
            numbers = np.asarray(values, self.dtype).view(kind)
            where = np.asarray(positions, np.uint32), np.array([0, positions.size], np.uint64)
            keys, starts, given = (launcher.put(array) for array in (*where, numbers))
            to = self.view(kind).handle
            launcher.launch(f"scatter_{kind}", 1, keys, starts, np.uint64(FLAT), given, to)
            launcher.wait()

    def view(self, dtype: Any = None) -> "Resident":
        """The same memory as elements of as many bits."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        assert dtype.itemsize == self.itemsize
        handle = self.handle.view(dtype)
        return Resident(handle, self.size, dtype, self.address, self.launcher)

    def setflags(self, *, write: bool) -> None:
        """Kernels know what they may write."""

    def astype(self, dtype: Any, **_: Any) -> "Resident":
        """Itself: there is no kernel for another type."""
        if self.dtype == dtype:
            return self
        raise BackendUnavailableError(
            f"what this recipe asks of all elements has no CUDA kernel for {self.dtype}: copy the "
            "gradient to the host, or to float32"
        )

    def widened(self, element: Any) -> "Resident":
        """The numbers of these patterns, as float32 or float64."""
        if element.bits >= 32:
            return self.view(f"f{self.itemsize}")
        launcher, grid = self.launcher, -(-self.size // elementwise.THREADS)
        there = launcher.empty(self.size, np.uint32)
        if grid:
            launcher.launch(f"widen_{element.name}", grid, self.handle, there)
        return Resident(there, self.size, np.uint32, launcher.address(there), launcher).view("f4")

    def fill(self, value: float) -> None:
        """With zeros."""
        assert value == 0
        self.launcher.clear(self.handle)

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


def take(array: Resident, positions: NDArray[np.int64], out: NDArray[Any]) -> None:
    """`out = array[positions]`."""
    if not out.size:
        return
    kind, launcher = f"uint{8 * array.itemsize}", array.launcher
    there, grid = launcher.empty(out.size, kind), -(-out.size // elementwise.THREADS)
    where = launcher.put(np.ascontiguousarray(positions))
    launcher.launch(f"take_{kind}", grid, array.view(kind).handle, where, there)
    launcher.get(there, out.view(kind))
