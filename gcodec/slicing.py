"""A part of a frame as a frame of its own: a shard of a reduce-scatter."""

from typing import Any

import numpy as np

from .arrays import as_bytes, read_only
from .errors import Mismatch
from .format import frame as wire
from .format.frame import Frame
from .format.header import HEADER_SIZE
from .format.sections import Tensor
from .kernels import load
from .packing import check_chunks, write_checks


def slice(frame: Any, start: int, stop: int, *, backend: str = "cpu") -> Frame:
    """Elements [start, stop) of a frame as a frame, copied chunk by chunk and not decoded.

    The result holds one flat tensor without a name; all else the header says stays as it was.

    Parameters
    ----------
    frame : Frame or bytes-like
    start, stop : int
        Multiples of the frame's chunk size, `1 << inspect(frame).header["chunk_log2"]`, or its
        number of elements.

    Raises
    ------
    Mismatch
        If there is no such range, or a chunk lies across an end of it.
    FrameError
        If the frame is not sound; keys and values are proved only when the result is decoded.

    Examples
    --------
    >>> import numpy, gcodec
    >>> grad = numpy.arange(100_000, dtype=numpy.float32)
    >>> frame = gcodec.get_codec("topk:ratio=0.5").encode(grad)
    >>> shard = gcodec.slice(frame, 65_536, 100_000)
    >>> bool((gcodec.decode(shard) == gcodec.decode(frame)[65_536:]).all())
    True
    """
    kernels = load(backend)
    parsed = wire.parse(as_bytes(frame), kernels)
    if parsed.sketch is not None:
        raise Mismatch("the frame is a count-sketch, every part of which is about all elements")
    header = parsed.header
    n, size = header.n_elements, 1 << header.chunk_log2
    if not 0 <= start <= stop <= n or any(end % size and end != n for end in (start, stop)):
        raise Mismatch(
            f"elements {start} to {stop} of {n} are not whole chunks of {size}: pass multiples of "
            f"{size}, or {n}"
        )
    first, last = -(-start // size), -(-stop // size)
    check_chunks(parsed, first, last, kernels)
    directory = parsed.directory[first:last].copy()
    begin = int(parsed.directory["off16"][first]) * 2 if directory.size else 0
    header = header._replace(
        header_len=HEADER_SIZE,
        n_elements=stop - start,
        n_stored=int(directory["nnz"].sum(dtype=np.int64)),
    )
    nameless = Tensor(kernels.xxh64(read_only(np.empty(0, np.uint8)), 0), 0, (stop - start,))
    tables = parsed.tables._replace(scaling=parsed.tables.scaling.part(start, stop))
    if tables.seeds.size:
        moved = tables.seeds + np.array([0, first], np.uint64)
        tables = tables._replace(seeds=moved)
    work = wire.draft(header, [nameless], tables, directory)
    work.payload[:] = parsed.payload[begin : begin + work.payload.size]
    write_checks(work, kernels)
    return wire.seal(work, kernels.xxh64)
