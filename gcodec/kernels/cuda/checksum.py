"""XXH64 (spec section 2) on CUDA, after the published algorithm description."""

import numpy as np

from .warps import FULL, position

CHECKERS = 4
"""Lanes that share a chunk: each has one of the four that the hash mixes."""

THREADS = 128
CHUNKS = THREADS // CHECKERS
"""That a thread block checks."""

OFF16, LEN16 = 0, 1
"""Words of a directory entry."""

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)
ZERO, ONE, FOUR = np.uint64(0), np.uint64(1), np.uint64(4)


def chunk_checks(cuda):
    """Kernel: low half of XXH64 of each chunk's bytes, seeded with its number, from `first` on.

    payload : uint64[words]; directory : uint32[chunks, 8], entries as in a frame; first : uint64;
    checks : uint32[chunks]. Chunks have whole units of 16 bytes: nothing shorter is left over.
    """
    lane_of, _ = position(cuda)

    @cuda.jit(device=True, inline="always")
    def rotate(x, by):
        return (x << np.uint64(by)) | (x >> np.uint64(64 - by))

    @cuda.jit(device=True, inline="always")
    def mix(lane, word):
        return rotate(lane + word * P2, 31) * P1

    def kernel(payload, directory, first, checks):
        number = np.uint64(cuda.blockIdx.x) * np.uint64(CHUNKS)
        number += np.uint64(np.uint32(cuda.threadIdx.x) // np.uint32(CHECKERS))
        part = np.uint32(cuda.threadIdx.x) % np.uint32(CHECKERS)
        at = size = ZERO
        if number < np.uint64(directory.shape[0]):
            at = np.uint64(directory[number, OFF16]) * np.uint64(2)
            size = np.uint64(directory[number, LEN16]) * np.uint64(2)
        seed = first + number
        own = seed
        if part == np.uint32(0):
            own = seed + P1 + P2
        elif part == np.uint32(1):
            own = seed + P2
        elif part == np.uint32(3):
            own = seed - P1
        done = ZERO
        while done + FOUR <= size:
            own = mix(own, payload[at + done + np.uint64(part)])
            done += FOUR
        start = np.int32(lane_of() - part)
        a = np.uint64(cuda.shfl_sync(FULL, np.int64(own), start))
        b = np.uint64(cuda.shfl_sync(FULL, np.int64(own), start + 1))
        c = np.uint64(cuda.shfl_sync(FULL, np.int64(own), start + 2))
        d = np.uint64(cuda.shfl_sync(FULL, np.int64(own), start + 3))
        if part != np.uint32(0) or number >= np.uint64(directory.shape[0]):
            return
        h = seed + P5
        if size >= FOUR:
            h = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)
            h = (h ^ mix(ZERO, a)) * P1 + P4
            h = (h ^ mix(ZERO, b)) * P1 + P4
            h = (h ^ mix(ZERO, c)) * P1 + P4
            h = (h ^ mix(ZERO, d)) * P1 + P4
        h += size * np.uint64(8)
        while done < size:
            h = rotate(h ^ mix(ZERO, payload[at + done]), 27) * P1 + P4
            done += ONE
        h = (h ^ (h >> np.uint64(33))) * P2
        h = (h ^ (h >> np.uint64(29))) * P3
        checks[number] = np.uint32(h ^ (h >> np.uint64(32)))

    return kernel
