"""A whole frame: laid out for writing, sealed with its checks, parsed and proved."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt, Malformed
from . import ids
from .codes import pack_lengths, read_key_codes, read_value_code
from .directory import CHUNK, Sizes, check_directory, chunk_lengths, place_chunks
from .elements import Element, Patterns
from .header import HEADER_SIZE, LOW_32, Hash, Header, read_header, read_prefix
from .sections import (
    SECTION,
    Tensor,
    align,
    build_tensors,
    check_types,
    element_of,
    place,
    read_codebook,
    read_sections,
    read_seeds,
    read_tensors,
)


class Frame(np.ndarray[Any, Any]):
    """One encoded message: a read-only `uint8` array, so it is bytes-like everywhere.

    `len(frame)` is its size in bytes, `bytes(frame)` copies it out, `memoryview(frame)` does not.
    Pickle protocol 5 sends it out of band without a copy.
    """

    def __new__(cls, data: Any) -> "Frame":
        """Wrap bytes as a frame without a copy or a check; `gcodec.decode` does the checking."""
        view = memoryview(data)
        frame = (np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)).view(cls)
        frame.flags.writeable = False
        return frame

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if int(protocol) >= 5:
            from pickle import PickleBuffer

            return Frame, (PickleBuffer(self.data),)
        return Frame, (self.tobytes(),)

    def __copy__(self) -> "Frame":
        return self

    def __deepcopy__(self, memo: Any) -> "Frame":
        return self

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __repr__(self) -> str:
        return f"<gcodec.Frame of {self.size} bytes>"

    __str__ = __repr__


class Tables(NamedTuple):
    """What chunks refer to: the codebook, code lengths of gap classes and of level indices, and the
    seed and first chunk number of keys that are drawn."""

    levels: Patterns
    key_codes: NDArray[np.uint8]
    value_code: NDArray[np.uint8]
    seeds: NDArray[np.uint64]


class Draft(NamedTuple):
    """A frame being written: all of it, and views of the two parts that kernels fill."""

    frame: NDArray[np.uint8]
    header: Header
    spans: dict[ids.Section, slice]
    directory: NDArray[np.void]
    payload: NDArray[np.uint64]


class Parsed(NamedTuple):
    """What a frame says, proved but for the payload's planes."""

    header: Header
    element: Element
    tensors: tuple[Tensor, ...]
    tables: Tables
    directory: NDArray[np.void]
    lengths: NDArray[np.int64]
    payload: NDArray[np.uint64]
    section_bytes: dict[str, int]


