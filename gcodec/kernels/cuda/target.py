"""The compiler of CUDA kernels; no other module imports it, and this one only when asked."""

from functools import cache
from importlib.util import find_spec
from types import SimpleNamespace

from ...errors import BackendUnavailableError

VECTOR_BYTES = 16
"""What one load or store moves at most."""


def load():
    """The module that kernel factories take.

    Numba's own `numba.cuda` is deprecated: it must be the one that numba-cuda puts in its place.
    """
    if find_spec("numba_cuda") is None:
        raise BackendUnavailableError(
            "CUDA kernels need numba-cuda: pip install 'gcodec[cuda13]', or cuda12"
        )
    from numba import cuda

    return cuda


def kinds():
    """Numba's types, for signatures."""
    load()
    from numba import types

    return types


@cache
def memory():
    """Accesses and arithmetic that Python has no words for.

    vector_load(array, index) : 16 bytes as a tuple of elements, from an aligned address
    vector_store(array, index, elements) : the same way back
    peek(words, index), poke(words, index, word) : a uint64 that other blocks write and read
    arrive(words, index) : adds one to a uint64, and what it was; what other blocks did before they
        arrived is done for those that arrive later
    multiply(x, y), add(x, y) : each rounded, whatever comes after, so that nothing is fused
    as_float(bits), as_bits(number) : the same 32 or 64 bits
    """
    load()
    from llvmlite import ir
    from numba.core import types
    from numba.cuda.extending import intrinsic

    word = ir.IntType(32)

    def place(context, builder, array_type, array, index):
        data = context.make_array(array_type)(context, builder, array).data
        return builder.gep(data, [index])

    @intrinsic
    def vector_load(typing_context, array, index):
        count = VECTOR_BYTES * 8 // array.dtype.bitwidth
        signature = types.UniTuple(array.dtype, count)(array, types.uint64)

        def generate(context, builder, sig, args):
            start = place(context, builder, sig.args[0], *args)
            vector = ir.VectorType(start.type.pointee, count).as_pointer()
            lanes = builder.load(builder.bitcast(start, vector), align=VECTOR_BYTES)
            elements = [builder.extract_element(lanes, word(i)) for i in range(count)]
            return context.make_tuple(builder, sig.return_type, elements)

        return signature, generate

    @intrinsic
    def vector_store(typing_context, array, index, elements):
        signature = types.void(array, types.uint64, elements)

        def generate(context, builder, sig, args):
            start = place(context, builder, sig.args[0], *args[:2])
            lanes = ir.VectorType(start.type.pointee, sig.args[2].count)(ir.Undefined)
            for i in range(sig.args[2].count):
                element = builder.extract_value(args[2], i)
                lanes = builder.insert_element(lanes, element, word(i))
            target = builder.bitcast(start, lanes.type.as_pointer())
            builder.store(lanes, target, align=VECTOR_BYTES)
            return context.get_dummy_value()

        return signature, generate

    long, nothing = ir.IntType(64), ir.VoidType()

    @intrinsic
    def peek(typing_context, words, index):
        def generate(context, builder, sig, args):
            address = builder.ptrtoint(place(context, builder, sig.args[0], *args), long)
            kind = ir.FunctionType(long, [long])
            text = "ld.relaxed.gpu.u64 $0, [$1];"
            return builder.call(ir.InlineAsm(kind, text, "=l,l", side_effect=True), [address])

        return types.uint64(words, types.uint64), generate

    @intrinsic
    def poke(typing_context, words, index, number):
        def generate(context, builder, sig, args):
            address = builder.ptrtoint(place(context, builder, sig.args[0], *args[:2]), long)
            kind = ir.FunctionType(nothing, [long, long])
            text = "st.relaxed.gpu.u64 [$0], $1;"
            builder.call(ir.InlineAsm(kind, text, "l,l", side_effect=True), [address, args[2]])
            return context.get_dummy_value()

        return types.void(words, types.uint64, types.uint64), generate

    @intrinsic
    def arrive(typing_context, words, index):
        def generate(context, builder, sig, args):
            address = builder.ptrtoint(place(context, builder, sig.args[0], *args), long)
            kind = ir.FunctionType(long, [long])
            text = "atom.acq_rel.gpu.global.add.u64 $0, [$1], 1;"
            whole = ir.InlineAsm(kind, text, "=l,l,~{memory}", side_effect=True)
            return builder.call(whole, [address])

        return types.uint64(words, types.uint64), generate

    def rounded(single, double):
        @intrinsic
        def operation(typing_context, x, y):
            name = {32: single, 64: double}[x.bitwidth]

            def generate(context, builder, sig, args):
                kind = ir.FunctionType(args[0].type, [args[0].type, args[0].type])
                function = builder.module.globals.get(name)
                function = function or ir.Function(builder.module, kind, name)
                return builder.call(function, args)

            return x(x, x), generate

        return operation

    def cast(to):
        @intrinsic
        def same_bits(typing_context, value):
            result = to[value.bitwidth]

            def generate(context, builder, sig, args):
                return builder.bitcast(args[0], context.get_value_type(sig.return_type))

            return result(value), generate

        return same_bits

    return SimpleNamespace(
        vector_load=vector_load,
        vector_store=vector_store,
        peek=peek,
        poke=poke,
        arrive=arrive,
        multiply=rounded("llvm.nvvm.mul.rn.f", "llvm.nvvm.mul.rn.d"),
        add=rounded("llvm.nvvm.add.rn.f", "llvm.nvvm.add.rn.d"),
        as_float=cast({32: types.float32, 64: types.float64}),
        as_bits=cast({32: types.uint32, 64: types.uint64}),
    )
