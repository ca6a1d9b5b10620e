"""From what callers pass to what kernels take: the only file that knows kinds of arrays."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import BackendUnavailableError, Mismatch, UnsupportedDtypeError
from .format.elements import ELEMENTS, FLOAT32, Element, Patterns
from .format.ids import ElementType

CACHE_LINE: Final = 64
Numbers = NDArray[Any]
"""float16, float32, float64, or uint16 for the bit patterns of bfloat16, which NumPy has not."""

NUMBERS: Final[dict[ElementType, np.dtype[Any]]] = {
    ElementType.FLOAT16: np.dtype(np.float16),
    ElementType.BFLOAT16: np.dtype(np.uint16),
    ElementType.FLOAT32: np.dtype(np.float32),
    ElementType.FLOAT64: np.dtype(np.float64),
}


DLPACK_CUDA: Final = 2
BFLOAT16_CODE: Final = 4
"""DLPack's numbers for a device and for a kind of element."""

DEFAULT_STREAM: Final = 1
"""What stands for the legacy default stream, in DLPack and in the CUDA array interface."""


class DeviceArray(NamedTuple):
    """A C-contiguous array in a CUDA device's memory.

    owner : what keeps the memory; stream : a handle that work on it has to follow, or None
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read_only: bool
    stream: int | None
    owner: Any

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """For Numba; who launches a kernel has seen to the order already."""
        return {
            "shape": (self.size,),
            "typestr": self.dtype.str,
            "data": (self.pointer, self.read_only),
            "strides": None,
            "version": 3,
        }


class Shown(ABC):
    """Memory of ours on a device that others may read, by the CUDA array interface."""

    @abstractmethod
    def there(self) -> DeviceArray:
        """Where it is, with no work on it left to be done."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        found = self.there()
        return {**found.__cuda_array_interface__, "shape": found.shape}


class Gradient(NamedTuple):
    """A gradient as kernels read it: flat bit patterns, read-only; `shape` is the caller's."""

    bits: Patterns
    element: Element
    shape: tuple[int, ...]

    def numbers(self) -> Numbers:
        """Its elements as float32, or as float64 if they are."""
        return widen(self.bits, self.element)

    def widened(self) -> "Gradient":
        """The same numbers as float32, or as float64 if they are."""
        if self.element.bits >= FLOAT32.bits:
            return self
        return Gradient(read_only(self.numbers().view(FLOAT32.pattern)), FLOAT32, self.shape)


def on_host(gradient: Gradient) -> Gradient:
    """A gradient that may be on a device, or a copy of it."""
    bits: Any = gradient.bits
    return gradient if isinstance(bits, np.ndarray) else gradient._replace(bits=bits.host())


def widen(patterns: Patterns, element: Element) -> Numbers:
    """Patterns as float32, exactly, or as float64 if they are; a view where possible."""
    given: Any = patterns
    if not isinstance(given, np.ndarray):  # on a device
        there: Numbers = given.widened(element)
        return there
    if element.type is ElementType.BFLOAT16:
        return (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)
    numbers = patterns.view(NUMBERS[element.type])
    return numbers.astype(np.float32) if numbers.itemsize < 4 else numbers


