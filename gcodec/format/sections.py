"""The section table, the tensor table and the codebook (spec sections 4 to 6)."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed, UnsupportedFeature
from . import ids
from .header import Header

SECTION: Final = np.dtype(
    [("type", "<u2"), ("flags", "<u2"), ("count", "<u4"), ("offset", "<u8"), ("length", "<u8"),
     ("reserved", "<u8")]
)  # fmt: skip
TENSOR: Final = np.dtype(
    [("name_hash", "<u8"), ("start", "<u8"), ("numel", "<u8"), ("ndim", "u1"), ("dtype", "u1"),
     ("flags", "<u2"), ("dims_index", "<u4"), ("reserved", "V16")]
)  # fmt: skip

_ELEMENT_BYTES: Final = {
    ids.Section.TENSORS: TENSOR.itemsize,
    ids.Section.DIMS: 8,
    ids.Section.CODEBOOK: 4,
    ids.Section.CHUNKDIR: 32,
    ids.Section.PAYLOAD: 16,
    ids.Section.KEYCODES: 16,
}


class Tensor(NamedTuple):
    """One row of the tensor table: a flat range of the index space and its shape."""

    name_hash: int
    start: int
    shape: tuple[int, ...]


class Span(NamedTuple):
    """Where a section lies in the frame, in bytes, and how many entries it has."""

    offset: int
    length: int
    entries: int


def align(offset: int) -> int:
    """Round a byte offset up to the section alignment."""
    return -(-offset // ids.ALIGNMENT) * ids.ALIGNMENT


def place(lengths: Sequence[tuple[ids.Section, int, int]], start: int) -> NDArray[np.void]:
    """Section table for (type, count, byte length) in order; `start` is where the table begins."""
    table = np.zeros(len(lengths), SECTION)
    offset = align(start + table.nbytes)
    for row, (kind, count, length) in zip(table, lengths, strict=True):
        row["type"], row["count"], row["offset"], row["length"] = kind, count, offset, length
        offset = align(offset + length)
    return table


def read_sections(meta: NDArray[np.uint8], header: Header) -> dict[int, Span]:
    """Check the geometry: no holes, no overlaps, zero padding, payload last up to the end.

    `meta` is the frame up to the payload.
    """
    end = header.header_len + header.n_sections * SECTION.itemsize
    table = meta[header.header_len : end].view(SECTION)
    spans: dict[int, Span] = {}
    previous = 0
    for i, row in enumerate(table):
        where = f"section {i} at byte {header.header_len + i * SECTION.itemsize}"
        kind, offset, length = int(row["type"]), int(row["offset"]), int(row["length"])
        last = i == len(table) - 1
        if (kind == ids.Section.PAYLOAD) != last or (not last and kind <= previous):
            raise Malformed(f"{where}: type {kind} out of order (ascending, PAYLOAD last)")
        if row["flags"] or row["reserved"]:
            raise Malformed(f"{where}: flags or reserved field not zero")
        if offset != align(end) or meta[end:offset].any():
            raise Malformed(
                f"{where}: offset {offset} or the padding before it, after an end at {end}"
            )
        if length > (header.frame_len if last else header.payload_offset) - offset:
            raise Malformed(f"{where}: {length} bytes from {offset} run past the end")
        spans[kind] = Span(offset, length, int(row["count"]))
        end, previous = offset + length, kind
    if spans[ids.Section.PAYLOAD].offset != header.payload_offset or align(end) != header.frame_len:
        raise Malformed(f"the payload does not fill the frame from byte {header.payload_offset} on")
    return spans


def check_types(spans: dict[int, Span]) -> None:
    """Refuse unknown critical sections, missing ones, and counts that disagree with lengths."""
    for kind, span in spans.items():
        if kind >= ids.FIRST_ANCILLARY_SECTION:
            continue
        if kind not in (*_ELEMENT_BYTES, ids.Section.VALUECODE):
            raise UnsupportedFeature(f"critical section type {kind} is not known to this reader")
        name, entries = ids.Section(kind).name, span.entries
        half_bytes = kind == ids.Section.VALUECODE
        size = -(-entries // 2) if half_bytes else entries * _ELEMENT_BYTES[ids.Section(kind)]
        if span.length != size:
            raise Malformed(f"{name}: {entries} entries take {size} bytes, not {span.length}")
    for needed in (ids.Section.TENSORS, ids.Section.CHUNKDIR):
        if needed not in spans:
            raise Malformed(f"section {needed.name} is missing")


def build_tensors(tensors: Sequence[Tensor]) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    """Rows of the TENSORS and DIMS sections."""
    table = np.zeros(len(tensors), TENSOR)
    dims: list[int] = []
    for row, tensor in zip(table, tensors, strict=True):
        row["name_hash"], row["start"], row["numel"] = (
            tensor.name_hash,
            tensor.start,
            prod(tensor.shape),
        )
        row["ndim"], row["dtype"] = len(tensor.shape), ids.ElementType.FLOAT32
        row["dims_index"] = len(dims)
        dims += tensor.shape
    return table, np.array(dims, "<u8")


def read_tensors(
    frame: NDArray[np.uint8], spans: dict[int, Span], header: Header
) -> tuple[Tensor, ...]:
    """Check that the tensors tile [0, n_elements) in order and that shapes multiply out."""
    span = spans[ids.Section.TENSORS]
    if span.entries != header.n_tensors:
        raise Malformed(f"TENSORS has {span.entries} entries, the header says {header.n_tensors}")
    rows = frame[span.offset : span.offset + span.length].view(TENSOR)
    dims_span = spans.get(ids.Section.DIMS, Span(0, 0, 0))
    if dims_span.entries != int(rows["ndim"].sum(dtype=np.int64)):
        raise Malformed(f"DIMS has {dims_span.entries} entries, the tensors use another number")
    dims = frame[dims_span.offset : dims_span.offset + dims_span.length].view("<u8").tolist()
    tensors: list[Tensor] = []
    start = used = 0
    for i, row in enumerate(rows):
        ndim, numel = int(row["ndim"]), int(row["numel"])
        if ndim > ids.MAX_DIMENSIONS:
            raise LimitExceeded(f"tensor {i}: {ndim} dimensions, the limit is {ids.MAX_DIMENSIONS}")
        if row["start"] != start or row["dims_index"] != used:
            raise Malformed(f"tensor {i}: start or dims_index is not the running sum")
        if (
            row["dtype"] != header.elem_dtype
            or row["flags"]
            or row["reserved"].tobytes().strip(b"\0")
        ):
            raise Malformed(f"tensor {i}: dtype differs from the header, or a reserved bit is set")
        shape = tuple(dims[used : used + ndim])
        if prod(filter(None, shape)) > ids.MAX_ELEMENTS:
            raise LimitExceeded(f"tensor {i}: the dimensions of {shape} multiply past 2^48")
        if prod(shape) != numel:
            raise Malformed(f"tensor {i}: shape {shape} does not hold {numel} elements")
        tensors.append(Tensor(int(row["name_hash"]), start, shape))
        start, used = start + numel, used + ndim
    if start != header.n_elements:
        raise Malformed(f"the tensors hold {start} elements, the header says {header.n_elements}")
    return tuple(tensors)


def read_codebook(frame: NDArray[np.uint8], spans: dict[int, Span]) -> NDArray[np.float32]:
    """Levels of the codebook, empty if the frame has none; each is finite, and zero is positive."""
    span = spans.get(ids.Section.CODEBOOK, Span(0, 0, 0))
    if span.entries > ids.MAX_LEVELS:
        raise LimitExceeded(
            f"the codebook has {span.entries} levels, the limit is {ids.MAX_LEVELS}"
        )
    levels: NDArray[Any] = frame[span.offset : span.offset + span.length].view("<f4")
    if not np.isfinite(levels).all() or (np.signbit(levels) & (levels == 0)).any():
        raise Malformed("a level of the codebook is not finite, or is a negative zero")
    return levels
