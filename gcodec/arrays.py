"""From what callers pass to what kernels take: the only file that knows kinds of arrays."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import BackendUnavailableError, Mismatch, UnsupportedDtypeError


class Gradient(NamedTuple):
    """A gradient as kernels read it: flat, float32, read-only; `shape` is the caller's."""

    flat: NDArray[np.float32]
    shape: tuple[int, ...]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written, so that kernels compile for one type of input only."""
    view = array.view()
    view.flags.writeable = False
    return view


def gradient(array: Any) -> Gradient:
    """Narrow a NumPy array, or anything that converts to one without a copy, to a `Gradient`.

    Copies only if the array is not C-contiguous.

    Raises
    ------
    UnsupportedDtypeError
        If the elements are not native float32.
    BackendUnavailableError
        If the array lives on a device.
    """
    if hasattr(array, "__cuda_array_interface__"):
        raise BackendUnavailableError(
            "the array is on a CUDA device, and there are CPU kernels only: copy it to the host"
        )
    host = np.asarray(array)
    if host.dtype != np.float32:
        raise UnsupportedDtypeError(
            f"elements are {host.dtype}, gcodec encodes float32: pass x.astype(numpy.float32)"
        )
    return Gradient(read_only(np.ascontiguousarray(host).reshape(-1)), host.shape)


def pairs(keys: Any, values: Any, n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Check ascending keys in [0, n) and their float32 values.

    Raises
    ------
    Mismatch
        If the lengths differ, a key repeats, descends or is out of range.
    UnsupportedDtypeError
        If the keys are not integers or the values not native float32.
    """
    positions, flat = np.asarray(keys), gradient(values).flat
    if not np.issubdtype(positions.dtype, np.integer):
        raise UnsupportedDtypeError(f"keys are {positions.dtype}, they must be integers")
    if positions.ndim != 1 or positions.size != flat.size:
        raise Mismatch(
            f"{positions.size} keys of {positions.ndim} dimensions for {flat.size} values"
        )
    if positions.size and not 0 <= int(positions.min()) <= int(positions.max()) < n:
        raise Mismatch(f"a key lies outside 0..{n - 1}")
    positions = positions.astype(np.int64, copy=False)
    steps = np.diff(positions)
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0)) + 1
        raise Mismatch(
            f"keys[{at}] = {positions[at]} follows {positions[at - 1]}: sort keys, sum duplicates"
        )
    return positions, flat


def as_bytes(frame: Any) -> NDArray[np.uint8]:
    """A contiguous buffer as read-only uint8 at a multiple of eight; copied only if it is not."""
    view = memoryview(frame)
    if not view.c_contiguous:
        raise Mismatch("the buffer is not contiguous: pass bytes(frame)")
    if not view.nbytes:
        return np.empty(0, np.uint8)
    array = np.frombuffer(view, np.uint8)
    if array.ctypes.data % 8:
        array = array.copy()
    return read_only(array)


def output(out: Any, size: int, shapes: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
    """Check the caller's output array; return it flat.

    Raises
    ------
    Mismatch
        If it is not a writable, C-contiguous float32 array of `size` elements.
    """
    plain = isinstance(out, np.ndarray) and not isinstance(out, np.ma.MaskedArray)
    if not plain or out.dtype != np.float32:
        kind = f"an array of {out.dtype}" if plain else type(out).__name__
        raise Mismatch(f"out is {kind}, the frame holds float32: pass a float32 NumPy array")
    if out.size != size:
        held = f"shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} tensors"
        raise Mismatch(f"out has {out.size} elements, the frame has {size} ({held})")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise Mismatch("out must be C-contiguous and writable")
    flat: NDArray[np.float32] = out.view(np.ndarray).reshape(-1)
    return flat
