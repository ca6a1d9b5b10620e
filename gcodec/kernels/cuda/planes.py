"""Prefix codes (spec section 8) on CUDA: factories of kernels, over the module of `target.load`.

Arguments are those of `gcodec.kernels.reference.planes`. Numbers are unsigned: signed and unsigned
would meet as floats, and signed indices be tested for wrap-around.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS
from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH

WARP = 32
FULL = 0xFFFF_FFFF
ZERO, ONE = np.uint64(0), np.uint64(1)
FIVE, SIX = np.uint64(5), np.uint64(6)
LAST_LANE, LOW_SIX, WORD = np.uint64(WARP - 1), np.uint64(63), np.uint64(64)
ITEMS = np.uint64(BLOCK)
OFFSET_WIDTH = np.uint64(OFFSET_BITS)
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