def narrow(numbers: Numbers, element: Element, *, saturate: bool = False) -> Patterns:
    """Patterns of an element type nearest to float32 or float64 numbers, ties to even.

    Past the largest number there is infinity, or that number if `saturate` is set.
    """
    with np.errstate(over="ignore"):
        if element.type is ElementType.BFLOAT16:
            wide = _rounded_to_odd(numbers).view(np.uint32)
            odd = (wide >> np.uint32(16)) & np.uint32(1)
            patterns = ((wide + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
        else:
            patterns = numbers.astype(NUMBERS[element.type], copy=False).view(element.pattern)
    if saturate:
        magnitudes = element.magnitudes(patterns)
        largest = np.minimum(magnitudes, element.pattern.type(element.infinity - 1))
        patterns = (patterns ^ magnitudes) | largest
    return patterns


def _rounded_to_odd(numbers: Numbers) -> NDArray[np.float32]:
    """As float32; what is in between becomes the neighbour with an odd pattern.

    Rounding that once more, to far fewer bits, is then as rounding the number itself.
    """
    single: NDArray[np.float32] = numbers.astype(np.float32, copy=False)
    if numbers.dtype == np.float32:
        return single
    back = single.astype(np.float64)
    patterns = single.view(np.uint32) - (np.abs(back) > np.abs(numbers)).astype(np.uint32)
    odd: NDArray[np.float32] = (patterns | (back != numbers)).view(np.float32)
    return odd


@lru_cache
def element_of(dtype: np.dtype[Any]) -> Element | None:
    """The element type of a NumPy dtype, or of one that other packages add; None if none."""
    if dtype.name == "bfloat16" and dtype.itemsize == 2 and dtype.isnative:
        return ELEMENTS[ElementType.BFLOAT16]
    found = [kind for kind, number in NUMBERS.items() if dtype == number]
    return ELEMENTS[found[0]] if found else None


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written, so that kernels compile for one type of input only."""
    view = array.view()
    view.setflags(write=False)
    return view


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array that starts with a cache line; what it holds is arbitrary."""
    size = prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    array: NDArray[Any] = raw[start : start + size].view(dtype).reshape(shape)
    return array


def gradient(array: Any) -> Gradient:
    """Narrow a NumPy array, or anything that converts to one without a copy, to a `Gradient`.

    Copies only if the array is not C-contiguous.

    Raises
    ------
    UnsupportedDtypeError
        If the elements are not native float16, bfloat16 (also as uint16), float32 or float64.
    BackendUnavailableError
        If the array lives on a device.
    """
    if on_device(array):
        raise BackendUnavailableError(
            "the array is on a CUDA device, which this call does not take yet: copy it to the host"
        )
    host = np.asarray(array)
    element = element_of(host.dtype)
    if element is None:
        raise UnsupportedDtypeError(
            f"elements are {host.dtype}, gcodec encodes native float16, bfloat16 (or its bits as "
            "uint16), float32 and float64: pass x.astype(numpy.float32)"
        )
    flat = np.ascontiguousarray(host).reshape(-1).view(element.pattern)
    return Gradient(read_only(flat), element, host.shape)


def on_device(array: Any) -> bool:
    """Whether an array is in a CUDA device's memory."""
    if isinstance(array, np.ndarray):
        return False
    if hasattr(array, "__cuda_array_interface__"):
        return True
    place = getattr(array, "__dlpack_device__", None)
    return place is not None and place()[0] == DLPACK_CUDA


def device_array(array: Any, *, writable: bool = False) -> DeviceArray:
    """What an array says of itself by the CUDA array interface (2 or 3), or else by DLPack.

    Raises
    ------
    Mismatch
        If it is not C-contiguous, or masked, or read-only and `writable` is asked for, or if what
        it says makes no sense.
    UnsupportedDtypeError
        If its elements are not native numbers of a type that `gradient` takes.
    """
    if hasattr(array, "__cuda_array_interface__"):
        found = _from_interface(array)
    else:
        found = _from_dlpack(array)
    if element_of(found.dtype) is None:
        raise UnsupportedDtypeError(
            f"elements are {found.dtype}, gcodec takes native float16, bfloat16 (or its bits as "
            "uint16), float32 and float64: cast to float32"
        )
    if writable and found.read_only:
        raise Mismatch("the array on the device is read-only")
    if found.pointer % found.dtype.itemsize:
        raise Mismatch(f"address {found.pointer:#x} is no multiple of {found.dtype.itemsize}")
    return found


def _from_interface(array: Any) -> DeviceArray:
    said = array.__cuda_array_interface__
    missing = {"shape", "typestr", "data", "version"} - set(said)
    if missing:
        raise Mismatch(f"the CUDA array interface has no {', '.join(sorted(missing))}")
    if said["version"] < 2:
        raise Mismatch(f"version {said['version']} of the CUDA array interface: 2 and 3 are known")
    if said.get("mask") is not None:
        raise Mismatch("the array is masked: fill it first")
    shape: tuple[int, ...] = tuple(map(int, said["shape"]))
    dtype, (pointer, read_only) = np.dtype(said["typestr"]), said["data"]
    strides, stream = said.get("strides"), said.get("stream")
    elements = prod(shape)
    if strides is not None and not _is_contiguous(shape, tuple(strides), dtype.itemsize):
        raise Mismatch(f"strides {tuple(strides)} of shape {shape}: make it C-contiguous first")
    if stream == 0:
        raise Mismatch("stream 0 is ambiguous in the CUDA array interface: 1 is the default stream")
    if not pointer and elements:
        raise Mismatch(f"no address for {elements} elements")
    stream = _current_stream(array) if stream is None else stream
    return DeviceArray(int(pointer or 0), shape, dtype, bool(read_only), stream, array)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    expected = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            return prod(shape) == 0
        expected *= length
    return True


def _from_dlpack(array: Any) -> DeviceArray:
    """The capsule is left as it is: the array that made it keeps its memory."""
    import ctypes

    class Tensor(ctypes.Structure):  # DLTensor of DLPack 0 and 1
        _fields_ = (
            ("data", ctypes.c_void_p),
            ("device", ctypes.c_int32 * 2),
            ("ndim", ctypes.c_int32),
            ("code", ctypes.c_uint8),
            ("bits", ctypes.c_uint8),
            ("lanes", ctypes.c_uint16),
            ("shape", ctypes.POINTER(ctypes.c_int64)),
            ("strides", ctypes.POINTER(ctypes.c_int64)),
            ("byte_offset", ctypes.c_uint64),
        )

    stream = _current_stream(array) or DEFAULT_STREAM
    capsule = array.__dlpack__(stream=stream)  # who made the array lets that wait for its own work
    read = ctypes.pythonapi.PyCapsule_GetPointer
    read.restype, read.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    tensor = Tensor.from_address(read(capsule, b"dltensor"))
    kinds = {(2, 16): np.float16, (2, 32): np.float32, (2, 64): np.float64, (1, 16): np.uint16,
             (BFLOAT16_CODE, 16): np.uint16}  # fmt: skip
    kind = kinds.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if kind is None:
        raise UnsupportedDtypeError(
            f"DLPack elements of kind {tensor.code} with {tensor.bits} bits: cast to float32"
        )
    dtype, shape = np.dtype(kind), tuple(tensor.shape[: tensor.ndim])
    if tensor.strides:
        strides = tuple(step * dtype.itemsize for step in tensor.strides[: tensor.ndim])
        if not _is_contiguous(shape, strides, dtype.itemsize):
            raise Mismatch(f"strides {strides} of shape {shape}: make it C-contiguous first")
    pointer = (tensor.data or 0) + tensor.byte_offset
    return DeviceArray(pointer, shape, dtype, False, stream, (array, capsule))


def _current_stream(array: Any) -> int | None:
    """The stream that the array's own package works on now, if it is CuPy or PyTorch."""
    import sys

    package = type(array).__module__.partition(".")[0]
    module = sys.modules.get(package)
    if package == "cupy":
        return int(module.cuda.get_current_stream().ptr) or None  # type: ignore[union-attr]
    if package == "torch":
        return int(module.cuda.current_stream().cuda_stream) or None  # type: ignore[union-attr]
    return None


def pairs(keys: Any, values: Any, n: int) -> tuple[NDArray[np.int64], Gradient]:
    """Check ascending keys in [0, n) and their values.

    Raises
    ------
    Mismatch
        If the lengths differ, a key repeats, descends or is out of range.
    UnsupportedDtypeError
        If the keys are not integers, or the values not of a type that `gradient` takes.
    """
    positions, flat = np.asarray(keys), gradient(values)
    if not np.issubdtype(positions.dtype, np.integer):
        raise UnsupportedDtypeError(f"keys are {positions.dtype}, they must be integers")
    if positions.ndim != 1 or positions.size != flat.bits.size:
        raise Mismatch(
            f"{positions.size} keys of {positions.ndim} dimensions for {flat.bits.size} values"
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
    view = memoryview(frame).toreadonly()
    if not view.c_contiguous:
        raise Mismatch("the buffer is not contiguous: pass bytes(frame)")
    if not view.nbytes:
        return np.empty(0, np.uint8)
    array = np.frombuffer(view, np.uint8)
    aligned = array[: array.size & -8].view(np.uint64).flags.aligned
    return array if aligned else read_only(array.copy())


def output(
    out: Any, element: Element, size: int, shapes: Sequence[tuple[int, ...]], *, exact: bool
) -> Numbers:
    """Check the caller's output array for elements of a type; return it flat.

    It is of that type (bfloat16 as bits) if `exact` is set, or of that which holds sums of it.

    Raises
    ------
    Mismatch
        If it is not a writable, C-contiguous array of such a type with `size` elements.
    """
    plain = isinstance(out, np.ndarray) and not isinstance(out, np.ma.MaskedArray)
    wide = np.dtype(np.float32 if element.bits <= FLOAT32.bits else np.float64)
    if not plain or not (out.dtype == wide or (exact and element_of(out.dtype) == element)):
        kind = f"an array of {out.dtype}" if plain else type(out).__name__
        raise Mismatch(f"out is {kind}, the frame holds {element.name}: pass a {wide} NumPy array")
    if out.size != size:
        held = f"shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} tensors"
        raise Mismatch(f"out has {out.size} elements, the frame has {size} ({held})")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise Mismatch("out must be C-contiguous and writable")
    flat: Numbers = out.view(np.ndarray).reshape(-1)
    return flat if out.dtype == wide else flat.view(NUMBERS[element.type])
