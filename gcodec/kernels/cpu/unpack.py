"""Chunks of a payload back to keys and patterns in scratch, everything about them proved.

Readers of whole payloads return the step of spec section 9 that fails and the chunk, or (0, -1).

No load leaves the payload, whatever the bits say: a plane's start and end follow from the entry
that `check_directory` accepted, counts of items are compared before items are read, and `window`
may start up to the end of the last plane, since a spare word follows it. Positions of bits are
uint64: sums of what hostile bits claim stay far below 2**64.
"""

import numpy as np

from ...format.directory import BLOCK, HEAD_BITS, WIDTH_BITS
from .bits import LOW_SIX, ONE, SIX, WORD, ZERO, window
from .checksum import digest
from .columns import read_columns
from .directory import (
    ALL,
    BITMAP,
    BLOCKS,
    COLUMNS,
    COO,
    DELTA,
    KEY_RICE,
    RAW,
    SEEDED,
    SIGN,
    has_signs,
    is_huffman,
    is_rice,
    plane_bits,
    positions_of,
)
from .fold import WIDE
from .jit import copy, helper, inner, kernel, maker, ones, trailing_zeros, viewed
from .planes import SPARE, find_ones, load_64, read_fields
from .prefix import MANY_CODES, end_of_rests, fill_pairs, fill_table, gap_of, read_codes

SEVEN = np.uint64(7)
LOW_32 = np.uint64(0xFFFF_FFFF)
WIDTH, WIDTH_MASK = np.uint64(WIDTH_BITS), np.uint64((1 << WIDTH_BITS) - 1)


@kernel
def first_corrupt(payload, directory, first):
    """Step 95: the first entry whose check its bytes do not match, or -1; chunks from `first`."""
    data = viewed(payload, np.uint8)
    for i in range(directory.size):
        start = np.int64(directory[i].off16) * 16
        part = data[start : start + np.int64(directory[i].len16) * 16]
        if digest(part, np.uint64(first + i)) & LOW_32 != np.uint64(directory[i].check):
            return i
    return -1


@inner
def _most(directory):
    """Elements of the largest chunk."""
    most = 0
    for i in range(directory.size):
        most = max(most, np.int64(directory[i].nnz))
    return most


@helper
def _aligned(bit):
    """The next multiple of 64."""
    return (bit + LOW_SIX) & ~LOW_SIX


@helper
def _spare(payload, end):
    """Whether a bit is set between the end of a plane and that of its last word."""
    return end & LOW_SIX != ZERO and payload[end >> SIX] >> (end & LOW_SIX) != ZERO


@kernel
def read_keys(payload, directory, first, layout, codes, seeds, tables, scratch, keys):
    """Keys of consecutive chunks, of which `first` is the number of the first.

    Also spare bits of their planes, and the padding. `layout` is n_elements, chunk_log2 and bits of
    a pattern; `codes` are the lengths of gap classes, and `tables`, uint16[codes, 4096], are zeros.
    `scratch`, uint32, has room for keys and columns of any chunk that has columns.
    """
    n_elements, chunk_log2, pattern_bits = layout
    done, ones_of = 0, np.empty(_most(directory) + SPARE, np.uint32)
    all_pairs = _room_for_pairs(tables, keys)
    for i in range(directory.size):
        entry = directory[i]
        count = np.int64(entry.nnz)
        if count == 0:
            continue
        positions = np.uint64(positions_of(first + i, n_elements, chunk_log2))
        index, high, signs, value_index, value_high, value_low, low = plane_bits(
            entry, pattern_bits
        )
        index_at = np.uint64(entry.off16) << SEVEN
        stop = index_at + (np.uint64(entry.len16) << SEVEN)
        index_end = index_at + np.uint64(index)
        high_at = _aligned(index_end)
        high_end = high_at + np.uint64(high)
        low_at = _aligned(high_end)
        for bits in (signs, value_index, value_high, value_low):
            low_at = _aligned(low_at + np.uint64(bits))
        low_end = low_at + np.uint64(low)
        own, codec = keys[done : done + count], entry.key_codec
        parameter = np.uint64(entry.key_param)
        step = 0
        if codec == ALL:
            for j in range(count):
                own[j] = j
        elif codec == BITMAP:
            step = _read_bitmap(payload, high_at, high_end, own)
        elif codec == COO:
            step = _read_fields(payload, low_at, parameter, positions, own)
        elif codec == KEY_RICE:
            places = ones_of[: count + SPARE]
            step = _read_rice(payload, high_at, high_end, low_at, parameter, positions, places, own)
        elif codec == BLOCKS:
            step = _read_blocks(payload, index_at, high_at, high_end, positions, own)
        elif codec == SEEDED:
            _draw_keys(seeds, np.uint64(first + i), positions, own)
        else:
            columns = np.int64(entry.columns)
            row = np.int64(entry.key_param) if codec == DELTA else codes.shape[0] - 2
            table, pairs = _table(codes, tables, all_pairs, row)
            other = table
            if codec != DELTA:
                other, _ = _table(codes, tables, all_pairs, row + 1)
            items = own if codec == DELTA else scratch[: columns + count]
            if codec == COLUMNS:
                index_at += parameter * np.uint64(HEAD_BITS)
            split = np.uint64(columns)
            if not read_codes(
                payload, index_at, high_at, high_end, table, pairs, other, split, items
            ):
                return 101, first + i
            low_end = end_of_rests(low_at, items)
            if (stop - _aligned(low_end) - ONE) >> SEVEN != ZERO:  # not one or two spare words
                return 102, first + i
            if codec == DELTA:
                step = _read_gaps(payload, low_at, positions, own)
            else:
                copy(items[columns:], own)
                head = np.uint64(entry.off16) << SEVEN
                listed = items[:columns]
                step = read_columns(payload, head, parameter, low_at, positions, listed, own)
        if step != 0:
            return step, first + i
        if _spare(payload, index_end) or _spare(payload, high_end) or _spare(payload, low_end):
            return 111, first + i
        for word in range(_aligned(low_end) >> SIX, stop >> SIX):
            if payload[word] != ZERO:
                return 112, first + i
        done += count
    return 0, -1


