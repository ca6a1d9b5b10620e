"""From a frame to numbers: parse, prove every key and value in scratch, and only then write."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import arrays
from .errors import Corrupt, LimitExceeded, Malformed
from .format import frame as wire
from .format.directory import planes
from .kernels import load
from .kernels.status import MESSAGES, OK

MAX_ELEMENTS: Final = 1 << 28
"""Largest dense output that is allocated on a frame's word alone: 1 GiB of float32."""


class Content(NamedTuple):
    """A frame's kept elements, proved: keys within each chunk, values, and how many per chunk."""

    parsed: wire.Parsed
    keys: NDArray[np.uint32]
    values: NDArray[np.float32]
    counts: NDArray[np.int64]


def unpack(frame: Any, kernels: ModuleType) -> Content:
    """Everything a frame holds, checked in the order of spec section 9."""
    parsed = wire.parse(arrays.as_bytes(frame), kernels.xxh64)
    directory = parsed.directory
    checks = np.zeros(directory.size, np.uint32)
    kernels.chunk_checks(arrays.read_only(parsed.payload.view(np.uint8)), directory, checks)
    wrong = checks != directory["check"]
    if wrong.any():
        raise Corrupt(f"chunk {int(np.argmax(wrong))}: check does not match the payload")
    stored = parsed.header.n_stored
    keys, bits = np.empty(stored, np.uint32), np.empty(stored, np.uint32)
    status, chunk = kernels.unpack(
        directory,
        planes(directory),
        parsed.lengths,
        parsed.levels.view(np.uint32),
        parsed.payload,
        keys,
        bits,
    )
    if status != OK:
        raise Malformed(f"chunk {chunk}: {MESSAGES[status]}")
    return Content(parsed, keys, bits.view(np.float32), directory["nnz"].astype(np.int64))


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
    content = unpack(frame, kernels)
    header, shapes = content.parsed.header, _shapes(content.parsed)
    if out is None:
        if header.n_elements > max_elements:
            raise LimitExceeded(
                f"the frame has {header.n_elements} elements, max_elements is {max_elements}: "
                "raise it, or pass out"
            )
        shape = shapes[0] if len(shapes) == 1 else (header.n_elements,)
        out = np.zeros(shape, np.float32)
        flat = out.reshape(-1)
    else:
        flat = arrays.output(out, header.n_elements, shapes)
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
    content = unpack(frame, kernels)
    flat = arrays.output(out, content.parsed.header.n_elements, _shapes(content.parsed))
    add(content, flat, scale, kernels)
    return out


def decode_sparse(
    frame: Any, *, backend: str = "cpu"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Decode a frame into ascending flat positions (int64[nnz]) and values (float32[nnz])."""
    content = unpack(frame, load(backend))
    first = np.arange(content.counts.size, dtype=np.int64) << content.parsed.header.chunk_log2
    keys: NDArray[np.int64] = np.repeat(first, content.counts) + content.keys.astype(np.int64)
    return keys, content.values


def _shapes(parsed: wire.Parsed) -> Sequence[tuple[int, ...]]:
    return [tensor.shape for tensor in parsed.tensors]
