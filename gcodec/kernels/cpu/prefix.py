"""Prefix codes and the rests of gaps, read (spec sections 6 and 8)."""

import numpy as np

from ...format.directory import BLOCK, MAX_CODE_BITS, OFFSET_BITS
from .bits import ONE, SIX, ZERO, window
from .jit import helper, inner, kernel

TWO, THREE, FOUR, EIGHT = np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(8)
LOW_4 = np.uint64(15)
CODE_MASK = np.uint64((1 << MAX_CODE_BITS) - 1)
OFFSET, OFFSET_MASK = np.uint64(OFFSET_BITS), np.uint64((1 << OFFSET_BITS) - 1)
PAST = np.uint64(MAX_CODE_BITS * BLOCK + 64)
"""Bits that a block of codes can reach, hostile as they may be, and the window at their end."""


@kernel
def fill_table(lengths, table):
    """Symbol * 16 + length by the next 12 bits, of a canonical code that was found complete.

    The table doubles with every length, so that codes repeat by themselves. What is no code, the
    other half of a lone symbol, is 0. The first entry is a code, so a table of zeros is not filled.
    """
    present = 0
    for symbol in range(lengths.size):
        present |= 1 << np.int64(lengths[symbol])
    table[0] = 0
    flipped, size = 0, 1
    for length in range(1, MAX_CODE_BITS + 1):
        for entry in range(size):
            table[size + entry] = table[entry]
        top, size = size, 2 * size
        if not present >> length & 1:
            continue
        for symbol in range(lengths.size):
            if lengths[symbol] != length:
                continue
            table[flipped] = symbol << 4 | length
            bit = top
            while flipped & bit:
                flipped ^= bit
                bit >>= 1
            flipped |= bit


SYMBOL = np.uint64(12)
"""Bits of each of two symbols in an entry of pairs; their width and whether they are two follow."""
SYMBOL_MASK = np.uint64((1 << 12) - 1)
WIDTH_AT, TWO_AT = np.uint64(24), np.uint64(28)
MANY_CODES = 1 << 12
"""So many are read faster two at a time, the table for that included."""


@inner
def fill_pairs(table, pairs):
    """Two codes at a time, where the next 12 bits hold two, of a table that is filled.

    No entry is 0: what is no code has no width, as if it were one.
    """
    for bits in range(np.uint64(pairs.size)):
        first = np.uint64(table[bits])
        width = first & LOW_4
        second = np.uint64(table[bits >> width])
        both = width + (second & LOW_4)
        entry = first >> FOUR | width << WIDTH_AT | ONE << TWO_AT
        if first != ZERO and second != ZERO and both <= np.uint64(MAX_CODE_BITS):
            entry = first >> FOUR | second >> FOUR << SYMBOL | both << WIDTH_AT | TWO << TWO_AT
        pairs[bits] = entry


@helper
def _four_codes(payload, bit, table, symbols, j):
    """Four codes into symbols from j on; the bit after them. One window holds all four."""
    word = window(payload, bit)
    entry = np.uint64(table[word & CODE_MASK])
    symbols[j] = entry >> FOUR
    width = entry & LOW_4
    entry = np.uint64(table[(word >> width) & CODE_MASK])
    symbols[j + ONE] = entry >> FOUR
    width += entry & LOW_4
    entry = np.uint64(table[(word >> width) & CODE_MASK])
    symbols[j + TWO] = entry >> FOUR
    width += entry & LOW_4
    entry = np.uint64(table[(word >> width) & CODE_MASK])
    symbols[j + THREE] = entry >> FOUR
    return bit + width + (entry & LOW_4)


