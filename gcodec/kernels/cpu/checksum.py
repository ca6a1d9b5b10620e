"""XXH64 (spec section 2), after the published algorithm description."""

import numpy as np

from .jit import helper, inner, kernel

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)


@helper
def _rotate(x, by):
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@helper
def _round(lane, word):
    return _rotate(lane + word * P2, 31) * P1


@helper
def _hash(data, seed):
    size = np.uint64(data.size)
    words = data[: data.size // 8 * 8].view(np.uint64)
    done = np.uint64(0)
    if data.size >= 32:
        a, b, c, d = seed + P1 + P2, seed + P2, seed, seed - P1
        for _ in range(data.size // 32):
            a = _round(a, words[done])
            b = _round(b, words[done + np.uint64(1)])
            c = _round(c, words[done + np.uint64(2)])
            d = _round(d, words[done + np.uint64(3)])
            done += np.uint64(4)
        h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
        for lane in (a, b, c, d):
            h = (h ^ _round(np.uint64(0), lane)) * P1 + P4
    else:
        h = seed + P5
    h += size
    while done < np.uint64(words.size):
        h = _rotate(h ^ _round(np.uint64(0), words[done]), 27) * P1 + P4
        done += np.uint64(1)
    tail = data[words.size * 8 :]
    rest = 0
    if tail.size >= 4:
        word = np.uint64(0)
        for i in range(4):
            word |= np.uint64(tail[i]) << np.uint64(8 * i)
        h = _rotate(h ^ (word * P1), 23) * P2 + P3
        rest = 4
    for i in range(rest, tail.size):
        h = _rotate(h ^ (np.uint64(tail[i]) * P5), 11) * P1
    h = (h ^ (h >> np.uint64(33))) * P2
    h = (h ^ (h >> np.uint64(29))) * P3
    return h ^ (h >> np.uint64(32))


@kernel
def xxh64(data, seed):
    """XXH64 of uint8[n] with a seed below 2**63."""
    return _hash(data, np.uint64(seed))


@inner
def digest(data, seed):
    """XXH64 of uint8[n] with a uint64 as seed, for other kernels."""
    return _hash(data, seed)


@kernel
def chunk_checks(payload, directory, first, checks):
    """Low half of XXH64 of each chunk's bytes, seeded with its index, from `first` on."""
    for i in range(directory.size):
        start = np.int64(directory[i].off16) * 16
        part = payload[start : start + np.int64(directory[i].len16) * 16]
        checks[i] = _hash(part, np.uint64(first + i)) & np.uint64(0xFFFF_FFFF)
