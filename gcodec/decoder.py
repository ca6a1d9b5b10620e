"""From a frame to numbers: parse, prove every key and value in scratch, and only then write."""

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import arrays, dense, device
from .errors import LimitExceeded, Mismatch
from .format import frame as wire
from .format.elements import FLOAT32, Element, Patterns
from .format.ids import ValueCodec
from .kernels import load
from .packing import read_chunks
from .parallel import LEAST_KEPT, run, split
from .request import name_hash
from .scaling import multiply

MAX_ELEMENTS: Final = 1 << 28
"""Largest dense output that is allocated on a frame's word alone: 1 GiB of float32."""


MOST_AT_ONCE: Final = 1 << 17
"""Bytes of the largest frame that is proved in one call; what Python does counts less in others."""


class Content(NamedTuple):
    """Kept elements of some chunks of n elements, proved: keys within each chunk, patterns, their
    counts."""

    element: Element
    n: int
    chunk_log2: int
    keys: NDArray[np.uint32]
    bits: Patterns
    counts: NDArray[np.int64]
    first_chunk: int = 0

    def values(self) -> arrays.Numbers:
        """What the elements hold, as float32, or as float64 if they are."""
        return arrays.widen(self.bits, self.element)

    def numbers(self) -> arrays.Numbers:
        """What the elements hold, in their own type; bfloat16 as bits."""
        return self.bits.view(arrays.NUMBERS[self.element.type])

    def patterns(self, itemsize: int) -> Patterns:
        """Bits of what the elements hold, in their own type or as float32."""
        return self.bits if self.bits.itemsize == itemsize else self.values().view(FLOAT32.pattern)

    def positions(self) -> NDArray[np.int64]:
        """Flat positions of the keys."""
        chunks = self.first_chunk + np.arange(self.counts.size, dtype=np.int64)
        starts: NDArray[np.int64] = np.repeat(chunks << self.chunk_log2, self.counts)
        return starts + self.keys


def unpack(frame: Any, kernels: ModuleType) -> tuple[wire.Parsed, Content]:
    """Everything a frame says and holds, checked in the order of spec section 9."""
    parsed = _parse(frame, kernels)
    return parsed, unpack_chunks(parsed, kernels, 0, None)


def unpack_chunks(
    parsed: wire.Parsed, kernels: ModuleType, first: int, stop: int | None
) -> Content:
    """What chunks `first` to `stop` hold, checked as by `unpack`; others are not looked at."""
    keys, bits = read_chunks(parsed, first, stop, kernels)
    directory, scaling = parsed.directory[first:stop], parsed.tables.scaling
    counts = directory["nnz"].astype(np.int64)
    if scaling.each:
        coded = directory["val_codec"] != ValueCodec.RAW
        where = keys, counts, coded, first, parsed.header.chunk_log2
        bits = multiply(bits, parsed.element, *where, scaling, kernels)
    header = parsed.header
    return Content(parsed.element, header.n_elements, header.chunk_log2, keys, bits, counts, first)


def _parse(frame: Any, kernels: ModuleType) -> wire.Parsed:
    parsed = wire.parse(arrays.as_bytes(frame), kernels)
    if parsed.sketch is not None:
        raise Mismatch("the frame is a count-sketch and holds no elements: CountSketch.decode it")
    return parsed


def prove(frame: Any, dtype: np.dtype[Any], kernels: ModuleType) -> Content | dense.Fields:
    """What can be added to an array of a type, checked as by `unpack`."""
    buffer = arrays.as_bytes(frame)
    return prove_at_once(buffer, kernels) or _prove(_parse(buffer, kernels), dtype, kernels)


def prove_at_once(buffer: NDArray[np.uint8], kernels: ModuleType) -> Content | None:
    """What a small frame of float32 holds, or None if it must be looked at part by part."""
    proves = getattr(kernels, "prove_whole", None)
    if proves is None or buffer.size > MOST_AT_ONCE:
        return None
    n, chunk_log2, keys, bits, counts = proves(buffer, np.empty(buffer.size >> 3, np.uint64))
    return None if n < 0 else Content(FLOAT32, n, chunk_log2, keys, bits, counts)


