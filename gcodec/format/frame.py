"""A whole frame: laid out for writing, sealed with its checks, parsed and proved."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from .. import scratch
from ..errors import Corrupt, Malformed
from . import ids
from .codes import pack_lengths, read_key_codes, read_value_code
from .directory import CHUNK, FirstFault, Sizes, check_directory, place_chunks
from .elements import Element, Patterns
from .header import (
    CHECKED_HEADER_BYTES,
    HEADER_SIZE,
    LOW_32,
    Hash,
    Header,
    read_header,
    read_prefix,
)
from .ids import FIRST_ANCILLARY_SECTION
from .scales import UNSCALED, Scales, read_scales, write_runs
from .sections import (
    NO_SEEDS,
    SECTION,
    TENSOR,
    Span,
    Tensor,
    align,
    build_tensors,
    check_types,
    element_of,
    layout,
    place,
    read_codebook,
    read_sections,
    read_seeds,
    read_tensors,
)
from .sketch import Sketch, read_sketch, sum_key


class Frame(np.ndarray[Any, Any]):
    """One encoded message: a read-only `uint8` array, so it is bytes-like everywhere.

    `len(frame)` is its size in bytes, `bytes(frame)` copies it out, `memoryview(frame)` does not.
    Pickle protocol 5 sends it out of band without a copy.
    """

    def __new__(cls, data: Any) -> "Frame":
        """Wrap bytes as a frame without a copy or a check; `gcodec.decode` does the checking."""
        view = memoryview(data).toreadonly()
        return np.frombuffer(view if view.nbytes else b"", np.uint8).view(cls)

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
    """What chunks refer to: the codebook, code lengths of gap classes and of level indices, the
    seed and first chunk number of keys that are drawn, and what values are multiplied by."""

    levels: Patterns
    key_codes: NDArray[np.uint8]
    value_code: NDArray[np.uint8]
    seeds: NDArray[np.uint64]
    scaling: Scales = UNSCALED


NO_TABLES: Final = Tables(
    np.empty(0, np.uint32), np.empty((0, 32), np.uint8), np.empty(0, np.uint8), NO_SEEDS
)


class Draft(NamedTuple):
    """A frame being written: all of it, and views of the two parts that kernels fill."""

    frame: NDArray[np.uint8]
    header: Header
    spans: dict[ids.Section, slice]
    directory: NDArray[np.void]
    payload: NDArray[np.uint64]
    sketch: Sketch | None = None


class Parsed(NamedTuple):
    """What a frame says, proved but for the payload's planes."""

    header: Header
    element: Element
    tensors: tuple[Tensor, ...]
    tables: Tables
    directory: NDArray[np.void]
    payload: NDArray[np.uint64]
    spans: dict[int, Span]
    sketch: Sketch | None = None

    def section_bytes(self) -> dict[str, int]:
        """Sizes of the header, of the section table and of all sections but ancillary ones."""
        own = ((kind, span) for kind, span in self.spans.items() if kind < FIRST_ANCILLARY_SECTION)
        return {
            "HEADER": self.header.header_len,
            "SECTIONS": self.header.n_sections * SECTION.itemsize,
            **{ids.Section(kind).name: span.length for kind, span in own},
        }


class Checks(Protocol):
    """What a parser asks of kernels: hashes and other reductions."""

    xxh64: Hash
    levels_are_sound: Callable[[Patterns, int], bool]
    check_directory: FirstFault


