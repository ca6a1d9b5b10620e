"""Codes and unary numbers one after the other: entries of code << 5 | length (spec section 8)."""

import numpy as np

from ...format.directory import BLOCK
from .bits import CHECKED, LOW_SIX, LOW_THREE, ONE, SIX, THREE, WORD, ZERO
from .fold import LENGTH, fold_codes
from .jit import helper, inner, shifted, store_unaligned, viewed

LENGTH_BITS, FIVE = np.uint64(LENGTH), np.uint32(LENGTH)
LENGTH_MASK = (ONE << LENGTH_BITS) - ONE
LONGEST_UNARY, MOST_ZEROS = np.uint32(25), np.uint32(26)
"""Zeros that an entry has room for, before a one or alone."""

TOGETHER = 256
"""Numbers of which none may have more, or they are looked at one by one."""

FOUR, EIGHT = np.uint64(4), np.uint64(8)
FOLDED = 48
"""Words of scratch for folded codes and their lengths."""

MOST_BYTES = 128
"""No 64 folded codes take more, with what is stored after them."""


@inner
def write_entries(entries, block, words, ends, scratch):
    """Codes of `code << 5 | length`, and the bits after each `block` of them, 64 or a multiple,
    that `ends` has room for.

    `scratch` is uint64[FOLDED].
    """
    folded, lengths = scratch[: FOLDED // 2], scratch[FOLDED // 2 :]
    gathered = filled = byte = start = ZERO
    done, block_end = 0, np.uint64(block)
    size, room = np.uint64(entries.size), 8 * words.size
    words[max(words.size - 1, 0) :] = ZERO
    while start < size:
        stop, each = min(start + WORD, size), ZERO
        if start + WORD <= size and np.int64(byte) + MOST_BYTES <= room:
            each = fold_codes(entries, start, folded, lengths)
        if each == EIGHT:  # loops of constant length, whose end no CPU has to guess
            for j in range(8):
                byte, gathered, filled = _append(
                    words, byte, gathered, filled, folded[j], lengths[j]
                )
        elif each == FOUR:
            for j in range(8, 24):
                byte, gathered, filled = _append(
                    words, byte, gathered, filled, folded[j], lengths[j]
                )
        else:
            for j in range(start, stop):
                gathered |= (np.uint64(entries[j]) >> LENGTH_BITS) << filled
                filled += np.uint64(entries[j]) & LENGTH_MASK
                while filled >= EIGHT:
                    _put_byte(words, byte, gathered)
                    byte += ONE
                    gathered >>= EIGHT
                    filled -= EIGHT
        start = stop
        if start == block_end and done < ends.size:
            ends[done] = (byte << THREE) + filled
            done += 1
            block_end += np.uint64(block)
    if filled > ZERO:
        _put_byte(words, byte, gathered)


@helper
def _append(words, byte, gathered, filled, code, length):
    """Up to 56 bits after the up to 7 that are gathered; whole bytes go on."""
    if CHECKED:
        words[(byte + LOW_THREE) >> THREE] |= ZERO
    gathered |= code << filled
    store_unaligned(words, byte, gathered)
    filled += length
    return byte + (filled >> THREE), gathered >> (filled & ~LOW_THREE), filled & LOW_THREE


@helper
def _put_byte(words, byte, gathered):
    viewed(words, np.uint8)[byte] = gathered & np.uint64(0xFF)


@inner
def write_unary(numbers, shift, entries, folded, words):
    """Each number >> shift as that many zeros and a one.

    `entries` is scratch, of an eighth more than there are numbers if some are large.
    """
    down, left, at = np.uint32(shift), entries.size - numbers.size, 0
    for start in range(0, numbers.size, TOGETHER):
        part, some, all_zeros = numbers[start : start + TOGETHER], np.uint32(0), ZERO
        for j in range(part.size):
            some = max(some, part[j])
        if some >> down <= LONGEST_UNARY:
            own = entries[at : at + part.size]
            for j in range(part.size):
                own[j] = _of_zeros(shifted(part[j], down))
            at += part.size
            continue
        for j in range(part.size):
            all_zeros += np.uint64(shifted(part[j], down))
        left -= np.int64(all_zeros // np.uint64(MOST_ZEROS))
        if left < 0:
            _set_bits(numbers, down, words)
            return
        for j in range(part.size):
            zeros = shifted(part[j], down)
            while zeros > LONGEST_UNARY:
                entries[at] = MOST_ZEROS
                zeros = np.uint32(zeros - MOST_ZEROS)
                at += 1
            entries[at] = _of_zeros(zeros)
            at += 1
    write_entries(entries[:at], BLOCK, words, entries[:0], folded)


@helper
def _of_zeros(zeros):
    """The entry of so many, and a one."""
    one = np.uint32(np.uint32(1) << np.uint32(zeros + FIVE))
    return np.uint32(one | np.uint32(zeros + np.uint32(1)))


@inner
def _set_bits(numbers, shift, words):
    """As `_write_unary`, a number at a time."""
    words[:] = ZERO
    bit = ZERO
    for j in range(numbers.size):
        bit += np.uint64(numbers[j] >> shift)
        words[bit >> SIX] |= ONE << (bit & LOW_SIX)
        bit += ONE
