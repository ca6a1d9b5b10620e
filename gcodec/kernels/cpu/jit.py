"""How every CPU kernel is compiled: no GIL, no fast-math, cached on disk where possible."""

import numba
from numba.extending import intrinsic

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": False}


def kernel(function):
    """Compile on first call.

    A kernel and the helpers it calls live in one file, so that the disk cache sees their edits.
    """
    try:
        return numba.njit(**OPTIONS, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache folder can be written
        return numba.njit(**OPTIONS)(function)


def helper(function):
    """A part of kernels of the same file, inlined into each."""
    return numba.njit(**OPTIONS, inline="always")(function)


@intrinsic
def trailing_zeros(typing_context, word):
    """Index of the lowest set bit of a nonzero uint64."""
    signature = numba.types.uint64(numba.types.uint64)

    def generate(context, builder, sig, args):
        return builder.cttz(args[0], numba.core.cgutils.true_bit)

    return signature, generate
