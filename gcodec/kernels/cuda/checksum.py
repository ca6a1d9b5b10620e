"""XXH64 (spec section 2) on CUDA, after the published algorithm description."""

import numpy as np

from .warps import FULL

CHECKERS = np.uint32(4)
"""Lanes that share a hash: each has one of the four that it mixes."""

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)
ZERO, ONE, FOUR = np.uint64(0), np.uint64(1), np.uint64(4)


def digest(cuda):
    """Device functions: the hash of whole words, and that of words and four bytes more.

    All lanes of a warp call one, with the same arguments but for the lane, and get the hash.
    """

    @cuda.jit(device=True, forceinline=True)
    def rotate(x, by):
        return (x << np.uint64(by)) | (x >> np.uint64(64 - by))

    @cuda.jit(device=True, forceinline=True)
    def mix(own, word):
        return rotate(own + word * P2, 31) * P1

    @cuda.jit(device=True, forceinline=True)
    def stripes(words, at, size, seed, lane):
        """Up to the last whole stripe of four words, and as if there were no more."""
        part = lane % CHECKERS
        own = seed
        if part == np.uint32(0):
            own = seed + P1 + P2
        elif part == np.uint32(1):
            own = seed + P2
        elif part == np.uint32(3):
            own = seed - P1
        done = ZERO
        while done + FOUR <= size:
            own = mix(own, words[at + done + np.uint64(part)])
            done += FOUR
        a = np.uint64(cuda.shfl_sync(FULL, np.int64(own), 0))
        b = np.uint64(cuda.shfl_sync(FULL, np.int64(own), 1))
        c = np.uint64(cuda.shfl_sync(FULL, np.int64(own), 2))
        d = np.uint64(cuda.shfl_sync(FULL, np.int64(own), 3))
        if size < FOUR:
            return seed + P5
        h = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)
        h = (h ^ mix(ZERO, a)) * P1 + P4
        h = (h ^ mix(ZERO, b)) * P1 + P4
        h = (h ^ mix(ZERO, c)) * P1 + P4
        return (h ^ mix(ZERO, d)) * P1 + P4

    @cuda.jit(device=True, forceinline=True)
    def rest(h, words, at, size):
        """Words after the last whole stripe."""
        done = size - size % FOUR
        while done < size:
            h = rotate(h ^ mix(ZERO, words[at + done]), 27) * P1 + P4
            done += ONE
        return h

    @cuda.jit(device=True, forceinline=True)
    def avalanche(h):
        h = (h ^ (h >> np.uint64(33))) * P2
        h = (h ^ (h >> np.uint64(29))) * P3
        return h ^ (h >> np.uint64(32))

    @cuda.jit(device=True, forceinline=True)
    def of_words(words, at, size, seed, lane):
        h = stripes(words, at, size, seed, lane) + size * np.uint64(8)
        return avalanche(rest(h, words, at, size))

    @cuda.jit(device=True, forceinline=True)
    def of_words_and_half(words, at, size, half, lane):
        """Without a seed; `half` are the last four bytes."""
        h = stripes(words, at, size, ZERO, lane) + size * np.uint64(8) + FOUR
        h = rest(h, words, at, size) ^ (half * P1)
        return avalanche(rotate(h, 23) * P2 + P3)

    return of_words, of_words_and_half
