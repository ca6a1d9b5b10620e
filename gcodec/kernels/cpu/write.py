"""Planes of whole chunks (spec section 8), written word by word, and their checks."""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS, WIDTH_BITS
from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH
from .bits import LOW_SIX, ONE, SIX, WORD, ZERO, bit_length
from .checksum import digest
from .directory import (
    BITMAP,
    BLOCKS,
    COLUMNS,
    COO,
    DELTA,
    FIXED,
    HUFFMAN,
    KEY_RICE,
    RAW,
    RICE,
    has_signs,
    plane_bits,
)
from .jit import inner, kernel
from .levels import SIGNED
from .measure import words_of

LENGTH = np.uint64(4)
"""Low bits of an entry of code tables that hold the length; the code is above them."""

LENGTH_MASK = (ONE << LENGTH) - ONE
HALF = np.uint64(32)


@kernel
def measure_chunks(directory, rests, width):
    """Set the lengths of all chunks, of elements of so many bits."""
    ends = np.zeros(8, np.int64)
    for chunk in range(directory.size):
        entry = directory[chunk]
        entry.len16 = 0
        if entry.nnz:
            _place(entry, rests[chunk], width, ends)
            entry.len16 = (ends[7] >> 1) + 1


@inner
def _place(entry, rests, width, ends):
    """Words after which each of a chunk's planes begins, and all of them; `ends[0]` is 0."""
    index, high, signs, value_index, value_high, value_low, low = plane_bits(entry, width)
    ends[1] = words_of(index)
    ends[2] = ends[1] + words_of(high)
    ends[3] = ends[2] + words_of(signs)
    ends[4] = ends[3] + words_of(value_index)
    ends[5] = ends[4] + words_of(value_high)
    ends[6] = ends[5] + words_of(value_low)
    ends[7] = ends[6] + words_of(low + rests)


@kernel
def write_chunks(
    begin, end, directory, rests, width, keys, gaps, columns, codes, joint, symbols, bits, payload
):
    """Write all planes and the checks of chunks `begin` to `end` of a directory with offsets.

    Parameters
    ----------
    keys, gaps : uint32[n]
        Of all chunks.
    columns : (jobs int64[chunks, 7], gaps uint32[items], chunks int64[chunks, 7], pieces)
        Of chunks with active columns, as `gcodec.packing.columns` has them.
    codes : uint32[codes, 32]
        Code << 4 | length of classes, by the number of the code.
    joint : uint32[n]
        2 * level + sign of each value; none where values travel as they are.
    symbols : uint32[2, 2 * levels]
        Place in the codebook, and code << 4 | length, by `joint`.
    bits : uint16, uint32 or uint64[n]
        Patterns of values that travel as they are.
    """
    first = most = 0
    ends = np.zeros(8, np.int64)
    for chunk in range(begin):
        first += np.int64(directory[chunk].nnz)
    for chunk in range(begin, end):
        most = max(most, np.int64(directory[chunk].nnz) + np.int64(directory[chunk].columns))
    numbers = np.empty(most, np.uint32)
    for chunk in range(begin, end):
        entry = directory[chunk]
        count = np.int64(entry.nnz)
        start = np.int64(entry.off16) * 2
        part = payload[start : start + np.int64(entry.len16) * 2]
        at = 0
        codec, value = np.int64(entry.key_codec), np.int64(entry.val_codec)
        if count:
            _place(entry, rests[chunk], width, ends)
            index, high, sign = part[: ends[1]], part[ends[1] : ends[2]], part[ends[2] : ends[3]]
            low = part[ends[6] :]
            own, param = keys[first : first + count], np.int64(entry.key_param)
            own_gaps, scratch = gaps[first : first + count], numbers[:count]
            if codec == DELTA:
                _write_gaps(own_gaps, 0, codes[param], codes[param], numbers, index, high, low)
            elif codec == KEY_RICE:
                _less_one(own_gaps, scratch)
                _write_unary(scratch, param, high)
                write_fields(scratch, param, low)
            elif codec == BLOCKS:
                _less_one(own_gaps, scratch)
                _write_blocks(scratch, index, high)
            elif codec == COO:
                write_fields(own, param, low)
            elif codec == BITMAP:
                _write_bitmap(own, high)
            elif codec == COLUMNS:
                _write_columns(chunk, columns, codes, numbers, index, high, low)
            index, high = part[ends[3] : ends[4]], part[ends[4] : ends[5]]
            low = part[ends[5] : ends[6]]
            if value == RAW:
                _write_raw(bits[first : first + count], low)
            else:
                own, param = joint[first : first + count], np.int64(entry.val_param)
                if has_signs(value):
                    _write_signs(own, sign)
                kind = value % SIGNED if value > SIGNED else value
                _look_up(own, symbols[np.int64(kind == HUFFMAN)], scratch)
                if kind == HUFFMAN:
                    _write_codes(scratch, index, high)
                elif kind == RICE:
                    _write_unary(scratch, param, high)
                if kind in (FIXED, RICE):
                    write_fields(scratch, param, low)
            at = ends[7]
        part[at:] = ZERO
        first += count
        check = digest(part.view(np.uint8), np.uint64(chunk))
        entry.check = check & np.uint64(0xFFFF_FFFF)


@inner
def _less_one(gaps, numbers):
    for j in range(gaps.size):
        numbers[j] = gaps[j] - np.uint32(1)


@inner
def _look_up(joint, table, numbers):
    for j in range(joint.size):
        numbers[j] = table[joint[j]]


# Bits are gathered in a register and stored when it is full. What appends takes and returns the
# next word, the bits gathered, and how many there are. It holds a loop and is not called in one:
# Numba counts references of the arrays it is given, which takes longer than what it does.


