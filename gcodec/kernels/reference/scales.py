"""Blocks of positions, and what values in them are multiplied by.

A place is a run of blocks: its first position, the length of its blocks, the number of its first
block (`format.scales.places`).
"""

import numpy as np


def find_blocks(keys, counts, chunk_log2, places, blocks):
    """The block that each element is in."""
    chunks = np.repeat(np.arange(counts.size), counts)
    positions = (chunks << chunk_log2) + keys
    run = np.searchsorted(places[:, 0], positions, side="right") - 1
    start, length, number = places[run].T
    blocks[:] = number + (positions - start) // length


def rescale(keys, counts, coded, first, chunk_log2, places, scales, each, values):
    """`values[j] *= scale` of its block, in chunks from `first` on, of those that are `coded`.

    There are `each` scales of a block: with two, the second is for negative values.
    """
    blocks = np.empty(keys.size, np.int64)
    find_blocks(keys, np.append(np.zeros(first, np.int64), counts), chunk_log2, places, blocks)
    own = np.repeat(coded, counts)
    factors = scales[blocks * each + (values < 0) * (each - 1)]
    with np.errstate(under="ignore"):
        values[own] *= factors[own]
