"""The sum of what several frames hold, in one pass over where it goes."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import inner, kernel
from .vector import LINE_BITS, data_of, load, store

TILE = 1 << 14
"""Elements that are cleared and summed at a time, while they are in the cache."""

STREAMED = 1 << 12
"""The same where they are summed beside their place, and written past the caches then."""

LEAST_STREAMED = 1 << 23
"""Bytes of a sum that goes past them: a CPU reads what it is to overwrite, unless told not to."""

LINE = LINE_BITS // 8


def put_sums(keys, counts, values, chunk_log2, begin, end, divisor, out):
    """`out[position]` of chunks `begin` to `end` = sum of values there, in order, over `divisor`.

    Where no value is, 0. `keys` and `values` are sequences of contiguous arrays, one for each
    summand, `counts` their numbers by chunk: int64[summands, chunks]. Keys ascend within a chunk.
    `divisor` and values are of the type of `out`.
    """
    places = np.array(
        [(k.ctypes.data, v.ctypes.data) for k, v in zip(keys, values, strict=True)], np.uint64
    )
    start = out.ctypes.data
    ahead = start % LINE // out.itemsize  # elements that a line has before those of `out`
    streamed = out.nbytes >= LEAST_STREAMED and start % out.itemsize == 0
    _put_sums(places, counts, chunk_log2, begin, end, divisor, ahead, streamed, out)


@kernel
def _put_sums(places, counts, chunk_log2, begin, end, divisor, ahead, streamed, out):
    """`put_sums` of arrays at addresses."""
    room, lanes = np.zeros(STREAMED if streamed else 0, out.dtype), LINE // out.itemsize
    at, stop = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    for summand in range(len(places)):
        for chunk in range(begin):
            stop[summand] += counts[summand, chunk]
    no_keys = np.empty(0, np.uint32)
    for chunk in range(begin, end):
        first = chunk << chunk_log2
        own = out[first : min(first + (1 << chunk_log2), out.size)]
        for summand in range(len(places)):
            at[summand] = stop[summand]
            stop[summand] += counts[summand, chunk]
        _sum_chunk(places, at, stop, no_keys, divisor, (ahead + first) % lanes, room, own)


@inner
def _sum_chunk(places, at, stop, no_keys, divisor, ahead, room, out):
    """The sum of elements `at[i]` to `stop[i]` of summands, by way of `room` if there is any.

    Apart from its caller, who counts references: each count waits for what goes past the caches.
    """
    streamed, lanes = room.size > 0, LINE // out.itemsize
    step, start = room.size if streamed else TILE, 0
    while start < out.size:
        behind = min(start + step - (start + ahead) % lanes, out.size)  # a line ends there
        there = out[start:behind]
        tile = room[: there.size] if streamed else there
        if not streamed:
            _clear(there)
        _sum_tile(places, at, stop, no_keys, start, tile)
        if divisor != 1:
            _divide(tile, divisor)
        if streamed:
            _move(tile, there, min(-(start + ahead) % lanes, there.size), lanes)
        start = behind


@inner
def _sum_tile(places, at, stop, no_keys, base, tile):
    """Add elements `base` on of a chunk to zeros; summand i has those from `at[i]` on."""
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
def _move(tile, there, first, lanes):
    """`there[:] = tile`, and zeros to `tile`.

    Past the caches, but for parts of lines; element `first` starts a line.
    """
    last = first + (there.size - first) // lanes * lanes
    for i in range(first, last, lanes):
        _move_line(tile, there, i)
    for i in range(first):
        there[i], tile[i] = tile[i], 0
    for i in range(last, there.size):
        there[i], tile[i] = tile[i], 0


@intrinsic
def _move_line(typing_context, source, target, start):
    """`_move` of `source[start:][:line]` to what is a whole line of the target's."""
    signature = types.void(source, target, types.intp)

    def generate(context, builder, sig, args):
        given, there = (data_of(context, builder, sig.args[i], args[i]) for i in (0, 1))
        lanes = LINE_BITS // sig.args[1].dtype.bitwidth
        line = load(builder, given, args[2], lanes)
        stored = store(builder, line, there, args[2], LINE)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        store(builder, line.type([0.0] * lanes), given, args[2])
        return context.get_dummy_value()

    return signature, generate


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
