"""Bit fields of planes: helpers that kernels inline.

Bit positions are unsigned: a signed sum would turn on wrap-around tests and, mixed with unsigned,
floats.
"""

import numpy as np
from numba import config

from .jit import helper, leading_zeros, unaligned

ZERO, ONE = np.uint64(0), np.uint64(1)
THREE, LOW_THREE = np.uint64(3), np.uint64(7)
SIX, LOW_SIX, WORD = np.uint64(6), np.uint64(63), np.uint64(64)
CHECKED = bool(config.BOUNDSCHECK)
"""With NUMBA_BOUNDSCHECK, loads that are not of whole words are checked as well."""


@helper
def bit_length(value):
    """Bits of a nonnegative integer without leading zeros."""
    return WORD - leading_zeros(np.uint64(value))


@helper
def window(words, bit):
    """57 bits or more from a bit position on, of which 64 bits must be there."""
    byte = bit >> THREE
    if CHECKED:
        return _whole(words, byte) >> (bit & LOW_THREE)
    return unaligned(words, byte) >> (bit & LOW_THREE)


@helper
def _whole(words, byte):
    """Eight bytes from two words, whose places Numba checks; the second may be the first."""
    shift = (byte & LOW_THREE) << THREE
    low, high = words[byte >> THREE], words[(byte + LOW_THREE) >> THREE]
    return (low >> shift) | ((high << ONE) << (LOW_SIX - shift))
