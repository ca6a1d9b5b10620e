"""What a chunk's keys and values take (spec section 13) on CUDA: device functions of a block.

What is found of a chunk is a row of ROW uint32 words: how many gaps have each bit length, then what
the names here say. What is chosen for it is added by `choose`.
"""

import numpy as np

from ...format.directory import WIDTH_BITS
from ...format.ids import MAX_KEY_RICE, KeyCodec
from . import codes, planes
from .warps import FULL, LAST_LANE, STEPS, WARP, largest, position, total

CLASSES = 32
REST_BITS = np.uint64(CLASSES)
"""Bits of gaps below their leading ones."""

RICE, UNARY, BLOCK_BITS = (np.uint64(CLASSES + i) for i in (1, 2, 3))
"""The best Rice parameter, bits of unary numbers with it, and bits of all blocks."""

PLAIN, PLAIN_WORDS = np.uint64(CLASSES + 4), np.uint64(CLASSES + 5)
"""The smallest packing of keys that needs no code, and words that it takes."""

KEY, KEY_HIGH, VALUE, VALUE_HIGH = (np.uint64(CLASSES + i) for i in (6, 7, 8, 9))
"""As in the directory: codec and parameter of keys, bits of key high; codec, parameter and base of
values, bits of value high."""

N_COLUMNS, N_PIECES, COLUMN_RESTS = (np.uint64(CLASSES + i) for i in (10, 11, 12))
"""Active columns, or 0 if the chunk cannot be written by them; its pieces, and bits of the gaps of
both below their leading ones."""

COLUMN_CLASSES = np.uint64(CLASSES + 13)
"""Gaps of each bit length, of places among active columns, then of columns."""

ROW = CLASSES + 13 + 2 * CLASSES
NUMBERS = 256
"""Numbers of values, level and sign, that are counted."""

ALL, BITMAP, COO, KEY_RICE, DELTA, BLOCKS, COLUMNS = (
    int(codec)
    for codec in (
        KeyCodec.ALL, KeyCodec.BITMAP, KeyCodec.COO, KeyCodec.RICE, KeyCodec.DELTA, KeyCodec.BLOCKS,
        KeyCodec.COLUMNS,
    )
)  # fmt: skip
ZERO, ONE = np.uint64(0), np.uint64(1)
TOO_LARGE = np.uint64(0xFFFF_FFFF)
LARGEST_RICE = np.uint32(MAX_KEY_RICE)
ITEMS = planes.ITEMS


def words_of(cuda):
    """Device function: words that hold so many bits."""

    @cuda.jit(device=True, forceinline=True)
    def words(bits):
        return (bits + np.uint64(63)) >> np.uint64(6)

    return words


def is_allowed(cuda):
    """Device function: whether a codec is one of those whose bits are set."""

    @cuda.jit(device=True, forceinline=True)
    def allowed(codecs, codec):
        return codecs >> np.uint64(codec) & ONE != ZERO

    return allowed


