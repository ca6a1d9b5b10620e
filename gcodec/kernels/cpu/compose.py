"""The frame of elements that were chosen: rounded, measured, laid out, written and sealed."""

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
    ALLOWED,
    CHUNK_LOG2,
    FIXED,
    HEAD,
    LEVELS,
    MEASURES,
    MORE_FRAME,
    NOT_TAKEN,
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
from .jit import helper, inner, maker
from .levels import measure_values
from .measure import CLASSES, KEY_CODECS, choose_keys, measure_chunk, words_of
from .pick import pick_by
from .quantize import FEW, count_up_to, grid_of, quantize, quantize_on
from .write import HALF, lengths_of_chunks, place_planes, write_chunks

CHUNK_BYTES, TENSOR_BYTES = CHUNK.itemsize, TENSOR.itemsize
MOST_LEVELS = 128
"""Their numbers with a sign are bytes."""

MOST_COUNTS = 1 << 20
TRIALS, LISTS = 5 + KEY_CODECS, 38
assert MEASURES == 1 + TRIALS + CLASSES
"""Rows of scratch of `measure_chunk` and `measure_values`."""

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
def compose(tier, n, keys, values, joint, counts, low, high, limit, ties, facts, step, frame):
    """The frame of elements that were kept, of magnitudes `low` to `high`; also how many they are.

    If `ties` is not negative, those are kept that are above a limit, and so many that are equal.
    """
    most = np.int64(0)
    for chunk in range(counts.size):
        most = max(most, counts[chunk])
    measured, first, kept = room_to_measure(n, counts, most, facts), 0, 0
    coded = facts[LEVELS] > 0
    boundaries = values[:0]
    if coded:
        scale, begin, end = levels_between(facts, values, low, high)
        if end - begin >= MOST_LEVELS:
            return NOT_TAKEN, 0, keys.size
        boundaries = scale[begin:end]
    if coded and keys.size >= FEW:  # levels while they are in the nearest cache
        grid = grid_of(boundaries)
        for chunk in range(counts.size):
            before = kept
            first, kept, ties = _choose(
                tier, chunk, keys, values, counts, limit, ties, first, kept, facts, measured
            )
            quantize_on(grid, values[before:kept], joint[before:kept])
    else:
        for chunk in range(counts.size):
            first, kept, ties = _choose(
                tier, chunk, keys, values, counts, limit, ties, first, kept, facts, measured
            )
        if coded:
            quantize(values[:kept], boundaries, joint[:kept])
    keys, values, joint = keys[:kept], values[:kept], joint[:kept]
    what, size = finish(n, keys, values, joint, counts, low, high, facts, step, measured, frame)
    return what, size, kept


@helper
def _choose(tier, chunk, keys, values, counts, limit, ties, first, kept, facts, measured):
    """Pick and measure a chunk: where the next one starts, how many are kept, and ties left."""
    before, stop = kept, first + counts[chunk]
    if ties < 0:
        kept = stop
    else:
        kept, ties = pick_by(tier, keys, values, first, stop, limit, ties, kept)
    counts[chunk] = kept - before
    measure_one(chunk, keys[before:kept], facts, measured)
    return stop, kept, ties


@maker
def room_to_measure(n, counts, most, facts):
    """What is to be known of the keys of each chunk, of which none has more than `most`."""
    measured = measured_in(np.empty(MEASURES * counts.size, np.int64), most)
    fill_lengths(n, facts, measured)
    return measured


@maker
def measured_in(numbers, longest):
    """Lengths, trials and classes of chunks, with scratch for the one that is looked at."""
    n_chunks, rows = numbers.size // MEASURES, 1 + TRIALS
    lengths, trials = numbers[:n_chunks], numbers[n_chunks : rows * n_chunks]
    classes = numbers[rows * n_chunks :].reshape(n_chunks, CLASSES)
    return lengths, trials.reshape(TRIALS, n_chunks), classes, np.empty(longest, np.uint32)


@inner
def fill_lengths(n, facts, measured):
    lengths, log2 = measured[0], facts[CHUNK_LOG2]
    for chunk in range(lengths.size):
        lengths[chunk] = min(n - (chunk << log2), 1 << log2)


@inner
def measure_one(chunk, keys, facts, measured):
    """`measure_chunk`, of a frame that is to be made."""
    lengths, trials, classes, skips = measured
    measure_chunk(chunk, keys, lengths, facts[ALLOWED:], classes, trials, skips)


