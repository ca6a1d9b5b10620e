"""Where everything of a frame goes, and all of it but the payload; checks come last."""

import numpy as np

from ...format.directory import CHUNK
from ...format.header import CHECKED_HEADER_BYTES, HEADER_SIZE, OFFSETS
from ...format.ids import (
    ALIGNMENT,
    MAX_PAYLOAD,
    SECTION_ALIGNMENT,
    SECTION_ENTRY,
    FrameKind,
    Section,
)
from ...format.sections import TENSOR
from ..jobs import COLUMNS as JOB
from ..plans import (
    ABOUT,
    ALLOWED,
    CHUNK_LOG2,
    FIXED,
    HEAD,
    INFINITY,
    LEVELS,
    MORE_FRAME,
    MOST_COUNTS,
    MOST_LEVELS,
    NOT_TAKEN,
    OFF,
    SAMPLES,
    SHAPES,
    TENSORS,
    WHOLE,
    WIDEST,
    WRITTEN,
)
from .bits import ONE, ZERO, bit_length
from .checksum import digest
from .compact import compact_keys, cut_pieces
from .directory import ALL, RAW, SIGNED_FIXED
from .jit import copy, helper, inner, maker, viewed
from .levels import measure_counted, measure_values
from .measure import CLASSES, KEY_CODECS, choose_keys, words_of
from .quantize import count_up_to
from .write import HALF, lengths_of_chunks, place_planes

CHUNK_BYTES, TENSOR_BYTES = CHUNK.itemsize, TENSOR.itemsize
LISTS = 38
"""Rows of scratch of `measure_values`."""

