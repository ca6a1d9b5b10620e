"""Gradients and outputs in a CUDA device's memory: the same frames, and the same sums.

A pass over all elements runs where they are, on the caller's stream. What was kept is packed there
too if it was chosen by magnitude, and goes as it is or in levels of a logarithm
(`gcodec.deviceframes`); else it comes to the host, where the CPU's code packs it. A frame is proved
on the host, and its elements are added where the output is.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import arrays, dense, deviceframes, encoder, sketch
from .arrays import DeviceArray, Gradient, Shown
from .deviceframes import DeviceFrame
from .encoder import Encoded
from .errors import BackendUnavailableError, Mismatch
from .format.directory import choose_chunk_log2
from .format.elements import Element
from .format.frame import Frame
from .format.sketch import Sketch
from .gathering import stream_of
from .parallel import alone
from .request import Layout, Origin, Recipe, Sender, check_finite, origin
from .select.contract import Decision
from .statistics import DenseStatistics, Sum


def _launcher(array: DeviceArray) -> Any:
    """What runs kernels where an array is; imported when there is one."""
    from .kernels.cuda import launch

    return launch.Driver(array.stream)


def gradient(array: Any) -> Gradient:
    """An array on a device as kernels read it, where it is.

    Raises
    ------
    BackendUnavailableError
        If there is no device.
    Mismatch, UnsupportedDtypeError
        As for `arrays.device_array`.
    """
    from .kernels.cuda.resident import Resident

    source = arrays.device_array(array)
    element = arrays.element_of(source.dtype)
    assert element is not None
    launcher = _launcher(source)
    handle = launcher.adopt(source._replace(dtype=np.dtype(element.pattern)))
    bits: Any = Resident(handle, source.size, element.pattern, source.pointer, launcher)
    return Gradient(bits, element, source.shape)


def at_device(recipe: Recipe) -> Recipe:
    """A recipe whose kernels run where what they are given is.

    Raises
    ------
    BackendUnavailableError
        If the recipe asks of all elements what no CUDA kernel answers.
    """
    from .kernels.cuda.twins import Twins

    if dense.is_taken(recipe, 1):
        raise BackendUnavailableError(
            "no CUDA kernel writes every element in one pass: leave values='fixed' out, or copy "
            "the gradient to the host"
        )
    twins: Any = Twins(recipe.kernels)
    return recipe._replace(kernels=twins)


def encode(
    recipe: Recipe,
    grad: Any,
    name: str,
    step: int,
    tensors: Layout | None,
    sender: Sender | None,
    *,
    stays: bool = False,
) -> Any:
    """`Codec.encode` of an array on a device: the same bytes, as a `DeviceFrame` if it `stays`.

    Raises
    ------
    BackendUnavailableError
        If there is no device, or if the recipe asks of all elements what no CUDA kernel answers.
    """
    given, recipe = gradient(grad), at_device(recipe)
    bits: Any = given.bits
    whence = origin(recipe, name, given.shape, step, tensors, sender)
    check = partial(check_finite, gradient=given, name=name)

    def parts() -> Frame:
        with alone():
            return encoder.encode_dense(recipe, given, check, whence).frame

    choice, _ = _decision(recipe, given, whence, None, None)
    if choice is not None:
        made, _ = deviceframes.make(recipe, given, choice, whence, parts)
        return made if stays else made.get()
    frame = parts()
    return DeviceFrame.of(bits.launcher, frame) if stays else frame


class Sent(NamedTuple):
    """Elements that went, as far as they are asked like `Kept`: all on a device.

    keys : position within the chunk; counts : where those of each chunk begin
    """

    keys: Any
    counts: Any
    chunk_log2: int


def encode_sum(
    recipe: Recipe,
    total: Gradient,
    check: Callable[[int], None],
    whence: Origin,
    *,
    residual: Any,
    pending: Sum | None,
    states: Sequence[Any] | None,
) -> Encoded:
    """`encoder.encode_dense` of a sum on a device, with a residual."""
    from .kernels.cuda.resident import Resident

    of_parts: list[Encoded] = []

    def parts(pending: Sum | None = None) -> Frame:
        what = recipe, total, check, whence
        with alone():
            encoded = encoder.encode_dense(*what, residual=residual, pending=pending, states=states)
        of_parts.append(encoded)
        return encoded.frame

    state = states[0] if states and len(states) == 1 else None
    choice, still = _decision(recipe, total, whence, state, pending)
    if choice is None:
        parts(still)
        return of_parts[0]
    made, found = deviceframes.make(recipe, total, choice, whence, parts, still, residual)
    frame = made.get()
    if of_parts:
        return of_parts[0]
    bits: Any = total.bits
    n, launcher = bits.size, bits.launcher
    keys, starts = (
        Resident(handle, handle.size, dtype, launcher.address(handle), launcher)
        for handle, dtype in ((found.keys[: made.stored], np.uint32), (found.starts, np.uint64))
    )
    sent: Any = Sent(keys, starts, choose_chunk_log2(n, recipe.select.density(n)))
    return Encoded(frame, sent, [choice])


def _decision(
    recipe: Recipe, given: Gradient, whence: Origin, state: Any, pending: Sum | None
) -> tuple[Decision | None, Sum | None]:
    """What to keep, if a frame of that can be made on the device, and what is still to be added."""
    n = given.bits.size
    if not deviceframes.is_taken(recipe, whence, n):
        return None, pending
    choice = deviceframes.known(recipe, given.element)
    if choice is not None:
        return choice, pending
    chunk_log2 = choose_chunk_log2(n, recipe.select.density(n))
    what = given.bits, given.element, stream_of(whence), recipe.kernels, 0, chunk_log2, pending
    statistics = DenseStatistics(*what)
    with alone():
        decided = recipe.select.decide(statistics, state)
        statistics.finish()
    return decided if isinstance(decided, Decision) else None, None


def add_to_sketch(
    values: Any, start: int, parameters: Sketch, cells: NDArray[Any], kernels: ModuleType
) -> None:
    """`sketch.add` of numbers on a device; cells are on the host."""
    from .kernels.cuda.twins import Twins

    twins: Any = Twins(kernels)
    with alone():
        sketch.add(values, start, parameters, cells, twins)


class Buffer(Shown):
    """A tensor's residual on a device, as far as it is asked like a NumPy array."""

    def __init__(self, flat: Any, shape: tuple[int, ...]) -> None:
        self._flat, self.shape, self.dtype = flat, shape, flat.dtype
        self._read_only = False

    def reshape(self, _: int) -> Any:
        """All elements in a row."""
        return self._flat

    def view(self) -> "Buffer":
        return Buffer(self._flat, self.shape)

    def setflags(self, *, write: bool) -> None:
        self._read_only = not write

    def copy(self) -> NDArray[Any]:
        """A copy on the host."""
        host: NDArray[Any] = self._flat.host().reshape(self.shape)
        return host

    def there(self) -> DeviceArray:
        self._flat.launcher.wait()
        return DeviceArray(self._flat.address, self.shape, self.dtype, self._read_only, None, self)


