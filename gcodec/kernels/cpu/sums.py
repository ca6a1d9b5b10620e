"""The sum of what several frames hold, in one pass over where it goes."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import inner, kernel
from .vector import LINE_BITS, data_of

TILE = 1 << 14
"""Elements that are summed at a time, in the cache."""

CACHE_LINE = LINE_BITS // 8
STREAMED = 1 << 22
"""Bytes of a result from which on it is written past the caches, which it would only empty."""


def put_sums(keys, counts, values, chunk_log2, begin, end, divisor, out):
    """`out[position]` of chunks `begin` to `end` = sum of values there, in order, over `divisor`.

    Where no value is, 0. `keys` and `values` are sequences of contiguous arrays, one for each
    summand, `counts` their numbers by chunk: int64[summands, chunks]. Keys ascend within a chunk.
    `divisor` and values are of the type of `out`.
    """
    places = np.array(
        [(k.ctypes.data, v.ctypes.data) for k, v in zip(keys, values, strict=True)], np.uint64
    )
    _put_sums(places, counts, chunk_log2, begin, end, divisor, out, out.ctypes.data)


@kernel
def _put_sums(places, counts, chunk_log2, begin, end, divisor, out, address):
    """`put_sums` of arrays at addresses, into one at another."""
    at, stop = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for summand in range(len(places)):
        for chunk in range(begin):
            stop[summand] += counts[summand, chunk]
    streamed = out.nbytes >= STREAMED
    apart, no_keys = np.empty(TILE if streamed else 0, out.dtype), np.empty(0, np.uint32)
    for chunk in range(begin, end):
        first = chunk << chunk_log2
        last = min(first + (1 << chunk_log2), out.size)
        for summand in range(len(places)):
            at[summand] = stop[summand]
            stop[summand] += counts[summand, chunk]
        for start in range(first, last, TILE):
            size = min(TILE, last - start)
            tile = apart[:size] if streamed else out[start : start + size]
            _sum_tile(places, at, stop, no_keys, start - first, tile)
            if divisor != 1:
                _divide(tile, divisor)
            if streamed:
                _stream(tile, out[start : start + size], address + start * out.itemsize)


@inner
def _sum_tile(places, at, stop, no_keys, base, tile):
    """The sum of elements `base` on of a chunk, of which summand i has those from `at[i]` on."""
    tile[:] = 0
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


@inner
def _stream(source, target, address):
    """`target = source`; whole cache lines of `target`, which is at an address, past the caches."""
    item, i = source.itemsize, 0
    while i < source.size and (address + i * item) % CACHE_LINE:
        target[i] = source[i]
        i += 1
    lanes = CACHE_LINE // item
    while i + lanes <= source.size:
        _stream_line(source, target, i)
        i += lanes
    while i < source.size:
        target[i] = source[i]
        i += 1


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
def _stream_line(typing_context, source, target, at):
    """`target = source` for 64 bytes from element `at` on, where `target` has a cache line."""
    signature = types.void(source, target, types.intp)

    def generate(context, builder, sig, args):
        kind, width = context.get_value_type(sig.args[0].dtype), sig.args[0].dtype.bitwidth
        line = ir.VectorType(kind, LINE_BITS // width).as_pointer()
        here, there = (
            builder.bitcast(
                builder.gep(data_of(context, builder, sig.args[i], args[i]), [args[2]]), line
            )
            for i in range(2)
        )
        stored = builder.store(builder.load(here, align=width // 8), there, align=CACHE_LINE)
        one = builder.module.add_metadata([ir.IntType(32)(1)])
        stored.set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return signature, generate
