"""Values to codes."""

import numpy as np

from ..jobs import COUNT, FIRST, START
from .jit import kernel


@kernel
def quantize(bits, boundaries, codes):
    """Code = how many boundaries (ascending magnitude patterns) are at or below the magnitude."""
    for i in range(bits.size):
        magnitude = np.uint32(bits[i] & np.uint32(0x7FFF_FFFF))
        low, high = np.uint64(0), np.uint64(boundaries.size)
        while low < high:
            middle = (low + high) >> np.uint64(1)
            if boundaries[middle] <= magnitude:
                low = middle + np.uint64(1)
            else:
                high = middle
        codes[i] = low


@kernel
def look_up(jobs, level_bits, values):
    """Indices, from START on, to levels; the first job with an index past them, or -1."""
    for job in range(jobs.shape[0]):
        first, base = jobs[job, FIRST], np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            index = np.uint64(values[j]) + base
            if index >= np.uint64(level_bits.size):
                return job
            values[j] = level_bits[index]
    return -1
