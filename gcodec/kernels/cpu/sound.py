"""Whether a frame is sound up to its payload: the rules of spec section 9 that a frame of the
common kind can be held to, all at once. What fails one, or is of another kind, is left to
`gcodec.format`, which says why.
"""

import numpy as np

from ...format.codes import CODE_SPACE, MAX_CLASS, MAX_CODE_BITS
from ...format.directory import CHUNK
from ...format.header import CHECKED_HEADER_BYTES, HEADER_SIZE, OFFSETS
from ...format.ids import (
    ALIGNMENT,
    MAGIC,
    MAJOR,
    MAX_CHUNK_LOG2,
    MAX_CHUNKS,
    MAX_CODED_LEVELS,
    MAX_DIMENSIONS,
    MAX_ELEMENTS,
    MAX_KEY_CODES,
    MAX_LEVELS,
    MAX_TENSORS,
    MIN_CHUNK_LOG2,
    MINOR,
    SECTION_ALIGNMENT,
    SECTION_ENTRY,
    UNKNOWN_RANK,
    Aggregation,
    BoundKind,
    ElementType,
    FrameKind,
    Rounding,
    Section,
)
from ...format.sections import TENSOR
from .bits import ZERO
from .checksum import digest
from .jit import helper, inner, viewed
from .measure import CLASSES

LENGTH, ELEMENTS, STORED, LAYOUT, PAYLOAD_AT = (
    OFFSETS[name] // 8
    for name in ("frame_len", "n_elements", "n_stored", "layout_key", "payload_offset")
)
CHUNKS = OFFSETS["n_chunks"] // 4
CHUNK_LOG2 = OFFSETS["chunk_log2"]
_FEATURES, _BOUND, _WEIGHT = (
    OFFSETS[name] // 8 for name in ("critical_features", "bound", "weight")
)
_TENSORS, _RANK, _WORLD, _CONTRIBUTIONS, _META_CHECK, _HEADER_CHECK = (
    OFFSETS[name] // 4
    for name in ("n_tensors", "rank", "world", "contributions", "meta_check", "header_check")
)
_SECTIONS = OFFSETS["n_sections"] // 2
_KIND, _TYPE, _AGGREGATION, _BOUND_KIND, _ROUNDING = (
    OFFSETS[name] for name in ("frame_kind", "elem_dtype", "aggregation", "bound_kind", "rounding")
)
_SPARSE, _FLOAT32, _ADD, _EXACT = (
    int(each)
    for each in (
        FrameKind.SPARSE, ElementType.FLOAT32, Aggregation.ADD, BoundKind.EXACT,
    )
)  # fmt: skip
_MOST_BOUND_KIND, _MOST_ROUNDING = int(max(BoundKind)), int(max(Rounding))
_FIRST_WORD = np.uint64(
    int.from_bytes(MAGIC + bytes([MAJOR, MINOR]) + HEADER_SIZE.to_bytes(2, "little"), "little")
)
TENSORS, DIMS, CODEBOOK, CHUNKDIR, PAYLOAD, KEYCODES, VALUECODE = (
    int(kind)
    for kind in (
        Section.TENSORS, Section.DIMS, Section.CODEBOOK, Section.CHUNKDIR,
        Section.PAYLOAD, Section.KEYCODES, Section.VALUECODE,
    )
)  # fmt: skip
KINDS = 1 + max(TENSORS, DIMS, CODEBOOK, CHUNKDIR, PAYLOAD, KEYCODES, VALUECODE)
NO_RANK = np.uint32(UNKNOWN_RANK)
TENSOR_BYTES, CHUNK_BYTES, ITEM = TENSOR.itemsize, CHUNK.itemsize, 4
LOW_32, LOW_16, LOW_8 = (np.uint64((1 << bits) - 1) for bits in (32, 16, 8))
HALF, EIGHT, SIXTEEN = np.uint64(32), np.uint64(8), np.uint64(16)


@inner
def length_of(head, given):
    """Bytes of the frame whose header's words are given, of so many bytes, or 0."""
    size = head[LENGTH]
    fits = np.uint64(HEADER_SIZE) <= size <= np.uint64(given) and size % np.uint64(ALIGNMENT) == 0
    return np.int64(size) if fits and head[0] == _FIRST_WORD else 0


