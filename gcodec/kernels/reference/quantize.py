"""Values to codes."""

import numpy as np

from .selection import magnitudes


def quantize(bits, boundaries, codes):
    """Code = how many boundaries (ascending magnitude patterns) are at or below the magnitude."""
    codes[:] = np.searchsorted(boundaries, magnitudes(bits), side="right")


def look_up(jobs, levels, indices, values):
    """Levels of indices, from START on; the first job with an index past them, or -1."""
    for job, (base, _, first, count, *_) in enumerate(jobs.tolist()):
        for j in range(first, first + count):
            if int(indices[j]) + base >= levels.size:
                return job
            values[j] = levels[int(indices[j]) + base]
    return -1
