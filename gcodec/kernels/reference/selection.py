"""Magnitude statistics and compaction."""

import numpy as np

MAGNITUDE = np.uint32(0x7FFF_FFFF)


def magnitude_max(bits):
    """Largest magnitude bit pattern of `bits` (uint32[n]), 0 if empty."""
    return int((bits & MAGNITUDE).max(initial=0))


def compensate(grad, residual, out):
    """`out = grad + residual` in float32; the largest magnitude bit pattern of `out`."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.add(grad, residual, out=out)
    return magnitude_max(out.view(np.uint32))


def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    return int(np.count_nonzero((bits & MAGNITUDE) > threshold))


def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it."""
    magnitudes = np.sort(bits & MAGNITUDE)
    threshold = int(magnitudes[magnitudes.size - k])
    return threshold, count_above(bits, threshold)


def gather(bits, threshold, ties, chunk_log2, keys, values, counts):
    """Keep magnitudes above `threshold`, and the first `ties` equal to it, in index order.

    Fills `keys` (position within the chunk), `values` (bit patterns) and `counts` (per chunk).
    Returns the number kept; more than `keys.size` says that there was no room for all.
    """
    kept = 0
    counts[:] = 0
    for i, pattern in enumerate(bits.tolist()):
        magnitude = pattern & 0x7FFF_FFFF
        if magnitude == threshold and ties > 0:
            ties -= 1
        elif magnitude <= threshold:
            continue
        if kept == keys.size:
            return kept + 1
        keys[kept] = i % (1 << chunk_log2)
        values[kept] = pattern
        counts[i >> chunk_log2] += 1
        kept += 1
    return kept