@inner
def _append_fields(numbers, width, words, at, gathered, filled):
    """The low `width` (at most 32) bits of each number."""
    width = np.uint64(width)
    mask = (ONE << width) - ONE
    for j in range(numbers.size):
        field = np.uint64(numbers[j]) & mask
        gathered |= field << filled
        filled += width
        if filled >= WORD:
            words[at] = gathered
            at += 1
            filled -= WORD
            gathered = field >> (width - filled)
    return at, gathered, filled


@inner
def _append_codes(entries, words, at, gathered, filled):
    """Codes of `code << 4 | length`."""
    for j in range(entries.size):
        length = np.uint64(entries[j]) & LENGTH_MASK
        code = np.uint64(entries[j]) >> LENGTH
        gathered |= code << filled
        filled += length
        if filled >= WORD:
            words[at] = gathered
            at += 1
            filled -= WORD
            gathered = code >> (length - filled)
    return at, gathered, filled


@inner
def _write_rests(gaps, words):
    """The bits of each gap below its leading one."""
    at, gathered, filled = 0, ZERO, ZERO
    for j in range(gaps.size):
        gap = np.uint64(gaps[j])
        width = bit_length(gap) - ONE
        rest = gap ^ (ONE << width)
        gathered |= rest << filled
        filled += width
        if filled >= WORD:
            words[at] = gathered
            at += 1
            filled -= WORD
            gathered = rest >> (width - filled)
    if filled > ZERO:
        words[at] = gathered


@inner
def write_fields(numbers, width, words):
    at, gathered, filled = _append_fields(numbers, width, words, 0, ZERO, ZERO)
    if filled > ZERO:
        words[at] = gathered


@inner
def _write_unary(numbers, shift, words):
    """Each number >> shift as that many zeros and a one."""
    words[:] = ZERO
    bit, shift = ZERO, np.uint64(shift)
    for j in range(numbers.size):
        bit += np.uint64(numbers[j]) >> shift
        words[bit >> SIX] |= ONE << (bit & LOW_SIX)
        bit += ONE


@inner
def _write_codes(entries, index, words):
    """Codes, and the lengths of all blocks but the last."""
    at, gathered, filled = 0, ZERO, ZERO
    blocks = (entries.size - 1) // BLOCK
    lengths = np.empty(blocks, np.uint32)
    for block in range(blocks + 1):
        before = np.uint64(at) * WORD + filled
        part = entries[block * BLOCK : (block + 1) * BLOCK]
        at, gathered, filled = _append_codes(part, words, at, gathered, filled)
        if block < blocks:
            lengths[block] = np.uint64(at) * WORD + filled - before
    if filled > ZERO:
        words[at] = gathered
    write_fields(lengths, OFFSET_BITS, index)


@inner
def _write_gaps(gaps, split, code, first_code, numbers, index, high, low):
    """Codes of classes, `first_code` for the first `split`, offsets of blocks, and rests."""
    entries = numbers[: gaps.size]
    for j in range(split):
        entries[j] = first_code[bit_length(gaps[j])]
    for j in range(split, gaps.size):
        entries[j] = code[bit_length(gaps[j])]
    _write_codes(entries, index, high)
    _write_rests(gaps, low)


@inner
def _write_columns(chunk, columns, codes, numbers, index, high, low):
    """Heads of pieces, then gaps: of columns in the last code, of keys in the one before.

    `columns` are the jobs of `gcodec.packing.columns`: places of gaps, pieces of chunks, pieces.
    """
    jobs, gaps, chunks, pieces = columns
    at = 0
    for piece in range(chunks[chunk, FIRST], chunks[chunk, FIRST] + chunks[chunk, COUNT]):
        head = pieces[piece]
        index[at] = np.uint64(head[WIDTH]) | np.uint64(head[START]) << HALF
        index[at + 1] = np.uint64(head[END]) | np.uint64(head[SPLIT]) << HALF
        at += 2
    start = jobs[chunk, INDEX]
    own, split = gaps[start : start + jobs[chunk, COUNT]], jobs[chunk, SPLIT]
    last = codes.shape[0] - 1
    _write_gaps(own, split, codes[last - 1], codes[last], numbers, index[at:], high, low)


@inner
def _write_blocks(numbers, index, fields):
    """Fields of one width a block, and these widths."""
    at, gathered, filled = 0, ZERO, ZERO
    widths = np.empty((numbers.size + BLOCK - 1) // BLOCK, np.uint32)
    for block in range(widths.size):
        part = numbers[block * BLOCK : (block + 1) * BLOCK]
        some = np.uint32(0)
        for j in range(part.size):
            some |= part[j]
        widths[block] = bit_length(some)
        at, gathered, filled = _append_fields(part, widths[block], fields, at, gathered, filled)
    if filled > ZERO:
        fields[at] = gathered
    write_fields(widths, WIDTH_BITS, index)


@inner
def _write_bitmap(keys, words):
    words[:] = ZERO
    for j in range(keys.size):
        key = np.uint64(keys[j])
        words[key >> SIX] |= ONE << (key & LOW_SIX)


@inner
def _write_raw(bits, words):
    """Patterns one after the other."""
    words[words.size - 1] = ZERO
    fields = words.view(bits.dtype)
    for j in range(bits.size):
        fields[j] = bits[j]


@inner
def _write_signs(joint, words):
    for word in range(words.size):
        part = joint[64 * word : 64 * word + 64]
        gathered = ZERO
        for j in range(part.size):
            gathered |= np.uint64(part[j] & np.uint32(1)) << np.uint64(j)
        words[word] = gathered
