"""Magnitude statistics and compaction."""

import numpy as np


def magnitude_max(bits):
    """Largest magnitude pattern of `bits` (uint16, uint32 or uint64, [n]), 0 if empty."""
    return int(magnitudes(bits).max(initial=0))


def magnitudes(bits):
    """Patterns without their highest bit."""
    return bits & bits.dtype.type(np.iinfo(bits.dtype).max >> 1)


def compensate(grad, residual, out, bits):
    """`out = grad + residual`; the largest magnitude pattern of `bits`, which views `out`."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.add(grad, residual, out=out)
    return magnitude_max(bits)


def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    return int(np.count_nonzero(magnitudes(bits) > threshold))


def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it."""
    ordered = np.sort(magnitudes(bits))
    threshold = int(ordered[ordered.size - k])
    return threshold, count_above(bits, threshold)


def gather(bits, offset, threshold, ties, chunk_log2, keys, values, counts):
    """Keep magnitudes above `threshold`, and the first `ties` equal to it, in index order.

    `bits` are elements `offset` to `offset + n`. Fills `keys` (position within the chunk) and
    `values` (patterns), and adds to `counts` (per chunk). Returns the number kept; more than
    `keys.size` says that there was no room for all.
    """
    kept = 0
    patterns = zip(bits.tolist(), magnitudes(bits).tolist(), strict=True)
    for position, (pattern, magnitude) in enumerate(patterns, offset):
        if magnitude == threshold and ties > 0:
            ties -= 1
        elif magnitude <= threshold:
            continue
        if kept == keys.size:
            return kept + 1
        keys[kept] = position % (1 << chunk_log2)
        values[kept] = pattern
        counts[position >> chunk_log2] += 1
        kept += 1
    return kept
