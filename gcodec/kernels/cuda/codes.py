"""Prefix codes of at most 12 bits (spec sections 6 and 13) on CUDA: device functions.

Arrays are shared: counts uint64, lengths uint32, scratch uint64.
"""

import numpy as np

from ...format.directory import MAX_CODE_BITS
from .warps import FULL, WARP, position, total

ZERO, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
LANES = np.uint64(WARP)
LONGEST = np.uint32(MAX_CODE_BITS)
LENGTH = np.uint32(5)
"""Bits of a length, below its code."""

RANK = np.uint32(16)
RANK_MASK = np.uint32((1 << 16) - 1)


def scratch_of(symbols):
    """Words of scratch for a code of at most so many symbols, 16 or a multiple of it."""
    return 4 * symbols + MAX_CODE_BITS * symbols // 32


def bits_of(cuda):
    """Device function: how many bits a number has."""

    @cuda.jit(device=True, forceinline=True)
    def bit_length(number):
        return np.uint64(64) - np.uint64(cuda.clz(np.int64(number)))

    return bit_length


def lengths(cuda):
    """Device function: the best code by package-merge, and the bits that it takes.

    All lanes of a warp call it. Counts are those from `at` on, lengths go to `out` on, and scratch
    is from `own` on. Each item of a level finds its place among those of the other kind, and
    whether it is a symbol is the lowest bit of its weight.
    """
    add_lanes, (lane_of, _) = total(cuda), position(cuda)

    @cuda.jit(device=True, forceinline=True)
    def below(words, begin, end, limit):
        """How many of ascending words are below a limit."""
        first = begin
        while begin < end:
            middle = (begin + end) >> ONE
            if words[middle] < limit:
                begin = middle + ONE
            else:
                end = middle
        return begin - first

    @cuda.jit(device=True, forceinline=True)
    def rank_symbols(counts, at, size, lengths, out, scratch, leaves):
        """Sort counts, and note the place of each symbol; how many occur."""
        symbol, occur = np.uint64(lane_of()), ZERO
        while symbol < size:
            count, rank, other = counts[at + symbol], ZERO, ZERO
            if count == ZERO:
                other = size
            while other < size:
                weight = counts[at + other]
                if weight > ZERO and (weight < count or (weight == count and other < symbol)):
                    rank += ONE
                other += ONE
            lengths[out + symbol] = np.uint32(0)
            if count > ZERO:
                scratch[leaves + rank] = count
                lengths[out + symbol] = np.uint32(rank)
                occur += ONE
            symbol += LANES
        used = add_lanes(occur)
        cuda.syncwarp()
        return used

    @cuda.jit(device=True, forceinline=True)
    def merge(used, packed, scratch, leaves, packages, merged):
        """Symbols and packages of a level by weight, symbols first; then pairs of these."""
        i = np.uint64(lane_of())
        while i < used:
            weight = scratch[leaves + i]
            place = i + below(scratch, packages, packages + packed, weight)
            scratch[merged + place] = weight << ONE | ONE
            i += LANES
        i = np.uint64(lane_of())
        while i < packed:
            weight = scratch[packages + i]
            place = i + below(scratch, leaves, leaves + used, weight + ONE)
            scratch[merged + place] = weight << ONE
            i += LANES
        cuda.syncwarp()

    @cuda.jit(device=True, forceinline=True)
    def make(counts, at, size, lengths, out, scratch, own):
        lane = np.uint64(lane_of())
        leaves, packages, merged = own, own + size, own + TWO * size
        masks, row = own + np.uint64(4) * size, size // np.uint64(32)
        used = rank_symbols(counts, at, size, lengths, out, scratch, leaves)
        packed, level = ZERO, ZERO
        levels = np.uint64(LONGEST) if used > ONE else ZERO
        while level < levels:
            merge(used, packed, scratch, leaves, packages, merged)
            items, word = used + packed, ZERO
            while word < row:  # two votes are a word
                i, mask = word * np.uint64(64) + lane, ZERO
                flag = i < items and scratch[merged + i] & ONE != ZERO
                mask = np.uint64(np.uint32(cuda.ballot_sync(FULL, flag)))
                i += LANES
                flag = i < items and scratch[merged + i] & ONE != ZERO
                mask |= np.uint64(np.uint32(cuda.ballot_sync(FULL, flag))) << np.uint64(32)
                if lane == ZERO:
                    scratch[masks + level * row + word] = mask
                word += ONE
            packed, i = items >> ONE, lane
            while i < packed:
                pair = merged + TWO * i
                scratch[packages + i] = (scratch[pair] >> ONE) + (scratch[pair + ONE] >> ONE)
                i += LANES
            cuda.syncwarp()
            level += ONE
        take = ZERO
        if used > ONE:
            take = TWO * used - TWO
        while level > ZERO:
            level -= ONE
            taken, word, left = ZERO, masks + level * row, take
            while left > ZERO:
                mask = scratch[word]
                if left < np.uint64(64):
                    mask &= (ONE << left) - ONE
                taken += np.uint64(cuda.popc(mask))
                left -= min(left, np.uint64(64))
                word += ONE
            i = lane
            while i < size:
                known = lengths[out + i]
                if counts[at + i] > ZERO and np.uint64(known & RANK_MASK) < taken:
                    lengths[out + i] = known + (np.uint32(1) << RANK)
                i += LANES
            take = TWO * (take - taken)
        bits, i = ZERO, lane
        while i < size:
            length = np.uint32(lengths[out + i] >> RANK)
            if used == ONE and counts[at + i] > ZERO:
                length = np.uint32(1)
            lengths[out + i] = length
            bits += counts[at + i] * np.uint64(length)
            i += LANES
        return add_lanes(bits)

    return make


def word(cuda):
    """Device function: code << 5 | length of a symbol, or 0, from the lengths of all."""

    @cuda.jit(device=True, forceinline=True)
    def of(lengths, at, size, symbol):
        length, before, other = lengths[at + symbol], np.uint32(0), ZERO
        if length == np.uint32(0):
            return np.uint32(0)
        while other < size:
            size_of_other = lengths[at + other]
            sooner = size_of_other < length or (size_of_other == length and other < symbol)
            if size_of_other > np.uint32(0) and sooner:
                before += np.uint32(1) << np.uint32(LONGEST - size_of_other)
            other += ONE
        code = np.uint32(before >> np.uint32(LONGEST - length))
        flipped = np.uint32(np.uint32(cuda.brev(code)) >> np.uint32(np.uint32(32) - length))
        return np.uint32(flipped << LENGTH) | length

    return of
