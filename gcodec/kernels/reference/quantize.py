"""Values to codes."""

import numpy as np


def quantize(bits, boundaries, codes):
    """Code = how many boundaries (ascending magnitude patterns) are at or below the magnitude."""
    codes[:] = np.searchsorted(boundaries, bits & np.uint32(0x7FFF_FFFF), side="right")


def look_up(jobs, level_bits, values):
    """Indices, from START on, to levels; the first job with an index past them, or -1."""
    for job, (base, _, first, count, *_) in enumerate(jobs.tolist()):
        for j in range(first, first + count):
            if int(values[j]) + base >= level_bits.size:
                return job
            values[j] = level_bits[int(values[j]) + base]
    return -1
