"""Keys that follow from a seed: a position from each of nnz strata of a chunk (spec section 8)."""

import numpy as np
from numpy.typing import NDArray

from ..format.draws import GOLDEN, LOW_64, one_of_each
from .layout import Ints, starts_of

COUNTERS_LOG2 = 24
"""Counters that a chunk has to itself: as many as it can have keys."""


def drawn_keys(
    seed: int, first_chunk: int, counts: Ints, lengths: Ints
) -> tuple[NDArray[np.uint32], Ints]:
    """Keys of consecutive chunks, and how many positions each was drawn from."""
    chunk = np.repeat(np.arange(counts.size), counts)
    within = np.arange(chunk.size) - np.repeat(starts_of(counts), counts)
    begin = within * lengths[chunk] // counts[chunk]
    end = (within + 1) * lengths[chunk] // counts[chunk]
    seed += (first_chunk << COUNTERS_LOG2) * GOLDEN
    keys = one_of_each(seed & LOW_64, (chunk << COUNTERS_LOG2) + within, begin, end)
    return keys.astype(np.uint32), end - begin