@maker
def _room_for_pairs(tables, symbols):
    """As large as tables, and zeros; empty if there are too few codes to read by pairs."""
    rows, size = tables.shape
    return np.zeros((rows, size if symbols.size >= MANY_CODES else 0), np.uint32)


@helper
def _table(codes, tables, all_pairs, row):
    """The table of a code, and its pairs, which are filled once."""
    table, pairs = tables[row], all_pairs[row]
    if table[0] == 0:
        fill_table(codes[row], table)
    if pairs.size and pairs[0] == 0:
        fill_pairs(table, pairs)
    return table, pairs


@inner
def _read_gaps(payload, at, positions, keys):
    """Classes of gaps into keys."""
    following = ZERO
    for j in range(keys.size):
        width = np.uint64(keys[j]) - ONE
        following += gap_of(payload, at, width)
        keys[j] = following - ONE
        at += width
    return 98 if following > positions else 0


@inner
def _read_bitmap(payload, at, end, keys):
    """A key for every one; their number is that of `keys`."""
    j = np.uint64(0)
    for word in range(at >> SIX, (end + LOW_SIX) >> SIX):
        rest = payload[word]
        count = ones(rest)
        if j + count > np.uint64(keys.size):
            return 96
        base = (word << SIX) - at
        for _ in range(count):
            keys[j] = base + trailing_zeros(rest)
            rest &= rest - ONE
            j += ONE
    if j != np.uint64(keys.size):
        return 96
    # Spare bits are looked at once more later, and may have changed by then.
    return 0 if np.uint64(keys[keys.size - 1]) < end - at else 111


@inner
def _read_fields(payload, at, width, positions, keys):
    """Keys as they are, which must ascend."""
    read_fields(payload, at, width, keys)
    least, wrong = ZERO, False
    for j in range(keys.size):
        wrong |= np.uint64(keys[j]) < least
        least = np.uint64(keys[j]) + ONE
    if wrong:
        return 97
    return 98 if least > positions else 0


@inner
def _read_rice(payload, at, end, low, shift, positions, places, keys):
    """Gaps less one: in unary, and `shift` bits below."""
    count = find_ones(payload, at, end, places)
    if count != np.uint64(keys.size) or at + np.uint64(places[count - ONE]) + ONE != end:
        return 99
    read_fields(payload, low, shift, keys)
    next_key = following = ZERO
    for j in range(count):
        place = np.uint64(places[j])
        key = next_key + (((place - following) << shift) | np.uint64(keys[j]))
        keys[j] = key
        next_key, following = key + ONE, place + ONE
    return 98 if next_key > positions else 0


@inner
def _read_blocks(payload, index, at, end, positions, keys):
    """Gaps less one, in a width for each block."""
    total, count, j = ZERO, np.uint64(keys.size), ZERO
    while j < count:
        width = window(payload, index) & WIDTH_MASK
        index += WIDTH
        stop = min(j + np.uint64(BLOCK), count)
        if at + (stop - j) * width > end:
            return 100
        start = j
        if stop - start == BLOCK and ZERO < width <= WIDE:
            load_64(payload, at, width, keys, start)
            load_64(payload, at + (width << SIX), width, keys, start + WORD)
            at += width << SEVEN
        else:
            mask = (ONE << width) - ONE
            for i in range(start, stop):
                keys[i] = window(payload, at) & mask
                at += width
        while j < stop:
            total += np.uint64(keys[j])
            keys[j] = total + j
            j += ONE
    if at != end:
        return 100
    return 98 if total + count > positions else 0


