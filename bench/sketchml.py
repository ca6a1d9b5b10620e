"""The peer of `text.py`: quantile buckets and byte-aligned delta keys, as SketchML has them.

Jiang, Fu, Yang, Cui (SIGMOD 2018). Without its MinMaxSketch, which is lossy once more, and compiled
like gcodec's kernels so that times compare.
"""

import numba
import numpy as np


class SketchML:
    """Pairs in a byte or two each.

    128 buckets for each sign, so that no value changes its own, split at quantiles of a sample and
    sent as the middle between two splits. Gaps take 1 to 4 bytes, two bits say how many.
    """

    residual = None
    BUCKETS, SAMPLE = 128, 4096

    def encode(self, keys, values, step):
        drawn = values[np.random.default_rng(step).integers(0, values.size, self.SAMPLE)]
        splits = np.zeros((2, self.BUCKETS + 1), np.float32)
        for sign, part in enumerate((drawn[drawn < 0], drawn[drawn > 0])):
            if part.size:
                splits[sign] = np.quantile(part, np.linspace(0, 1, self.BUCKETS + 1))
        codes = np.empty(values.size, np.uint8)
        _bucket(values, splits, codes)
        flags, gaps = np.zeros(-(-keys.size // 4), np.uint8), np.empty(4 * keys.size, np.uint8)
        size = _pack(keys, flags, gaps)
        middles = (splits[:, 1:] + splits[:, :-1]) / 2
        parts = (np.uint32(keys.size), middles, flags, codes, gaps[:size])
        return b"".join(part.tobytes() for part in parts)

    def decode(self, message):
        count = int(np.frombuffer(message, np.uint32, 1)[0])
        middles = np.frombuffer(message, np.float32, 2 * self.BUCKETS, 4)
        start = 4 + middles.nbytes
        flags = np.frombuffer(message, np.uint8, -(-count // 4), start)
        codes = np.frombuffer(message, np.uint8, count, start + flags.size)
        gaps = np.frombuffer(message, np.uint8, offset=start + flags.size + count)
        keys = np.empty(count, np.int64)
        _unpack(flags, gaps, keys)
        return keys, middles[codes]


@numba.njit
def _bucket(values, splits, codes):
    buckets = splits.shape[1] - 1
    for i in range(values.size):
        sign = 1 if values[i] > 0 else 0
        low, high = 0, buckets - 1
        while low < high:
            middle = (low + high + 1) // 2
            if splits[sign, middle] <= values[i]:
                low = middle
            else:
                high = middle - 1
        codes[i] = sign * buckets + low


@numba.njit
def _pack(keys, flags, out):
    at, before = 0, -1
    for i in range(keys.size):
        gap = keys[i] - before - 1
        before = keys[i]
        more = (gap > 0xFF) + (gap > 0xFFFF) + (gap > 0xFFFFFF)
        flags[i // 4] |= more << 2 * (i % 4)
        for _ in range(more + 1):
            out[at] = gap & 0xFF
            gap >>= 8
            at += 1
    return at


@numba.njit
def _unpack(flags, data, keys):
    at, before = 0, -1
    for i in range(keys.size):
        gap = 0
        for byte in range((flags[i // 4] >> 2 * (i % 4) & 3) + 1):
            gap |= np.int64(data[at]) << 8 * byte
            at += 1
        before += gap + 1
        keys[i] = before