def draft(
    header: Header,
    tensors: Sequence[Tensor],
    tables: Tables,
    directory: NDArray[np.void],
    sketch: Sketch | None = None,
) -> Draft:
    """Allocate the frame for a directory of known sizes; write all but payload and checks."""
    payload_len = place_chunks(directory)
    rows, dims = build_tensors(tuple(tensors), header.elem_dtype)
    levels, codes, code, seeds, scaling = tables
    parts: list[tuple[ids.Section, int, bytes]] = [(ids.Section.TENSORS, len(tensors), rows)]
    if dims:
        parts.append((ids.Section.DIMS, len(dims) // 8, dims))
    if levels.size:
        parts.append((ids.Section.CODEBOOK, levels.size, levels.tobytes()))
    if sketch is not None:
        parts.append((ids.Section.SKETCH, 1, sketch.to_bytes()))
    parts.append((ids.Section.CHUNKDIR, directory.size, directory.tobytes()))
    if codes.size:
        parts.append((ids.Section.KEYCODES, len(codes), pack_lengths(codes)))
    if code.size:
        parts.append((ids.Section.VALUECODE, code.size, pack_lengths(code)))
    if scaling.scales.size:
        parts.append((ids.Section.SCALES, scaling.scales.size, scaling.scales.tobytes()))
    if seeds.size:
        parts.append((ids.Section.SEEDS, seeds.size // 2, seeds.tobytes()))
    if scaling.runs.size:
        parts.append((ids.Section.RUNS, len(scaling.runs), write_runs(scaling.runs)))
    lengths = [(kind, count, len(part)) for kind, count, part in parts]
    lengths.append((ids.Section.PAYLOAD, payload_len // 16, payload_len))
    table, spans = place(lengths, HEADER_SIZE)
    payload = spans[ids.Section.PAYLOAD]
    frame = scratch.empty(align(payload.stop), np.uint8)
    frame[HEADER_SIZE : payload.start] = frame[payload.stop :] = 0
    meta = frame.data
    meta[HEADER_SIZE : HEADER_SIZE + len(table)] = table
    for kind, _, part in parts:
        meta[spans[kind]] = part
    return Draft(
        frame,
        header,
        spans,
        frame[spans[ids.Section.CHUNKDIR]].view(CHUNK),
        frame[payload].view(np.uint64),
        sketch,
    )


def seal(work: Draft, xxh64: Hash) -> Frame:
    """Write header and checks over a filled draft, and freeze it."""
    frame, spans = work.frame, work.spans
    frame.setflags(write=False)
    tensors, start = spans[ids.Section.TENSORS], spans[ids.Section.PAYLOAD].start
    layout = slice(tensors.start, spans.get(ids.Section.DIMS, tensors).stop)
    layout_key = xxh64(frame[layout], 0)
    header = work.header._replace(
        frame_len=frame.size,
        n_chunks=work.directory.size,
        n_tensors=(tensors.stop - tensors.start) // TENSOR.itemsize,
        n_sections=len(spans),
        payload_offset=start,
        sum_key=work.header.sum_key
        if work.sketch is None
        else sum_key(layout_key, work.sketch, xxh64),
        layout_key=layout_key,
        meta_check=xxh64(frame[HEADER_SIZE:start], 0) & LOW_32,
    )
    head = header.to_bytes()[:CHECKED_HEADER_BYTES]
    check = xxh64(np.frombuffer(head, np.uint8), 0) & LOW_32
    frame.setflags(write=True)
    frame.data[:HEADER_SIZE] = head + check.to_bytes(4, "little")
    return Frame(frame)


def parse(buffer: NDArray[np.uint8], kernels: Checks | ModuleType) -> Parsed:
    """Check a frame in the order of spec section 9, up to and including the chunk directory.

    `buffer` is one-dimensional, read-only `uint8`, may be longer than the frame, and starts at a
    multiple of eight bytes. Everything but the payload is copied before it is looked at, since a
    receive buffer can change under us.
    """
    xxh64: Hash = kernels.xxh64
    head = buffer[:HEADER_SIZE].tobytes()
    size = read_prefix(head, buffer.size)
    header = read_header(head, xxh64)
    meta = buffer[: header.payload_offset].tobytes()
    copied = np.frombuffer(meta, np.uint8)
    if xxh64(copied[HEADER_SIZE:], 0) & LOW_32 != header.meta_check:
        raise Corrupt("meta_check at byte 120 does not match bytes 128 up to the payload")
    spans = read_sections(meta, header)
    packed = spans[ids.Section.PAYLOAD]
    end = packed.offset + packed.length
    if any(buffer[end:size].tobytes()):
        raise Malformed("the padding after the payload is not zero")
    element = element_of(header)
    check_types(spans, element)
    tensors = read_tensors(meta, spans, header)
    if header.layout_key != xxh64(copied[layout(spans)], 0):
        raise Malformed("layout_key at byte 104 is not the hash of the tensor table")
    levels = read_codebook(meta, spans, element, kernels.levels_are_sound)
    tables = Tables(
        levels,
        read_key_codes(meta, spans),
        read_value_code(meta, spans, levels.size),
        read_seeds(meta, spans),
        read_scales(meta, spans, header.n_elements, element, levels)
        if ids.Section.RUNS in spans or ids.Section.SCALES in spans
        else UNSCALED,
    )
    entries = spans[ids.Section.CHUNKDIR]
    if entries.entries != header.n_chunks:
        raise Malformed(
            f"CHUNKDIR has {entries.entries} entries, the header says {header.n_chunks}"
        )
    directory = np.frombuffer(meta, CHUNK, entries.entries, entries.offset)
    sizes = Sizes(levels.size, len(tables.key_codes), tables.value_code.size, tables.seeds.size)
    check_directory(directory, header, element, packed.length, sizes, kernels.check_directory)
    sketch = read_sketch(meta, spans, header, tensors, directory, xxh64)
    payload = buffer[packed.offset : end].view(np.uint64)
    return Parsed(header, element, tensors, tables, directory, payload, spans, sketch)
