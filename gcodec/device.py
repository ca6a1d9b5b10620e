"""Gradients and outputs in a CUDA device's memory: the same frames, and the same sums.

A pass over all elements runs where they are, on the caller's stream; what was kept comes to the
host, where the CPU's code packs it. A frame is proved on the host, and its elements are added where
the output is.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, dense, encoder
from .arrays import DeviceArray, Gradient
from .errors import BackendUnavailableError, Mismatch
from .format.elements import Element
from .format.frame import Frame
from .parallel import alone
from .request import Layout, Recipe, Sender, check_finite, origin


def _launcher(array: DeviceArray) -> Any:
    """What runs kernels where an array is; imported when there is one."""
    from .kernels.cuda import launch

    return launch.Driver(array.stream)


def encode(
    recipe: Recipe,
    grad: Any,
    name: str,
    step: int,
    tensors: Layout | None,
    sender: Sender | None,
) -> Frame:
    """`Codec.encode` of an array on a device; the same bytes.

    Raises
    ------
    BackendUnavailableError
        If there is no device, or if the recipe asks of all elements what no CUDA kernel answers.
    """
    from .kernels.cuda.twins import Resident, Twins

    source = arrays.device_array(grad)
    element = arrays.element_of(source.dtype)
    assert element is not None
    if dense.is_taken(recipe, source.size):
        raise BackendUnavailableError(
            "no CUDA kernel writes every element in one pass: leave values='fixed' out, or copy "
            "the gradient to the host"
        )
    whence = origin(recipe, name, source.shape, step, tensors, sender)
    launcher = _launcher(source)
    handle = launcher.adopt(source._replace(dtype=np.dtype(element.pattern)))
    there = Resident(handle, source.size, element.pattern, source.pointer, launcher)
    gradient = Gradient(there, element, source.shape)  # type: ignore[arg-type]
    check = partial(_check, gradient=gradient, name=name)
    twins: Any = Twins(recipe.kernels)
    with alone():
        return encoder.encode_dense(recipe._replace(kernels=twins), gradient, check, whence).frame


def _check(top: int, gradient: Gradient, name: str) -> None:
    """As `check_finite`, which looks at the elements if one is no number."""
    if top >= gradient.element.infinity:
        bits: Any = gradient.bits
        check_finite(top, gradient._replace(bits=bits.host()), name)


class Output:
    """An array on a device that a frame is decoded into: checked when it is made.

    Raises
    ------
    Mismatch
        If it is not writable, C-contiguous, of `size` elements and of a type that can hold them.
    BackendUnavailableError
        If there is no device.
    """

    def __init__(self, out: Any, element: Element, size: int, *, exact: bool) -> None:
        found = arrays.device_array(out, writable=True)
        wide = np.dtype(np.float32 if element.bits <= 32 else np.float64)
        if found.dtype != wide and not (exact and arrays.element_of(found.dtype) == element):
            raise Mismatch(
                f"out is of {found.dtype}, the frame holds {element.name}: pass an array of {wide}"
            )
        if found.size != size:
            raise Mismatch(f"out has {found.size} elements, the frame has {size}")
        self._array, self.dtype, self._launcher = found, found.dtype, _launcher(found)

    def fill(
        self,
        keys: NDArray[np.uint32],
        counts: NDArray[np.int64],
        chunk_log2: int,
        patterns: NDArray[Any],
    ) -> None:
        """Zeros, but at keys of consecutive chunks, which have patterns of the output's type."""
        kind = np.dtype(f"u{self.dtype.itemsize}")
        handle = self._launcher.adopt(self._array._replace(dtype=kind))
        self._launcher.clear(handle)
        where = self._where(keys, counts, chunk_log2)
        values = self._launcher.put(np.ascontiguousarray(patterns).view(kind))
        if keys.size:
            self._launcher.launch(f"scatter_{kind}", counts.size, *where, values, handle)
        self._launcher.wait()

    def add(
        self,
        keys: NDArray[np.uint32],
        counts: NDArray[np.int64],
        chunk_log2: int,
        values: NDArray[Any],
        scale: float,
    ) -> None:
        """Add numbers of the output's type, times `scale`, at keys of consecutive chunks."""
        if keys.size:
            handle, factor = self._launcher.adopt(self._array), self.dtype.type(scale)
            where = self._where(keys, counts, chunk_log2)
            given = self._launcher.put(np.ascontiguousarray(values))
            name = f"accumulate_{self.dtype}"
            self._launcher.launch(name, counts.size, *where, given, factor, handle)
        self._launcher.wait()

    def _where(
        self, keys: NDArray[np.uint32], counts: NDArray[np.int64], chunk_log2: int
    ) -> tuple[Any, Any, np.uint64]:
        starts = np.append(0, np.cumsum(counts)).astype(np.uint64)
        put = self._launcher.put
        return put(np.ascontiguousarray(keys)), put(starts), np.uint64(chunk_log2)
