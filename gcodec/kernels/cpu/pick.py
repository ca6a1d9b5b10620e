"""Which of the elements that were collected are kept."""

import numpy as np

from .bits import ONE, ZERO
from .jit import helper, inner, kernel, magnitude, trailing_zeros
from .vector import COMPRESS, LANES, compress_pairs, lanes_at_least


@kernel
def pick(keys, values, counts, threshold, ties):
    """Keep, in place, magnitudes above `threshold` and the first `ties` equal to it; how many."""
    kept, first, limit = 0, 0, values.dtype.type(threshold)
    for chunk in range(counts.size):
        before, stop = kept, first + counts[chunk]
        kept, ties = pick_of(keys, values, first, stop, limit, ties, kept)
        first, counts[chunk] = stop, kept - before
    return kept


@inner
def pick_of(keys, values, first, stop, limit, ties, kept):
    """`pick` from elements `first` to `stop`, after those that are kept; these, and ties left."""
    for j in range(first, stop):
        size = magnitude(values[j])
        tie = size == limit and ties > 0
        ties -= tie
        keys[kept], values[kept] = keys[j], values[j]
        kept += size > limit or tie
    return kept, ties


@helper
def pick_by(tier, keys, values, first, stop, limit, ties, kept):
    """`pick_of`, by registers if the tier has them."""
    if tier >= COMPRESS and values.itemsize == 4:
        first, ties, kept = _pick_registers(keys, values, first, stop, limit, ties, kept)
    return pick_of(keys, values, first, stop, limit, ties, kept)


@inner
def _pick_registers(keys, values, first, stop, limit, ties, kept):
    above = values.dtype.type(limit + values.dtype.type(1))
    while first <= stop - LANES:
        if lanes_at_least(values, first, limit) == lanes_at_least(values, first, above):
            kept = compress_pairs(keys, values, first, above, kept)
        else:
            kept, ties = pick_of(keys, values, first, first + LANES, limit, ties, kept)
        first += LANES
    return first, ties, kept


@kernel
def leave_out(keys, values, joint, counts, stays):
    """Keep, in place, elements j with `stays[joint[j]]`; how many. Few do: those are looked for."""
    kept = first = 0
    for chunk in range(counts.size):
        before, stop = kept, first + counts[chunk]
        for start in range(first, stop, LANES):
            left = _staying(joint, start, min(start + LANES, stop), stays)
            while left:
                j = start + np.int64(trailing_zeros(left))
                keys[kept], values[kept], joint[kept] = keys[j], values[j], joint[j]
                kept += 1
                left &= left - ONE
        first, counts[chunk] = stop, kept - before
    return kept


@helper
def _staying(joint, start, stop, stays):
    """Bit j is set if element `start + j` stays, of 64 or fewer."""
    mask = ZERO
    for j in range(stop - start):
        mask |= np.uint64(stays[joint[start + j]]) << np.uint64(j)
    return mask
