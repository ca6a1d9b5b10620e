"""From a frame to numbers: parse, prove every key and value in scratch, and only then write."""

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import arrays
from .encoder import name_hash
from .errors import Corrupt, LimitExceeded, Mismatch
from .format import frame as wire
from .kernels import load
from .packing import read_payload

MAX_ELEMENTS: Final = 1 << 28
"""Largest dense output that is allocated on a frame's word alone: 1 GiB of float32."""


class Content(NamedTuple):
    """Kept elements of some chunks, proved: keys within each chunk, values, their counts."""

    parsed: wire.Parsed
    keys: NDArray[np.uint32]
    values: NDArray[np.float32]
    counts: NDArray[np.int64]
    first_chunk: int

    def positions(self) -> NDArray[np.int64]:
        """Flat positions of the keys."""
        chunks = self.first_chunk + np.arange(self.counts.size, dtype=np.int64)
        starts: NDArray[np.int64] = np.repeat(chunks << self.parsed.header.chunk_log2, self.counts)
        return starts + self.keys


def unpack(frame: Any, kernels: ModuleType) -> Content:
    """Everything a frame holds, checked in the order of spec section 9."""
    return unpack_chunks(_parse(frame, kernels), kernels, 0, None)


def unpack_chunks(
    parsed: wire.Parsed, kernels: ModuleType, first: int, stop: int | None
) -> Content:
    """What chunks `first` to `stop` hold, checked as by `unpack`; others are not looked at."""
    directory, lengths = parsed.directory[first:stop], parsed.lengths[first:stop]
    checks = np.zeros(directory.size, np.uint32)
    kernels.chunk_checks(arrays.read_only(parsed.payload.view(np.uint8)), directory, first, checks)
    wrong = checks != directory["check"]
    if wrong.any():
        raise Corrupt(f"chunk {first + int(np.argmax(wrong))}: check does not match the payload")
    part = parsed._replace(directory=directory, lengths=lengths)
    keys, bits = read_payload(part, first, kernels)
    counts = directory["nnz"].astype(np.int64)
    return Content(parsed, keys, bits.view(np.float32), counts, first)


def _parse(frame: Any, kernels: ModuleType) -> wire.Parsed:
    return wire.parse(arrays.as_bytes(frame), kernels.xxh64)


def add(content: Content, flat: NDArray[np.float32], scale: float, kernels: ModuleType) -> None:
    """Add proved content, times `scale`, to a flat array of the frame's length."""
    log2 = content.parsed.header.chunk_log2
    kernels.accumulate(content.keys, content.counts, log2, content.values, scale, flat)


def decode(
    frame: Any,
    *,
    out: NDArray[np.float32] | None = None,
    max_elements: int = MAX_ELEMENTS,
    backend: str = "cpu",
) -> NDArray[np.float32]:
    """Decode a frame into a dense array.

    Parameters
    ----------
    frame : Frame or bytes-like
        One frame; bytes after it are ignored.
    out : float32 array, optional
        Where to put the result: C-contiguous, writable, of as many elements as the frame has.
        Overwritten.
    max_elements : int
        Without `out`, refuse frames that describe more elements than this (default 2**28, 1 GiB): a
        few hundred bytes may describe a terabyte of zeros.
    backend : {"cpu", "reference"}

    Returns
    -------
    float32 array
        `out`, or a new array of the shape that was encoded (flat if the frame holds several
        tensors).

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
    header, shapes = parsed.header, _shapes(parsed)
    if out is not None:
        flat = arrays.output(out, header.n_elements, shapes)
    elif header.n_elements > max_elements:
        raise LimitExceeded(
            f"the frame has {header.n_elements} elements, max_elements is {max_elements}: "
            "raise it, or pass out"
        )
    content = unpack_chunks(parsed, kernels, 0, None)
    if out is None:
        out = np.zeros(shapes[0] if len(shapes) == 1 else header.n_elements, np.float32)
        flat = out.reshape(-1)
    else:
        flat.fill(0)
    kernels.scatter(content.keys, content.counts, header.chunk_log2, content.values, flat)
    return out


def accumulate(
    frame: Any, out: NDArray[np.float32], *, scale: float = 1.0, backend: str = "cpu"
) -> NDArray[np.float32]:
    """Add a frame's values, times `scale`, to a dense array: all, or none if it is refused.

    Each element is one float32 multiplication and one float32 addition, so sums in a given order
    have the same bits on every machine.

    Parameters
    ----------
    frame : Frame or bytes-like
    out : float32 array
        C-contiguous, writable, of as many elements as the frame has.
    scale : float
        Rounded to float32.

    Returns
    -------
    float32 array
        `out`.

    Raises
    ------
    FrameError
        One of its eight subclasses; `out` is untouched.
    """
    kernels = load(backend)
    parsed = _parse(frame, kernels)
    flat = arrays.output(out, parsed.header.n_elements, _shapes(parsed))
    add(unpack_chunks(parsed, kernels, 0, None), flat, scale, kernels)
    return out


def decode_sparse(
    frame: Any, *, start: int = 0, stop: int | None = None, backend: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Decode a frame into ascending flat positions (int64[nnz]) and values (float32[nnz]).

    With `start` and `stop`, only those in [start, stop), for the price of the chunks that overlap
    it.
    """
    kernels = load(backend)
    parsed = _parse(frame, kernels)
    n, log2 = parsed.header.n_elements, parsed.header.chunk_log2
    start, stop, _ = slice(start, stop).indices(n)
    content = unpack_chunks(parsed, kernels, start >> log2, -(-max(start, stop) >> log2))
    positions = content.positions()
    inside = slice(*np.searchsorted(positions, (start, max(start, stop))))
    return positions[inside], content.values[inside]


def decode_tensor(
    frame: Any,
    tensor: str | int,
    *,
    max_elements: int = MAX_ELEMENTS,
    backend: str = "cpu",
) -> NDArray[np.float32]:
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
    float32 array
        Of the tensor's shape.

    Raises
    ------
    Mismatch
        If there is no such tensor, or more than one of that name.
    FrameError
        As for `decode`.
    """
    kernels = load(backend)
    tensors = _parse(frame, kernels).tensors
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
    keys, values = decode_sparse(frame, start=first, stop=first + size, backend=backend)
    dense = np.zeros(size, np.float32)
    dense[keys - first] = values
    return dense.reshape(found[0].shape)


def _shapes(parsed: wire.Parsed) -> Sequence[tuple[int, ...]]:
    return [tensor.shape for tensor in parsed.tensors]
