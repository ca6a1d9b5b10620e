"""Keys over the active columns of matrices (spec section 8, COLUMNS)."""

import numpy as np

from .bits import ONE, SIX, ZERO
from .jit import helper, inner
from .prefix import gap_of

TWO = np.uint64(2)
LOW_32, THIRTY_TWO = np.uint64(0xFFFF_FFFF), np.uint64(32)


@helper
def _head(payload, word):
    """Row length, phase, length in positions and active columns of a piece."""
    first, second = payload[word], payload[word + ONE]
    return first & LOW_32, first >> THIRTY_TWO, second & LOW_32, second >> THIRTY_TWO


@helper
def _places(width, phase, length, columns):
    """How many places a piece has."""
    if width == ZERO:
        return length
    return ((phase + length - ONE) // width + ONE) * columns


@inner
def read_columns(payload, head, pieces, rests, positions, columns, keys):
    """Columns and keys of a chunk in place of the classes of their gaps; the step that fails, or 0.

    Heads of pieces start at bit `head`, the rests of gaps at bit `rests`.
    """
    first = head >> SIX
    last = first + TWO * pieces
    total, listed = ZERO, ZERO
    for word in range(first, last, TWO):
        width, phase, length, active = _head(payload, word)
        if length == ZERO or (phase >= width if width != ZERO else (phase | active) != ZERO):
            return 103
        total += length
        listed += active
    if total != positions or listed != np.uint64(columns.size):
        return 104
    j = ZERO
    for word in range(first, last, TWO):
        width, _, _, active = _head(payload, word)
        if active > listed - j:  # nor later: bytes may change under us
            return 104
        following = ZERO
        for _ in range(active):
            bits = np.uint64(columns[j]) - ONE
            following += gap_of(payload, rests, bits)
            rests += bits
            if following > width:
                return 105
            columns[j] = following - ONE
            j += ONE
    return _read_places(payload, first, last, rests, positions, columns, keys)


@inner
def _read_places(payload, word, last, rests, positions, columns, keys):
    """Keys of a chunk from the gaps of their places."""
    width = phase = length = active = row = ZERO
    start, end, begin, listed = ZERO, ZERO, ZERO, ZERO
    following = ZERO
    for j in range(np.uint64(keys.size)):
        bits = np.uint64(keys[j]) - ONE
        following += gap_of(payload, rests, bits)
        rests += bits
        while following > end:
            if word == last:
                return 106
            begin += length
            listed += active
            width, phase, length, active = _head(payload, word)
            if begin + length > positions or listed + active > np.uint64(columns.size):
                return 104
            word += TWO
            start, row = end, ZERO
            end += _places(width, phase, length, active)
        local = following - ONE - start
        if width != ZERO:
            rank = local - row * active
            if rank >= active:
                row = local // active
                rank = local - row * active
            local = row * width + np.uint64(columns[listed + rank])
            if local < phase:
                return 106
            local -= phase
        if local >= length:
            return 106
        keys[j] = begin + local
    return 0
