"""Prefix codes and the rests of gaps, read (spec sections 6 and 8)."""

import numpy as np

from ...format.directory import BLOCK, MAX_CODE_BITS, OFFSET_BITS
from .bits import ONE, SIX, ZERO, window
from .jit import helper, inner, kernel

TWO, THREE, FOUR = np.uint64(2), np.uint64(3), np.uint64(4)
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
def read_codes(payload, index, at, end, table, other, split, symbols):
    """As many codes as symbols, block by block where the index says; whether they end there.

    The first `split` are in the code of table `other`. A lone symbol's other half has no bits in a
    table. A block has at least as many bits as codes, so with codes of one table it ends too early
    then; beside longer codes of the other one it need not.
    """
    count, block = np.uint64(symbols.size), np.uint64(BLOCK)
    limit = np.uint64(payload.size) << SIX
    j = ZERO
    while j < count:
        if j >= split and j + block < count and end + PAST <= limit:
            lanes = min((count - ONE - j) // block, FOUR)
            at = _read_lanes(payload, index, at, end, table, symbols[j:], lanes)
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
def _read_lanes(payload, index, at, end, table, symbols, lanes):
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
    b_at, c_at, d_at = block, TWO * block, THREE * block
    if lanes < FOUR:
        d, d_end, d_at = a, a_end, ZERO
    if lanes < THREE:
        c, c_end, c_at = a, a_end, ZERO
    if lanes < TWO:
        b, b_end, b_at = a, a_end, ZERO
    stop = max(a_end, b_end, c_end, d_end)
    if stop > end or min(a_end - a, b_end - b, c_end - c, d_end - d) < block:
        return ZERO
    for j in range(ZERO, block, FOUR):
        a = _four_codes(payload, a, table, symbols, j)
        b = _four_codes(payload, b, table, symbols, b_at + j)
        c = _four_codes(payload, c, table, symbols, c_at + j)
        d = _four_codes(payload, d, table, symbols, d_at + j)
    return stop if a == a_end and b == b_end and c == c_end and d == d_end else ZERO


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
