"""What planes are made of: fields of one width, and numbers in unary.

No load leaves the payload: see `unpack`.
"""

import numpy as np

from .bits import CHECKED, LOW_SIX, LOW_THREE, ONE, SIX, THREE, WORD, ZERO, window
from .fold import NARROW, WIDE, load_fields, load_wide_fields, store_bytes
from .jit import helper, inner, ones

SPARE = np.uint64(8)
"""Places beyond the last one that are written to."""

LOW_BYTE = np.uint64(0xFF)
PLACES = np.array(
    [int.from_bytes(bytes(j for j in range(8) if byte >> j & 1), "little") for byte in range(256)],
    np.uint64,
)
"""Of the ones of each byte, in a byte each."""


@inner
def read_fields(payload, at, width, numbers):
    """Fields of up to 32 bits, from a bit on."""
    mask, start, size = (ONE << width) - ONE, ZERO, np.uint64(numbers.size)
    if width == ZERO:
        for j in range(numbers.size):
            numbers[j] = 0
        return
    if at & LOW_THREE == ZERO and ZERO < width <= WIDE:
        while start + WORD <= size:
            load_64(payload, at, width, numbers, start)
            at += width << SIX
            start += WORD
    for j in range(start, size):
        numbers[j] = window(payload, at) & mask
        at += width


@helper
def load_64(payload, at, width, numbers, start):
    """64 fields of 1 to 16 bits, from the first bit of a byte on."""
    if CHECKED:
        numbers[start + LOW_SIX] = payload[(at + (width << SIX) + LOW_SIX) >> SIX]
    if width <= NARROW:
        load_fields(payload, at >> THREE, width, numbers, start)
    else:
        load_wide_fields(payload, at >> THREE, width, numbers, start)


@inner
def find_ones(payload, at, end, places):
    """Places of ones from the first bit of a word on, from there; their number, or none if there
    is no room for so many and `SPARE` more."""
    j, room = ZERO, np.uint64(places.size) - SPARE
    for word in range(at >> SIX, (end + LOW_SIX) >> SIX):
        rest = payload[word]
        if j + ones(rest) > room:
            return ZERO
        first = (word << SIX) - at
        for _ in range(8):
            byte = rest & LOW_BYTE
            store_bytes(PLACES[byte], first, places, j)
            j += ones(byte)
            first += SPARE
            rest >>= SPARE
    return j