def buffer(gradient: Gradient, dtype: np.dtype[Any], old: Any = None) -> Buffer:
    """One beside a gradient on a device and on its stream: zeros, or what `old` holds."""
    from .kernels.cuda.resident import Resident

    bits: Any = gradient.bits
    launcher = bits.launcher
    if old is None:
        handle = launcher.zeros(bits.size, dtype)
    elif isinstance(old, Buffer):
        flat = old.reshape(-1)
        handle = flat.handle
        if flat.launcher.stream != launcher.stream:
            flat.launcher.wait()
    else:
        handle = launcher.put(np.ascontiguousarray(old).reshape(-1))
    address = launcher.address(handle)
    return Buffer(Resident(handle, bits.size, dtype, address, launcher), gradient.shape)


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

    def estimate(
        self, parameters: Sketch, cells: NDArray[Any], agree: bool, kernels: ModuleType
    ) -> None:
        """Estimates of all elements, from the cells of a sketch on the host."""
        from .kernels.cuda.resident import Resident
        from .kernels.cuda.twins import Twins

        found, twins = self._array, Twins(kernels)
        handle = self._launcher.adopt(found)
        out: Any = Resident(handle, found.size, self.dtype, found.pointer, self._launcher)
        where: Any = out, twins
        with alone():
            sketch.estimate(parameters, cells, agree, *where)

    def _where(
        self, keys: NDArray[np.uint32], counts: NDArray[np.int64], chunk_log2: int
    ) -> tuple[Any, Any, np.uint64]:
        starts = np.append(0, np.cumsum(counts)).astype(np.uint64)
        put = self._launcher.put
        return put(np.ascontiguousarray(keys)), put(starts), np.uint64(chunk_log2)
