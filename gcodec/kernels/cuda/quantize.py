"""Values to codes on CUDA."""

import numpy as np

THREADS = 256
ZERO, ONE = np.uint64(0), np.uint64(1)


def quantize(cuda, kind, joint_kind):
    """Kernel: 2 * level + sign, a thread for each value.

    The level is how many boundaries, ascending magnitude patterns kind[levels - 1], are at or below
    the magnitude. bits : kind[n]; joint : uint8 or uint32[n]
    """
    sign = np.uint64(np.dtype(kind).itemsize * 8 - 1)
    low_bits = kind(np.iinfo(kind).max >> 1)

    def kernel(bits, boundaries, joint):
        at = np.uint64(cuda.blockIdx.x) * np.uint64(THREADS) + np.uint64(cuda.threadIdx.x)
        if at >= np.uint64(bits.size):
            return
        pattern = bits[at]
        size = kind(pattern & low_bits)
        low, high = ZERO, np.uint64(boundaries.size)
        while low < high:
            middle = (low + high) >> ONE
            if boundaries[middle] <= size:
                low = middle + ONE
            else:
                high = middle
        joint[at] = joint_kind((low << ONE) | (np.uint64(pattern) >> sign))

    return kernel
