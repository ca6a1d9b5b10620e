"""What lanes of a warp find out together: factories of device functions.

Loops over lanes are written out by the compiler; no value needs memory.
"""

import numpy as np

WARP = 32
FULL = 0xFFFF_FFFF
LAST_LANE = np.uint32(WARP - 1)
FIVE = np.uint32(5)
STEPS = 5
"""In which all lanes meet; a range of them is written out, a tuple is not in every place."""


def position(cuda):
    """Device functions: the lane within a warp, and the warp within a block."""

    @cuda.jit(device=True, forceinline=True)
    def lane():
        return np.uint32(cuda.threadIdx.x) & LAST_LANE

    @cuda.jit(device=True, forceinline=True)
    def warp():
        return np.uint32(np.uint32(cuda.threadIdx.x) >> FIVE)

    return lane, warp


def largest(cuda, kind):
    """Device function: the largest number of all lanes."""
    signed = np.int64 if kind is np.uint64 else np.int32

    @cuda.jit(device=True, forceinline=True)
    def find(value):
        for i in range(STEPS):
            step = 16 >> i
            value = max(value, kind(cuda.shfl_xor_sync(FULL, signed(value), step)))
        return value

    return find


def total(cuda):
    """Device function: the sum of all lanes' numbers, uint64."""

    @cuda.jit(device=True, forceinline=True)
    def add(value):
        for i in range(STEPS):
            step = 16 >> i
            value += np.uint64(cuda.shfl_xor_sync(FULL, np.int64(value), step))
        return value

    return add


def scan(cuda):
    """Device function: the sum over this lane and those below, uint32."""

    @cuda.jit(device=True, forceinline=True)
    def add(lane, value):
        so_far = np.uint32(value)
        for i in range(STEPS):
            step = 1 << i
            below = np.uint32(cuda.shfl_up_sync(FULL, np.int32(so_far), step))
            if lane >= np.uint32(step):
                so_far = np.uint32(so_far + below)
        return so_far

    return add
