"""Planes of bits (spec section 8): fixed-width fields, unary numbers, prefix codes with an index.

Job tables are described in `gcodec.kernels.jobs`. Writers expect a zeroed payload. The reader
returns the first job at fault, or -1: CUDA's is compared with it. Here a plane is one big integer.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS


def write_fields(jobs, values, payload):
    """The low WIDTH bits of each value."""
    for start, _, first, count, width, *_ in jobs.tolist():
        fields = [value & (1 << width) - 1 for value in values[first : first + count].tolist()]
        _store(payload, start, sum(field << width * j for j, field in enumerate(fields)))


def write_unary(jobs, values, payload):
    """Each value >> WIDTH as that many zeros and a one."""
    for start, _, first, count, shift, *_ in jobs.tolist():
        position, plane = 0, 0
        for value in values[first : first + count].tolist():
            position += value >> shift
            plane |= 1 << position
            position += 1
        _store(payload, start, plane)


def write_codes(jobs, symbols, lengths, codes, payload):
    """The code of each symbol, and the length of every block but the last in the index plane."""
    for start, _, first, count, row, index, split in jobs.tolist():
        plane = bit = 0
        block_start = 0
        offsets = []
        for j in range(count):
            if j and j % BLOCK == 0:
                offsets.append(bit - block_start)
                block_start = bit
            table, symbol = row + (j < split), symbols[first + j]
            plane |= int(codes[table, symbol]) << bit
            bit += int(lengths[table, symbol])
        _store(payload, start, plane)
        _store(payload, index, sum(n << OFFSET_BITS * i for i, n in enumerate(offsets)))


def read_codes(jobs, payload, tables, symbols):
    """Symbols of COUNT codes that end at END, block by block where the index says."""
    for job, (bit, end, first, count, row, index, split) in enumerate(jobs.tolist()):
        for j in range(count):
            if j % BLOCK == 0:
                block_end = end
                if j + BLOCK < count:
                    block_end = bit + _load(payload, index, OFFSET_BITS)
                    index += OFFSET_BITS
                if block_end > end:
                    return job
            entry = int(tables[row + (j < split), _load(payload, bit, 12)])
            bit += entry & 15
            if not entry & 15 or bit > block_end:
                return job
            symbols[first + j] = entry >> 4
            if (j % BLOCK == BLOCK - 1 or j == count - 1) and bit != block_end:
                return job
    return -1


def write_rests(jobs, gaps, payload):
    """The bits of each gap below its leading one."""
    for start, _, first, count, *_ in jobs.tolist():
        plane = bit = 0
        for gap in gaps[first : first + count].tolist():
            width = gap.bit_length() - 1
            plane |= (gap ^ 1 << width) << bit
            bit += width
        _store(payload, start, plane)


def write_bitmap(jobs, keys, payload):
    """A one for every key."""
    for start, _, first, count, *_ in jobs.tolist():
        _store(payload, start, sum(1 << key for key in keys[first : first + count].tolist()))


def _store(payload, start, plane):
    plane <<= start % 64
    word = start // 64
    while plane:
        payload[word] |= np.uint64(plane & (1 << 64) - 1)
        plane >>= 64
        word += 1


def _load(payload, start, bits):
    words = payload[start // 64 : -(-(start + bits) // 64)].tobytes()
    return int.from_bytes(words, "little") >> start % 64 & (1 << bits) - 1