def keys(cuda):
    """Device function: the row of a chunk's keys, and the widths of its blocks.

    `widths` are uint32, those of a chunk from `place` on. `counted` is shared, uint32[64], and
    `sums` uint64[2, WARPS]. A shifted number, summed over all, is what its bits are worth above the
    shift, so that counts of bits tell what each Rice parameter takes.
    """
    between, add_lanes, (lane_of, warp_of) = planes.skip(cuda), total(cuda), position(cuda)
    words, allowed, bit_length = words_of(cuda), is_allowed(cuda), codes.bits_of(cuda)
    find_largest = largest(cuda, np.uint64)

    @cuda.jit(device=True, forceinline=True)
    def count(keys, first, number, codecs, widths, place, counted):
        """Gaps by class and bit, and widths of blocks; bits of this warp's blocks, in one lane."""
        lane, block, bits = lane_of(), np.uint64(warp_of()), ZERO
        while block * ITEMS < number:
            some, j = np.uint32(0), block * ITEMS + np.uint64(lane)
            last = min(block * ITEMS + ITEMS, number)
            while j < last:
                skip = np.uint32(between(keys, first, j))
                some |= skip
                if allowed(codecs, DELTA):
                    cuda.atomic.add(counted, bit_length(np.uint64(skip) + ONE), np.uint32(1))
                if allowed(codecs, KEY_RICE):
                    left = skip
                    while left != np.uint32(0):
                        bit = LAST_LANE - np.uint32(cuda.clz(left))
                        cuda.atomic.add(counted, np.uint32(bit + np.uint32(CLASSES)), np.uint32(1))
                        left = np.uint32(left ^ np.uint32(np.uint32(1) << bit))
                j += np.uint64(WARP)
            for i in range(STEPS):
                some |= np.uint32(cuda.shfl_xor_sync(FULL, np.int32(some), 16 >> i))
            width = np.uint64(32) - np.uint64(cuda.clz(np.uint32(some)))
            if lane == np.uint32(0) and allowed(codecs, BLOCKS):
                widths[place + block] = np.uint32(width)
                bits += width * (last - block * ITEMS)
            block += np.uint64(planes.WARPS)
        return bits

    @cuda.jit(device=True, forceinline=True)
    def fit_rice(number, counted, lane):
        """The first parameter that costs least, and the unary bits."""
        cost, bit = number * np.uint64(lane) + number, np.uint64(lane)
        while bit < np.uint64(CLASSES):
            cost += np.uint64(counted[np.uint64(CLASSES) + bit]) << (bit - np.uint64(lane))
            bit += ONE
        told = ZERO
        if lane <= LARGEST_RICE:
            told = ~(cost << np.uint64(5) | np.uint64(lane))
        told = ~find_largest(told)
        parameter, cost = told & np.uint64(31), told >> np.uint64(5)
        return parameter, cost - number * parameter

    @cuda.jit(device=True, forceinline=True)
    def smallest(number, length, width, codecs, unary, parameter, fields):
        """The first of the packings without codes that takes least, and its words."""
        codec, least = ZERO, TOO_LARGE
        if allowed(codecs, ALL) and number == length:
            codec, least = np.uint64(ALL), ZERO
        if allowed(codecs, BITMAP) and words(length) < least:
            codec, least = np.uint64(BITMAP), words(length)
        if allowed(codecs, COO) and words(number * width) < least:
            codec, least = np.uint64(COO), words(number * width)
        both = words(unary) + words(number * parameter)
        if allowed(codecs, KEY_RICE) and both < least:
            codec, least = np.uint64(KEY_RICE), both
        blocks = (number + ITEMS - ONE) // ITEMS
        both = words(blocks * np.uint64(WIDTH_BITS)) + words(fields)
        if allowed(codecs, BLOCKS) and both < least:
            codec, least = np.uint64(BLOCKS), both
        return codec, least

    @cuda.jit(device=True, forceinline=True)
    def measure(
        keys, first, number, length, width, codecs, widths, place, counted, sums, measures, at
    ):
        lane, warp = lane_of(), warp_of()
        if warp < np.uint32(2):
            counted[np.uint64(cuda.threadIdx.x)] = np.uint32(0)
        cuda.syncthreads()
        bits = count(keys, first, number, codecs, widths, place, counted)
        if lane == np.uint32(0):
            sums[0, warp] = bits
        cuda.syncthreads()
        if warp != np.uint32(0):
            return
        fields = ZERO
        for other in range(planes.WARPS):
            fields += sums[0, other]
        parameter, unary = fit_rice(number, counted, lane)
        held = counted[np.uint64(lane)]
        rests = ZERO
        if lane > np.uint32(1):
            rests = np.uint64(held) * (np.uint64(lane) - ONE)
        rests = add_lanes(rests)
        measures[at + np.uint64(lane)] = held
        if lane == LAST_LANE:
            codec, least = smallest(number, length, width, codecs, unary, parameter, fields)
            measures[at + REST_BITS] = np.uint32(rests)
            measures[at + RICE], measures[at + UNARY] = np.uint32(parameter), np.uint32(unary)
            measures[at + BLOCK_BITS] = np.uint32(fields)
            measures[at + PLAIN] = np.uint32(codec)
            measures[at + PLAIN_WORDS] = np.uint32(least)

    return measure
