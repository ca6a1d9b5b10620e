"""Planes of bits (spec section 8) on CUDA: factories of kernels, over the module of `target.load`.

Planes start with words. Arguments are those of `gcodec.kernels.reference.planes`. Numbers are
unsigned: signed and unsigned would meet as floats, and signed indices be tested for wrap-around.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS, WIDTH_BITS
from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH

WARP = 32
FULL = 0xFFFF_FFFF
ZERO, ONE = np.uint64(0), np.uint64(1)
FIVE, SIX = np.uint64(5), np.uint64(6)
LAST_LANE, LOW_SIX, WORD = np.uint64(WARP - 1), np.uint64(63), np.uint64(64)
ITEMS = np.uint64(BLOCK)
OFFSET_WIDTH, FIELD_WIDTH = np.uint64(OFFSET_BITS), np.uint64(WIDTH_BITS)
OFFSET_MASK = (ONE << OFFSET_WIDTH) - ONE
CODE_MASK = np.uint64(4095)

RUN = 4
"""Codes that a lane has in one register: 48 bits at most."""
WRITERS = 8
"""Warps in a thread block of `write_codes`."""
TILE = np.uint64(WRITERS * BLOCK)
READERS = 4
"""Warps in a thread block of `read_codes`."""
ROUND = 32
"""Codes that each lane reads before all lanes write them."""
PITCH = ROUND + 2
"""An odd number of words from one lane's codes to the next one's, so that lanes use all banks."""
STAGE = (READERS, WARP * PITCH)


def _scan(cuda):
    @cuda.jit(device=True, inline="always")
    def scan(lane, value):
        """Sum over this lane and those below, which must fit 31 bits."""
        total = np.int32(value)
        for step in (1, 2, 4, 8, 16):
            below = cuda.shfl_up_sync(FULL, total, step)
            if lane >= np.uint64(step):
                total = np.int32(total + below)
        return np.uint64(total)

    return scan


def write_codes(cuda):
    """A kernel with a thread block of WRITERS warps for each job.

    A warp takes a block of codes, a lane RUN of them, and sums of lengths say where each run goes.
    Runs share words, hence atomic; `or` gives the same bits in any order. Lanes that wrote whole
    blocks would need them at the seams only, but half of the lanes would idle (a usual chunk has 12
    to 23 blocks), and no two load neighbours.
    """
    scan = _scan(cuda)

    @cuda.jit(device=True, inline="always")
    def put(payload, bit, width, value):
        word, offset = bit >> SIX, bit & LOW_SIX
        cuda.atomic.or_(payload, word, value << offset)
        if offset + width > WORD:
            cuda.atomic.or_(payload, word + ONE, value >> (WORD - offset))

    def kernel(jobs, symbols, lengths, codes, payload):
        sums = cuda.shared.array((2, WRITERS), np.uint32)
        job = np.uint64(cuda.blockIdx.x)
        lane = np.uint64(cuda.threadIdx.x) & LAST_LANE
        warp = np.uint64(cuda.threadIdx.x) >> FIVE
        first, count = np.uint64(jobs[job, FIRST]), np.uint64(jobs[job, COUNT])
        row, split = np.uint64(jobs[job, WIDTH]), np.uint64(jobs[job, SPLIT])
        bit, index = np.uint64(jobs[job, START]), np.uint64(jobs[job, INDEX])
        block = warp * ITEMS
        tile = ZERO
        while tile < count:
            run = width = ZERO
            j = block + lane * np.uint64(RUN)
            for _ in range(RUN):
                if j < count:
                    code = row + np.uint64(j < split)
                    symbol = np.uint64(symbols[first + j])
                    run |= np.uint64(codes[code, symbol]) << width
                    width += np.uint64(lengths[code, symbol])
                j += ONE
            end = scan(lane, width)
            half = (tile // TILE) & ONE
            if lane == LAST_LANE:
                sums[half, warp] = np.uint32(end)
            cuda.syncthreads()  # one is enough: the next tile has the other half
            before = total = ZERO
            for other in range(WRITERS):
                size = np.uint64(sums[half, other])
                if np.uint64(other) < warp:
                    before += size
                total += size
            if width != ZERO:
                put(payload, bit + before + end - width, width, run)
            if lane == LAST_LANE and block + ITEMS < count:
                put(payload, index + block // ITEMS * OFFSET_WIDTH, OFFSET_WIDTH, end)
            bit += total
            block += TILE
            tile += TILE

    return kernel


PLANE_THREADS = 256
"""In a thread block that writes a plane word by word."""


def _fields(cuda):
    """Device function: a word of fields of a width, from 1 to 32, that lie one after the other."""

    @cuda.jit(device=True, inline="always")
    def gather(values, first, count, width, word):
        mask = (ONE << width) - ONE
        begin = word * WORD
        j, gathered = begin // width, ZERO
        at = j * width
        while at < begin + WORD and j < count:
            field = np.uint64(values[first + j]) & mask
            if at >= begin:
                gathered |= field << (at - begin)
            else:
                gathered |= field >> (begin - at)
            at += width
            j += ONE
        return gathered

    return gather


def write_fields(cuda):
    """A kernel with a thread block for each job, which writes whole words and needs no zeros."""
    gather = _fields(cuda)

    def kernel(jobs, values, payload):
        job, word = np.uint64(cuda.blockIdx.x), np.uint64(cuda.threadIdx.x)
        first, count = np.uint64(jobs[job, FIRST]), np.uint64(jobs[job, COUNT])
        width, start = np.uint64(jobs[job, WIDTH]), np.uint64(jobs[job, START]) >> SIX
        while word * WORD < count * width:
            payload[start + word] = gather(values, first, count, width, word)
            word += np.uint64(PLANE_THREADS)

    return kernel


def write_bitmap(cuda):
    """A kernel with a thread block for each job; keys share words, hence atomic."""

    def kernel(jobs, keys, payload):
        job, j = np.uint64(cuda.blockIdx.x), np.uint64(cuda.threadIdx.x)
        first, count = np.uint64(jobs[job, FIRST]), np.uint64(jobs[job, COUNT])
        start = np.uint64(jobs[job, START])
        while j < count:
            bit = start + np.uint64(keys[first + j])
            cuda.atomic.or_(payload, bit >> SIX, ONE << (bit & LOW_SIX))
            j += np.uint64(PLANE_THREADS)

    return kernel


def _skip(cuda):
    """Device function: positions between a key and the one before it in its chunk."""

    @cuda.jit(device=True, inline="always")
    def skip(keys, first, j):
        key = np.uint64(keys[first + j])
        if j != ZERO:
            key -= np.uint64(keys[first + j - ONE]) + ONE
        return key

    return skip


def measure_blocks(cuda):
    """A kernel that finds the width of each block of keys, a thread block for each chunk.

    keys : uint32[nnz]; starts : uint64[chunks + 1]; widths : uint32[nnz // BLOCK + chunks], where
    those of a chunk begin at its first key // BLOCK + its number; bits : uint64[chunks], of all
    fields of each
    """
    skip = _skip(cuda)

    def kernel(keys, starts, widths, bits):
        sums = cuda.shared.array(WRITERS, np.uint64)
        chunk = np.uint64(cuda.blockIdx.x)
        lane = np.uint64(cuda.threadIdx.x) & LAST_LANE
        warp = np.uint64(cuda.threadIdx.x) >> FIVE
        first = starts[chunk]
        count = starts[chunk + ONE] - first
        place = first // ITEMS + chunk
        block, total = warp, ZERO
        while block * ITEMS < count:
            some = ZERO
            j = block * ITEMS + lane
            for _ in range(RUN):
                if j < count:
                    some |= skip(keys, first, j)
                j += np.uint64(WARP)
            for step in (16, 8, 4, 2, 1):
                some |= np.uint64(np.uint32(cuda.shfl_xor_sync(FULL, np.int32(some), step)))
            width = np.uint64(32) - np.uint64(cuda.clz(np.uint32(some)))
            if lane == ZERO:
                widths[place + block] = np.uint32(width)
            total += width * min(ITEMS, count - block * ITEMS)
            block += np.uint64(WRITERS)
        if lane == ZERO:
            sums[warp] = total
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            total = ZERO
            for other in range(WRITERS):
                total += sums[other]
            bits[chunk] = total

    return kernel


def write_blocks(cuda):
    """A kernel that writes blocks of keys and their widths, a thread block for each job.

    A job is a chunk: INDEX is where widths go. keys, widths : as for `measure_blocks`; SPLIT is the
    place of the chunk's first width
    """
    gather, skip = _fields(cuda), _skip(cuda)

    def kernel(jobs, keys, widths, payload):
        sums = cuda.shared.array((2, WRITERS), np.uint32)
        job = np.uint64(cuda.blockIdx.x)
        lane = np.uint64(cuda.threadIdx.x) & LAST_LANE
        warp = np.uint64(cuda.threadIdx.x) >> FIVE
        first, count = np.uint64(jobs[job, FIRST]), np.uint64(jobs[job, COUNT])
        place, index = np.uint64(jobs[job, SPLIT]), np.uint64(jobs[job, INDEX]) >> SIX
        start = np.uint64(jobs[job, START]) >> SIX
        blocks, word = (count + ITEMS - ONE) // ITEMS, np.uint64(cuda.threadIdx.x)
        while word * WORD < blocks * FIELD_WIDTH:
            payload[index + word] = gather(widths, place, blocks, FIELD_WIDTH, word)
            word += np.uint64(WRITERS * WARP)
        tile = half = ZERO
        while tile < blocks:
            block, width = tile + warp, ZERO
            if block < blocks:
                width = np.uint64(widths[place + block])
            if lane == ZERO:
                sums[half, warp] = np.uint32(width)
            cuda.syncthreads()  # one is enough: the next tile has the other half
            before = total = ZERO
            for other in range(WRITERS):
                size = np.uint64(sums[half, other])
                if np.uint64(other) < warp:
                    before += size
                total += size
            begin = block * ITEMS
            if width != ZERO:
                size = min(ITEMS, count - begin)
                word = lane
                while word * WORD < size * width:
                    at, gathered, j = word * WORD // width * width, ZERO, word * WORD // width
                    while at < word * WORD + WORD and j < size:
                        field = skip(keys, first, begin + j)
                        if at >= word * WORD:
                            gathered |= field << (at - word * WORD)
                        else:
                            gathered |= field >> (word * WORD - at)
                        at += width
                        j += ONE
                    payload[start + np.uint64(2) * before + word] = gathered
                    word += np.uint64(WARP)
            start += np.uint64(2) * total
            tile += np.uint64(WRITERS)
            half = half ^ ONE

    return kernel


def read_codes(cuda):
    """A kernel with a warp for each job, READERS of them in a thread block; a lane takes a block.

    `fault`, int64[1], becomes the first job at fault if that is lower. No lane loads past the word
    after END, whatever the payload holds.
    """
    scan = _scan(cuda)

    @cuda.jit(device=True, inline="always")
    def window(payload, bit):
        """The 64 bits from a position on."""
        offset = bit & LOW_SIX
        low, high = payload[bit >> SIX], payload[(bit + LOW_SIX) >> SIX]
        return (low >> offset) | ((high << ONE) << (LOW_SIX - offset))

    def kernel(jobs, payload, tables, symbols, fault):
        staged = cuda.shared.array(STAGE, np.uint16)
        lane = np.uint64(cuda.threadIdx.x) & LAST_LANE
        warp = np.uint64(cuda.threadIdx.x) >> FIVE
        job = np.uint64(cuda.blockIdx.x) * np.uint64(READERS) + warp
        if job >= np.uint64(jobs.shape[0]):
            return
        first, count = np.uint64(jobs[job, FIRST]), np.uint64(jobs[job, COUNT])
        row, split = np.uint64(jobs[job, WIDTH]), np.uint64(jobs[job, SPLIT])
        bit, end = np.uint64(jobs[job, START]), np.uint64(jobs[job, END])
        index = np.uint64(jobs[job, INDEX])
        start = ZERO
        while start < count:
            j = start + lane * ITEMS
            last = j + ITEMS >= count
            size = ZERO
            if not last:
                size = window(payload, index + j // ITEMS * OFFSET_WIDTH) & OFFSET_MASK
            stop = scan(lane, size)
            total = cuda.shfl_sync(FULL, np.int32(stop), WARP - 1)
            at, stop = bit + stop - size, bit + stop
            bit += np.uint64(total)
            if last:
                stop = end
            good = at <= stop and stop <= end
            after = min(count, start + ITEMS * np.uint64(WARP))
            for done in range(0, BLOCK, ROUND):
                here = lane * np.uint64(PITCH)
                for _ in range(ROUND // RUN):
                    bits = ZERO
                    if good and j < count:
                        bits = window(payload, at)
                    for _ in range(RUN):
                        if good and j < count:
                            code = row + np.uint64(j < split)
                            entry = np.uint64(tables[code, bits & CODE_MASK])
                            width = entry & np.uint64(15)
                            staged[warp, here] = np.uint16(entry >> np.uint64(4))
                            bits >>= width
                            at += width
                            good = width != ZERO and at <= stop
                        j += ONE
                        here += ONE
                cuda.syncwarp()
                place, here = start + np.uint64(done) + lane, lane
                while place < after:
                    symbols[first + place] = staged[warp, here]
                    place += ITEMS
                    here += np.uint64(PITCH)
                cuda.syncwarp()
            if start + lane * ITEMS < count and not (good and at == stop):
                cuda.atomic.min(fault, 0, np.int64(job))
            start += ITEMS * np.uint64(WARP)

    return kernel
