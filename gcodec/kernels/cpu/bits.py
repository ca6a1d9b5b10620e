"""Bit fields of planes: helpers that kernels inline.

Bit positions are unsigned: a signed sum would turn on wrap-around tests and, mixed with unsigned,
floats. `get` may read the word after the field's last, which the padding of every chunk allows, but
no further: not even for a field of no bits that starts where the planes end.
"""

import numpy as np

from .jit import helper, leading_zeros

ZERO, ONE = np.uint64(0), np.uint64(1)
SIX, LOW_SIX, WORD = np.uint64(6), np.uint64(63), np.uint64(64)


@helper
def put(words, bit, width, value):
    """Write `value` (below 2**width, width <= 32) at a bit position of zeroed words."""
    word, offset = bit >> SIX, bit & LOW_SIX
    words[word] |= value << offset
    if offset + width > WORD:
        words[word + ONE] |= value >> (WORD - offset)


@helper
def get(words, bit, mask):
    """The field of `mask`'s width at a bit position."""
    offset = bit & LOW_SIX
    low, high = words[bit >> SIX], words[(bit + LOW_SIX) >> SIX]
    return ((low >> offset) | ((high << ONE) << (LOW_SIX - offset))) & mask


@helper
def bit_length(value):
    """Bits of a nonnegative integer without leading zeros."""
    return WORD - leading_zeros(np.uint64(value))
