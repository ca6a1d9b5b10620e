"""Planes of whole chunks (spec section 8), written word by word, and their checks."""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS, WIDTH_BITS
from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH
from .bits import CHECKED, LOW_SIX, ONE, SIX, THREE, WORD, ZERO, bit_length
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
from .entries import FOLDED, write_entries, write_unary
from .fold import LENGTH, NARROW, WIDE, odd_lanes, store_fields, store_wide_fields
from .jit import helper, inner, kernel, maker, viewed
from .levels import SIGNED
from .measure import words_of
from .skips import to_skips

SPARE = np.uint64(2)
"""Words after fields that may be written before what belongs there."""

PAIRED, MANY = 32, 1 << 13
"""Up to how many numbers, and from how many values on, codes are looked up two at a time."""

FIVE, LOW_FIVE, EIGHT = np.uint32(LENGTH), np.uint32((1 << LENGTH) - 1), np.uint64(8)
LONGEST_PAIRED = np.uint32(13)
"""Bits of a code of which two go into an entry."""

HALF = np.uint64(32)


@kernel
def measure_chunks(directory, rests, width):
    """Set the lengths of all chunks, of elements of so many bits."""
    lengths_of_chunks(directory, rests, width, np.empty(8, np.int64))


@inner
def lengths_of_chunks(directory, rests, width, ends):
    """`measure_chunks`, with scratch."""
    for chunk in range(directory.size):
        entry = directory[chunk]
        entry.len16 = 0
        if entry.nnz:
            place_planes(entry, rests[chunk], width, ends)
            entry.len16 = (ends[7] >> 1) + 1


