"""Planes of bits (spec section 8): fixed-width fields, unary numbers, prefix codes with an index.

Job tables are described in `gcodec.kernels.jobs`. Writers expect a zeroed payload. Readers return
the first job at fault, or -1.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS
from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH
from .bits import LOW_SIX, ONE, SIX, ZERO, bit_length, get, put
from .jit import kernel, magnitude, trailing_zeros

OFFSET_WIDTH = np.uint64(OFFSET_BITS)
OFFSET_MASK = (ONE << OFFSET_WIDTH) - ONE
CODE_MASK = np.uint64(4095)
LOW_32 = np.uint64(0xFFFF_FFFF)


@kernel
def write_fields(jobs, values, payload):
    """The low WIDTH bits of each value."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        width = np.uint64(jobs[job, WIDTH])
        mask = (ONE << width) - ONE
        bit = np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            put(payload, bit, width, np.uint64(values[j]) & mask)
            bit += width


@kernel
def read_fields(jobs, payload, values):
    """WIDTH bits into each value."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        width = np.uint64(jobs[job, WIDTH])
        mask = (ONE << width) - ONE
        bit = np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            values[j] = get(payload, bit, mask)
            bit += width
    return -1


@kernel
def read_signs(jobs, payload, values):
    """A plane of bits into the sign bits of values, which must be zero."""
    sign = np.uint64(values.itemsize * 8 - 1)
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        bit = np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            if magnitude(values[j]) != values[j]:
                return job
            values[j] |= get(payload, bit, ONE) << sign
            bit += ONE
    return -1


@kernel
def write_unary(jobs, values, payload):
    """Each value >> WIDTH as that many zeros and a one."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        shift = np.uint64(jobs[job, WIDTH])
        bit = np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            bit += np.uint64(values[j]) >> shift
            payload[bit >> SIX] |= ONE << (bit & LOW_SIX)
            bit += ONE


@kernel
def read_unary(jobs, payload, values):
    """Add each number << WIDTH to its value; a plane must hold COUNT ones, the last at END - 1."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        stop = first + jobs[job, COUNT]
        shift = np.uint64(jobs[job, WIDTH])
        following = np.uint64(jobs[job, START])
        word = following >> SIX
        last = (np.uint64(jobs[job, END]) + LOW_SIX) >> SIX
        j = first
        while word < last:
            rest = payload[word]
            while rest != ZERO:
                if j == stop:
                    return job
                bit = (word << SIX) + trailing_zeros(rest)
                value = np.uint64(values[j]) + ((bit - following) << shift)
                if value > LOW_32:
                    return job
                values[j] = value
                following = bit + ONE
                rest &= rest - ONE
                j += 1
            word += ONE
        if j != stop or following != np.uint64(jobs[job, END]):
            return job
    return -1


@kernel
def write_codes(jobs, symbols, lengths, codes, payload):
    """The code of each symbol, and the length of every block but the last in the index plane."""
    for job in range(jobs.shape[0]):
        first, count = jobs[job, FIRST], jobs[job, COUNT]
        bit = np.uint64(jobs[job, START])
        index = np.uint64(jobs[job, INDEX])
        for start in range(0, count, BLOCK):
            before = bit
            for j in range(start, min(start + BLOCK, count)):
                row = jobs[job, WIDTH] + (j < jobs[job, SPLIT])
                symbol = symbols[first + j]
                width = np.uint64(lengths[row, symbol])
                put(payload, bit, width, np.uint64(codes[row, symbol]))
                bit += width
            if start + BLOCK < count:
                put(payload, index, OFFSET_WIDTH, bit - before)
                index += OFFSET_WIDTH


@kernel
def read_codes(jobs, payload, tables, symbols):
    """Symbols of COUNT codes that end at END, block by block where the index says."""
    for job in range(jobs.shape[0]):
        first, count = jobs[job, FIRST], jobs[job, COUNT]
        bit = np.uint64(jobs[job, START])
        end = np.uint64(jobs[job, END])
        index = np.uint64(jobs[job, INDEX])
        for start in range(0, count, BLOCK):
            block_end = end
            if start + BLOCK < count:
                block_end = bit + get(payload, index, OFFSET_MASK)
                index += OFFSET_WIDTH
            if block_end > end:
                return job
            for j in range(start, min(start + BLOCK, count)):
                row = jobs[job, WIDTH] + (j < jobs[job, SPLIT])
                entry = np.uint64(tables[row, get(payload, bit, CODE_MASK)])
                width = entry & np.uint64(15)
                bit += width
                if width == ZERO or bit > block_end:
                    return job
                symbols[first + j] = entry >> np.uint64(4)
            if bit != block_end:
                return job
    return -1


@kernel
def write_rests(jobs, gaps, payload):
    """The bits of each gap below its leading one."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        bit = np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            gap = np.uint64(gaps[j])
            width = bit_length(gap) - ONE
            put(payload, bit, width, gap ^ (ONE << width))
            bit += width


@kernel
def read_rests(jobs, payload, gaps, ends):
    """Classes into gaps; `ends` says where the rests of each job end, which is not past END."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        stop = first + jobs[job, COUNT]
        needed = jobs[job, START]
        for j in range(first, stop):
            if gaps[j] == 0:
                return job
            needed += np.int64(gaps[j]) - 1
        if needed > jobs[job, END]:
            return job
        bit = np.uint64(jobs[job, START])
        for j in range(first, stop):
            width = np.uint64(gaps[j]) - ONE
            leading = ONE << width
            gaps[j] = leading | get(payload, bit, leading - ONE)
            bit += width
        ends[job] = needed
    return -1


@kernel
def spare_bits(jobs, payload):
    """The first job with a one between START and END."""
    for job in range(jobs.shape[0]):
        bit, end = np.uint64(jobs[job, START]), np.uint64(jobs[job, END])
        if bit >= end:
            continue
        word, last = bit >> SIX, (end - ONE) >> SIX
        rest = payload[word] >> (bit & LOW_SIX)
        if word == last:
            rest &= (ONE << (end - bit)) - ONE if end - bit < np.uint64(64) else ~ZERO
        if rest != ZERO:
            return job
        word += ONE
        while word < last:
            if payload[word] != ZERO:
                return job
            word += ONE
        if word == last and payload[word] << (LOW_SIX - ((end - ONE) & LOW_SIX)) != ZERO:
            return job
    return -1


@kernel
def write_bitmap(jobs, keys, payload):
    """A one for every key."""
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        start = np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            bit = start + np.uint64(keys[j])
            payload[bit >> SIX] |= ONE << (bit & LOW_SIX)


@kernel
def read_bitmap(jobs, payload, keys):
    """Keys of the ones between START and END, which must be COUNT."""
    for job in range(jobs.shape[0]):
        j = jobs[job, FIRST]
        stop = j + jobs[job, COUNT]
        start, end = np.uint64(jobs[job, START]), np.uint64(jobs[job, END])
        word = start >> SIX
        while word << SIX < end:
            rest = payload[word]
            if end - (word << SIX) < np.uint64(64):
                rest &= (ONE << (end - (word << SIX))) - ONE
            while rest != ZERO:
                if j == stop:
                    return job
                keys[j] = (word << SIX) + trailing_zeros(rest) - start
                rest &= rest - ONE
                j += 1
            word += ONE
        if j != stop:
            return job
    return -1
