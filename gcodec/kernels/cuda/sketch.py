"""Cells of a count-sketch on CUDA (spec section 8, *Sketches*): sums in the order of positions.

A cell is a float, so that the order in which it is added to shows. Blocks therefore own cells, not
positions: each looks at all positions, and adds those that fall into its slice of a row.
"""

import numpy as np

from ...format.ids import ROWS_PER_HASH
from .warps import FULL, WARP, position

WARPS = 8
THREADS = WARPS * WARP
SLICE_BYTES = 8192
"""Of the cells that a block owns."""

ONE, BYTE, EIGHT = np.uint64(1), np.uint64(255), np.uint64(8)
NOWHERE = np.uint32(0xFFFF_FFFF)
"""The place of an element that falls into another slice."""

OWNER = np.uint32(WARPS - 1)
PER_HASH = np.uint64(ROWS_PER_HASH)
MOST_ROWS = 7


def slice_of(itemsize):
    """Cells that a block owns."""
    return SLICE_BYTES // itemsize


def _hash(cuda):
    """Device function: 64 bits of a position, by the tables of one hash of three rows."""

    @cuda.jit(device=True, forceinline=True)
    def of(tables, number, at):
        low = tables[number, 0, at & BYTE] ^ tables[number, 1, (at >> EIGHT) & BYTE]
        high = tables[number, 2, (at >> np.uint64(16)) & BYTE]
        return low ^ high ^ tables[number, 3, (at >> np.uint64(24)) & BYTE]

    return of


def _signed(cuda, memory, kind):
    """Device function: a number, or its negative if the lowest bit of a word is set."""
    itemsize = np.dtype(kind).itemsize
    bits, pattern = np.uint64(itemsize * 8 - 1), np.dtype(f"u{itemsize}").type
    as_float, as_bits = memory.as_float, memory.as_bits

    @cuda.jit(device=True, forceinline=True)
    def apply(number, sign):
        return as_float(pattern(as_bits(number) ^ pattern((sign & ONE) << bits)))

    return apply


def insert(cuda, memory, kind):
    """Kernel: add values of the positions from `start` on to all rows, in ascending order.

    values : kind[n]; start : uint64; tables : uint64[hashes, 4, 256]; columns_log2 : uint64;
    cells : kind[rows, columns]. As many blocks as a row has slices, for each row. All threads
    hash; of the elements of the slice a warp adds those whose place has its number, lane by lane
    where places are the same.
    """
    hash_of, apply_sign, add = _hash(cuda), _signed(cuda, memory, kind), memory.add
    lane_of, warp_of = position(cuda)
    size = slice_of(np.dtype(kind).itemsize)
    cells_there, strip = np.uint64(size), np.uint64(THREADS)

    def kernel(values, start, tables, columns_log2, cells):
        own = cuda.shared.array(size, kind)
        places, numbers = (
            cuda.shared.array((2, THREADS), np.uint32),
            cuda.shared.array((2, THREADS), kind),
        )
        thread, block = np.uint64(cuda.threadIdx.x), np.uint64(cuda.blockIdx.x)
        columns = ONE << columns_log2
        slices = (columns + cells_there - ONE) // cells_there
        row, base = block // slices, block % slices * cells_there
        lane, warp = lane_of(), warp_of()
        of_hash, field = row // PER_HASH, row % PER_HASH * (columns_log2 + ONE)
        at = thread
        while at < cells_there and base + at < columns:
            own[at] = cells[row, base + at]
            at += strip
        n, begin, half = np.uint64(values.size), np.uint64(0), np.uint64(0)
        while begin < n:
            place, number, at = NOWHERE, kind(0), begin + thread
            if at < n:
                bits = hash_of(tables, of_hash, start + at) >> field
                column = (bits & (columns - ONE)) - base
                if column < cells_there:
                    place = np.uint32(column)
                    number = apply_sign(values[at], bits >> columns_log2)
            places[half, thread], numbers[half, thread] = place, number
            cuda.syncthreads()  # one is enough: the next strip has the other half
            item = np.uint32(lane)
            for _ in range(WARPS):
                place = places[half, item]
                mine = place != NOWHERE and (place & OWNER) == warp
                same = np.uint32(cuda.match_any_sync(FULL, np.int32(place)))
                below = np.uint32(same & np.uint32((np.uint32(1) << lane) - np.uint32(1)))
                turn, before = np.uint32(0), np.uint32(cuda.popc(below))
                while cuda.any_sync(FULL, mine and before >= turn):
                    if mine and before == turn:
                        own[place] = add(own[place], numbers[half, item])
                    cuda.syncwarp()
                    turn = np.uint32(turn + np.uint32(1))
                item = np.uint32(item + np.uint32(WARP))
            begin += strip
            half ^= ONE
        cuda.syncthreads()
        at = thread
        while at < cells_there and base + at < columns:
            cells[row, base + at] = own[at]
            at += strip

    return kernel