@inner
def place_planes(entry, rests, width, ends):
    """Words after which each of a chunk's planes begins, and all of them."""
    ends[0] = 0
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
    begin, end, directory, rests, width, keys, columns, codes, joint, symbols, bits, payload
):
    """Write all planes and the checks of chunks `begin` to `end` of a directory with offsets.

    Parameters
    ----------
    keys : uint32[n]
    columns : (jobs int64[chunks, 7], gaps uint32[items], chunks int64[chunks, 7], pieces)
        Of chunks with active columns, as `gcodec.packing.columns` has them.
    codes : uint32[codes, 32]
        Code << 5 | length of classes, by the number of the code.
    joint : uint8 or uint32[n]
        2 * level + sign of each value; none where values travel as they are.
    symbols : uint32[2, 2 * levels]
        Place in the codebook, and code << 5 | length, by `joint`; no rows if `joint` is the place
        and all are fields.
    bits : uint16, uint32 or uint64[n]
        Patterns of values that travel as they are.
    """
    first = most = 0
    for chunk in range(begin):
        first += np.int64(directory[chunk].nnz)
    for chunk in range(begin, end):
        most = max(most, np.int64(directory[chunk].nnz) + np.int64(directory[chunk].columns))
    numbers, spare = np.empty(most, np.uint32), np.empty(most + most // 8, np.uint32)
    scratch = numbers, spare, np.empty(most // BLOCK + 1, np.uint32), np.empty(FOLDED, np.uint64)
    pairs = numbers[:0]
    if joint.size >= MANY and symbols.shape[0] > 0 and symbols.shape[1] <= PAIRED:
        pairs = _pairs(symbols[1])
    ends = np.empty(8, np.int64)
    for chunk in range(begin, end):
        _write_chunk(
            chunk, first, directory, rests, width, keys, columns, codes, joint, symbols, bits,
            pairs, payload, scratch, ends,
        )  # fmt: skip
        first += np.int64(directory[chunk].nnz)


@inner
def _write_chunk(
    chunk, first, directory, rests, width, keys, columns, codes, joint, symbols, bits, pairs,
    payload, scratch, ends,
):  # fmt: skip
    """Write a chunk, of which elements are kept from number `first` on."""
    entry = directory[chunk]
    count = np.int64(entry.nnz)
    start = np.int64(entry.off16) * 2
    part = payload[start : start + np.int64(entry.len16) * 2]
    at = 0
    codec, value = np.int64(entry.key_codec), np.int64(entry.val_codec)
    if count:
        place_planes(entry, rests[chunk], width, ends)
        index, high, sign = part[: ends[1]], part[ends[1] : ends[2]], part[ends[2] : ends[3]]
        low = part[ends[6] : ends[7]]
        own, param = keys[first : first + count], np.int64(entry.key_param)
        all_numbers, spare, blocks, folded = scratch
        numbers, entries = all_numbers[:count], spare[:count]
        if codec in (DELTA, KEY_RICE, BLOCKS):
            to_skips(own, numbers)
        if codec == DELTA:
            planes = index, high, low
            _write_gaps(numbers, 1, 0, codes[param], codes[param], entries, blocks, folded, planes)
        elif codec == KEY_RICE:
            write_unary(numbers, param, spare, folded, high)
            write_fields(numbers, param, low)
        elif codec == BLOCKS:
            _write_blocks(numbers, blocks, index, high)
        elif codec == COO:
            write_fields(own, param, low)
        elif codec == BITMAP:
            _write_bitmap(own, high)
        elif codec == COLUMNS:
            _write_columns(chunk, columns, codes, spare, blocks, folded, index, high, low)
        index, high = part[ends[3] : ends[4]], part[ends[4] : ends[5]]
        low = part[ends[5] : ends[6]]
        if value == RAW:
            _write_raw(bits[first : first + count], low)
        else:
            own, param = joint[first : first + count], np.int64(entry.val_param)
            if has_signs(value):
                _write_signs(own, sign)
            kind = value % SIGNED if value > SIGNED else value
            if symbols.shape[0] == 0:
                write_fields(own, param, low)
            elif kind == HUFFMAN and pairs.size:
                twos = numbers[: (count + 1) >> 1]
                _look_up_pairs(own, pairs, symbols[1], twos)
                _write_codes(twos, BLOCK // 2, blocks, folded, index, high)
            else:
                _look_up(own, symbols[np.int64(kind == HUFFMAN)], numbers)
                if kind == HUFFMAN:
                    _write_codes(numbers, BLOCK, blocks, folded, index, high)
                elif kind == RICE:
                    write_unary(numbers, param, spare, folded, high)
                if kind in (FIXED, RICE):
                    write_fields(numbers, param, low)
        at = ends[7]
    part[at:] = ZERO
    check = digest(viewed(part, np.uint8), np.uint64(chunk))
    entry.check = check & np.uint64(0xFFFF_FFFF)


@inner
def _look_up(joint, table, numbers):
    for j in range(joint.size):
        numbers[j] = table[joint[j]]


@maker
def _pairs(codes):
    """What `_look_up_pairs` finds by the first number and 256 times the second: both codes.

    Nothing if two codes could be too long for it.
    """
    pairs, longest = np.zeros(PAIRED << 8, np.uint32), np.uint32(0)
    for j in range(codes.size):
        longest = max(longest, codes[j] & LOW_FIVE)
    if longest > LONGEST_PAIRED:
        return pairs[:0]
    for j in range(codes.size):
        second, length = codes[j] >> FIVE, codes[j] & LOW_FIVE
        for i in range(codes.size):
            both = (codes[i] >> FIVE) | second << (codes[i] & LOW_FIVE)
            pairs[j << 8 | i] = both << FIVE | ((codes[i] & LOW_FIVE) + length)
    return pairs


@inner
def _look_up_pairs(joint, pairs, codes, entries):
    """Two codes at a time; the last may be alone."""
    for j in range(joint.size >> 1):
        entries[j] = pairs[np.uint64(joint[2 * j]) | np.uint64(joint[2 * j + 1]) << EIGHT]
    if joint.size & 1:
        entries[entries.size - 1] = codes[joint[joint.size - 1]]


@inner
def write_fields(numbers, width, words):
    """The low `width` (at most 32) bits of each number, one after the other."""
    step, start, size = np.uint64(width), ZERO, np.uint64(numbers.size)
    at, room = ZERO, np.uint64(words.size)
    if step == ZERO:
        return
    if step <= WIDE:
        while start + WORD <= size and at + step + SPARE <= room:
            _store_64(numbers, start, step, words, at)
            start += WORD
            at += step
    _append_fields(numbers[np.int64(start) :], width, words[np.int64(at) :])


@helper
def _store_64(numbers, start, width, words, at):
    """64 fields of 1 to 16 bits, which take `width` words, and what there is of `SPARE`."""
    if CHECKED:
        words[at + width + ONE] = numbers[start + LOW_SIX]
    if width <= NARROW:
        store_fields(numbers, start, width, words, at << THREE)
    else:
        store_wide_fields(numbers, start, width, words, at << THREE)


@inner
def _append_fields(numbers, width, words):
    width, at, gathered, filled = np.uint64(width), 0, ZERO, ZERO
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
    if filled > ZERO:
        words[at] = gathered


@inner
def _write_codes(entries, block, blocks, folded, index, words):
    """Codes, and the lengths of all blocks but the last, of so many entries."""
    ends = blocks[: (entries.size - 1) // block]
    write_entries(entries, block, words, ends, folded)
    before = np.uint32(0)
    for block in range(ends.size):
        end = ends[block]
        ends[block] = end - before
        before = end
    write_fields(ends, OFFSET_BITS, index)


@inner
def _write_gaps(numbers, less, split, code, first_code, entries, blocks, folded, planes):
    """Codes of classes, `first_code` for the first `split`, offsets of blocks, and rests.

    Gaps are `numbers` and `less` more.
    """
    index, high, low = planes
    more = np.uint32(less)
    for j in range(split):
        entries[j] = first_code[bit_length(np.uint32(numbers[j] + more))]
    for j in range(split, numbers.size):
        entries[j] = code[bit_length(np.uint32(numbers[j] + more))]
    _write_codes(entries, BLOCK, blocks, folded, index, high)
    for j in range(numbers.size):
        gap = np.uint32(numbers[j] + more)
        width = np.uint32(bit_length(gap) - ONE)
        rest = np.uint32(gap ^ np.uint32(np.uint32(1) << width))
        entries[j] = np.uint32(np.uint32(rest << FIVE) | width)
    write_entries(entries, BLOCK, low, entries[:0], folded)


@inner
def _write_columns(chunk, columns, codes, entries, blocks, folded, index, high, low):
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
    entries, last = entries[: own.size], codes.shape[0] - 1
    planes = index[at:], high, low
    _write_gaps(own, 0, split, codes[last - 1], codes[last], entries, blocks, folded, planes)


@inner
def _write_blocks(numbers, blocks, index, words):
    """Fields of one width a block, and these widths."""
    widths = blocks[: (numbers.size + BLOCK - 1) // BLOCK]
    start, at, room = ZERO, ZERO, np.uint64(words.size)
    for block in range(widths.size):
        stop = min(start + np.uint64(BLOCK), np.uint64(numbers.size))
        some = np.uint32(0)
        for j in range(start, stop):
            some |= numbers[j]
        width = bit_length(some)
        widths[block] = width
        if stop - start == BLOCK and ZERO < width <= WIDE and at + width + width + SPARE <= room:
            _store_64(numbers, start, width, words, at)
            _store_64(numbers, start + WORD, width, words, at + width)
        else:
            _append_fields(numbers[np.int64(start) : np.int64(stop)], width, words[np.int64(at) :])
        start, at = stop, at + width + width
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
    fields = viewed(words, bits.dtype)
    for j in range(bits.size):
        fields[j] = bits[j]


@inner
def _write_signs(joint, words):
    for word in range(words.size):
        if 64 * word + 64 <= joint.size:
            words[word] = odd_lanes(joint, np.uint64(word) << SIX)
            continue
        part = joint[64 * word :]
        gathered = ZERO
        for j in range(part.size):
            gathered |= (np.uint64(part[j]) & ONE) << np.uint64(j)
        words[word] = gathered
