"""How every CPU kernel is compiled: no GIL, no fast-math, cached on disk where possible."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.extending import intrinsic

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": False}
PACKAGE = Path(__file__).parents[2]
SOURCES = [
    *(PACKAGE / "format").glob("*.py"),
    *(PACKAGE / "kernels").glob("*.py"),
    *(PACKAGE / "kernels/cpu").glob("*.py"),
]
"""All that kernels are made of: their own files, and those of the constants they import."""

STAMP = sha256(b"".join(path.read_bytes() for path in sorted(SOURCES))).hexdigest()[:16]


class _StampedNames(CompileResultCacheImpl):
    """Cache files named after all kernel sources.

    Numba drops a cached kernel when its own file changes, but not when a helper in another file
    does.
    """

    @property
    def filename_base(self):
        return f"{super().filename_base}-{STAMP}"


class _StampedCache(FunctionCache):
    _impl_class = _StampedNames


def kernel(function):
    """Compile on first call; cached if the package's or the user's folder can be written."""
    compiled = numba.njit(**OPTIONS)(function)
    with suppress(RuntimeError):  # no place to cache
        compiled._cache = _StampedCache(function)
    return compiled


def helper(function):
    """A part of kernels, inlined into each."""
    return numba.njit(**OPTIONS, inline="always")(function)


@intrinsic
def magnitude(typing_context, pattern):
    """A bit pattern without its highest bit, in its own type."""

    def generate(context, builder, sig, args):
        kind = args[0].type
        return builder.and_(args[0], ir.Constant(kind, (1 << kind.width - 1) - 1))

    return pattern(pattern), generate


@intrinsic
def trailing_zeros(typing_context, word):
    """Index of the lowest set bit of a nonzero uint64."""
    signature = numba.types.uint64(numba.types.uint64)

    def generate(context, builder, sig, args):
        return builder.cttz(args[0], cgutils.true_bit)

    return signature, generate


@intrinsic
def leading_zeros(typing_context, word):
    """Zero bits above the highest set bit of a uint64; 64 for zero."""
    signature = numba.types.uint64(numba.types.uint64)

    def generate(context, builder, sig, args):
        return builder.ctlz(args[0], cgutils.false_bit)

    return signature, generate