def draft(
    header: Header,
    tensors: Sequence[Tensor],
    tables: Tables,
    directory: NDArray[np.void],
) -> Draft:
    """Allocate the frame for a directory of known sizes; write all but payload and checks."""
    payload_len = place_chunks(directory)
    table, dims = build_tensors(tensors, header.elem_dtype)
    parts: list[tuple[ids.Section, int, NDArray[Any]]] = [
        (ids.Section.TENSORS, table.size, table),
        (ids.Section.DIMS, dims.size, dims),
        (ids.Section.CODEBOOK, tables.levels.size, tables.levels),
        (ids.Section.CHUNKDIR, directory.size, directory),
        (ids.Section.KEYCODES, len(tables.key_codes), pack_lengths(tables.key_codes)),
        (ids.Section.VALUECODE, tables.value_code.size, pack_lengths(tables.value_code)),
        (ids.Section.SEEDS, tables.seeds.size // 2, tables.seeds),
    ]
    parts = [part for part in parts if part[1] or part[0] == ids.Section.CHUNKDIR]
    lengths = [(kind, count, part.nbytes) for kind, count, part in parts]
    lengths.append((ids.Section.PAYLOAD, payload_len // 16, payload_len))
    sections, spans = place(lengths, HEADER_SIZE)
    frame_len = align(spans[ids.Section.PAYLOAD].stop)
    frame = np.zeros(frame_len, np.uint8)
    frame[HEADER_SIZE : HEADER_SIZE + sections.nbytes] = sections.view(np.uint8)
    for kind, _, part in parts:
        frame[spans[kind]] = part.view(np.uint8).reshape(-1)
    header = header._replace(
        frame_len=frame_len,
        n_chunks=directory.size,
        n_tensors=len(tensors),
        n_sections=len(sections),
        payload_offset=spans[ids.Section.PAYLOAD].start,
    )
    return Draft(
        frame,
        header,
        spans,
        frame[spans[ids.Section.CHUNKDIR]].view(CHUNK),
        frame[spans[ids.Section.PAYLOAD]].view(np.uint64),
    )


def seal(work: Draft, xxh64: Hash) -> Frame:
    """Write header and checks over a filled draft, and freeze it."""
    frame, header = work.frame, work.header
    header = header._replace(layout_key=_layout_key(frame, work.spans, xxh64))
    meta = frame[HEADER_SIZE : header.payload_offset]
    header = header._replace(meta_check=xxh64(meta, 0) & LOW_32)
    raw = np.frombuffer(header.to_bytes(), np.uint8)
    header = header._replace(header_check=xxh64(raw[:-4], 0) & LOW_32)
    frame[:HEADER_SIZE] = np.frombuffer(header.to_bytes(), np.uint8)
    return Frame(frame)


def parse(buffer: NDArray[np.uint8], xxh64: Hash) -> Parsed:
    """Check a frame in the order of spec section 9, up to and including the chunk directory.

    `buffer` is one-dimensional, read-only `uint8`, may be longer than the frame, and starts at a
    multiple of eight bytes. Everything but the payload is copied before it is looked at, since a
    receive buffer can change under us.
    """
    head = memoryview(buffer[:HEADER_SIZE].tobytes())
    size = read_prefix(head, buffer.size)
    frame = buffer[:size]
    header = read_header(head, lambda part: xxh64(np.frombuffer(part, np.uint8), 0))
    private = frame[: header.payload_offset].copy()
    private.flags.writeable = False
    if xxh64(private[HEADER_SIZE:], 0) & LOW_32 != header.meta_check:
        raise Corrupt("meta_check at byte 120 does not match bytes 128 up to the payload")
    spans = read_sections(private, header)
    payload = spans[ids.Section.PAYLOAD]
    if frame[payload.offset + payload.length :].any():
        raise Malformed("the padding after the payload is not zero")
    element = element_of(header)
    check_types(spans, element)
    slices = {
        ids.Section(kind): slice(span.offset, span.offset + span.length)
        for kind, span in spans.items()
        if kind < ids.FIRST_ANCILLARY_SECTION
    }
    tensors = read_tensors(private, spans, header)
    if header.layout_key != _layout_key(private, slices, xxh64):
        raise Malformed("layout_key at byte 104 is not the hash of the tensor table")
    levels = read_codebook(private, spans, element)
    tables = Tables(
        levels,
        read_key_codes(private, spans),
        read_value_code(private, spans, levels.size),
        read_seeds(private, spans),
    )
    directory = private[slices[ids.Section.CHUNKDIR]].view(CHUNK)
    if directory.size != header.n_chunks:
        raise Malformed(f"CHUNKDIR has {directory.size} entries, the header says {header.n_chunks}")
    lengths = chunk_lengths(header.n_elements, header.chunk_log2)
    check_directory(
        directory,
        lengths,
        header,
        element,
        payload.length,
        Sizes(levels.size, len(tables.key_codes), tables.value_code.size, tables.seeds.size),
    )
    return Parsed(
        header,
        element,
        tensors,
        tables,
        directory,
        lengths,
        frame[slices[ids.Section.PAYLOAD]].view(np.uint64),
        {
            "HEADER": header.header_len,
            "SECTIONS": header.n_sections * SECTION.itemsize,
            **{kind.name: part.stop - part.start for kind, part in slices.items()},
        },
    )


def _layout_key(
    frame: NDArray[np.uint8], spans: dict[ids.Section, slice], xxh64: Callable[[Any, int], int]
) -> int:
    dims = spans.get(ids.Section.DIMS, slice(0, 0))
    rows = np.concatenate((frame[spans[ids.Section.TENSORS]], frame[dims]))
    rows.flags.writeable = False
    return xxh64(rows, 0)
