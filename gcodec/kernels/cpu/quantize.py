"""Values to codes."""

import numpy as np

from ..jobs import COUNT, FIRST, START
from .bits import ONE
from .jit import helper, kernel, magnitude

TO_UNIT = 2.0**-53


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


@kernel
def round_randomly(magnitudes, levels, seed, positions, codes):
    """Index of one of the two ascending levels beside each magnitude (float64), right on average.

    The upper one with probability (x - lower) / (upper - lower); the draw is by position. What is
    outside the levels becomes the first or last.
    """
    for i in range(magnitudes.size):
        x = magnitudes[i]
        low, high = np.uint64(0), np.uint64(levels.size - 1)
        while low < high:
            middle = (low + high + ONE) >> ONE
            if levels[middle] <= x:
                low = middle
            else:
                high = middle - ONE
        above = low + ONE
        if above < np.uint64(levels.size) and x > levels[low]:
            part = (x - levels[low]) / (levels[above] - levels[low])
            drawn = _draw(np.uint64(seed), np.uint64(positions[i])) >> np.uint64(11)
            if np.float64(drawn) * TO_UNIT < part:
                low = above
        codes[i] = low


@helper
def _draw(seed, counter):
    x = seed + counter * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
