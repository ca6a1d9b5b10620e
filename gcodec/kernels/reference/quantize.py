"""Values to codes."""

import numpy as np


def quantize(bits, boundaries, codes, histogram):
    """Code = how many boundaries (ascending magnitude patterns) are at or below the magnitude."""
    codes[:] = np.searchsorted(boundaries, bits & np.uint32(0x7FFF_FFFF), side="right")
    histogram[:] = np.bincount(codes, minlength=histogram.size)