def estimate(cuda, memory, kind):
    """Kernel: estimates of the positions from `start` on, a thread for each.

    start : uint64; tables, columns_log2 : as for `insert`; cells : kind[rows, columns];
    agree : uint32, whether for the smallest magnitude where all rows have one sign, else 0, and
    not for the median of an odd number of rows; out : kind[n]. Zero is +0.
    """
    hash_of, apply_sign, add = _hash(cuda), _signed(cuda, memory, kind), memory.add
    zero, most = kind(0), kind(np.inf)

    @cuda.jit(device=True, forceinline=True)
    def smaller(a, b):
        return a if a < b else b

    @cuda.jit(device=True, forceinline=True)
    def larger(a, b):
        return a if a > b else b

    @cuda.jit(device=True, forceinline=True)
    def said(cells, row, columns_log2, bits):
        """What a row says, or an infinity: as many of one sign as of the other go with a median."""
        if row >= np.uint64(cells.shape[0]):
            return most if row & ONE else -most
        own = bits >> row % PER_HASH * (columns_log2 + ONE)
        return apply_sign(cells[row, own & ((ONE << columns_log2) - ONE)], own >> columns_log2)

    @cuda.jit(device=True, forceinline=True)
    def median_of_five(a, b, c, d, e):
        low = larger(smaller(a, b), smaller(c, d))
        high = smaller(larger(a, b), larger(c, d))
        return larger(smaller(low, high), smaller(larger(low, high), e))

    def kernel(start, tables, columns_log2, cells, agree, out):
        at = np.uint64(cuda.blockIdx.x) * np.uint64(THREADS) + np.uint64(cuda.threadIdx.x)
        if at >= np.uint64(out.size):
            return
        rows, own = np.uint64(cells.shape[0]), start + at
        first = second = third = hash_of(tables, 0, own)
        if rows > np.uint64(3):
            second = hash_of(tables, 1, own)
        if rows > np.uint64(6):
            third = hash_of(tables, 2, own)
        a = said(cells, np.uint64(0), columns_log2, first)
        b = said(cells, np.uint64(1), columns_log2, first)
        c = said(cells, np.uint64(2), columns_log2, first)
        d = said(cells, np.uint64(3), columns_log2, second)
        e = said(cells, np.uint64(4), columns_log2, second)
        f = said(cells, np.uint64(5), columns_log2, second)
        g = said(cells, np.uint64(6), columns_log2, third)
        if agree == np.uint32(0):
            # Of two that are least and largest of three pairs' ends neither is the median of all.
            p, q, r, s = smaller(a, b), larger(a, b), smaller(c, d), larger(c, d)
            t, u = smaller(e, f), larger(e, f)
            low = larger(smaller(p, r), t)
            high = smaller(larger(q, s), u)
            out[at] = add(median_of_five(larger(p, r), low, smaller(q, s), high, g), zero)
            return
        low = high = a
        if rows > np.uint64(1):
            low, high = smaller(low, b), larger(high, b)
        if rows > np.uint64(2):
            low, high = smaller(low, c), larger(high, c)
        if rows > np.uint64(3):
            low, high = smaller(low, d), larger(high, d)
        if rows > np.uint64(4):
            low, high = smaller(low, e), larger(high, e)
        if rows > np.uint64(5):
            low, high = smaller(low, f), larger(high, f)
        if rows > np.uint64(6):
            low, high = smaller(low, g), larger(high, g)
        out[at] = high if high < zero else larger(low, zero)

    return kernel
