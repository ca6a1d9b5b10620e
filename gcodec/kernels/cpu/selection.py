"""Magnitude statistics and compaction."""

import numpy as np

from .jit import kernel, magnitude, trailing_zeros
from .vector import LANES, lanes_at_least

TILE = 4096
DIGIT = 11


@kernel
def magnitude_max(bits):
    """Largest magnitude pattern of `bits` (uint16, uint32 or uint64, [n]), 0 if empty."""
    top = bits.dtype.type(0)
    for i in range(bits.size):
        top = max(top, magnitude(bits[i]))
    return top


@kernel
def compensate(grad, residual, out, bits):
    """`out = grad + residual`; the largest magnitude pattern of `bits`, which views `out`."""
    top = bits.dtype.type(0)
    for start in range(0, out.size, TILE):
        ours, ours_bits = out[start : start + TILE], bits[start : start + TILE]
        theirs, rest = grad[start : start + TILE], residual[start : start + TILE]
        for j in range(ours.size):
            ours[j] = theirs[j] + rest[j]
        for j in range(ours.size):
            top = max(top, magnitude(ours_bits[j]))
    return top


@kernel
def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    count = 0
    limit = bits.dtype.type(threshold)
    for i in range(bits.size):
        count += magnitude(bits[i]) > limit
    return count


@kernel
def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it.

    Radix selection from the top, 11 bits at a time; `histogram` is scratch of 2,048 int64.
    """
    kind = bits.dtype.type
    above = 0
    prefix = kind(0)
    shift = bits.itemsize * 8 - 1
    while shift > 0:
        width = min(DIGIT, shift)
        shift -= width
        down, mask = kind(shift), kind((1 << width) - 1)
        across = kind(width)
        histogram[:] = 0
        for i in range(bits.size):
            digits = kind(magnitude(bits[i]) >> down)
            if kind(digits >> across) == prefix:
                histogram[digits & mask] += 1
        digit = np.int64(mask)
        while above + histogram[digit] < k:
            above += histogram[digit]
            digit -= 1
        prefix = kind(kind(prefix << across) | kind(digit))
    return prefix, above


@kernel
def gather(bits, offset, threshold, ties, chunk_log2, keys, values, counts):
    """Keep magnitudes above `threshold`, and the first `ties` equal to it, in index order.

    `bits` are elements `offset` to `offset + n`. Fills `keys` (position within the chunk) and
    `values` (patterns), and adds to `counts` (per chunk). Returns the number kept; more than
    `keys.size` says that there was no room for all.
    """
    kept = 0
    limit = bits.dtype.type(threshold)
    floor = limit if ties > 0 else bits.dtype.type(threshold + 1)
    end = 0
    while end < bits.size:
        chunk = (offset + end) >> chunk_log2
        begin, end = end, min(((chunk + 1) << chunk_log2) - offset, bits.size)
        part, shift = bits[begin:end], np.uint64(offset + begin - (chunk << chunk_log2))
        before = kept
        for start in range(0, part.size, LANES):
            found = np.uint64(0)
            if start + LANES <= part.size:
                found = lanes_at_least(part, start, floor)
            else:
                for j in range(start, part.size):
                    found |= np.uint64(magnitude(part[j]) >= floor) << np.uint64(j - start)
            while found != np.uint64(0):
                at = np.uint64(start) + trailing_zeros(found)
                found &= found - np.uint64(1)
                if magnitude(part[at]) == limit:
                    if ties == 0:
                        continue
                    ties -= 1
                if kept == keys.size:
                    return kept + 1
                keys[kept] = at + shift
                values[kept] = part[at]
                kept += 1
        counts[chunk] += kept - before
    return kept