@inner
def _draw_keys(seeds, chunk, positions, keys):
    count = np.uint64(keys.size)
    counter = (seeds[1] + chunk) << np.uint64(24)
    begin = ZERO
    for j in range(count):
        end = (j + ONE) * positions // count
        x = seeds[0] + (counter + j) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys[j] = begin + (x ^ (x >> np.uint64(31))) % (end - begin)
        begin = end


@kernel
def read_values(payload, directory, first, layout, levels, code, table, patterns):
    """Patterns of the values of consecutive chunks, and spare bits of their planes.

    As `read_keys`. `code` holds the lengths of level indices, `table`, uint16[4096], is zeros.
    """
    _, _, pattern_bits = layout
    done, most = 0, _most(directory)
    ones_of, numbers = np.empty(most + SPARE, np.uint32), np.empty(most, np.uint32)
    codes, tables = code.reshape(1, -1), table.reshape(1, -1)
    all_pairs = _room_for_pairs(tables, patterns)
    for i in range(directory.size):
        entry = directory[i]
        count = np.int64(entry.nnz)
        if count == 0:
            continue
        index, high, signs, value_index, value_high, value_low, _ = plane_bits(entry, pattern_bits)
        at = np.uint64(entry.off16) << SEVEN
        for bits in (index, high):
            at = _aligned(at + np.uint64(bits))
        signs_at, signs_end = at, at + np.uint64(signs)
        index_at = _aligned(signs_end)
        index_end = index_at + np.uint64(value_index)
        high_at = _aligned(index_end)
        high_end = high_at + np.uint64(value_high)
        low_at = _aligned(high_end)
        low_end = low_at + np.uint64(value_low)
        own, codec = patterns[done : done + count], entry.val_codec
        if codec == RAW:
            fields = viewed(payload[low_at >> SIX : _aligned(low_end) >> SIX], patterns.dtype)
            copy(fields[:count], own)
        else:
            known, part = levels[entry.level_base :], numbers[:count]
            width = np.uint64(entry.val_param)
            if codec == SIGN:
                part[:] = 0
            elif is_huffman(codec):
                own_table, pairs = _table(codes, tables, all_pairs, 0)
                if not read_codes(
                    payload, index_at, high_at, high_end, own_table, pairs, own_table, ZERO, part
                ):
                    return 108, first + i
            else:
                if not is_rice(codec):
                    read_fields(payload, low_at, width, part)
                elif not _read_rice_numbers(
                    payload, high_at, high_end, low_at, width, ones_of[: count + SPARE], part
                ):
                    return 107, first + i
                if _largest(part) >= np.uint64(known.size):
                    return 109, first + i
            if not has_signs(codec):
                for j in range(count):
                    own[j] = known[part[j]]
            elif not _put_signed(payload, signs_at, known, part, own):
                return 110, first + i
        if _spare(payload, signs_end) or _spare(payload, index_end):
            return 111, first + i
        if _spare(payload, high_end) or _spare(payload, low_end):
            return 111, first + i
        done += count
    return 0, -1


@inner
def _read_rice_numbers(payload, at, end, low, shift, places, numbers):
    """Numbers in unary, and `shift` bits below; whether there are as many.

    What 32 bits cannot hold is the largest of them.
    """
    count = find_ones(payload, at, end, places)
    if count != np.uint64(numbers.size) or at + np.uint64(places[count - ONE]) + ONE != end:
        return False
    read_fields(payload, low, shift, numbers)
    following = ZERO
    for j in range(count):
        place = np.uint64(places[j])
        numbers[j] = min(((place - following) << shift) | np.uint64(numbers[j]), LOW_32)
        following = place + ONE
    return True


@inner
def _largest(numbers):
    most = np.uint32(0)
    for j in range(numbers.size):
        most = max(most, numbers[j])
    return np.uint64(most)


@inner
def _put_signed(payload, at, levels, numbers, patterns):
    """Levels with a bit each as their sign; whether none had one of its own."""
    highest, word, seen = np.uint64(8 * patterns.itemsize - 1), at >> SIX, ZERO
    for start in range(ZERO, np.uint64(patterns.size), WORD):
        bits = payload[word]
        word += ONE
        for j in range(min(WORD, np.uint64(patterns.size) - start)):
            pattern = np.uint64(levels[numbers[start + j]])
            seen |= pattern
            patterns[start + j] = pattern | (bits >> j & ONE) << highest
    return seen >> highest == ZERO
