"""Kept elements back into a dense array."""

import numpy as np


def scatter(keys, counts, chunk_log2, values, out):
    """`out[position] = value`."""
    out[_positions(keys, counts, chunk_log2)] = values


def accumulate(keys, counts, chunk_log2, values, scale, out):
    """`out[position] += value * scale`, each operation rounded to the type of all three."""
    with np.errstate(over="ignore", invalid="ignore"):
        out[_positions(keys, counts, chunk_log2)] += values * scale


def settle(residual, keys, counts, chunk_log2, decoded):
    """`residual[position] -= decoded`: what the message carried leaves the residual."""
    residual[_positions(keys, counts, chunk_log2)] -= decoded


def settle_levels(residual, keys, counts, chunk_log2, joint, table):
    """`settle` of what each number decodes to."""
    settle(residual, keys, counts, chunk_log2, table[joint])


def _positions(keys, counts, chunk_log2):
    chunks = np.repeat(np.arange(counts.size), counts)
    return (chunks << chunk_log2) + keys


def add_pairs(keys, values, more_keys, more_values, merged, total):
    """Two ascending lists of pairs into one, values of the same key added; returns its length."""
    sums = dict(zip(keys.tolist(), values, strict=True))
    with np.errstate(over="ignore", invalid="ignore"):
        for key, value in zip(more_keys.tolist(), more_values, strict=True):
            sums[key] = sums[key] + value if key in sums else value
    for size, key in enumerate(sorted(sums)):
        merged[size], total[size] = key, sums[key]
    return len(sums)
