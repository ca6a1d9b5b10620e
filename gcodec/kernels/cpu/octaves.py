"""Level indices of 64 elements at a time, of levels that repeat in every octave.

What a pattern is above the first boundary of its octave is compared with the others of an octave: a
subtraction for each, in IR that any CPU has. Numbers and signs are narrowed before all else.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .bits import ONE, bit_length
from .jit import inner
from .quantize import period_of
from .vector import LANES, data_of, everywhere, load, prefetch, store

OCTAVE = 23
"""Bits of an octave of float32."""

FEW_LEVELS, LEVELS = 8, 16
"""In an octave: there is code for either."""

AT_ONCE = 32
"""Lanes that registers of 256 bits hold beside what they are compared with."""

I8, I32, I64 = (ir.IntType(bits) for bits in (8, 32, 64))
BYTES, WORDS = (ir.VectorType(kind, AT_ONCE) for kind in (I8, I32))


@inner
def fill_octave(boundaries, edges):
    """Set `edges` (uint32[LEVELS - 1]) to how far boundaries of an octave are above its first.

    The binary logarithm of how many levels an octave has, or -1 if they are more than `LEVELS` or
    do not repeat, or begin below normal numbers.
    """
    period, octave = period_of(boundaries)
    if octave != OCTAVE or boundaries[0] >> np.uint32(OCTAVE) == 0:
        return -1
    edges[:] = 1 << OCTAVE
    for i in range(1, period):
        edges[i - 1] = boundaries[i] - boundaries[0]
    return np.int64(bit_length(np.uint64(period)) - ONE)


@intrinsic
def index_by_octave(typing_context, bits, start, first, log2, edges, most, unsigned, out, at):
    """`out[at + j] = 2 * level + sign` of `bits[start + j]` (uint32), for 64 lanes.

    `first` is the lowest boundary, `log2` that of the levels in an octave, `most` the last level.
    Of level `unsigned` the sign is left out.
    """
    return _signature(bits, edges, out), _indexing(LEVELS)


@intrinsic
def index_by_octave_of_few(
    typing_context, bits, start, first, log2, edges, most, unsigned, out, at
):
    """`index_by_octave` where an octave has at most `FEW_LEVELS`."""
    return _signature(bits, edges, out), _indexing(FEW_LEVELS)


def _signature(bits, edges, out):
    place, word, byte = types.uint64, types.uint32, types.uint8
    return types.void(bits, place, word, word, edges, byte, byte, out, place)


def _indexing(levels):
    def generate(context, builder, sig, args):
        _, start, first, log2, _, most, unsigned, _, at = args
        source, edges, target = (data_of(context, builder, sig.args[i], args[i]) for i in (0, 4, 7))
        source = builder.bitcast(source, I32.as_pointer())
        prefetch(builder, source, start, LANES, 32)
        given, found = builder.gep(source, [start]), builder.gep(target, [at])
        function = _function(builder.module, levels)
        builder.call(function, [given, first, log2, edges, most, unsigned, found])
        return context.get_dummy_value()

    return generate


def _function(module, levels):
    """A function of LLVM's for 64 lanes, which it is kept from making one with what is around it.

    It would run out of registers.
    """
    name = f"gcodec_index_by_octave_of_{levels}"
    if name in module.globals:
        return module.globals[name]
    words, byte = I32.as_pointer(), I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [words, I32, I32, words, I8, I8, byte])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    source, first, log2, edges, most, unsigned, target = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    for start in range(0, LANES, AT_ONCE):
        numbers = load(builder, source, I64(start), AT_ONCE)
        more = [builder.load(builder.gep(edges, [I32(i)])) for i in range(levels - 1)]
        level = _level(builder, numbers, first, log2, more)
        level = _call(builder, "umin", level, everywhere(builder, most, AT_ONCE))
        sign = builder.trunc(builder.lshr(numbers, WORDS([31] * AT_ONCE)), BYTES)
        has_none = builder.icmp_unsigned("==", level, everywhere(builder, unsigned, AT_ONCE))
        sign = builder.select(has_none, BYTES([0] * AT_ONCE), sign)
        store(builder, builder.or_(builder.add(level, level), sign), target, I64(start))
    builder.ret_void()
    return function


def _level(builder, words, first, log2, edges):
    """How many boundaries are at or below magnitudes, as bytes; many are 255 at most.

    Counted from an octave below the first boundary, where all that is smaller ends up.
    """
    below = everywhere(builder, builder.sub(first, I32(1 << OCTAVE)), AT_ONCE)
    size = builder.and_(words, WORDS([0x7FFF_FFFF] * AT_ONCE))
    above = _call(builder, "smax", builder.sub(size, below), WORDS([0] * AT_ONCE))
    octaves = builder.lshr(above, WORDS([OCTAVE] * AT_ONCE))
    level = builder.shl(octaves, everywhere(builder, log2, AT_ONCE))
    level = builder.add(level, WORDS([len(edges)] * AT_ONCE))
    rest = builder.and_(above, WORDS([(1 << OCTAVE) - 1] * AT_ONCE))
    for edge in edges:
        missed = builder.icmp_signed(">", everywhere(builder, edge, AT_ONCE), rest)
        level = builder.add(level, builder.sext(missed, WORDS))
    narrow = builder.trunc(_call(builder, "umin", level, WORDS([255] * AT_ONCE)), BYTES)
    spare = builder.trunc(builder.sub(builder.shl(I32(1), log2), I32(1)), I8)
    return _call(builder, "usub.sat", narrow, everywhere(builder, spare, AT_ONCE))


def _call(builder, name, one, two):
    kind = one.type
    signature = ir.FunctionType(kind, [kind, kind])
    name = f"llvm.{name}.v{kind.count}i{kind.element.width}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [one, two])
