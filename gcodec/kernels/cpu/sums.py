"""The sum of what several frames hold, in one pass over where it goes."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import inner, kernel
from .vector import data_of

TILE = 1 << 14
"""Elements that are cleared and summed at a time, while they are in the cache."""


def put_sums(keys, counts, values, chunk_log2, begin, end, divisor, out):
    """`out[position]` of chunks `begin` to `end` = sum of values there, in order, over `divisor`.

    Where no value is, 0. `keys` and `values` are sequences of contiguous arrays, one for each
    summand, `counts` their numbers by chunk: int64[summands, chunks]. Keys ascend within a chunk.
    `divisor` and values are of the type of `out`.
    """
    places = np.array(
        [(k.ctypes.data, v.ctypes.data) for k, v in zip(keys, values, strict=True)], np.uint64
    )
    _put_sums(places, counts, chunk_log2, begin, end, divisor, out)


@kernel
def _put_sums(places, counts, chunk_log2, begin, end, divisor, out):
    """`put_sums` of arrays at addresses."""
    at, stop = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for summand in range(len(places)):
        for chunk in range(begin):
            stop[summand] += counts[summand, chunk]
    no_keys = np.empty(0, np.uint32)
    for chunk in range(begin, end):
        first = chunk << chunk_log2
        last = min(first + (1 << chunk_log2), out.size)
        for summand in range(len(places)):
            at[summand] = stop[summand]
            stop[summand] += counts[summand, chunk]
        for start in range(first, last, TILE):
            tile = out[start : min(start + TILE, last)]
            _sum_tile(places, at, stop, no_keys, start - first, tile)
            if divisor != 1:
                _divide(tile, divisor)


@inner
def _sum_tile(places, at, stop, no_keys, base, tile):
    """The sum of elements `base` on of a chunk, of which summand i has those from `at[i]` on."""
    _clear(tile)
    size = np.uint64(tile.size)
    for summand in range(len(places)):
        keys, values, j = places[summand, 0], places[summand, 1], at[summand]
        while j < stop[summand]:
            place = np.uint64(_element(keys, j, no_keys)) - np.uint64(base)
            if place >= size:
                break
            tile[place] += _element(values, j, tile)
            j += 1
        at[summand] = j


@inner
def _divide(numbers, divisor):
    for i in range(numbers.size):
        numbers[i] /= divisor


@intrinsic
def _element(typing_context, address, at, like):
    """Number `at` of the elements at an address, which are of the type that an array has."""
    signature = like.dtype(types.uint64, types.intp, like)

    def generate(context, builder, sig, args):
        kind = context.get_value_type(sig.return_type)
        start = builder.inttoptr(args[0], kind.as_pointer())
        return builder.load(builder.gep(start, [args[1]]))

    return signature, generate


@intrinsic
def _clear(typing_context, array):
    """Zero bytes, by memset: it need not read what it overwrites, as vectors of zeros would."""
    signature = types.void(array)

    def generate(context, builder, sig, args):
        size = context.make_array(sig.args[0])(context, builder, args[0]).nitems
        start = data_of(context, builder, sig.args[0], args[0])
        byte, bit = ir.IntType(8), ir.IntType(1)
        start = builder.bitcast(start, byte.as_pointer())
        size = builder.mul(size, size.type(sig.args[0].dtype.bitwidth // 8))
        kind = ir.FunctionType(ir.VoidType(), [start.type, byte, size.type, bit])
        name = f"llvm.memset.p0.i{size.type.width}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [start, byte(0), size, bit(0)])
        return context.get_dummy_value()

    return signature, generate