@inner
def is_sound(words, n, spans):
    """Whether a frame of n float32 is sound; fills in where each kind of section is.

    Parameters
    ----------
    words : uint64[frame_len / 8]
        The frame.
    spans : int64[KINDS, 2]
        First byte and number of entries of each section; 0 if there is none.
    """
    data = viewed(words, np.uint8)
    return (
        _is_sound_header(words, data, n)
        and _find_sections(words, data, spans)
        and _is_sound_layout(words, data, spans, n)
        and _are_sound_codes(data, spans)
    )


@inner
def _is_sound_header(words, data, n):
    halves, doubles = viewed(words, np.uint32), viewed(words, np.float64)
    if digest(data[:CHECKED_HEADER_BYTES], ZERO) & LOW_32 != np.uint64(halves[_HEADER_CHECK]):
        return False
    sections = np.int64(viewed(words, np.uint16)[_SECTIONS])
    start, end = words[PAYLOAD_AT], np.uint64(data.size)
    table = np.uint64(HEADER_SIZE + SECTION_ENTRY * sections)
    if start % np.uint64(ALIGNMENT) or not table <= start <= end:
        return False
    meta = data[HEADER_SIZE : np.int64(start)]
    if digest(meta, ZERO) & LOW_32 != np.uint64(halves[_META_CHECK]):
        return False
    log2, kind, rounding = data[CHUNK_LOG2], data[_BOUND_KIND], data[_ROUNDING]
    plain = words[_FEATURES] == ZERO and data[_KIND] == _SPARSE and data[_TYPE] == _FLOAT32
    plain = plain and data[_AGGREGATION] == _ADD and 1 <= kind <= _MOST_BOUND_KIND
    if not plain or not 1 <= rounding <= _MOST_ROUNDING:
        return False
    if not MIN_CHUNK_LOG2 <= log2 <= MAX_CHUNK_LOG2 or words[ELEMENTS] != np.uint64(n):
        return False
    chunks = np.int64(halves[CHUNKS])
    if chunks > MAX_CHUNKS or chunks != ((n - 1) >> np.int64(log2)) + 1:
        return False
    bound, weight = doubles[_BOUND], doubles[_WEIGHT]
    if words[_BOUND] >> np.uint64(63) or not np.isfinite(bound) or not np.isfinite(weight):
        return False
    if (kind == _EXACT and bound != 0) or not weight > 0 or words[STORED] > np.uint64(n):
        return False
    rank, world = halves[_RANK], halves[_WORLD]
    known = rank < world if world != NO_RANK else rank == NO_RANK
    return known and halves[_CONTRIBUTIONS] > 0


@helper
def _aligned(size, unit):
    return (size + unit - 1) // unit * unit


@inner
def _find_sections(words, data, spans):
    """Steps of sections: in order, without holes, of known kinds and right lengths."""
    sections = np.int64(viewed(words, np.uint16)[_SECTIONS])
    payload, end = np.int64(words[PAYLOAD_AT]), HEADER_SIZE + SECTION_ENTRY * sections
    first, before = HEADER_SIZE // 8, 0
    for number in range(sections):
        entry, length = words[first + 2 * number], np.int64(words[first + 2 * number + 1])
        kind, entries = np.int64(entry & LOW_16), np.int64(entry >> HALF)
        last = number == sections - 1
        if (entry >> SIXTEEN) & LOW_16 or (kind == PAYLOAD) != last:
            return False
        if not last and kind <= before:
            return False
        unit, limit = (ALIGNMENT, data.size) if last else (SECTION_ALIGNMENT, payload)
        offset = _aligned(end, unit)
        if _some(data, end, min(offset, data.size)) or not 0 <= length <= limit - offset:
            return False
        if length != _length(kind, entries):
            return False
        spans[kind, 0], spans[kind, 1] = offset, entries
        end, before = offset + length, kind
    if spans[PAYLOAD, 0] != payload or _aligned(end, ALIGNMENT) != data.size:
        return False
    return spans[TENSORS, 0] > 0 and spans[CHUNKDIR, 0] > 0 and not _some(data, end, data.size)


