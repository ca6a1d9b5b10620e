"""Vector code that LLVM does not find by itself (compaction), as portable vector IR.

The IR names no instruction set; LLVM lowers it to what the CPU has. What pays differs: compressing
a register takes an instruction of AVX-512, or of its extension VBMI2 if lanes are bytes; without
them, and where few lanes are chosen, a mask of 64 lanes is walked bit by bit.
"""

from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

LANES = 64
"""Elements that one step looks at."""

SCALAR, MASK, COMPRESS, LOCATE = range(4)
"""Tiers: plain loops, masks of 64 lanes, compressed registers, and compressed numbers of lanes."""

REGISTER_BITS = LINE_BITS = 512
REGISTER_LANES = 16
AHEAD = 2048
"""Elements from where a step reads to where it prefetches: further than the CPU does by itself."""


def best_tier() -> int:
    """The fastest tier of this CPU, or of the one that Numba was told to compile for."""
    features = config.CPU_FEATURES
    if features is None and config.CPU_NAME is None:
        features = binding.get_host_cpu_features().flatten()
    has = (features or "").split(",")
    if "+avx512f" not in has:
        return MASK
    return LOCATE if "+avx512vbmi2" in has else COMPRESS


@intrinsic
def lanes_at_least(typing_context, bits, start, floor):
    """Bit j is set where the magnitude of `bits[start + j]` is at least `floor`, for 64 lanes.

    `bits` are unsigned integers, `floor` one of the same type, and there are `start + 64` of them.
    """
    signature = types.uint64(bits, types.intp, bits.dtype)

    def generate(context, builder, sig, args):
        data = data_of(context, builder, sig.args[0], args[0])
        prefetch(builder, data, args[1], LANES, sig.args[0].dtype.bitwidth)
        _, chosen = _compare(builder, data, args[1], args[2], LANES)
        return builder.bitcast(chosen, ir.IntType(LANES))

    return signature, generate


@intrinsic
def compress_at_least(typing_context, bits, start, floor, base, keys, values, kept):
    """Append those of 64 lanes whose magnitude is at least `floor`; how many there are then.

    Lane j is `bits[start + j]`, its key `base + start + j`. Writes to up to `kept + 64` in both.
    """
    signature = types.intp(bits, types.intp, bits.dtype, types.uint32, keys, values, types.intp)

    def generate(context, builder, sig, args):
        _, start, floor, base, _, _, kept = args
        data, all_keys, all_values = (
            data_of(context, builder, sig.args[at], args[at]) for at in (0, 4, 5)
        )
        size, width = start.type, floor.type.width
        register = min(
            REGISTER_BITS // width, REGISTER_LANES
        )  # LLVM splits a longer compression wrongly
        prefetch(builder, data, start, LANES, width)
        parts = [
            _compare(builder, data, builder.add(start, size(lane)), floor, register)
            for lane in range(0, LANES, register)
        ]
        some = parts[0][1]
        for _, chosen in parts[1:]:
            some = builder.or_(some, chosen)
        mask = ir.IntType(register)
        result = cgutils.alloca_once_value(builder, kept)
        base = builder.add(base, builder.trunc(start, base.type))
        with builder.if_then(builder.icmp_unsigned("!=", builder.bitcast(some, mask), mask(0))):
            for number, (words, chosen) in enumerate(parts):
                lanes = ir.VectorType(base.type, register)
                first = builder.add(base, base.type(number * register))
                numbers = builder.add(
                    everywhere(builder, first, register), lanes(list(range(register)))
                )
                for vector, array in ((numbers, all_keys), (words, all_values)):
                    store(builder, _compress(builder, vector, chosen), array, kept)
                count = builder.ctpop(builder.bitcast(chosen, mask))
                kept = builder.add(kept, builder.zext(count, size))
            builder.store(kept, result)
        return builder.load(result)

    return signature, generate


@intrinsic
def compress_pairs(typing_context, keys, values, start, floor, kept):
    """Keep those of 64 pairs from `start` on whose magnitude is at least `floor`.

    In place, after `kept` others, of which there are no more than `start`; how many there are then.
    Values have 32 bits.
    """
    signature = types.intp(keys, values, types.intp, values.dtype, types.intp)

    def generate(context, builder, sig, args):
        all_keys, all_values = (data_of(context, builder, sig.args[at], args[at]) for at in (0, 1))
        _, _, start, floor, kept = args
        for lane in range(0, LANES, REGISTER_LANES):
            at = builder.add(start, start.type(lane))
            numbers = load(builder, all_keys, at, REGISTER_LANES)
            words, chosen = _compare(builder, all_values, at, floor, REGISTER_LANES)
            for vector, array in ((numbers, all_keys), (words, all_values)):
                store(builder, _compress(builder, vector, chosen), array, kept)
            count = builder.ctpop(builder.bitcast(chosen, ir.IntType(REGISTER_LANES)))
            kept = builder.add(kept, builder.zext(count, kept.type))
        return kept

    return signature, generate


