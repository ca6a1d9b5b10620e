"""Levels of kept values: how many boundaries are at or below each magnitude."""

import numpy as np

from .bits import LOW_SIX, ONE, WORD, ZERO
from .jit import inner, kernel, magnitude, maker, shifted, viewed
from .lanes import FASTEST, NONE, index_lanes, way_of
from .quantize import MOST_CELLS, MOST_PERIODIC, count_up_to, cut, index, period_of

FEW = MOST_CELLS
"""For fewer values than this, a table of cells costs more than it saves."""

EDGES_AT_ONCE = 4
TILE = 1 << 10
"""Values that stay in the nearest cache."""


@kernel
def quantize(bits, boundaries, joint):
    """2 * level + sign: the level is how many boundaries are at or below the magnitude.

    Boundaries are ascending magnitude patterns.
    """
    if bits.size < FEW:
        _quantize_few(bits, boundaries, joint)
    else:
        quantize_on(grid_of(boundaries), bits, joint)


@maker
def grid_of(boundaries):
    """Boundaries as `quantize_on` takes them, for values that come in parts."""
    plain = np.arange(2 * boundaries.size + 2).astype(np.uint32)
    found = way_of(FASTEST, boundaries, boundaries, plain)
    period, octave = period_of(boundaries)
    tiles = np.empty((2, TILE), boundaries.dtype)
    steps = np.empty(MOST_PERIODIC + EDGES_AT_ONCE, boundaries.dtype)
    if period:
        steps[:] = ~boundaries.dtype.type(0)
        for j in range(1, period):
            steps[j - 1] = boundaries[j] - boundaries[0]
        return found, boundaries, period, octave, steps, tiles, cut(boundaries[:0])
    return found, boundaries, period, octave, steps, tiles, cut(boundaries)


@inner
def quantize_on(grid, bits, joint):
    """`quantize`, of a part of the values."""
    found, boundaries, period, octave, steps, tiles, cells = grid
    if found[0] != NONE and joint.itemsize == 1:
        data, whole = viewed(joint, np.uint8), np.uint64(bits.size) & ~LOW_SIX
        for at in range(ZERO, whole, WORD):
            index_lanes(found, bits, at, data, at)
        bits, joint = bits[np.int64(whole) :], joint[np.int64(whole) :]
    if period:
        _index_periodic(bits, period, octave, boundaries[0], boundaries.size, steps, tiles, joint)
    else:
        lowest, shift, last, below, edges, most = cells
        index(bits, lowest, shift, last, below, edges, most, joint)


@inner
def _quantize_few(bits, boundaries, joint):
    """`quantize`, one by one."""
    sign = np.uint64(bits.itemsize * 8 - 1)
    for i in range(bits.size):
        level = count_up_to(boundaries, np.uint64(magnitude(bits[i])))
        joint[i] = level << ONE | np.uint64(bits[i]) >> sign


@inner
def _index_periodic(bits, period, octave, first, count, edges, tiles, joint):
    """`index` by comparing what is left of an octave with its boundaries: all of it vector code."""
    kind = bits.dtype.type
    shift, high = kind(octave), kind(8 * bits.itemsize - 1)
    low, most = kind(kind(kind(1) << shift) - kind(1)), kind(count)
    each, rests, levels = kind(period), tiles[0], tiles[1]
    for start in range(0, bits.size, TILE):
        part, out = bits[start : start + TILE], joint[start : start + TILE]
        for i in range(part.size):
            above = kind(max(magnitude(part[i]), first) - first)
            rests[i] = kind(above & low)
            levels[i] = kind(kind(shifted(above, shift) * each) + kind(1))
        for j in range(0, period - 1, EDGES_AT_ONCE):
            a, b, c, d = edges[j], edges[j + 1], edges[j + 2], edges[j + 3]
            for i in range(part.size):
                rest = rests[i]
                low_two = kind(kind(rest >= a) + kind(rest >= b))
                levels[i] += kind(low_two + kind(kind(rest >= c) + kind(rest >= d)))
        for i in range(part.size):
            level = kind(min(levels[i], most) * kind(magnitude(part[i]) >= first))
            out[i] = np.uint32(kind(level + level) + shifted(part[i], high))
