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

    `bits` are unsigned integers, `floor` one of the same type, and there are `start + 64` of them.
    """
    width = bits.dtype.bitwidth
    signature = types.uint64(bits, types.intp, bits.dtype)

    def generate(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        vector = ir.VectorType(ir.IntType(width), LANES)
        place = builder.bitcast(builder.gep(array.data, [args[1]]), vector.as_pointer())
        words = builder.load(place, align=width // 8)
        magnitudes = builder.and_(words, ir.Constant(vector, [(1 << width - 1) - 1] * LANES))
        one = builder.insert_element(
            ir.Constant(vector, ir.Undefined), args[2], ir.Constant(ir.IntType(32), 0)
        )
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        limit = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), everywhere)
        return builder.bitcast(builder.icmp_unsigned(">=", magnitudes, limit), ir.IntType(64))

    return signature, generate
