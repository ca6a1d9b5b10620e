"""A whole frame in one call: elements chosen, rounded, measured, laid out, written and sealed.

For what is asked of most gradients: the largest elements or those above a magnitude, as they are or
as levels of a logarithm. Everything else goes through the parts that this is made of, one by one,
to the same bytes.
"""

from functools import cache

import numpy as np

from ...format.directory import CHUNK
from ...format.draws import STEP_STRIDE
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
    MORE_WORK,
    NAME,
    NOT_TAKEN,
    OFF,
    RANK,
    SAMPLES,
    SEED,
    TENSORS,
    THRESHOLD,
    WANTED,
    WHOLE,
    WIDEST,
    WRITTEN,
)
from .bits import ONE, ZERO, bit_length
from .checksum import digest
from .compact import compact_keys, cut_pieces
from .directory import ALL, RAW, SIGNED_FIXED
from .jit import helper, inner, kernel, magnitude
from .levels import measure_values
from .measure import CLASSES, KEY_CODECS, measure_keys, words_of
from .probe import sound_tier
from .quantize import count_up_to, draw_strata, quantize
from .ranks import FEW, floor_of, kth_magnitude
from .selection import collect_by, pick_of, take
from .vector import LANES
from .write import HALF, measure_chunks, place_planes, write_chunks

CHUNK_BYTES, TENSOR_BYTES = CHUNK.itemsize, TENSOR.itemsize
MOST_LEVELS = 128
"""Their numbers with a sign are bytes."""

STRIDED = 1 << 14
GROUP, MANY = 8, 32
"""Elements in a group, and for how many times as many it pays to look at groups first."""

MOST_COUNTS = 1 << 20
BINS = 1 << 11
SLACK = 192
"""Room beyond what is wanted."""

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


def whole_encoder():
    """The kernel for this CPU."""
    return encoder(sound_tier())


