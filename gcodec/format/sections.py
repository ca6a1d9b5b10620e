"""The section table, the tensor table and the codebook (spec sections 4 to 6)."""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
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

_SECTION: Final = struct.Struct("<HHIQ")
_TENSOR: Final = struct.Struct("<QBB6s")
_RESERVED: Final = bytes(6)

_PAYLOAD: Final = int(ids.Section.PAYLOAD)
_SINGLE: Final = (int(ids.Section.SEEDS), int(ids.Section.SKETCH))
_HALF_BYTES: Final[dict[int, int]] = {
    ids.Section.TENSORS: 2 * TENSOR.itemsize,
    ids.Section.DIMS: 16,
    ids.Section.CODEBOOK: 0,
    ids.Section.SCALES: 0,
    ids.Section.SKETCH: 48,
    ids.Section.CHUNKDIR: 64,
    ids.Section.PAYLOAD: 32,
    ids.Section.KEYCODES: 32,
    ids.Section.VALUECODE: 1,
    ids.Section.SEEDS: 32,
    ids.Section.RUNS: 32,
}
"""Half bytes of an entry of each section; of codebook and scales, by element type."""

_ELEMENTS: Final[dict[int, Element]] = {int(kind): element for kind, element in ELEMENTS.items()}


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


NO_SEEDS: Final[NDArray[np.uint64]] = np.frombuffer(b"", np.uint64)
NOWHERE: Final = Span(0, 0, 0)
"""A section that is absent, and so has no entries."""


