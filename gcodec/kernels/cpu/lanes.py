"""Level indices of 64 elements at a time, by the code that fits the boundaries and the CPU."""

import numpy as np

from .cells import (
    CELLS,
    EDGES,
    FEW_CELLS,
    LINE,
    MOST,
    REGISTERS,
    fill_cells,
    index_64,
    index_64_among_all,
)
from .jit import helper, inner, maker
from .octaves import (
    FEW_LEVELS,
    LEVELS,
    fill_octave,
    index_by_octave,
    index_by_octave_of_few,
)

NONE, BY_FEW_CELLS, BY_CELL, BY_FEW_LEVELS, BY_LEVEL = range(5)
"""How levels are found: not here, in tables of registers, or by comparing within octaves."""

FASTEST = BY_CELL if REGISTERS else BY_LEVEL
"""What is tried first; after tables octaves are."""


@maker
def way_of(fastest, bits, boundaries, plain):
    """How `index_lanes` finds levels of patterns, and by what; NONE first if it does not.

    `plain` is what goes for 2 * level + sign: that itself, but for the negative of level 0 perhaps.
    """
    room = np.zeros(CELLS + EDGES + LINE, np.uint8)
    tables = room[-room.ctypes.data % LINE :]
    cells, edges = tables[:CELLS], tables[CELLS : CELLS + EDGES]
    in_octave = np.empty(LEVELS - 1, np.uint32)
    least, first, log2, way = np.uint16(0), np.uint32(0), np.uint32(0), NONE
    if bits.itemsize == 4 and boundaries.size <= MOST and _is_plain(plain):
        lowest, needed = -1, 0
        if fastest == BY_CELL:
            lowest, needed = fill_cells(boundaries, cells, edges)
        levels = fill_octave(boundaries, in_octave)
        if lowest >= 0:
            way, least = BY_FEW_CELLS if needed <= FEW_CELLS else BY_CELL, np.uint16(lowest)
        elif fastest != NONE and levels >= 0:
            way = BY_FEW_LEVELS if 1 << levels <= FEW_LEVELS else BY_LEVEL
            first, log2 = np.uint32(boundaries[0]), np.uint32(levels)
    signless, most = np.uint8(255 if plain[1] else 0), np.uint8(min(boundaries.size, MOST))
    return way, cells, edges, least, in_octave, first, log2, most, signless


@inner
def _is_plain(plain):
    same = plain[1] < 2
    for joint in range(2, plain.size):
        same &= plain[joint] == joint
    return same


@helper
def index_lanes(found, bits, at, out, byte):
    """`out[byte + j] = 2 * level + sign` of `bits[at + j]`, for 64 lanes; `found` by `way_of`."""
    way, cells, edges, least, in_octave, first, log2, most, signless = found
    if way == BY_FEW_CELLS:
        index_64(bits, at, least, cells, edges, signless, out, byte)
    elif way == BY_CELL:
        index_64_among_all(bits, at, least, cells, edges, signless, out, byte)
    elif way == BY_FEW_LEVELS:
        index_by_octave_of_few(bits, at, first, log2, in_octave, most, signless, out, byte)
    else:
        index_by_octave(bits, at, first, log2, in_octave, most, signless, out, byte)
