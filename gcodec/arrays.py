"""From what callers pass to what kernels take: the only file that knows kinds of arrays."""

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


def widen(patterns: Patterns, element: Element) -> Numbers:
    """Patterns as float32, exactly, or as float64 if they are; a view where possible."""
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
    if hasattr(array, "__cuda_array_interface__"):
        raise BackendUnavailableError(
            "the array is on a CUDA device, and there are CPU kernels only: copy it to the host"
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
