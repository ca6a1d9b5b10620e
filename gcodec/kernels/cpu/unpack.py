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
from .jit import helper, inner, kernel, maker, ones, trailing_zeros
from .planes import SPARE, find_ones, load_64, read_fields
from .prefix import end_of_rests, fill_table, gap_of, read_codes

SEVEN = np.uint64(7)
LOW_32 = np.uint64(0xFFFF_FFFF)
TILE = 1 << 12
"""Values that stay in the nearest cache: a multiple of 64."""

WIDTH, WIDTH_MASK = np.uint64(WIDTH_BITS), np.uint64((1 << WIDTH_BITS) - 1)


@kernel
def first_corrupt(payload, directory, first):
    """Step 95: the first entry whose check its bytes do not match, or -1; chunks from `first`."""
    data = payload.view(np.uint8)
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
            table = _table(codes, tables, row)
            other = table if codec == DELTA else _table(codes, tables, row + 1)
            items = own if codec == DELTA else scratch[: columns + count]
            if codec == COLUMNS:
                index_at += parameter * np.uint64(HEAD_BITS)
            split = np.uint64(columns)
            if not read_codes(payload, index_at, high_at, high_end, table, other, split, items):
                return 101, first + i
            low_end = end_of_rests(low_at, items)
            if (stop - _aligned(low_end) - ONE) >> SEVEN != ZERO:  # not one or two spare words
                return 102, first + i
            if codec == DELTA:
                step = _read_gaps(payload, low_at, positions, own)
            else:
                own[:] = items[columns:]
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


@helper
def _table(codes, tables, row):
    """The table of a code, which is filled once."""
    table = tables[row]
    if table[0] == 0:
        fill_table(codes[row], table)
    return table


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
            fields = payload[low_at >> SIX : _aligned(low_end) >> SIX].view(patterns.dtype)
            own[:] = fields[:count]
        else:
            known = levels[entry.level_base :]
            width = np.uint64(entry.val_param)
            step = 0
            if is_rice(codec):
                places, rests = ones_of[: count + SPARE], numbers[:count]
                step = _read_rice_values(
                    payload, high_at, high_end, low_at, width, known, places, rests, own
                )
            elif is_huffman(codec):
                if table[0] == 0:
                    fill_table(code, table)
                if not read_codes(payload, index_at, high_at, high_end, table, table, ZERO, own):
                    return 108, first + i
                for j in range(count):
                    own[j] = known[own[j]]
            elif codec == SIGN:
                own[:] = known[0]
            else:
                step = _read_levels(payload, low_at, width, known, own)
            if step != 0:
                return step, first + i
            if has_signs(codec) and not _read_signs(payload, signs_at, own):
                return 110, first + i
        if _spare(payload, signs_end) or _spare(payload, index_end):
            return 111, first + i
        if _spare(payload, high_end) or _spare(payload, low_end):
            return 111, first + i
        done += count
    return 0, -1


@maker
def _read_levels(payload, at, width, levels, patterns):
    """Levels by fields of so many bits."""
    numbers = np.empty(min(TILE, patterns.size), np.uint32)
    for start in range(0, patterns.size, TILE):
        part = patterns[start : start + TILE]
        own, most = numbers[: part.size], np.uint32(0)
        read_fields(payload, at, width, own)
        for j in range(own.size):
            most = max(most, own[j])
        if np.int64(most) >= levels.size:
            return 109
        for j in range(own.size):
            part[j] = levels[own[j]]
        at += width * np.uint64(TILE)
    return 0


@inner
def _read_rice_values(payload, at, end, low, shift, levels, places, numbers, patterns):
    """Levels by numbers in unary, and `shift` bits below."""
    count = find_ones(payload, at, end, places)
    if count != np.uint64(patterns.size) or at + np.uint64(places[count - ONE]) + ONE != end:
        return 107
    read_fields(payload, low, shift, numbers)
    most, following = np.uint64(levels.size), ZERO
    for j in range(count):
        place = np.uint64(places[j])
        index = ((place - following) << shift) | np.uint64(numbers[j])
        if index >= most:
            return 109
        patterns[j] = levels[index]
        following = place + ONE
    return 0


@inner
def _read_signs(payload, at, patterns):
    """A bit into the sign bit of each pattern; whether none had one of its own."""
    highest = np.uint64(8 * patterns.itemsize - 1)
    word = at >> SIX
    seen = np.uint64(0)
    for start in range(0, patterns.size, 64):
        part = patterns[start : start + 64]
        bits = payload[word]
        word += ONE
        for j in range(part.size):
            pattern = np.uint64(part[j])
            seen |= pattern
            part[j] = pattern | (bits >> np.uint64(j) & ONE) << highest
    return seen >> highest == ZERO
