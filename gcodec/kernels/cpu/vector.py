"""Vector code that LLVM does not find by itself (compaction), as portable vector IR.

The IR names no instruction set; LLVM lowers it to what the CPU has.
"""

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 64


@intrinsic
def lanes_at_least(typing_context, bits, start, floor):
    """Bit j is set where the magnitude of `bits[start + j]` is at least `floor`, for 64 lanes.

    `bits` is uint32 and must hold `start + 64` elements.
    """
    signature = types.uint64(bits, types.intp, types.uint32)

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        vector = ir.VectorType(ir.IntType(32), LANES)
        place = builder.bitcast(builder.gep(array.data, [args[1]]), vector.as_pointer())
        words = builder.load(place, align=4)
        magnitudes = builder.and_(words, ir.Constant(vector, [0x7FFF_FFFF] * LANES))
        one = builder.insert_element(
            ir.Constant(vector, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0)
        )
        everywhere = ir.Constant(vector, [0] * LANES)
        limit = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), everywhere)
        return builder.bitcast(builder.icmp_unsigned(">=", magnitudes, limit), ir.IntType(64))

    return signature, generate
