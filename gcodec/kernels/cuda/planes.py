"""Planes of bits (spec section 8) on CUDA: device functions over the elements of one chunk.

Planes start with words, which are zero before. All threads of a block call each function, with the
same arguments. Numbers are unsigned: signed and
unsigned would meet as floats, and signed indices be tested for wrap-around.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS, WIDTH_BITS
from .warps import LAST_LANE, WARP, position, scan

WARPS = 8
THREADS = WARPS * WARP
"""In a block."""

ZERO, ONE, TWO, SIX, WORD = (np.uint64(i) for i in (0, 1, 2, 6, 64))
LOW_SIX, ALL = np.uint64(63), ~np.uint64(0)
ITEMS, STEP = np.uint64(BLOCK), np.uint64(THREADS)
FIELD_WIDTH, OFFSET = np.uint64(WIDTH_BITS), np.uint64(OFFSET_BITS)
EACH = np.uint64(BLOCK // WARP)
"""Items of a block that a lane has."""

HALF, LOW_32 = np.uint64(32), np.uint64(0xFFFF_FFFF)


def fields(cuda, field):
    """Device function: a word of fields of a width from 1 to 64, one after the other.

    `field(array, place, grid)` is one of them: element `place`, by what `grid` says.
    """

    @cuda.jit(device=True, forceinline=True)
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

    @cuda.jit(device=True, forceinline=True)
    def write(array, first, count, grid, width, payload, start):
        word = np.uint64(cuda.threadIdx.x)
        while word * WORD < count * width:
            payload[start + word] = gather(array, first, count, grid, width, word)
            word += STEP

    return write


def element(cuda):
    """A field that is the element itself."""

    @cuda.jit(device=True, forceinline=True)
    def same(array, place, grid):
        return np.uint64(array[place])

    return same


def bitmap(cuda):
    """Device function: a one for each key, in words that are zero; keys share them."""

    @cuda.jit(device=True, forceinline=True)
    def write(keys, first, count, payload, start):
        j = np.uint64(cuda.threadIdx.x)
        while j < count:
            key = np.uint64(keys[first + j])
            cuda.atomic.or_(payload, start + (key >> SIX), ONE << (key & LOW_SIX))
            j += STEP

    return write


def codes(cuda, code_of):
    """Device function: codes of any lengths one after the other, in words that are zero.

    `code_of(j, what)` is code << 32 | length of the j-th. A number in unary is a one in the last of
    so many bits. If `indexed`, bits of all blocks but the last are written from word `index` on.
    `sums` is shared, uint64[2, WARPS]. A lane has four codes, the words of which others share.
    """
    add_below, (lane_of, warp_of) = scan(cuda), position(cuda)

    @cuda.jit(device=True, forceinline=True)
    def share(payload, word, bits):
        if bits != ZERO:
            cuda.atomic.or_(payload, word, bits)

    @cuda.jit(device=True, forceinline=True)
    def put(payload, start, bit, code):
        word, shift = start + (bit >> SIX), bit & LOW_SIX
        share(payload, word, code << shift)
        share(payload, word + ONE, code >> ONE >> (LOW_SIX - shift))

    @cuda.jit(device=True, forceinline=True)
    def put_all(payload, start, bit, found, unary):
        """Codes of a lane, one after the other; a word is written when all of it is known."""
        word, gathered = bit >> SIX, ZERO
        for i in range(4):
            code, length = found[i] >> HALF, found[i] & LOW_32
            at = bit + length - ONE if unary else bit
            bit += length
            if code != ZERO:
                if at >> SIX != word:
                    share(payload, start + word, gathered)
                    word, gathered = at >> SIX, ZERO
                gathered |= code << (at & LOW_SIX)
                high = code >> ONE >> (LOW_SIX - (at & LOW_SIX))
                if high != ZERO:
                    share(payload, start + word, gathered)
                    word, gathered = word + ONE, high
        share(payload, start + word, gathered)

    @cuda.jit(device=True, forceinline=True)
    def code_or_none(j, count, what):
        return code_of(j, what) if j < count else ZERO

    @cuda.jit(device=True, forceinline=True)
    def write(what, count, unary, indexed, payload, index, start, sums):
        lane, warp = lane_of(), np.uint64(warp_of())
        number = (count + ITEMS - ONE) // ITEMS
        tile = half = bit = ZERO
        while tile < number:
            block, own, upto = tile + warp, np.uint32(0), np.uint32(0)
            j = block * ITEMS + np.uint64(lane) * EACH
            found = (
                code_or_none(j, count, what),
                code_or_none(j + ONE, count, what),
                code_or_none(j + TWO, count, what),
                code_or_none(j + TWO + ONE, count, what),
            )
            if block < number:
                for i in range(4):
                    own = np.uint32(own + np.uint32(found[i] & LOW_32))
                upto = add_below(lane, own)
                if indexed and lane == LAST_LANE and block + ONE < number:
                    put(payload, index, block * OFFSET, np.uint64(upto))
            if lane == LAST_LANE:
                sums[half, warp] = np.uint64(upto)
            cuda.syncthreads()  # one is enough: the next tile has the other half
            if block < number:  # the others have no next tile
                at, together = bit + np.uint64(np.uint32(upto - own)), ZERO
                for other in range(WARPS):
                    if np.uint64(other) < warp:
                        at += sums[half, other]
                    together += sums[half, other]
                put_all(payload, start, at, found, unary)
                bit += together
            tile += np.uint64(WARPS)
            half = half ^ ONE
        cuda.syncthreads()

    return write


def skip(cuda):
    """Device function: positions between a key and the one before it in its chunk."""

    @cuda.jit(device=True, forceinline=True)
    def between(keys, first, j):
        key = np.uint64(keys[first + j])
        if j != ZERO:
            key -= np.uint64(keys[first + j - ONE]) + ONE
        return key

    return between


def blocks(cuda):
    """Device function: a chunk's blocks of keys, each in fields of its own width.

    `widths` are uint32, those of a chunk from `place` on; `sums` is shared, uint64[2, WARPS].
    """
    between, (lane_of, warp_of) = skip(cuda), position(cuda)
    write_widths = fields(cuda, element(cuda))

    @cuda.jit(device=True, forceinline=True)
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

    return write