@intrinsic
def add_and_locate(
    typing_context, grad, residual, gamma, beta, out, start, floor, base, keys, kept
):
    """`out = gamma * grad + beta * residual` of 64 lanes, and keys of sums of at least `floor`.

    Keys as by `compress_at_least`: by one compression of numbers of lanes, if few are chosen.
    """
    what = grad, residual, gamma, beta, out, start, floor, base, keys, kept
    return _to_keys(*what), _adding(streaming=False, locate=True)


@intrinsic
def stream_and_locate(
    typing_context, grad, residual, gamma, beta, out, start, floor, base, keys, kept
):
    """As `add_and_locate`, past the caches: `out[start]` is at a multiple of 64 bytes."""
    what = grad, residual, gamma, beta, out, start, floor, base, keys, kept
    return _to_keys(*what), _adding(streaming=True, locate=True)


@intrinsic
def add_and_compare(typing_context, grad, residual, gamma, beta, out, start, floor):
    """`out = gamma * grad + beta * residual` of 64 lanes; bits are set where `floor` is reached."""
    return _to_mask(grad, residual, out, floor), _adding(streaming=False, locate=False)


@intrinsic
def stream_and_compare(typing_context, grad, residual, gamma, beta, out, start, floor):
    """As `add_and_compare`, past the caches: `out[start]` is at a multiple of 64 bytes."""
    return _to_mask(grad, residual, out, floor), _adding(streaming=True, locate=False)


def _to_keys(grad, residual, gamma, beta, out, start, floor, base, keys, kept):
    last = types.uint32, keys, types.intp
    return types.intp(grad, residual, grad.dtype, grad.dtype, out, types.intp, floor, *last)


def _to_mask(grad, residual, out, floor):
    return types.uint64(grad, residual, grad.dtype, grad.dtype, out, types.intp, floor)