@maker
def finish(n, keys, values, joint, counts, low, high, facts, step, measured, frame):
    """The frame of elements that were rounded and measured.

    `joint` are their levels from that of `low` on, if they have levels.
    """
    n_chunks, table = counts.size, values[:0]
    if facts[LEVELS]:
        scale, first, last = levels_between(facts, values, low, high)
        if last - first >= MOST_LEVELS:
            return NOT_TAKEN, 0
        table = with_signs(scale[facts[LEVELS] - 1 + first : facts[LEVELS] + last])
    size = table.size
    lists = np.empty((LISTS, size), np.int64)
    directory = np.empty(n_chunks, CHUNK)
    directory.view(np.uint8)[:] = 0
    for chunk in range(n_chunks):
        directory[chunk].nnz = counts[chunk]
    columns, rows = _columns(keys, directory, n, facts)
    codes = np.zeros((min(n_chunks, CLASSES) + 2, CLASSES), np.uint8)
    words_of_codes = np.zeros((codes.shape[0], CLASSES), np.uint32)
    n_rows = n_chunks if n_chunks * size <= MOST_COUNTS else 1
    small, code = np.zeros((2 + n_rows, size), np.uint32), np.empty((2, size), np.uint8)
    ends = np.empty(8, np.int64)
    return _written(
        n, keys, values, joint, facts, step, table, measured, columns, rows, codes, words_of_codes,
        lists, small, code, _head(facts), ends, directory, frame,
    )  # fmt: skip


@inner
def _written(
    n, keys, values, joint, facts, step, table, measured, columns, rows, codes, words_of_codes,
    lists, small, code, head, ends, directory, frame,
):  # fmt: skip
    """`finish`, with scratch."""
    lengths, trials, classes, _ = measured
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
        signed, used, with_code = measure_values(
            joint, width, False, small[2:], lists[:32].reshape(16, 2 * size), lists[32:36], order,
            symbols, code, directory,
        )  # fmt: skip
    rests = trials[0]
    lengths_of_chunks(directory, rests, width, ends)
    if facts[WHOLE] and not coded and _better_whole(directory, lengths, rests, width, ends):
        return NOT_TAKEN, 0
    units = np.int64(0)
    dense = kept == n
    for chunk in range(n_chunks):
        directory[chunk].off16 = units
        units += np.int64(directory[chunk].len16)
        dense = dense and directory[chunk].key_codec == ALL
    if 16 * units >= MAX_PAYLOAD:
        return NOT_TAKEN, 0
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
        return MORE_FRAME, size_of_frame
    payload = frame[start:end].view(np.uint64)
    write_chunks(
        0, n_chunks, directory, rests, width, keys, columns, words_of_codes[:n_codes], joint,
        symbols, values, payload,
    )  # fmt: skip
    _copy(head[:HEADER_SIZE], frame)
    frame[HEADER_SIZE:start] = 0
    frame[end:size_of_frame] = 0
    table_of_sections, entry = frame[HEADER_SIZE:at].view(np.uint64), 0
    entry = _enter(table_of_sections, entry, _TENSORS, of_tensors // TENSOR_BYTES, of_tensors)
    if of_shapes > of_tensors:
        more = of_shapes - of_tensors
        entry = _enter(table_of_sections, entry, _DIMS, more // 8, more)
    _copy(head[HEADER_SIZE:], frame[at:])
    at += of_shapes
    if used:
        entry = _enter(table_of_sections, entry, _CODEBOOK, used, of_levels)
        levels = frame[at : at + of_levels].view(values.dtype)
        for place in range(used):
            levels[place] = table[order[1, place] if signed else 2 * order[0, place]]
        at += _align(of_levels)
    entry = _enter(table_of_sections, entry, _CHUNKDIR, n_chunks, n_chunks * CHUNK_BYTES)
    _copy(directory.view(np.uint8), frame[at:])
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
    words, halves = frame[:HEADER_SIZE].view(np.uint64), frame[:HEADER_SIZE].view(np.uint32)
    words[_LENGTH], words[_STORED], words[_STEP], words[_START] = size_of_frame, kept, step, start
    frame[:HEADER_SIZE].view(np.uint16)[_SECTIONS] = n_sections
    if dense:
        frame[_KIND] = _DENSE
    halves[_META_CHECK] = digest(frame[HEADER_SIZE:start], ZERO) & _LOW_32
    halves[_HEADER_CHECK] = digest(frame[:CHECKED_HEADER_BYTES], ZERO) & _LOW_32
    return WRITTEN, size_of_frame


@inner
def _places(facts):
    """Where the tensors, the head and the levels start."""
    head = ALLOWED + KEY_CODECS + 2 * facts[SHAPES]
    return ALLOWED + KEY_CODECS, head, head + (facts[HEAD] + 7) // 8


@maker
def _head(facts):
    _, start, stop = _places(facts)
    return facts[start:stop].view(np.uint8)[: facts[HEAD]]


@maker
def levels_between(facts, values, low, high):
    """Where levels start, then levels; and the first and the last of magnitudes between two."""
    _, _, start = _places(facts)
    scale = facts[start:].view(values.dtype)
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
def _copy(source, target):
    for i in range(source.size):
        target[i] = source[i]


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