def align(offset: int, to: int = ids.ALIGNMENT) -> int:
    """Round a byte offset up to a multiple."""
    return -(-offset // to) * to


def place(
    lengths: Sequence[tuple[ids.Section, int, int]], start: int
) -> tuple[bytes, dict[ids.Section, slice]]:
    """Section table for (type, count, byte length) in order, and where each section lies.

    `start` is where the table begins.
    """
    table = b"".join([_SECTION.pack(kind, 0, count, length) for kind, count, length in lengths])
    spans: dict[ids.Section, slice] = {}
    end = start + len(table)
    for kind, _, length in lengths:
        offset = align(end, ids.ALIGNMENT if kind == _PAYLOAD else ids.SECTION_ALIGNMENT)
        end = offset + length
        spans[kind] = slice(offset, end)
    return table, spans


def section_bits(length: int) -> int:
    """What a section of so many bytes adds to a frame, its padding and its entry included."""
    return 8 * (ids.SECTION_ENTRY + align(length, ids.SECTION_ALIGNMENT)) if length else 0


def read_sections(meta: bytes, header: Header) -> dict[int, Span]:
    """Where each section lies: in order, without holes, payload last up to the end.

    `meta` is the frame up to the payload.
    """
    start, before = header.header_len, header.n_sections - 1
    end = start + header.n_sections * ids.SECTION_ENTRY
    spans: dict[int, Span] = {}
    previous, unit, limit = 0, ids.SECTION_ALIGNMENT, header.payload_offset
    for kind, reserved, entries, length in _SECTION.iter_unpack(meta[start:end]):
        last = len(spans) == before
        if last:
            unit, limit = ids.ALIGNMENT, header.frame_len
        if (kind == _PAYLOAD) != last or (not last and kind <= previous):
            raise Malformed(
                f"{_where(spans, start)}: type {kind} out of order (ascending, PAYLOAD last)"
            )
        if reserved:
            raise Malformed(f"{_where(spans, start)}: reserved field not zero")
        offset = -(-end // unit) * unit
        if any(meta[end:offset]):
            raise Malformed(f"{_where(spans, start)}: the padding from byte {end} on is not zero")
        if length > limit - offset:
            raise Malformed(
                f"{_where(spans, start)}: {length} bytes from {offset} run past the end"
            )
        spans[kind] = Span(offset, length, entries)
        end, previous = offset + length, kind
    if spans[_PAYLOAD].offset != header.payload_offset or align(end) != header.frame_len:
        raise Malformed(f"the payload does not fill the frame from byte {header.payload_offset} on")
    return spans


def _where(before: Mapping[int, Span], start: int) -> str:
    return f"section {len(before)} at byte {start + len(before) * SECTION.itemsize}"


def check_types(spans: Mapping[int, Span], element: Element) -> None:
    """Refuse unknown critical sections, missing ones, and counts that disagree with lengths."""
    for kind, (_, length, entries) in spans.items():
        half_bytes = _HALF_BYTES.get(kind)
        if half_bytes is None:
            if kind >= ids.FIRST_ANCILLARY_SECTION:
                continue
            known = kind in ids.RESERVED_SECTIONS
            name = f"{ids.Section(kind).name} ({kind})" if known else f"type {kind}"
            raise UnsupportedFeature(
                f"critical section {name} is not known to this reader: update gcodec"
            )
        if not half_bytes:
            half_bytes = 2 * element.pattern.itemsize
        size = -(-entries * half_bytes // 2)
        if length != size:
            name = ids.Section(kind).name
            raise Malformed(f"{name}: {entries} entries take {size} bytes, not {length}")
        if kind in _SINGLE and entries > 1:
            raise Malformed(f"{ids.Section(kind).name} has {entries} entries, not one")
    for needed in (ids.Section.TENSORS, ids.Section.CHUNKDIR):
        if needed not in spans:
            raise Malformed(f"section {needed.name} is missing")


@lru_cache
def build_tensors(tensors: tuple[Tensor, ...], element_type: int) -> tuple[bytes, bytes]:
    """Rows of the TENSORS and DIMS sections."""
    rows = [
        _TENSOR.pack(tensor.name_hash, len(tensor.shape), element_type, b"") for tensor in tensors
    ]
    lengths = [length for tensor in tensors for length in tensor.shape]
    return b"".join(rows), struct.pack(f"<{len(lengths)}Q", *lengths)


def read_tensors(meta: bytes, spans: Mapping[int, Span], header: Header) -> tuple[Tensor, ...]:
    """Check that the tensors' shapes make up n_elements."""
    span = spans[ids.Section.TENSORS]
    if span.entries != header.n_tensors:
        raise Malformed(f"TENSORS has {span.entries} entries, the header says {header.n_tensors}")
    rows = list(_TENSOR.iter_unpack(meta[span.offset : span.offset + span.length]))
    place = spans.get(ids.Section.DIMS, NOWHERE)
    if place.entries != sum([row[1] for row in rows]):
        raise Malformed(f"DIMS has {place.entries} entries, the tensors use another number")
    dims = struct.unpack_from(f"<{place.entries}Q", meta, place.offset)
    tensors: list[Tensor] = []
    start = used = 0
    for i, (name_hash, ndim, dtype, reserved) in enumerate(rows):
        if ndim > ids.MAX_DIMENSIONS:
            raise LimitExceeded(f"tensor {i}: {ndim} dimensions, the limit is {ids.MAX_DIMENSIONS}")
        if dtype != header.elem_dtype or reserved != _RESERVED:
            raise Malformed(f"tensor {i}: dtype differs from the header, or a reserved bit is set")
        shape = dims[used : used + ndim]
        size = prod(shape)
        if (size or prod(filter(None, shape))) > ids.MAX_ELEMENTS:
            raise LimitExceeded(f"tensor {i}: the dimensions of {shape} multiply past 2^48")
        tensors.append(Tensor(name_hash, start, shape))
        start, used = start + size, used + ndim
    if start != header.n_elements and header.frame_kind != ids.FrameKind.COUNT_SKETCH:
        raise Malformed(f"the tensors hold {start} elements, the header says {header.n_elements}")
    return tuple(tensors)


def layout(spans: Mapping[int, Span]) -> slice:
    """Where TENSORS is, and DIMS, which follows it at once if it is there."""
    span = spans[ids.Section.TENSORS]
    return slice(span.offset, sum(spans.get(ids.Section.DIMS, span)[:2]))


def read_codebook(
    meta: bytes,
    spans: Mapping[int, Span],
    element: Element,
    levels_are_sound: Callable[[Patterns, int], bool],
) -> Patterns:
    """Levels of the codebook, as bit patterns; each is finite, and zero is positive."""
    span = spans.get(ids.Section.CODEBOOK, NOWHERE)
    if span.entries > ids.MAX_LEVELS:
        raise LimitExceeded(
            f"the codebook has {span.entries} levels, the limit is {ids.MAX_LEVELS}"
        )
    levels = np.frombuffer(meta, element.pattern, span.entries, span.offset)
    if not levels_are_sound(levels, element.infinity):
        raise Malformed("a level of the codebook is not finite, or is a negative zero")
    return levels


def read_seeds(meta: bytes, spans: Mapping[int, Span]) -> NDArray[np.uint64]:
    """A seed and the number of the first chunk, or nothing."""
    span = spans.get(ids.Section.SEEDS)
    return NO_SEEDS if span is None else np.frombuffer(meta, "<u8", 2 * span.entries, span.offset)


def element_of(header: Header) -> Element:
    """The element type of a header that was checked."""
    return _ELEMENTS[header.elem_dtype]