@inner
def _length(kind, entries):
    """Bytes of so many entries; -1 for other kinds."""
    if kind == TENSORS:
        return entries * TENSOR_BYTES
    if kind == DIMS:
        return entries * 8
    if kind == CODEBOOK:
        return entries * ITEM
    if kind == CHUNKDIR:
        return entries * CHUNK_BYTES
    if kind == KEYCODES:
        return entries * (CLASSES // 2)
    if kind == VALUECODE:
        return (entries + 1) // 2
    return entries * 16 if kind == PAYLOAD else -1


@inner
def _some(data, start, stop):
    """Whether a byte is not zero."""
    some = np.uint8(0)
    for i in range(start, stop):
        some |= data[i]
    return some != 0


@inner
def _is_sound_layout(words, data, spans, n):
    """Whether the tensors' shapes make up n elements, with their hash; and the chunks' number."""
    halves = viewed(words, np.uint32)
    tensors, lengths = spans[TENSORS, 1], spans[DIMS, 1]
    if tensors != np.int64(halves[_TENSORS]) or not 1 <= tensors <= MAX_TENSORS:
        return False
    if spans[CHUNKDIR, 1] != np.int64(halves[CHUNKS]) or spans[CODEBOOK, 1] > MAX_LEVELS:
        return False
    row, dim, used, total = spans[TENSORS, 0] // 8, spans[DIMS, 0] // 8, 0, 0
    for _ in range(tensors):
        facts = words[row + 1]
        dimensions = np.int64(facts & LOW_8)
        if dimensions > MAX_DIMENSIONS or facts >> EIGHT != np.uint64(_FLOAT32):
            return False
        used += dimensions
        if used > lengths:
            return False
        size, product = 1, 1
        for _ in range(dimensions):
            length = words[dim]
            if length > np.uint64(MAX_ELEMENTS):
                return False
            if length:
                if product > MAX_ELEMENTS // np.int64(length):
                    return False
                product *= np.int64(length)
            size = min(size, np.int64(length))
            dim += 1
        total += product if size else 0
        if total > n:
            return False
        row += 2
    stop = spans[TENSORS, 0] + tensors * TENSOR_BYTES
    if lengths or spans[DIMS, 0]:
        stop = spans[DIMS, 0] + 8 * lengths
    layout = data[spans[TENSORS, 0] : stop]
    return used == lengths and total == n and digest(layout, ZERO) == words[LAYOUT]


@inner
def _are_sound_codes(data, spans):
    """Whether prefix codes are complete, and of symbols that there are."""
    codes, at = spans[KEYCODES, 1], spans[KEYCODES, 0]
    if codes > MAX_KEY_CODES:
        return False
    for _ in range(codes):
        if length_at(data, at, 0):
            return False
        for symbol in range(MAX_CLASS + 1, CLASSES):
            if length_at(data, at, symbol):
                return False
        if not _is_complete(data, at, CLASSES):
            return False
        at += CLASSES // 2
    levels, at = spans[VALUECODE, 1], spans[VALUECODE, 0]
    if at == 0:
        return True
    if levels > MAX_CODED_LEVELS or levels != spans[CODEBOOK, 1] or levels == 0:
        return False
    if levels % 2 and length_at(data, at, levels):
        return False
    return _is_complete(data, at, levels)


@inner
def length_at(data, start, symbol):
    """Of a symbol's code: four bits, of which the low ones come first."""
    both = np.uint64(data[start + symbol // 2])
    return np.int64(both >> np.uint64(4 * (symbol % 2)) & np.uint64(15))


@inner
def _is_complete(data, start, symbols):
    """Whether Kraft's sum is 1, or there is one symbol of length 1."""
    space = single = 0
    for symbol in range(symbols):
        length = length_at(data, start, symbol)
        if length > MAX_CODE_BITS:
            return False
        if length:
            space += CODE_SPACE >> length
        single += length == 1
    return space == CODE_SPACE or (space == CODE_SPACE // 2 and single == 1)
