"""Values to codes."""

import numpy as np

from .jit import kernel


@kernel
def quantize(bits, boundaries, codes, histogram):
    """Code = how many boundaries (ascending magnitude patterns) are at or below the magnitude."""
    histogram[:] = 0
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
        histogram[low] += 1
