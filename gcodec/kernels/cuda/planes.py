"""Planes of bits (spec section 8) on CUDA: device functions over the elements of one chunk.

Planes start with words and are written word by word, so that nothing has to be zero before. All
threads of a block call each function, with the same arguments. Numbers are unsigned: signed and
unsigned would meet as floats, and signed indices be tested for wrap-around.
"""

import numpy as np

from ...format.directory import BLOCK, WIDTH_BITS
from .warps import FULL, WARP, position, total

WARPS = 8
THREADS = WARPS * WARP
"""In a block."""

ZERO, ONE, SIX, WORD = np.uint64(0), np.uint64(1), np.uint64(6), np.uint64(64)
LOW_SIX, ALL = np.uint64(63), ~np.uint64(0)
ITEMS, STEP = np.uint64(BLOCK), np.uint64(THREADS)
FIELD_WIDTH = np.uint64(WIDTH_BITS)
PER_LANE = BLOCK // WARP


def fields(cuda, field):
    """Device function: a word of fields of a width from 1 to 64, one after the other.

    `field(array, place, grid)` is one of them: element `place`, by what `grid` says.
    """

    @cuda.jit(device=True, inline="always")
    def gather(array, first, count, grid, width, word):
        mask, begin = ALL >> (WORD - width), word * WORD
        j, gathered = begin // width, ZERO
        at = j * width
        while at < begin + WORD and j < count:
            bits = field(array, first + j, grid) & mask
            if at >= begin:
                gathered |= bits << (at - begin)
            else:
                gathered |= bits >> (begin - at)
            at += width
            j += ONE
        return gathered

    @cuda.jit(device=True, inline="always")
    def write(array, first, count, grid, width, payload, start):
        word = np.uint64(cuda.threadIdx.x)
        while word * WORD < count * width:
            payload[start + word] = gather(array, first, count, grid, width, word)
            word += STEP

    return write


def element(cuda):
    """A field that is the element itself."""

    @cuda.jit(device=True, inline="always")
    def same(array, place, grid):
        return np.uint64(array[place])

    return same


def bitmap(cuda):
    """Device function: a one for each key, in so many words; keys share words, hence atomic."""

    @cuda.jit(device=True, inline="always")
    def write(keys, first, count, words, payload, start):
        word, j = np.uint64(cuda.threadIdx.x), np.uint64(cuda.threadIdx.x)
        while word < words:
            payload[start + word] = ZERO
            word += STEP
        cuda.syncthreads()
        while j < count:
            key = np.uint64(keys[first + j])
            cuda.atomic.or_(payload, start + (key >> SIX), ONE << (key & LOW_SIX))
            j += STEP

    return write


def skip(cuda):
    """Device function: positions between a key and the one before it in its chunk."""

    @cuda.jit(device=True, inline="always")
    def between(keys, first, j):
        key = np.uint64(keys[first + j])
        if j != ZERO:
            key -= np.uint64(keys[first + j - ONE]) + ONE
        return key

    return between


def blocks(cuda):
    """Device functions: the widths of a chunk's blocks of keys, and these blocks in a plane.

    `widths` are uint32, those of a chunk from `place` on; `sums` is shared, uint64[2, WARPS], and a
    barrier has to lie between the two functions.
    """
    between, add_lanes, (lane_of, warp_of) = skip(cuda), total(cuda), position(cuda)
    write_widths = fields(cuda, element(cuda))

    @cuda.jit(device=True, inline="always")
    def measure(keys, first, count, widths, place, sums):
        """Bits of all fields; widths are there for all threads."""
        lane, warp = lane_of(), warp_of()
        block, bits = np.uint64(warp), ZERO
        while block * ITEMS < count:
            some, j = ZERO, block * ITEMS + np.uint64(lane)
            for _ in range(PER_LANE):
                if j < count:
                    some |= between(keys, first, j)
                j += np.uint64(WARP)
            for step in (16, 8, 4, 2, 1):
                some |= np.uint64(np.uint32(cuda.shfl_xor_sync(FULL, np.int32(some), step)))
            width = np.uint64(32) - np.uint64(cuda.clz(np.uint32(some)))
            if lane == np.uint32(0):
                widths[place + block] = np.uint32(width)
                bits += width * min(ITEMS, count - block * ITEMS)
            block += np.uint64(WARPS)
        bits = add_lanes(bits)
        if lane == np.uint32(0):
            sums[0, warp] = bits
        cuda.syncthreads()
        bits = ZERO
        for other in range(WARPS):
            bits += sums[0, other]
        return bits

    @cuda.jit(device=True, inline="always")
    def write(keys, first, count, widths, place, sums, payload, index, start):
        """Widths from word `index` on, and blocks from `start` on."""
        lane, warp = np.uint64(lane_of()), np.uint64(warp_of())
        number = (count + ITEMS - ONE) // ITEMS
        write_widths(widths, place, number, ZERO, FIELD_WIDTH, payload, index)
        tile = half = ZERO
        while tile < number:
            block, width = tile + warp, ZERO
            if block < number:
                width = np.uint64(widths[place + block])
            if lane == ZERO:
                sums[half, warp] = width
            cuda.syncthreads()  # one is enough: the next tile has the other half
            before = together = ZERO
            for other in range(WARPS):
                size = sums[half, other]
                if np.uint64(other) < warp:
                    before += size
                together += size
            begin = block * ITEMS
            if width != ZERO:
                size, word = min(ITEMS, count - begin), lane
                while word * WORD < size * width:
                    at, gathered, j = word * WORD // width * width, ZERO, word * WORD // width
                    while at < word * WORD + WORD and j < size:
                        bits = between(keys, first, begin + j)
                        if at >= word * WORD:
                            gathered |= bits << (at - word * WORD)
                        else:
                            gathered |= bits >> (word * WORD - at)
                        at += width
                        j += ONE
                    payload[start + np.uint64(2) * before + word] = gathered
                    word += np.uint64(WARP)
            start += np.uint64(2) * together
            tile += np.uint64(WARPS)
            half = half ^ ONE

    return measure, write