_LENGTH, _STORED, _STEP, _START = (
    OFFSETS[name] // 8 for name in ("frame_len", "n_stored", "step", "payload_offset")
)
_META_CHECK, _HEADER_CHECK = (OFFSETS[name] // 4 for name in ("meta_check", "header_check"))
_SECTIONS, _KIND = OFFSETS["n_sections"] // 2, OFFSETS["frame_kind"]
_DENSE = int(FrameKind.DENSE)
_TENSORS, _DIMS, _CODEBOOK, _CHUNKDIR, _KEYCODES, _VALUECODE, _PAYLOAD = (
    int(kind)
    for kind in (
        Section.TENSORS, Section.DIMS, Section.CODEBOOK, Section.CHUNKDIR, Section.KEYCODES,
        Section.VALUECODE, Section.PAYLOAD,
    )
)  # fmt: skip
_LOW_32 = np.uint64(0xFFFF_FFFF)


@helper
def taken(kept, top, facts):
    """Whether there are as many as was asked for, and all are numbers."""
    missed = facts[SAMPLES] and abs(kept - facts[ABOUT]) > facts[OFF]
    return not missed and np.int64(top) < facts[INFINITY]


@maker
def lay_out(n, keys, values, joint, counts, low, high, facts, step, measured, frame):
    """`finish`, but for the payload and what depends on it, which `seal` adds.

    Returns
    -------
    what, size : as of any encode
    start, at : int
        Where the payload and the chunk directory go.
    directory, rests, columns, codes, symbols : as `write_chunks` takes them
    """
    n_chunks, table = counts.size, values[:0]
    fits = taken(keys.size, high, facts)
    if fits and facts[LEVELS]:
        scale, first, last = levels_between(facts, values, low, high)
        fits = last - first < MOST_LEVELS
        if fits:
            table = with_signs(scale[facts[LEVELS] - 1 + first : facts[LEVELS] + last])
    size = table.size
    lists = np.empty((LISTS, size), np.int64)
    directory = np.empty(n_chunks, CHUNK)
    viewed(directory, np.uint8)[:] = 0
    for chunk in range(n_chunks):
        directory[chunk].nnz = counts[chunk]
    columns, rows = _columns(keys, directory, n, facts)
    codes = np.zeros((min(n_chunks, CLASSES) + 2, CLASSES), np.uint8)
    words_of_codes = np.zeros((codes.shape[0], CLASSES), np.uint32)
    n_rows = n_chunks if n_chunks * size <= MOST_COUNTS else 1
    small, code = np.zeros((2 + n_rows, size), np.uint32), np.empty((2, size), np.uint8)
    what, size_of_frame, start, at, n_codes = NOT_TAKEN, 0, 0, 0, 0
    if fits:
        what, size_of_frame, start, at, n_codes = _lay_out(
            n, keys, values, joint, facts, step, table, measured, rows, codes, words_of_codes,
            lists, small, code, _head(facts), np.empty(8, np.int64), directory, frame,
        )  # fmt: skip
    symbols = small[: 0 if facts[FIXED] else 2]
    return (
        what, size_of_frame, start, at, directory, measured[1][0], columns,
        words_of_codes[:n_codes], symbols,
    )  # fmt: skip


@inner
def _lay_out(
    n, keys, values, joint, facts, step, table, measured, rows, codes, words_of_codes, lists,
    small, code, head, ends, directory, frame,
):  # fmt: skip
    """`lay_out`, with scratch, and how many codes of keys there are."""
    lengths, trials, classes, _, tallies = measured
    width, coded, size = values.itemsize * 8, facts[LEVELS] > 0, table.size
    kept, n_chunks = keys.size, lengths.size
    n_codes = choose_keys(
        lengths, facts[ALLOWED:], rows, classes, trials, codes, words_of_codes, directory
    )
    order, symbols = lists[36:], small[:2]
    signed = used = 0
    with_code = False
    if not coded:
        for chunk in range(n_chunks):
            directory[chunk].val_codec = RAW
    elif facts[FIXED]:
        signed, used = 1, size if kept else 0
        symbols = symbols[:0]
        for chunk in range(n_chunks):
            filled = directory[chunk].nnz > 0
            directory[chunk].val_codec = SIGNED_FIXED if filled else RAW
            directory[chunk].val_param = max(bit_length(size - 1), ONE) if filled else 0
        for place in range(size):
            order[1, place] = place
    else:
        rows_of_levels, merging, four = small[2:], lists[:32].reshape(16, 2 * size), lists[32:36]
        if tallies.shape[0]:
            four[1] = 0
            for chunk in range(n_chunks):
                for level in range(size):
                    rows_of_levels[chunk, level] = tallies[chunk, level]
                    four[1, level] += tallies[chunk, level]
            signed, used, with_code = measure_counted(
                joint, width, False, rows_of_levels, merging, four, order, symbols, code, directory
            )
        else:
            signed, used, with_code = measure_values(
                joint, width, False, rows_of_levels, merging, four, order, symbols, code, directory
            )
    rests = trials[0]
    lengths_of_chunks(directory, rests, width, ends)
    if facts[WHOLE] and not coded and _better_whole(directory, lengths, rests, width, ends):
        return NOT_TAKEN, 0, 0, 0, 0
    units = np.int64(0)
    dense = kept == n
    for chunk in range(n_chunks):
        directory[chunk].off16 = units
        units += np.int64(directory[chunk].len16)
        dense = dense and directory[chunk].key_codec == ALL
    if 16 * units >= MAX_PAYLOAD:
        return NOT_TAKEN, 0, 0, 0, 0
    of_tensors, of_shapes = facts[TENSORS], head.size - HEADER_SIZE
    n_sections = 3 + (of_shapes > of_tensors) + (used > 0) + (n_codes > 0) + with_code
    at = HEADER_SIZE + SECTION_ENTRY * n_sections
    of_levels, of_code = used * values.itemsize, (used + 1) // 2 if with_code else 0
    of_codes = n_codes * CLASSES // 2
    meta = _align(of_shapes) + _align(of_levels) + n_chunks * CHUNK_BYTES + of_codes + of_code
    start = (at + meta + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    end = start + 16 * units
    size_of_frame = (end + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    if size_of_frame > frame.size:
        return MORE_FRAME, size_of_frame, 0, 0, 0
    copy(head[:HEADER_SIZE], frame)
    frame[HEADER_SIZE:start] = 0
    frame[end:size_of_frame] = 0
    table_of_sections, entry = viewed(frame[HEADER_SIZE:at], np.uint64), 0
    entry = _enter(table_of_sections, entry, _TENSORS, of_tensors // TENSOR_BYTES, of_tensors)
    if of_shapes > of_tensors:
        more = of_shapes - of_tensors
        entry = _enter(table_of_sections, entry, _DIMS, more // 8, more)
    copy(head[HEADER_SIZE:], frame[at:])
    at += of_shapes
    if used:
        entry = _enter(table_of_sections, entry, _CODEBOOK, used, of_levels)
        levels = viewed(frame[at : at + of_levels], values.dtype)
        for place in range(used):
            levels[place] = table[order[1, place] if signed else 2 * order[0, place]]
        at += _align(of_levels)
    entry = _enter(table_of_sections, entry, _CHUNKDIR, n_chunks, n_chunks * CHUNK_BYTES)
    of_chunks = at
    at += n_chunks * CHUNK_BYTES
    if n_codes:
        entry = _enter(table_of_sections, entry, _KEYCODES, n_codes, of_codes)
        for row in range(n_codes):
            _pack_lengths(codes[row], frame[at + row * CLASSES // 2 :])
        at += of_codes
    if with_code:
        entry = _enter(table_of_sections, entry, _VALUECODE, used, of_code)
        _pack_lengths(code[signed, :used], frame[at:])
    _enter(table_of_sections, entry, _PAYLOAD, units, 16 * units)
    words = viewed(frame[:HEADER_SIZE], np.uint64)
    words[_LENGTH], words[_STORED], words[_STEP], words[_START] = size_of_frame, kept, step, start
    viewed(frame[:HEADER_SIZE], np.uint16)[_SECTIONS] = n_sections
    if dense:
        frame[_KIND] = _DENSE
    return WRITTEN, size_of_frame, start, of_chunks, n_codes


@inner
def seal(directory, start, at, frame):
    """Put the directory, with its checks, at its place in a frame, and the checks of what is before
    the payload."""
    copy(viewed(directory, np.uint8), frame[at:])
    halves = viewed(frame[:HEADER_SIZE], np.uint32)
    halves[_META_CHECK] = digest(frame[HEADER_SIZE:start], ZERO) & _LOW_32
    halves[_HEADER_CHECK] = digest(frame[:CHECKED_HEADER_BYTES], ZERO) & _LOW_32


@inner
def _places(facts):
    """Where the tensors, the head and the levels start."""
    head = ALLOWED + KEY_CODECS + 2 * facts[SHAPES]
    return ALLOWED + KEY_CODECS, head, head + (facts[HEAD] + 7) // 8


@maker
def _head(facts):
    _, start, stop = _places(facts)
    return viewed(facts[start:stop], np.uint8)[: facts[HEAD]]


@maker
def levels_between(facts, values, low, high):
    """Where levels start, then levels; and the first and the last of magnitudes between two."""
    _, _, start = _places(facts)
    scale = viewed(facts[start:], values.dtype)
    starts = scale[: facts[LEVELS] - 1]
    return scale, count_up_to(starts, np.uint64(low)), count_up_to(starts, np.uint64(high))


@maker
def with_signs(levels):
    """Each level and its negative, by turns."""
    table = np.empty(2 * levels.size, levels.dtype)
    kind = levels.dtype.type
    sign = kind(kind(1) << kind(8 * levels.itemsize - 1))
    for i in range(levels.size):
        table[2 * i], table[2 * i + 1] = levels[i], levels[i] | sign
    return table


@maker
def _columns(keys, directory, n, facts):
    """Keys by active columns, as `write_chunks` takes them, and what `measure_keys` has to know."""
    n_chunks, widest = directory.size, facts[WIDEST]
    start, stop, _ = _places(facts)
    tensors = facts[start:stop].reshape(facts[SHAPES], 2)
    rows, gaps = facts[:0].reshape(0, 2 + 2 * CLASSES), keys[:0]
    jobs = chunks = pieces = facts[:0].reshape(0, JOB)
    if widest >= 2 and keys.size:
        pieces = np.zeros((n_chunks + tensors.shape[0], JOB), np.int64)
        chunks, jobs = np.zeros((n_chunks, JOB), np.int64), np.zeros((n_chunks, JOB), np.int64)
        found = np.zeros((n_chunks, 2 + 2 * CLASSES), np.int64)
        listed, marks = np.empty(keys.size + 1, np.uint32), np.zeros(widest, np.uint8)
        number, some, size = cut_pieces(
            keys, directory, tensors, n, facts[CHUNK_LOG2], marks, pieces, listed, chunks, jobs,
            found,
        )  # fmt: skip
        if some:
            rows, gaps, ranks = found, np.empty(size, np.uint32), np.empty(widest, np.uint32)
            compact_keys(keys, pieces, listed, chunks, jobs, ranks, gaps, rows)
            pieces = pieces[:number]
    return (jobs, gaps, chunks, pieces), rows


@inner
def _better_whole(directory, lengths, rests, width, ends):
    """Whether there is a chunk that would be smaller with all its elements and no keys."""
    for chunk in range(directory.size):
        entry = directory[chunk]
        if 0 < np.int64(entry.nnz) < lengths[chunk]:
            place_planes(entry, rests[chunk], width, ends)
            if words_of(lengths[chunk] * width) < ends[7]:
                return True
    return False


@helper
def _align(size):
    return (size + SECTION_ALIGNMENT - 1) // SECTION_ALIGNMENT * SECTION_ALIGNMENT


@inner
def _enter(table, entry, kind, count, length):
    table[2 * entry] = np.uint64(kind) | np.uint64(count) << HALF
    table[2 * entry + 1] = length
    return entry + 1


@inner
def _pack_lengths(lengths, out):
    """Two to a byte, the first in the low half; `out` is zero."""
    for j in range(lengths.size):
        out[j >> 1] |= lengths[j] << np.uint8(4 * (j & 1))
