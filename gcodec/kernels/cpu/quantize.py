"""Values to codes."""

import numpy as np

from ..jobs import COUNT, FIRST, START
from .jit import kernel, magnitude


@kernel
def quantize(bits, boundaries, codes):
    """Code = how many boundaries (ascending magnitude patterns) are at or below the magnitude."""
    for i in range(bits.size):
        size = magnitude(bits[i])
        low, high = np.uint64(0), np.uint64(boundaries.size)
        while low < high:
            middle = (low + high) >> np.uint64(1)
            if boundaries[middle] <= size:
                low = middle + np.uint64(1)
            else:
                high = middle
        codes[i] = low


@kernel
def look_up(jobs, levels, indices, values):
    """Levels of indices, from START on; the first job with an index past them, or -1."""
    for job in range(jobs.shape[0]):
        first, base = jobs[job, FIRST], np.uint64(jobs[job, START])
        for j in range(first, first + jobs[job, COUNT]):
            index = np.uint64(indices[j]) + base
            if index >= np.uint64(levels.size):
                return job
            values[j] = levels[index]
    return -1