@cache
def encoder(tier):
    """A kernel with the code of one tier of `vector`."""

    @kernel
    def encode_whole(bits, facts, step, work, frame):
        """Write a frame: WRITTEN and its bytes, NOT_TAKEN, or what needs how many bytes.

        Parameters
        ----------
        bits : unsigned[n]
            Patterns of all elements, n > 0.
        facts : int64
            As `kernels.plans` has them.
        work : uint8
            Scratch, for elements that are kept.
        """
        kind, n, k = bits.dtype.type, bits.size, facts[WANTED]
        item, log2 = bits.itemsize, facts[CHUNK_LOG2]
        room = work.size // (item + 5) // LANES * LANES
        values = work[: room * item].view(bits.dtype)
        keys = work[room * item : room * (item + 4)].view(np.uint32)
        joint = work[room * (item + 4) : room * (item + 5)]
        counts = np.empty(((n - 1) >> log2) + 1, np.int64)
        floor, exact = kind(facts[THRESHOLD] + 1), False
        if k:
            floor, exact = _floor_of_sample(bits, k)
        elif facts[SAMPLES]:
            floor = kind(_quantile(bits, facts, step) + kind(1))
        while True:
            counts[:] = 0
            at, kept, top = collect_by(tier, bits, 0, floor, log2, 0, 0, keys, values, counts)
            if at == n and (kept >= k or exact):
                break
            if at < n and facts[SAMPLES]:
                return NOT_TAKEN, 0
            if at < n and (exact or not k):
                wanted = max(2 * room, kept * n // max(at, 1) * 9 // 8)
                return MORE_WORK, (min(wanted, n) + SLACK) * (item + 5)
            limit, _ = kth_magnitude(bits, k, np.empty(BINS, np.int64))
            floor, exact = max(limit, kind(1)), True
        if kept > k > 0:
            limit, above = kth_magnitude(values[:kept], k, np.empty(BINS, np.int64))
            kept = pick_of(keys, values, counts, limit, k - above)
        if k:
            told = kept == k or not facts[FIXED]  # then all levels travel: from the same one on
            floor = _least(values[:kept]) if kept and told else kind(1)
        missed = facts[SAMPLES] and abs(kept - facts[ABOUT]) > facts[OFF]
        if missed or np.int64(top) >= facts[INFINITY]:
            return NOT_TAKEN, 0
        return compose(
            n, keys[:kept], values[:kept], joint[:kept], counts, floor, max(floor, top), facts,
            step, frame,
        )  # fmt: skip

    return encode_whole


@inner
def _floor_of_sample(bits, k):
    """A magnitude above zero that some more than k elements reach, and whether it is that of k."""
    kind, n = bits.dtype.type, bits.size
    if n <= FEW:
        floor, _ = floor_of(_largest_of_groups(bits) if k <= n // MANY else bits, k, 0)
        return max(floor, kind(1)), True
    stride = n // min(n >> 4, STRIDED)
    size = (n - 1) // stride + 1
    rank = np.int64(k / stride * 1.2) + 16
    if rank >= size // 8:
        floor, _ = kth_magnitude(bits, k, np.empty(BINS, np.int64))
        return max(floor, kind(1)), True
    sampled, places = np.empty(size, bits.dtype), np.empty(size, np.int64)
    draw_strata(n, np.uint64(n), places)  # a stride could be that of the rows of a matrix
    take(bits, places, sampled)
    floor, _ = floor_of(sampled, rank, rank // 8)
    return max(floor, kind(1)), False


@inner
def _quantile(bits, facts, step):
    """The magnitude that is of a rank among drawn elements."""
    seed = np.uint64(facts[NAME]) + np.uint64(step) * np.uint64(STEP_STRIDE)
    seed ^= np.uint64(facts[SEED])
    positions = np.empty(facts[SAMPLES], np.int64)
    draw_strata(bits.size, seed, positions)
    drawn = np.empty(positions.size, bits.dtype)
    take(bits, positions, drawn)
    limit, _ = kth_magnitude(drawn, facts[RANK], np.empty(BINS, np.int64))
    return limit


@inner
def _largest_of_groups(bits):
    """The largest magnitude of each: what k of them reach, k elements do at least."""
    size = bits.size // GROUP
    largest = np.zeros(size, bits.dtype)
    for first in range(0, size * GROUP, size):
        part = bits[first : first + size]
        for j in range(size):
            largest[j] = max(largest[j], magnitude(part[j]))
    return largest


@inner
def _least(bits):
    least = magnitude(bits[0])
    for i in range(bits.size):
        least = min(least, magnitude(bits[i]))
    return least


@helper
def compose(n, keys, values, joint, counts, low, high, facts, step, frame):
    """The frame of elements that were kept, of magnitudes `low` to `high`."""
    width, log2 = values.itemsize * 8, facts[CHUNK_LOG2]
    kept, n_chunks = keys.size, counts.size
    at, end = ALLOWED + KEY_CODECS, ALLOWED + KEY_CODECS + 2
    tensors = facts[at:end].reshape(1, 2)
    at, end = end, end + (facts[HEAD] + 7) // 8
    head = facts[at:end].view(np.uint8)[: facts[HEAD]]
    scale, n_levels = facts[end:].view(values.dtype), facts[LEVELS]
    coded = n_levels > 0
    lengths, directory = np.empty(n_chunks, np.int64), np.empty(n_chunks, CHUNK)
    directory.view(np.uint8)[:] = 0
    for chunk in range(n_chunks):
        lengths[chunk] = min(n - (chunk << log2), 1 << log2)
        directory[chunk].nnz = counts[chunk]
    table = np.empty(0, values.dtype)
    if coded:
        starts = scale[: n_levels - 1]
        first, last = count_up_to(starts, np.uint64(low)), count_up_to(starts, np.uint64(high))
        if last - first >= MOST_LEVELS:
            return NOT_TAKEN, 0
        quantize(values, starts[first:last], joint)
        table = _with_signs(scale[n_levels - 1 + first : n_levels + last])
    columns, rows = _columns(keys, directory, n, facts, tensors)
    trials = np.empty((5 + KEY_CODECS, n_chunks), np.int64)
    codes = np.zeros((min(n_chunks, CLASSES) + 2, CLASSES), np.uint8)
    words_of_codes = np.zeros((codes.shape[0], CLASSES), np.uint32)
    classes = np.empty((n_chunks, CLASSES), np.int64)
    n_codes = measure_keys(
        keys, lengths, facts[ALLOWED:], rows, classes, trials, codes, words_of_codes, directory
    )
    size = table.size
    n_rows = n_chunks if n_chunks * size <= MOST_COUNTS else 1
    lists, small = np.empty((38, size), np.int64), np.zeros((2 + n_rows, size), np.uint32)
    order, symbols = lists[36:], small[:2]
    code = np.empty((2, size), np.uint8)
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
    measure_chunks(directory, rests, width)
    if facts[WHOLE] and not coded and _better_whole(directory, lengths, rests, width):
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
    frame[:HEADER_SIZE] = head[:HEADER_SIZE]
    frame[HEADER_SIZE:start] = 0
    frame[end:size_of_frame] = 0
    table_of_sections, entry = frame[HEADER_SIZE:at].view(np.uint64), 0
    entry = _enter(table_of_sections, entry, _TENSORS, of_tensors // TENSOR_BYTES, of_tensors)
    if of_shapes > of_tensors:
        more = of_shapes - of_tensors
        entry = _enter(table_of_sections, entry, _DIMS, more // 8, more)
    frame[at : at + of_shapes] = head[HEADER_SIZE:]
    at += of_shapes
    if used:
        entry = _enter(table_of_sections, entry, _CODEBOOK, used, of_levels)
        levels = frame[at : at + of_levels].view(values.dtype)
        for place in range(used):
            levels[place] = table[order[1, place] if signed else 2 * order[0, place]]
        at += _align(of_levels)
    entry = _enter(table_of_sections, entry, _CHUNKDIR, n_chunks, n_chunks * CHUNK_BYTES)
    frame[at : at + n_chunks * CHUNK_BYTES] = directory.view(np.uint8)
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
def _with_signs(levels):
    """Each level and its negative, by turns."""
    table = np.empty(2 * levels.size, levels.dtype)
    kind = levels.dtype.type
    sign = kind(kind(1) << kind(8 * levels.itemsize - 1))
    for i in range(levels.size):
        table[2 * i], table[2 * i + 1] = levels[i], levels[i] | sign
    return table


@inner
def _columns(keys, directory, n, facts, tensors):
    """Keys by active columns, as `write_chunks` takes them, and what `measure_keys` has to know."""
    n_chunks, widest = directory.size, facts[WIDEST]
    rows = np.zeros((0, 2 + 2 * CLASSES), np.int64)
    gaps = np.zeros(0, np.uint32)
    jobs = chunks = pieces = np.zeros((0, JOB), np.int64)
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
def _better_whole(directory, lengths, rests, width):
    """Whether there is a chunk that would be smaller with all its elements and no keys."""
    ends = np.zeros(8, np.int64)
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
