"""Magnitude statistics and compaction."""

import numpy as np

from .jit import kernel, trailing_zeros
from .vector import LANES, lanes_at_least

MAGNITUDE = np.uint32(0x7FFF_FFFF)
TILE = 4096


@kernel
def magnitude_max(bits):
    """Largest magnitude bit pattern of `bits` (uint32[n]), 0 if empty."""
    top = np.uint32(0)
    for i in range(bits.size):
        top = max(top, np.uint32(bits[i] & MAGNITUDE))
    return top


@kernel
def compensate(grad, residual, out):
    """`out = grad + residual` in float32; the largest magnitude bit pattern of `out`."""
    top = np.uint32(0)
    for start in range(0, out.size, TILE):
        ours = out[start : start + TILE]
        theirs, rest = grad[start : start + TILE], residual[start : start + TILE]
        for j in range(ours.size):
            ours[j] = theirs[j] + rest[j]
        bits = ours.view(np.uint32)
        for j in range(bits.size):
            top = max(top, np.uint32(bits[j] & MAGNITUDE))
    return top


@kernel
def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    count = 0
    limit = np.uint32(threshold)
    for i in range(bits.size):
        count += np.uint32(bits[i] & MAGNITUDE) > limit
    return count


@kernel
def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it.

    Radix selection: 11, 10 and 10 bits from the top; `histogram` is scratch of 2,048 int64.
    """
    above = 0
    prefix = np.uint32(0)
    for shift, width in ((np.uint32(20), 11), (np.uint32(10), 10), (np.uint32(0), 10)):
        histogram[:] = 0
        mask = np.uint32((1 << width) - 1)
        for i in range(bits.size):
            digits = np.uint32(bits[i] & MAGNITUDE) >> shift
            if digits >> np.uint32(width) == prefix:
                histogram[digits & mask] += 1
        digit = np.int64(mask)
        while above + histogram[digit] < k:
            above += histogram[digit]
            digit -= 1
        prefix = np.uint32((prefix << np.uint32(width)) | np.uint32(digit))
    return prefix, above


@kernel
def gather(bits, threshold, ties, chunk_log2, keys, values, counts):
    """Keep magnitudes above `threshold`, and the first `ties` equal to it, in index order.

    Fills `keys` (position within the chunk), `values` (bit patterns) and `counts` (per chunk).
    Returns the number kept; more than `keys.size` says that there was no room for all.
    """
    kept = 0
    limit = np.uint32(threshold)
    floor = limit if ties > 0 else np.uint32(limit + np.uint32(1))
    for chunk in range(counts.size):
        part = bits[chunk << chunk_log2 : min((chunk + 1) << chunk_log2, bits.size)]
        before = kept
        for start in range(0, part.size, LANES):
            found = np.uint64(0)
            if start + LANES <= part.size:
                found = lanes_at_least(part, start, floor)
            else:
                for j in range(start, part.size):
                    at_least = np.uint32(part[j] & MAGNITUDE) >= floor
                    found |= np.uint64(at_least) << np.uint64(j - start)
            while found != np.uint64(0):
                at = np.uint64(start) + trailing_zeros(found)
                found &= found - np.uint64(1)
                if np.uint32(part[at] & MAGNITUDE) == limit:
                    if ties == 0:
                        continue
                    ties -= 1
                if kept == keys.size:
                    return kept + 1
                keys[kept] = at
                values[kept] = part[at]
                kept += 1
        counts[chunk] = kept - before
    return kept
