"""How every CPU kernel is compiled: no GIL, no fast-math, cached on disk where possible."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": False, "_nrt": True}
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


class _Part(JITCodeLibrary):
    """The code of a function that only kernels call: linked into them, and optimised there.

    Numba would optimise a function and emit its machine code with all that it calls, and then again
    in each that calls it, which is a third of the time that compiling takes.
    """

    codegen = property(lambda self: self)  # which a library is asked for only to `set_env`

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        """Of a wrapper, which parts have none of: null."""
        return 0

    def set_env(self, name, environment):
        """Of Python objects, which parts use none of."""


class _PartCompiler(Compiler):
    def __init__(self, typing_context, context, library, *what):
        super().__init__(typing_context, context, _Part(context.codegen(), "part"), *what)


UNWRAPPED = OPTIONS | {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _PartCompiler,
}


def kernel(function):
    """Compile on first call; cached if the package's or the user's folder can be written."""
    compiled = numba.njit(**OPTIONS)(function)
    with suppress(RuntimeError):  # no place to cache
        compiled._cache = _StampedCache(function)
    return compiled


def inner(function):
    """A part of kernels that they call and Python cannot: no wrapper, no file of its own.

    References are not counted, which takes longer than a slice: it makes and returns no array, and
    calls nothing that returns one.
    """
    return _part(function, **UNWRAPPED | {"_nrt": False})


def maker(function):
    """As `inner`, and makes arrays."""
    return _part(function, **UNWRAPPED)


def _part(function, **options):
    """Compiled for types of arguments alone, not once more for every constant that is one."""
    compiled = numba.njit(**options)(function)
    template_of = compiled.get_call_template
    compiled.get_call_template = lambda arguments, named: template_of(
        tuple(map(types.unliteral, arguments)), named
    )
    return compiled


def helper(function):
    """A part of kernels, inlined into each."""
    return numba.njit(**OPTIONS, inline="always")(function)


@inner
def copy(source, target):
    """`target[: source.size] = source`, for which Numba compiles a text of shapes that differ."""
    for i in range(source.size):
        target[i] = source[i]


@intrinsic
def magnitude(typing_context, pattern):
    """A bit pattern without its highest bit, in its own type."""

    def generate(context, builder, sig, args):
        kind = args[0].type
        return builder.and_(args[0], ir.Constant(kind, (1 << kind.width - 1) - 1))

    return pattern(pattern), generate


@intrinsic
def shifted(typing_context, number, by):
    """`number >> by` in the number's own unsigned type, which `by` is of too."""

    def generate(context, builder, sig, args):
        return builder.lshr(*args)

    return number(number, number), generate


@intrinsic
def trailing_zeros(typing_context, word):
    """Index of the lowest set bit of a nonzero uint64."""
    signature = types.uint64(types.uint64)

    def generate(context, builder, sig, args):
        return builder.cttz(args[0], cgutils.true_bit)

    return signature, generate


@intrinsic
def leading_zeros(typing_context, word):
    """Zero bits above the highest set bit of a uint64; 64 for zero."""
    signature = types.uint64(types.uint64)

    def generate(context, builder, sig, args):
        return builder.ctlz(args[0], cgutils.false_bit)

    return signature, generate


@intrinsic
def ones(typing_context, word):
    """Set bits of a uint64."""
    signature = types.uint64(types.uint64)

    def generate(context, builder, sig, args):
        return builder.ctpop(args[0])

    return signature, generate


@intrinsic
def viewed(typing_context, array, dtype):
    """As many elements of a dtype as lie in a contiguous array of one dimension.

    `array.view` is the same, but Numba compiles it for every two types, with what raises errors.
    """
    if array.ndim != 1 or array.layout != "C":
        return None
    kind = array.copy(dtype=dtype.dtype)

    def generate(context, builder, sig, args):
        old = make_array(array)(context, builder, args[0])
        new = make_array(kind)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        itemsize = context.get_constant(types.intp, size)
        shape = [builder.udiv(builder.mul(old.nitems, old.itemsize), itemsize)]
        data = builder.bitcast(old.data, new.data.type)
        populate_array(new, data, shape, [itemsize], itemsize, old.meminfo, old.parent)
        return impl_ret_borrowed(context, builder, kind, new._getvalue())

    return kind(array, dtype), generate


@intrinsic
def frozen(typing_context, array):
    """The array, which is only read: what is called with it is compiled once, not twice."""
    kind = array.copy(readonly=True)
    return kind(array), lambda context, builder, sig, args: impl_ret_borrowed(
        context, builder, kind, args[0]
    )


@intrinsic
def unaligned(typing_context, words, byte):
    """The eight bytes of a uint64 array from any byte on; nothing checks that they are in it."""
    signature = types.uint64(words, types.uint64)

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        place = builder.bitcast(builder.gep(start, [args[1]]), ir.IntType(64).as_pointer())
        return builder.load(place, align=1)

    return signature, generate


@intrinsic
def store_unaligned(typing_context, words, byte, word):
    """Write eight bytes of a uint64 array from any byte on; nothing checks that they are in it."""
    signature = types.void(words, types.uint64, types.uint64)

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
        place = builder.bitcast(builder.gep(start, [args[1]]), ir.IntType(64).as_pointer())
        builder.store(args[2], place, align=1)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of an element that will be written soon; it need not exist."""
    signature = types.void(array, types.uint64)

    def generate(context, builder, sig, args):
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        pointer = ir.IntType(8).as_pointer()
        place = builder.bitcast(builder.gep(data, [args[1]]), pointer)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return signature, generate