def _adding(streaming, locate):
    def generate(context, builder, sig, args):
        _, _, gamma, beta, _, start, floor = args[:7]
        width = floor.type.width
        ours, theirs, sums = (data_of(context, builder, sig.args[at], args[at]) for at in (0, 1, 4))
        lanes = LINE_BITS // width
        parts = []
        for first in range(0, LANES, lanes):
            at = builder.add(start, start.type(first))
            total = None
            for data, factor in ((ours, gamma), (theirs, beta)):
                prefetch(builder, data, at, lanes, width)
                term = builder.fmul(
                    load(builder, data, at, lanes), everywhere(builder, factor, lanes)
                )
                total = term if total is None else builder.fadd(total, term)
            stored = store(builder, total, sums, at, LINE_BITS // 8 if streaming else None)
            if streaming:
                one = builder.module.add_metadata([ir.IntType(32)(1)])
                stored.set_metadata("nontemporal", one)
            words = builder.bitcast(total, ir.VectorType(floor.type, lanes))
            parts.append(_at_least(builder, words, floor))
        while len(parts) > 1:
            both = ir.VectorType(ir.IntType(32), 2 * parts[0].type.count)
            order = both(list(range(both.count)))
            parts = [
                builder.shuffle_vector(low, high, order)
                for low, high in zip(parts[::2], parts[1::2], strict=True)
            ]
        if not locate:
            return builder.bitcast(parts[0], ir.IntType(LANES))
        base, _, kept = args[7:]
        all_keys = data_of(context, builder, sig.args[8], args[8])
        return _locate(builder, parts[0], start, base, all_keys, kept)

    return generate


def _locate(builder, chosen, start, base, all_keys, kept):
    """Append `base + start + j` for each lane j that is chosen; how many there are then."""
    lanes = ir.VectorType(ir.IntType(8), LANES)
    located = _compress(builder, lanes(list(range(LANES))), chosen)
    base = builder.add(base, builder.trunc(start, base.type))
    vector = ir.VectorType(base.type, REGISTER_LANES)

    def write(first):
        some = ir.VectorType(ir.IntType(32), REGISTER_LANES)(
            list(range(first, first + REGISTER_LANES))
        )
        part = builder.shuffle_vector(located, lanes(ir.Undefined), some)
        numbers = builder.add(builder.zext(part, vector), everywhere(builder, base, REGISTER_LANES))
        store(builder, numbers, all_keys, builder.add(kept, kept.type(first)))

    count = builder.ctpop(builder.bitcast(chosen, ir.IntType(LANES)))
    write(0)
    more = builder.icmp_unsigned(">", count, count.type(REGISTER_LANES))
    with builder.if_then(more, likely=False):
        for first in range(REGISTER_LANES, LANES, REGISTER_LANES):
            write(first)
    return builder.add(kept, count)


@intrinsic
def add_tails(typing_context, numbers, count, threshold, sums):
    """Add to 16 lanes what of `numbers[:count]` is above a magnitude; how many that are.

    `count` is a multiple of 16, and the threshold a number of the same type. `sums` is float64[2 or
    more, 16]: sum and sum of squares of lane i mod 16.
    """
    signature = types.intp(numbers, types.intp, numbers.dtype, sums)

    def generate(context, builder, sig, args):
        data = data_of(context, builder, sig.args[0], args[0])
        _, count, threshold, _ = args
        rows = data_of(context, builder, sig.args[3], args[3])
        vector = ir.VectorType(ir.DoubleType(), REGISTER_LANES)
        own, size = ir.VectorType(threshold.type, REGISTER_LANES), count.type
        places = [
            builder.bitcast(builder.gep(rows, [size(row * REGISTER_LANES)]), vector.as_pointer())
            for row in range(2)
        ]
        total, squares = (
            cgutils.alloca_once_value(builder, builder.load(place, align=8)) for place in places
        )
        lanes = ir.VectorType(ir.IntType(8 * _bytes(own)), REGISTER_LANES)
        number = cgutils.alloca_once_value(builder, lanes([0] * REGISTER_LANES))
        limit, zeros = everywhere(builder, threshold, REGISTER_LANES), own([0.0] * REGISTER_LANES)
        steps = builder.sdiv(count, size(REGISTER_LANES))
        with cgutils.for_range(builder, steps) as loop:
            at = builder.mul(loop.index, size(REGISTER_LANES))
            x = load(builder, data, at, REGISTER_LANES)
            prefetch(builder, data, at, REGISTER_LANES, 8 * _bytes(x.type))
            magnitudes = _call(builder, "fabs", x)
            chosen = builder.fcmp_ordered(">", magnitudes, limit)
            # a mask is -1 where it is set
            some = builder.sub(builder.load(number), builder.sext(chosen, lanes))
            builder.store(some, number)
            magnitudes = builder.select(chosen, magnitudes, zeros)
            if own != vector:
                magnitudes = builder.fpext(magnitudes, vector)
            builder.store(builder.fadd(builder.load(total), magnitudes), total)
            so_far = builder.load(squares)
            if own != vector:  # the square of a float32 is exact: it may be fused, or not
                so_far = _call(builder, "fmuladd", magnitudes, magnitudes, so_far)
            else:
                so_far = builder.fadd(so_far, builder.fmul(magnitudes, magnitudes))
            builder.store(so_far, squares)
        for place, sums in zip(places, (total, squares), strict=True):
            builder.store(builder.load(sums), place, align=8)
        name = f"llvm.vector.reduce.add.v{REGISTER_LANES}i{lanes.element.width}"
        kind = ir.FunctionType(lanes.element, [lanes])
        add_up = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.zext(builder.call(add_up, [builder.load(number)]), size)

    return signature, generate


def _call(builder, name, *vectors):
    """An intrinsic function of LLVM's, of vectors of one kind to another of it."""
    kind = vectors[0].type
    name = f"llvm.{name}.v{kind.count}f{8 * _bytes(kind)}"
    kinds = ir.FunctionType(kind, [kind] * len(vectors))
    return builder.call(cgutils.get_or_insert_function(builder.module, kinds, name), vectors)


def data_of(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


def everywhere(builder, value, lanes):
    """A vector of one value."""
    vector, i32 = ir.VectorType(value.type, lanes), ir.IntType(32)
    one = builder.insert_element(vector(ir.Undefined), value, i32(0))
    zeros = ir.VectorType(i32, lanes)([0] * lanes)
    return builder.shuffle_vector(one, vector(ir.Undefined), zeros)


def load(builder, data, start, lanes):
    vector = ir.VectorType(data.type.pointee, lanes)
    place = builder.bitcast(builder.gep(data, [start]), vector.as_pointer())
    return builder.load(place, align=_bytes(vector))


def _at_least(builder, words, floor):
    """Which patterns have at least a magnitude."""
    vector, width = words.type, floor.type.width
    magnitudes = builder.and_(words, vector([(1 << width - 1) - 1] * vector.count))
    return builder.icmp_unsigned(">=", magnitudes, everywhere(builder, floor, vector.count))


def _compare(builder, data, start, floor, lanes):
    """The patterns from `start` on, and which have at least a magnitude."""
    words = load(builder, data, start, lanes)
    return words, _at_least(builder, words, floor)


def _bytes(vector):
    """Size of an element."""
    kind = vector.element
    return kind.width // 8 if isinstance(kind, ir.IntType) else 4 if kind == ir.FloatType() else 8


def _compress(builder, vector, chosen):
    """The chosen lanes, one after the other; the rest is anything."""
    kind = vector.type
    name = f"llvm.experimental.vector.compress.v{kind.count}i{kind.element.width}"
    signature = ir.FunctionType(kind, [kind, chosen.type, kind])
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    return builder.call(function, [vector, chosen, kind(ir.Undefined)])


def store(builder, vector, array, at, align=None):
    place = builder.bitcast(builder.gep(array, [at]), vector.type.as_pointer())
    return builder.store(vector, place, align=align or _bytes(vector.type))


def prefetch(builder, data, start, lanes, width):
    """Ask for the cache lines of `lanes` elements further on; past the end that does nothing."""
    i32 = ir.IntType(32)
    byte = ir.IntType(8).as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0"
    )
    for line in range(0, lanes, LINE_BITS // width):
        far = builder.gep(data, [builder.add(start, start.type(AHEAD + line))])
        builder.call(function, [builder.bitcast(far, byte), i32(0), i32(3), i32(1)])
