"""The section table, the tensor table and the codebook (spec sections 4 to 6)."""

from collections.abc import Sequence
from math import prod
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed, UnsupportedFeature
from . import ids
from .elements import ELEMENTS, Element, Patterns
from .header import Header

SECTION: Final = np.dtype(
    [("type", "<u2"), ("reserved", "<u2"), ("count", "<u4"), ("length", "<u8")]
)
TENSOR: Final = np.dtype(
    [("name_hash", "<u8"), ("ndim", "u1"), ("dtype", "u1"), ("reserved", "V6")]
)

_ENTRY_BYTES: Final = {
    ids.Section.TENSORS: TENSOR.itemsize,
    ids.Section.DIMS: 8,
    ids.Section.CHUNKDIR: 32,
    ids.Section.PAYLOAD: 16,
    ids.Section.KEYCODES: 16,
    ids.Section.SEEDS: 16,
}


class Tensor(NamedTuple):
    """One tensor: a flat range of the index space and its shape."""

    name_hash: int
    start: int
    shape: tuple[int, ...]


class Span(NamedTuple):
    """Where a section lies in the frame, in bytes, and how many entries it has."""

    offset: int
    length: int
    entries: int


def align(offset: int, to: int = ids.ALIGNMENT) -> int:
    """Round a byte offset up to a multiple."""
    return -(-offset // to) * to


def place(
    lengths: Sequence[tuple[ids.Section, int, int]], start: int
) -> tuple[NDArray[np.void], dict[ids.Section, slice]]:
    """Section table for (type, count, byte length) in order, and where each section lies.

    `start` is where the table begins.
    """
    table = np.zeros(len(lengths), SECTION)
    spans: dict[ids.Section, slice] = {}
    end = start + table.nbytes
    for row, (kind, count, length) in zip(table, lengths, strict=True):
        row["type"], row["count"], row["length"] = kind, count, length
        offset = _offset(kind, end)
        spans[kind] = slice(offset, offset + length)
        end = offset + length
    return table, spans


def section_bits(length: int) -> int:
    """What a section of so many bytes adds to a frame, its padding and its entry included."""
    return 8 * (SECTION.itemsize + align(length, ids.SECTION_ALIGNMENT)) if length else 0


def _offset(kind: int, end: int) -> int:
    """Where a section of this type starts, after one that ends there."""
    return align(end, ids.ALIGNMENT if kind == ids.Section.PAYLOAD else ids.SECTION_ALIGNMENT)


def read_sections(meta: NDArray[np.uint8], header: Header) -> dict[int, Span]:
    """Check the geometry: types in order, zero padding, payload last up to the end.

    `meta` is the frame up to the payload.
    """
    end = header.header_len + header.n_sections * SECTION.itemsize
    table = meta[header.header_len : end].view(SECTION)
    spans: dict[int, Span] = {}
    previous = 0
    for i, row in enumerate(table):
        where = f"section {i} at byte {header.header_len + i * SECTION.itemsize}"
        kind, length = int(row["type"]), int(row["length"])
        last = i == len(table) - 1
        if (kind == ids.Section.PAYLOAD) != last or (not last and kind <= previous):
            raise Malformed(f"{where}: type {kind} out of order (ascending, PAYLOAD last)")
        if row["reserved"]:
            raise Malformed(f"{where}: reserved field not zero")
        offset = _offset(kind, end)
        if meta[end:offset].any():
            raise Malformed(f"{where}: the padding from byte {end} on is not zero")
        if length > (header.frame_len if last else header.payload_offset) - offset:
            raise Malformed(f"{where}: {length} bytes from {offset} run past the end")
        spans[kind] = Span(offset, length, int(row["count"]))
        end, previous = offset + length, kind
    if spans[ids.Section.PAYLOAD].offset != header.payload_offset or align(end) != header.frame_len:
        raise Malformed(f"the payload does not fill the frame from byte {header.payload_offset} on")
    return spans


def check_types(spans: dict[int, Span], element: Element) -> None:
    """Refuse unknown critical sections, missing ones, and counts that disagree with lengths."""
    sizes = {**_ENTRY_BYTES, ids.Section.CODEBOOK: element.pattern.itemsize}
    for kind, span in spans.items():
        if kind >= ids.FIRST_ANCILLARY_SECTION:
            continue
        if kind not in (*sizes, ids.Section.VALUECODE):
            known = kind in ids.RESERVED_SECTIONS
            name = f"{ids.Section(kind).name} ({kind})" if known else f"type {kind}"
            raise UnsupportedFeature(
                f"critical section {name} is not known to this reader: update gcodec"
            )
        name, entries = ids.Section(kind).name, span.entries
        half_bytes = kind == ids.Section.VALUECODE
        size = -(-entries // 2) if half_bytes else entries * sizes[ids.Section(kind)]
        if span.length != size:
            raise Malformed(f"{name}: {entries} entries take {size} bytes, not {span.length}")
        if kind == ids.Section.SEEDS and entries > 1:
            raise Malformed(f"SEEDS has {entries} entries, not one")
    for needed in (ids.Section.TENSORS, ids.Section.CHUNKDIR):
        if needed not in spans:
            raise Malformed(f"section {needed.name} is missing")


def build_tensors(
    tensors: Sequence[Tensor], element_type: int
) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    """Rows of the TENSORS and DIMS sections."""
    table = np.zeros(len(tensors), TENSOR)
    table["name_hash"] = [tensor.name_hash for tensor in tensors]
    table["ndim"] = [len(tensor.shape) for tensor in tensors]
    table["dtype"] = element_type
    return table, np.array([length for tensor in tensors for length in tensor.shape], "<u8")


def read_tensors(
    frame: NDArray[np.uint8], spans: dict[int, Span], header: Header
) -> tuple[Tensor, ...]:
    """Check that the tensors' shapes make up n_elements."""
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
        ndim = int(row["ndim"])
        if ndim > ids.MAX_DIMENSIONS:
            raise LimitExceeded(f"tensor {i}: {ndim} dimensions, the limit is {ids.MAX_DIMENSIONS}")
        if row["dtype"] != header.elem_dtype or row["reserved"].tobytes().strip(b"\0"):
            raise Malformed(f"tensor {i}: dtype differs from the header, or a reserved bit is set")
        shape = tuple(dims[used : used + ndim])
        if prod(filter(None, shape)) > ids.MAX_ELEMENTS:
            raise LimitExceeded(f"tensor {i}: the dimensions of {shape} multiply past 2^48")
        tensors.append(Tensor(int(row["name_hash"]), start, shape))
        start, used = start + prod(shape), used + ndim
    if start != header.n_elements:
        raise Malformed(f"the tensors hold {start} elements, the header says {header.n_elements}")
    return tuple(tensors)


def read_codebook(frame: NDArray[np.uint8], spans: dict[int, Span], element: Element) -> Patterns:
    """Levels of the codebook, as bit patterns; each is finite, and zero is positive."""
    span = spans.get(ids.Section.CODEBOOK, Span(0, 0, 0))
    if span.entries > ids.MAX_LEVELS:
        raise LimitExceeded(
            f"the codebook has {span.entries} levels, the limit is {ids.MAX_LEVELS}"
        )
    levels: Patterns = frame[span.offset : span.offset + span.length].view(element.pattern)
    magnitudes = element.magnitudes(levels)
    if (magnitudes >= element.infinity).any() or (levels[magnitudes == 0] != 0).any():
        raise Malformed("a level of the codebook is not finite, or is a negative zero")
    return levels


def read_seeds(frame: NDArray[np.uint8], spans: dict[int, Span]) -> NDArray[np.uint64]:
    """A seed and the number of the first chunk, or nothing."""
    span = spans.get(ids.Section.SEEDS, Span(0, 0, 0))
    return frame[span.offset : span.offset + span.length].view("<u8")


def element_of(header: Header) -> Element:
    """The element type of a header that was checked."""
    return ELEMENTS[ids.ElementType(header.elem_dtype)]
