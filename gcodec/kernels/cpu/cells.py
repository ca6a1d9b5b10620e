"""Level indices of 64 elements at a time, by tables that lie in registers.

Upper halves of patterns are few: less the lowest they are numbers of cells, of which a byte says
how many boundaries lie below and whether there is one within. Lower halves are compared with that
one's. An instruction of AVX-512 VBMI looks up 64 bytes among 128, and cells are nine times as many
for eight octaves, or 16 times. Here the IR has to name it: LLVM finds no look-up by itself.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .jit import inner
from .vector import LANES, LOCATE, best_tier, data_of, everywhere, load, prefetch, store

REGISTERS = best_tier() >= LOCATE
"""Whether there is that instruction: it came before VBMI2, which that tier is for."""

TABLE = 128
FEW_CELLS, CELLS = 9 * TABLE, 16 * TABLE
MOST = 127
"""Boundaries that seven bits can number."""

EDGES = 2 * (MOST + 1)
"""Bytes of lower halves: low ones, then high ones."""

LINE = 64
"""Tables that start at a multiple of this are loaded in half the time."""

HELD = 128
"""Bit of a cell with a boundary."""

HALF = np.uint64(16)


@inner
def fill_cells(boundaries, cells, edges):
    """Set cells (uint8[CELLS]) and lower halves of boundaries, by byte (uint8[256]).

    The upper half of cell 0, or -1 if the boundaries do not fit, and how many cells are needed. The
    first and the last hold none, since all that is below or above is in them as well.
    """
    if boundaries.size > MOST:
        return -1, 0
    lowest = np.int64(np.uint64(boundaries[0]) >> HALF) - 1 if boundaries.size else 0
    cells[:] = 0
    before = lowest
    for i in range(boundaries.size):
        upper = np.int64(np.uint64(boundaries[i]) >> HALF)
        if upper <= before or upper - lowest >= CELLS - 1:
            return -1, 0
        cells[before - lowest + 1 : upper - lowest] = i
        cells[upper - lowest] = i | HELD
        edges[i] = np.uint64(boundaries[i]) & np.uint64(0xFF)
        edges[i + 128] = (np.uint64(boundaries[i]) >> np.uint64(8)) & np.uint64(0xFF)
        before = upper
    cells[before - lowest + 1 :] = boundaries.size
    return lowest, before - lowest + 2


I8, I16, I32 = (ir.IntType(bits) for bits in (8, 16, 32))
BYTES, HALVES = (ir.VectorType(kind, 512 // kind.width) for kind in (I8, I16))


@intrinsic
def index_64(typing_context, bits, start, lowest, cells, edges, unsigned, out, at):
    """`out[at + j] = 2 * level + sign` of `bits[start + j]` (uint32), for 64 lanes.

    Of level `unsigned` the sign is left out.
    """
    return _signature(bits, cells, edges, out), _indexing(FEW_CELLS)


@intrinsic
def index_64_among_all(typing_context, bits, start, lowest, cells, edges, unsigned, out, at):
    """`index_64` where more than `FEW_CELLS` are needed."""
    return _signature(bits, cells, edges, out), _indexing(CELLS)


def _signature(bits, cells, edges, out):
    place = types.uint64
    return types.void(bits, place, types.uint16, cells, edges, types.uint8, out, place)


def _indexing(number):
    def generate(context, builder, sig, args):
        if not REGISTERS:  # it compiles, and is not called
            return context.get_dummy_value()
        _, start, lowest, _, _, unsigned, _, at = args
        source, all_cells, all_edges, target = (
            data_of(context, builder, sig.args[i], args[i]) for i in (0, 3, 4, 6)
        )
        source = builder.bitcast(source, I32.as_pointer())
        prefetch(builder, source, start, LANES, 32)
        places = [builder.add(start, start.type(16 * part)) for part in range(4)]
        words = [builder.bitcast(load(builder, source, at, 16), HALVES) for at in places]
        lower, upper = (
            [_every_second(builder, *words[i : i + 2], first) for i in (0, 2)] for first in (0, 1)
        )
        number_of = _cell(builder, upper, lowest, number)
        index = _level(builder, lower, _below(builder, all_cells, number, *number_of), all_edges)
        negative = builder.shuffle_vector(
            *(builder.icmp_signed("<", half, HALVES([0] * 32)) for half in upper),
            ir.VectorType(I32, LANES)(list(range(LANES))),
        )
        signed = builder.icmp_unsigned("!=", index, everywhere(builder, unsigned, LANES))
        sign = builder.zext(builder.and_(negative, signed), BYTES)
        store(builder, builder.or_(builder.add(index, index), sign), target, at)
        return context.get_dummy_value()

    return generate


def _cell(builder, upper, lowest, cells):
    """Numbers of 64 cells: low bytes, and high bytes."""
    subtract = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(HALVES, [HALVES, HALVES]), "llvm.usub.sat.v32i16"
    )
    least, last = everywhere(builder, lowest, 32), HALVES([cells - 1] * 32)
    numbers = []
    for half in upper:
        above = builder.call(subtract, [builder.and_(half, HALVES([0x7FFF] * 32)), least])
        inside = builder.icmp_unsigned("<", above, last)
        numbers.append(builder.bitcast(builder.select(inside, above, last), BYTES))
    return [_every_second(builder, *numbers, first) for first in (0, 1)]


def _below(builder, table, cells, low, high):
    """Bytes of 64 cells: a look-up in each part of the table, and a choice for each bit more."""
    found = [_look_up(builder, table, low, start) for start in range(0, cells, TABLE)]
    for number, bit in ((low, 7), (high, 0), (high, 1), (high, 2)):
        chosen = _has(builder, number, 1 << bit)
        pairs = zip(found[::2], found[1::2], strict=False)
        odd = found[len(found) // 2 * 2 :]
        found = [builder.select(chosen, second, first) for first, second in pairs] + odd
    return found[0]


def _level(builder, lower, below, edges):
    """How many boundaries are at or below each of 64 magnitudes."""
    halves = [builder.bitcast(half, BYTES) for half in lower]
    (low, low_edge), (high, high_edge) = (
        (_every_second(builder, *halves, i), _look_up(builder, edges, below, 128 * i))
        for i in (0, 1)
    )
    more = builder.icmp_unsigned(">", high, high_edge)
    same = builder.icmp_unsigned("==", high, high_edge)
    least = builder.icmp_unsigned(">=", low, low_edge)
    reached = builder.or_(more, builder.and_(same, least))
    reached = builder.and_(reached, _has(builder, below, HELD))
    below = builder.and_(below, BYTES([HELD - 1] * LANES))
    return builder.add(below, builder.zext(reached, BYTES))


def _has(builder, numbers, bit):
    """Which bytes have a bit."""
    return builder.icmp_unsigned(
        "!=", builder.and_(numbers, BYTES([bit] * LANES)), BYTES([0] * LANES)
    )


def _look_up(builder, table, numbers, start):
    """Bytes of a table from a place on, by the low seven bits of each number."""
    first, second = (load(builder, table, ir.IntType(64)(start + i), LANES) for i in (0, 64))
    kind = ir.FunctionType(BYTES, [BYTES, BYTES, BYTES])
    name = "llvm.x86.avx512.vpermi2var.qi.512"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [first, numbers, second])


def _every_second(builder, one, two, first):
    """Every second item of two vectors."""
    order = list(range(first, 2 * one.type.count, 2))
    return builder.shuffle_vector(one, two, ir.VectorType(I32, len(order))(order))
