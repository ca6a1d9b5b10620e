"""XXH64 (spec section 2), after the published algorithm description."""

import numpy as np

from .jit import frozen, helper, inner, kernel, viewed

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)


@helper
def _rotate(x, by):
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@helper
def lanes_of(seed):
    """All four, before the first word."""
    return seed + P1 + P2, seed + P2, seed, seed - P1


@helper
def mix(lane, word):
    """A lane, one word later."""
    return _rotate(lane + word * P2, 31) * P1


@inner
def _hash(data, seed):
    words = viewed(data[: data.size // 8 * 8], np.uint64)
    done = np.uint64(0)
    if data.size >= 32:
        a, b, c, d = lanes_of(seed)
        for _ in range(data.size // 32):
            a = mix(a, words[done])
            b = mix(b, words[done + np.uint64(1)])
            c = mix(c, words[done + np.uint64(2)])
            d = mix(d, words[done + np.uint64(3)])
            done += np.uint64(4)
        return _finish(_join(a, b, c, d), data, words, done)
    return _finish(seed + P5, data, words, done)


@helper
def _join(a, b, c, d):
    """All four lanes."""
    h = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
    for lane in (a, b, c, d):
        h = (h ^ mix(np.uint64(0), lane)) * P1 + P4
    return h


@helper
def _finish(h, data, words, done):
    """What comes after the lanes, which took so many words."""
    h += np.uint64(data.size)
    while done < np.uint64(words.size):
        h = _rotate(h ^ mix(np.uint64(0), words[done]), 27) * P1 + P4
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
    return _spread(h)


@helper
def _spread(h):
    h = (h ^ (h >> np.uint64(33))) * P2
    h = (h ^ (h >> np.uint64(29))) * P3
    return h ^ (h >> np.uint64(32))


@kernel
def xxh64(data, seed):
    """XXH64 of uint8[n] with a seed below 2**63."""
    return digest(data, np.uint64(seed))


@helper
def digest(data, seed):
    """XXH64 of uint8[n] with a uint64 as seed, for other kernels."""
    return _hash(frozen(data), seed)


@helper
def digest_of_lanes(a, b, c, d, size, zeros):
    """XXH64 of so many bytes: what went into the lanes, and some words of zeros."""
    h = _join(a, b, c, d) + size
    for _ in range(zeros):
        h = _rotate(h, 27) * P1 + P4
    return _spread(h)


@kernel
def chunk_checks(payload, directory, first, checks):
    """Low half of XXH64 of each chunk's bytes, seeded with its index, from `first` on."""
    for i in range(directory.size):
        start = np.int64(directory[i].off16) * 16
        part = payload[start : start + np.int64(directory[i].len16) * 16]
        checks[i] = digest(part, np.uint64(first + i)) & np.uint64(0xFFFF_FFFF)