@inner
def read_codes(payload, index, at, end, table, pairs, other, split, symbols):
    """As many codes as symbols, block by block where the index says; whether they end there.

    `pairs` is made of `table`, or empty. The first `split` are in the code of table `other`. A lone
    symbol's other half has no bits in a table. A block has at least as many bits as codes, so with
    codes of one table it ends too early then; beside longer codes of the other one it need not.
    """
    count, block = np.uint64(symbols.size), np.uint64(BLOCK)
    limit = np.uint64(payload.size) << SIX
    j = ZERO
    while j < count:
        if j >= split and j + block < count and end + PAST <= limit:
            lanes = min((count - ONE - j) // block, FOUR)
            at = _read_lanes(payload, index, at, end, table, pairs, symbols[j:], lanes)
            if at == ZERO:
                return False
            index += lanes * OFFSET
            j += lanes * block
            continue
        last = min(j + block, count)
        stop = end
        if last < count:
            stop = at + (window(payload, index) & OFFSET_MASK)
            index += OFFSET
        if stop > end or stop - at < last - j:
            return False
        if j >= split and end + PAST <= limit:
            while j + FOUR <= last:
                at = _four_codes(payload, at, table, symbols, j)
                j += FOUR
        all_codes = True
        while j < last:
            code = window(payload, min(at, stop)) & CODE_MASK
            entry = np.uint64(other[code] if j < split else table[code])
            all_codes &= entry != ZERO
            symbols[j] = entry >> FOUR
            at += entry & LOW_4
            j += ONE
        if at != stop or not all_codes:
            return False
    return True


@inner
def _read_lanes(payload, index, at, end, table, pairs, symbols, lanes):
    """One to four whole blocks side by side; where they end, or 0.

    Each code waits for the one before it, but not for those of other blocks. Lanes without a block
    repeat the first.
    """
    block = np.uint64(BLOCK)
    a_end = at + (window(payload, index) & OFFSET_MASK)
    b_end = a_end + (window(payload, index + OFFSET) & OFFSET_MASK)
    c_end = b_end + (window(payload, index + TWO * OFFSET) & OFFSET_MASK)
    d_end = c_end + (window(payload, index + THREE * OFFSET) & OFFSET_MASK)
    a, b, c, d = at, a_end, b_end, c_end
    a_at, b_at, c_at, d_at = ZERO, block, TWO * block, THREE * block
    if lanes < FOUR:
        d, d_end, d_at = a, a_end, ZERO
    if lanes < THREE:
        c, c_end, c_at = a, a_end, ZERO
    if lanes < TWO:
        b, b_end, b_at = a, a_end, ZERO
    stop = max(a_end, b_end, c_end, d_end)
    if stop > end or min(a_end - a, b_end - b, c_end - c, d_end - d) < block:
        return ZERO
    if pairs.size:
        a_stop, b_stop, c_stop, d_stop = a_at + block, b_at + block, c_at + block, d_at + block
        while (
            a_at + EIGHT <= a_stop
            and b_at + EIGHT <= b_stop
            and c_at + EIGHT <= c_stop
            and d_at + EIGHT <= d_stop
        ):
            a, a_at = _four_pairs(payload, a, pairs, symbols, a_at)
            b, b_at = _four_pairs(payload, b, pairs, symbols, b_at)
            c, c_at = _four_pairs(payload, c, pairs, symbols, c_at)
            d, d_at = _four_pairs(payload, d, pairs, symbols, d_at)
        a = _last_codes(payload, a, table, symbols, a_at, a_stop)
        b = _last_codes(payload, b, table, symbols, b_at, b_stop)
        c = _last_codes(payload, c, table, symbols, c_at, c_stop)
        d = _last_codes(payload, d, table, symbols, d_at, d_stop)
    else:
        for _ in range(ZERO, block, FOUR):
            a = _four_codes(payload, a, table, symbols, a_at)
            b = _four_codes(payload, b, table, symbols, b_at)
            c = _four_codes(payload, c, table, symbols, c_at)
            d = _four_codes(payload, d, table, symbols, d_at)
            a_at, b_at, c_at, d_at = a_at + FOUR, b_at + FOUR, c_at + FOUR, d_at + FOUR
    return stop if a == a_end and b == b_end and c == c_end and d == d_end else ZERO


@helper
def _four_pairs(payload, bit, pairs, symbols, j):
    """Four to eight codes into symbols from j on; the bit and the symbol after them."""
    word = window(payload, bit)
    entry = np.uint64(pairs[word & CODE_MASK])
    symbols[j], symbols[j + ONE] = entry & SYMBOL_MASK, entry >> SYMBOL & SYMBOL_MASK
    width, j = entry >> WIDTH_AT & LOW_4, j + (entry >> TWO_AT)
    entry = np.uint64(pairs[(word >> width) & CODE_MASK])
    symbols[j], symbols[j + ONE] = entry & SYMBOL_MASK, entry >> SYMBOL & SYMBOL_MASK
    width, j = width + (entry >> WIDTH_AT & LOW_4), j + (entry >> TWO_AT)
    entry = np.uint64(pairs[(word >> width) & CODE_MASK])
    symbols[j], symbols[j + ONE] = entry & SYMBOL_MASK, entry >> SYMBOL & SYMBOL_MASK
    width, j = width + (entry >> WIDTH_AT & LOW_4), j + (entry >> TWO_AT)
    entry = np.uint64(pairs[(word >> width) & CODE_MASK])
    symbols[j], symbols[j + ONE] = entry & SYMBOL_MASK, entry >> SYMBOL & SYMBOL_MASK
    return bit + width + (entry >> WIDTH_AT & LOW_4), j + (entry >> TWO_AT)


@helper
def _last_codes(payload, bit, table, symbols, j, stop):
    """Codes up to a symbol, one by one; the bit after them."""
    while j < stop:
        entry = np.uint64(table[window(payload, bit) & CODE_MASK])
        symbols[j] = entry >> FOUR
        bit += entry & LOW_4
        j += ONE
    return bit


@inner
def end_of_rests(at, classes):
    """Where rests of gaps of these classes end that start at a bit."""
    for j in range(classes.size):
        at += np.uint64(classes[j]) - ONE
    return at


@helper
def gap_of(payload, at, width):
    """A gap of `width` bits below its leading one."""
    leading = ONE << width
    return leading | (window(payload, at) & (leading - ONE))
