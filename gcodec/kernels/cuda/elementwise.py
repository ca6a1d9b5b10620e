"""Elements of an array one by one, on CUDA: a thread for each."""

import numpy as np

from ...format.ids import ElementType

THREADS = 256
SIGN, INFINITE, UNIT = np.uint32(1 << 15), np.uint32(0x7C00), np.uint32(1 << 10)
"""Of float16: the sign, the exponent, and what a step of it is."""

WIDE, NARROW = np.uint32(23), np.uint32(10)
"""Bits of the mantissas of float32 and float16."""

BIAS, SMALLEST = np.uint32(127 - 15), np.uint32(127 - 24)
"""How much larger exponents are, and that of the smallest float16."""

HALF = np.uint32(16)


def place(cuda):
    """Device function: the element of this thread."""

    @cuda.jit(device=True, forceinline=True)
    def own():
        return np.uint64(cuda.blockIdx.x) * np.uint64(THREADS) + np.uint64(cuda.threadIdx.x)

    return own


def take(cuda):
    """Kernel: `out = bits[positions]`; positions are int64."""
    place_of = place(cuda)

    def kernel(bits, positions, out):
        at = place_of()
        if at < np.uint64(positions.size):
            out[at] = bits[np.uint64(positions[at])]

    return kernel


def widen(cuda, element):
    """Kernel: patterns of 16 bits as those of the same float32.

    bits : uint16[n]; out : uint32[n]
    """
    own = place(cuda)

    @cuda.jit(device=True, forceinline=True)
    def from_half(pattern):
        sign = np.uint32((pattern & SIGN) << HALF)
        size = np.uint32(pattern & np.uint32(SIGN - np.uint32(1)))
        shift = np.uint32(WIDE - NARROW)
        wide = np.uint32(size << shift)
        if size >= INFINITE:
            wide |= np.uint32(0xFF << 23)
        elif size >= UNIT:
            wide += np.uint32(BIAS << WIDE)
        elif size != np.uint32(0):  # a multiple of the smallest: its leading bit is the exponent
            leading = np.uint32(np.uint32(31) - np.uint32(cuda.clz(size)))
            rest = np.uint32(size << np.uint32(WIDE - leading)) - np.uint32(1 << 23)
            wide = np.uint32(np.uint32(SMALLEST + leading) << WIDE) + np.uint32(rest)
        return np.uint32(sign | np.uint32(wide))

    @cuda.jit(device=True, forceinline=True)
    def from_brain(pattern):
        return np.uint32(pattern << HALF)

    convert = from_half if element is ElementType.FLOAT16 else from_brain

    def kernel(bits, out):
        at = own()
        if at < np.uint64(bits.size):
            out[at] = convert(np.uint32(bits[at]))

    return kernel


def correct(cuda, memory):
    """Kernel: DGC's momentum correction, each operation rounded.

    velocity' = momentum * velocity + grad and out = residual + velocity'; with Nesterov's momentum
    out = residual + (grad + momentum * velocity'). Arrays and momentum are floats of one type;
    nesterov : uint32
    """
    own, multiply, add = place(cuda), memory.multiply, memory.add

    def kernel(grad, velocity, residual, momentum, nesterov, new_velocity, out):
        at = own()
        if at < np.uint64(grad.size):
            moving = add(multiply(velocity[at], momentum), grad[at])
            new_velocity[at] = moving
            if nesterov != np.uint32(0):
                moving = add(grad[at], multiply(moving, momentum))
            out[at] = add(residual[at], moving)

    return kernel