def _prove(
    parsed: wire.Parsed, dtype: np.dtype[Any], kernels: ModuleType
) -> Content | dense.Fields:
    return dense.prove(parsed, dtype, kernels) or unpack_chunks(parsed, kernels, 0, None)


def add(
    content: Content | dense.Fields, flat: arrays.Numbers, scale: float, kernels: ModuleType
) -> None:
    """Add proved content, times `scale`, to a flat float32 or float64 array."""
    if isinstance(content, dense.Fields):
        content.add(flat, scale)
        return
    log2, factor = content.chunk_log2, flat.dtype.type(scale)
    keys, counts, values = content.keys, content.counts, content.values()
    least = max(LEAST_KEPT * counts.size // max(keys.size, 1), 1)
    ranges = split(counts.size, least)
    if len(ranges) < 2:
        kernels.accumulate(keys, counts, log2, values, factor, flat)
        return
    ends = np.append(0, np.cumsum(counts))

    def add_part(begin: int, end: int) -> None:
        own, out = slice(ends[begin], ends[end]), flat[begin << log2 :]
        kernels.accumulate(keys[own], counts[begin:end], log2, values[own], factor, out)

    run(add_part, ranges)


def decode(
    frame: Any,
    *,
    out: NDArray[Any] | None = None,
    max_elements: int = MAX_ELEMENTS,
    backend: str = "cpu",
) -> NDArray[Any]:
    """Decode a frame into a dense array.

    Parameters
    ----------
    frame : Frame or bytes-like
        One frame; bytes after it are ignored.
    out : array, optional
        Where to put the result: C-contiguous, writable, of as many elements as the frame has, and
        of their type. 16-bit frames also fill float32. Overwritten. It may be on a CUDA device.
    max_elements : int
        Without `out`, refuse frames that describe more elements than this (default 2**28, 1 GiB of
        float32): a few hundred bytes may describe a terabyte of zeros.
    backend : {"cpu", "reference"}

    Returns
    -------
    array
        `out`, or a new array of the type and shape that were encoded (flat if the frame holds
        several tensors). NumPy has no bfloat16: those are uint16 bit patterns, for
        `.view(ml_dtypes.bfloat16)`, or pass a float32 `out`.

    Raises
    ------
    FrameError
        One of its eight subclasses; `out` is untouched.

    Examples
    --------
    >>> import numpy, gcodec
    >>> gcodec.decode(gcodec.Codec().encode(numpy.eye(2, dtype=numpy.float32)))
    array([[1., 0.],
           [0., 0.]], dtype=float32)
    """
    kernels = load(backend)
    parsed = _parse(frame, kernels)
    header, element, shapes = parsed.header, parsed.element, _shapes(parsed)
    if out is not None and arrays.on_device(out):
        target = device.Output(out, element, header.n_elements, exact=True)
        kept = unpack_chunks(parsed, kernels, 0, None)
        patterns = kept.patterns(target.dtype.itemsize)
        target.fill(kept.keys, kept.counts, header.chunk_log2, patterns)
        return out
    if out is not None:
        flat = arrays.output(out, element, header.n_elements, shapes, exact=True)
    elif header.n_elements > max_elements:
        raise LimitExceeded(
            f"the frame has {header.n_elements} elements, max_elements is {max_elements}: "
            "raise it, or pass out"
        )
    shape = shapes[0] if len(shapes) == 1 else (header.n_elements,)
    dtype = arrays.NUMBERS[element.type] if out is None else flat.dtype
    content = _prove(parsed, dtype, kernels)
    if isinstance(content, dense.Fields):
        if out is None:
            out = np.empty(shape, dtype)
        content.put(out.reshape(-1))
        return out
    if out is None:
        out = np.zeros(shape, dtype)
        flat = out.reshape(-1)
    else:
        flat.fill(0)
    bits = content.patterns(flat.itemsize)
    kernels.scatter(content.keys, content.counts, header.chunk_log2, bits, flat.view(bits.dtype))
    return out


def accumulate(
    frame: Any, out: NDArray[Any], *, scale: float = 1.0, backend: str = "cpu"
) -> NDArray[Any]:
    """Add a frame's values, times `scale`, to a dense array: all, or none if it is refused.

    Each element is one multiplication and one addition in float32 (for frames of float64: in
    float64), so sums in a given order have the same bits on every machine.

    Parameters
    ----------
    frame : Frame or bytes-like
    out : float32 array, or float64 array for a frame of float64
        C-contiguous, writable, of as many elements as the frame has; on a CUDA device, if you like.
    scale : float
        Rounded to the type of `out`.

    Returns
    -------
    array
        `out`.

    Raises
    ------
    FrameError
        One of its eight subclasses; `out` is untouched.
    """
    kernels, on_device = load(backend), arrays.on_device(out)
    buffer = arrays.as_bytes(frame)
    content = None if on_device else prove_at_once(buffer, kernels)
    if content is not None and content.n == getattr(out, "size", None):
        add(content, arrays.output(out, FLOAT32, content.n, (), exact=False), scale, kernels)
        return out
    parsed = _parse(buffer, kernels)
    size, shapes = parsed.header.n_elements, _shapes(parsed)
    if on_device:
        target = device.Output(out, parsed.element, size, exact=False)
        kept = unpack_chunks(parsed, kernels, 0, None)
        values = kept.values().astype(target.dtype, copy=False)
        target.add(kept.keys, kept.counts, parsed.header.chunk_log2, values, scale)
        return out
    flat = arrays.output(out, parsed.element, size, shapes, exact=False)
    add(_prove(parsed, flat.dtype, kernels), flat, scale, kernels)
    return out


def decode_sparse(
    frame: Any, *, start: int = 0, stop: int | None = None, backend: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Decode a frame into ascending flat positions (int64[nnz]) and values, in their own type.

    With `start` and `stop`, only those in [start, stop), for the price of the chunks that overlap
    it.
    """
    kernels = load(backend)
    return _decode_range(_parse(frame, kernels), start, stop, kernels)


def _decode_range(
    parsed: wire.Parsed, start: int, stop: int | None, kernels: ModuleType
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    n, log2 = parsed.header.n_elements, parsed.header.chunk_log2
    start, stop, _ = slice(start, stop).indices(n)
    content = unpack_chunks(parsed, kernels, start >> log2, -(-max(start, stop) >> log2))
    positions = content.positions()
    inside = slice(*np.searchsorted(positions, (start, max(start, stop))))
    return positions[inside], content.numbers()[inside]


def decode_tensor(
    frame: Any,
    tensor: str | int,
    *,
    max_elements: int = MAX_ELEMENTS,
    backend: str = "cpu",
) -> NDArray[Any]:
    """Decode one tensor of a frame, for the price of the chunks that overlap it.

    Parameters
    ----------
    frame : Frame or bytes-like
    tensor : str or int
        Its name, or its number in the tensor table.
    max_elements : int
        As for `decode`.

    Returns
    -------
    array
        Of the tensor's type and shape; bfloat16 as uint16 bit patterns.

    Raises
    ------
    Mismatch
        If there is no such tensor, or more than one of that name.
    FrameError
        As for `decode`.
    """
    kernels = load(backend)
    parsed = _parse(frame, kernels)
    tensors = parsed.tensors
    if isinstance(tensor, str):
        wanted = name_hash(tensor, kernels)
        found = [t for t in tensors if t.name_hash == wanted]
    else:
        found = list(tensors[tensor : tensor + 1]) if tensor >= 0 else []
    if len(found) != 1:
        raise Mismatch(f"{len(found)} of the frame's {len(tensors)} tensors are {tensor!r}")
    size = prod(found[0].shape)
    if size > max_elements:
        raise LimitExceeded(f"the tensor has {size} elements, max_elements is {max_elements}")
    first = found[0].start
    keys, values = _decode_range(parsed, first, first + size, kernels)
    dense = np.zeros(size, values.dtype)
    dense[keys - first] = values
    return dense.reshape(found[0].shape)


def _shapes(parsed: wire.Parsed) -> Sequence[tuple[int, ...]]:
    return [tensor.shape for tensor in parsed.tensors]
