"""Fields and codes of 64 numbers put together in registers, and fields taken apart there.

Neighbours are joined in pairs, pairs in fours, fours in eights: each time half as many lanes, of
twice the bits. Eight fields of w bits fill w bytes, which can be stored where they belong; codes
differ in length, so that eights or fours of them are appended one after the other. Portable IR, of
shifts and shuffles: what it lowers to is fast on any CPU with vectors.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .vector import LANES, data_of, everywhere

I32, I64 = ir.IntType(32), ir.IntType(64)
LENGTH = 5
"""Low bits of an entry that hold the length of a code; the code is above them."""

MOST_BITS = 56
"""That can be appended to what is left of a byte, in a word."""

NARROW, WIDE = np.uint64(8), np.uint64(16)
"""Bits of the widest fields of which eight fill a word, or two."""


@intrinsic
def store_fields(typing_context, numbers, start, width, words, byte):
    """Write 64 fields of 1 to 8 bits from a byte on, and up to 8 bytes after their end.

    `numbers` are uint8 or uint32, whose bits above `width` do not matter.
    """
    return _storing(numbers, words), _fields(wide=False)


@intrinsic
def store_wide_fields(typing_context, numbers, start, width, words, byte):
    """Write 64 fields of 9 to 16 bits from a byte on, and up to 16 bytes after their end."""
    return _storing(numbers, words), _fields(wide=True)


def _storing(numbers, words):
    return types.void(numbers, types.uint64, types.uint64, words, types.uint64)


def _fields(wide):
    def generate(context, builder, sig, args):
        source, target = (data_of(context, builder, sig.args[i], args[i]) for i in (0, 3))
        _, start, width, _, byte = args
        mask = builder.sub(builder.shl(I64(1), width), I64(1))
        parts = []
        for low, high in _halves(builder, source, start):
            low, high = (builder.and_(part, _like(builder, mask, part)) for part in (low, high))
            parts.append(builder.or_(low, builder.shl(high, _like(builder, width, high))))
        twice = builder.shl(width, I64(1))
        fours = []
        for low, high in _pairs(builder, parts):
            shifted = builder.shl(high, _like(builder, twice, high))
            fours.append(builder.or_(low, shifted))
        ((low, high),) = _pairs(builder, fours)
        by = _like(builder, twice, high)  # by as much again: a lane may be shifted by less than 64
        eights = [builder.or_(low, builder.shl(builder.shl(high, by), by))]
        if wide:
            by = builder.sub(I64(LANES - 1), builder.shl(twice, I64(1)))
            rest = builder.lshr(high, _like(builder, builder.add(by, I64(1)), high))
            eights.append(rest)
        place = builder.gep(builder.bitcast(target, ir.IntType(8).as_pointer()), [byte])
        for group in range(8):
            for number, word in enumerate(eights):
                where = builder.gep(place, [I64(8 * number)])
                where = builder.bitcast(where, I64.as_pointer())
                builder.store(builder.extract_element(word, I32(group)), where, align=1)
            place = builder.gep(place, [width])
        return context.get_dummy_value()

    return generate


@intrinsic
def load_fields(typing_context, words, byte, width, numbers, start):
    """64 fields of 1 to 8 bits, from a byte on, into uint32; up to 8 bytes after them are read."""
    return _loading(words, numbers), _unfolding(wide=False)


@intrinsic
def load_wide_fields(typing_context, words, byte, width, numbers, start):
    """64 fields of 9 to 16 bits, from a byte on, into uint32; up to 8 bytes after them are read."""
    return _loading(words, numbers), _unfolding(wide=True)


def _loading(words, numbers):
    return types.void(words, types.uint64, types.uint64, numbers, types.uint64)


def _unfolding(wide):
    def generate(context, builder, sig, args):
        source, target = (data_of(context, builder, sig.args[i], args[i]) for i in (0, 3))
        _, byte, width, _, start = args
        place = builder.gep(builder.bitcast(source, ir.IntType(8).as_pointer()), [byte])
        twice = builder.shl(width, I64(1))
        low = _every(builder, place, width)
        if wide:  # the second four start within a byte if the width is odd
            middle = builder.gep(place, [builder.lshr(width, I64(1))])
            odd = builder.shl(builder.and_(width, I64(1)), I64(2))
            high = _every(builder, middle, width)
            high = builder.lshr(high, _like(builder, odd, high))
        else:
            high = builder.lshr(low, _like(builder, builder.shl(width, I64(2)), low))
        parts = _interleaved(builder, low, high)
        parts = [
            half
            for part in parts
            for half in _interleaved(builder, part, builder.lshr(part, _like(builder, twice, part)))
        ]
        mask = builder.sub(builder.shl(I64(1), width), I64(1))
        for number, part in enumerate(parts):
            low = builder.and_(part, _like(builder, mask, part))
            high = builder.lshr(part, _like(builder, width, part))
            high = builder.and_(high, _like(builder, mask, part))
            both = builder.or_(low, builder.shl(high, _like(builder, I64(32), high)))
            where = builder.gep(target, [builder.add(start, I64(16 * number))])
            builder.store(both, builder.bitcast(where, both.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return generate


def _every(builder, place, step):
    """Eight words, so many bytes from each to the next."""
    words = ir.VectorType(I64, 8)(ir.Undefined)
    for group in range(8):
        word = builder.load(builder.bitcast(place, I64.as_pointer()), align=1)
        words = builder.insert_element(words, word, I32(group))
        place = builder.gep(place, [step])
    return words


def _interleaved(builder, low, high):
    """Lanes of two vectors by turns."""
    count = low.type.count
    order = [lane // 2 + count * (lane % 2) for lane in range(2 * count)]
    kind = ir.VectorType(I32, count)
    return [
        builder.shuffle_vector(low, high, kind(order[part : part + count])) for part in (0, count)
    ]


@intrinsic
def fold_codes(typing_context, entries, start, words, lengths):
    """Join 64 codes; how many go into each word: eight, four, or 0 if that takes over 56 bits.

    `entries` are uint32: code << 5 | length. The words of eights are `words[:8]`, those of fours
    `words[8:24]`, and `lengths` are their bits.
    """
    signature = types.uint64(entries, types.uint64, words, lengths)

    def generate(context, builder, sig, args):
        source, all_words, all_lengths = (
            data_of(context, builder, sig.args[i], args[i]) for i in (0, 2, 3)
        )
        codes, lengths = [], []
        for both in _halves(builder, source, args[1]):
            codes += [builder.lshr(part, _like(builder, I64(LENGTH), part)) for part in both]
            mask = I64((1 << LENGTH) - 1)
            lengths += [builder.and_(part, _like(builder, mask, part)) for part in both]
        codes, lengths = _join(builder, codes[::2], codes[1::2], lengths[::2], lengths[1::2])
        fit, first = [], 24
        for _ in range(2):
            codes, lengths = _join(builder, *zip(*_pairs(builder, codes), strict=True),
                                   *zip(*_pairs(builder, lengths), strict=True))  # fmt: skip
            first -= 8 * len(codes)
            most = lengths[0]
            for number, (code, length) in enumerate(zip(codes, lengths, strict=True)):
                _put(builder, all_words, first + 8 * number, code)
                _put(builder, all_lengths, first + 8 * number, length)
                if number:
                    longer = builder.icmp_unsigned(">", length, most)
                    most = builder.select(longer, length, most)
            over = builder.icmp_unsigned(">", most, _like(builder, I64(MOST_BITS), most))
            mask = ir.IntType(8)
            fit.append(builder.icmp_unsigned("==", builder.bitcast(over, mask), mask(0)))
        fours = builder.select(fit[0], I64(4), I64(0))
        return builder.select(builder.and_(*fit), I64(8), fours)

    return signature, generate


@intrinsic
def store_bytes(typing_context, word, more, numbers, start):
    """Write the eight bytes of a word, and `more` to each, as uint32."""
    signature = types.void(types.uint64, types.uint64, numbers, types.uint64)

    def generate(context, builder, sig, args):
        word, more, _, start = args
        vector = ir.VectorType(I32, 8)
        places = builder.zext(builder.bitcast(word, ir.VectorType(ir.IntType(8), 8)), vector)
        places = builder.add(places, _like(builder, builder.trunc(more, I32), places))
        target = builder.gep(data_of(context, builder, sig.args[2], args[2]), [start])
        builder.store(places, builder.bitcast(target, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def odd_lanes(typing_context, numbers, start):
    """Bit j is set where `numbers[start + j]` (uint8 or uint32) is odd, for 64 lanes."""
    signature = types.uint64(numbers, types.uint64)

    def generate(context, builder, sig, args):
        words = _lanes(context, builder, sig, args)
        lanes = words.type
        lowest = builder.and_(words, lanes([1] * LANES))
        return builder.bitcast(builder.icmp_unsigned("!=", lowest, lanes([0] * LANES)), I64)

    return signature, generate


@intrinsic
def lanes_of(typing_context, numbers, start, number):
    """Bit j is set where `numbers[start + j]` (uint8 or uint32) is `number`, for 64 lanes."""
    signature = types.uint64(numbers, types.uint64, numbers.dtype)

    def generate(context, builder, sig, args):
        words = _lanes(context, builder, sig, args)
        wanted = everywhere(builder, args[2], LANES)
        return builder.bitcast(builder.icmp_unsigned("==", words, wanted), I64)

    return signature, generate


def _lanes(context, builder, sig, args):
    """64 numbers of the array and from the place that are the first two arguments."""
    source = data_of(context, builder, sig.args[0], args[0])
    lanes = ir.VectorType(source.type.pointee, LANES)
    place = builder.bitcast(builder.gep(source, [args[1]]), lanes.as_pointer())
    return builder.load(place, align=lanes.element.width // 8)


def _join(builder, first, second, first_lengths, second_lengths):
    """Codes after codes, and their lengths."""
    joined = [
        builder.or_(low, builder.shl(high, length))
        for low, high, length in zip(first, second, first_lengths, strict=True)
    ]
    pairs = zip(first_lengths, second_lengths, strict=True)
    return joined, [builder.add(*both) for both in pairs]


def _put(builder, array, first, vector):
    place = builder.gep(array, [I64(first)])
    builder.store(vector, builder.bitcast(place, vector.type.as_pointer()), align=8)


def _halves(builder, source, start):
    """Even and odd ones of 64 numbers, as four pairs of vectors of eight."""
    given, vector = ir.VectorType(source.type.pointee, 16), ir.VectorType(I64, 8)
    for part in range(0, LANES, 16):
        place = builder.gep(source, [builder.add(start, I64(part))])
        place = builder.bitcast(place, given.as_pointer())
        numbers = builder.load(place, align=given.element.width // 8)
        if given.element != I32:
            numbers = builder.zext(numbers, ir.VectorType(I32, 16))
        both = builder.bitcast(numbers, vector)
        low = builder.and_(both, vector([0xFFFF_FFFF] * 8))
        yield low, builder.lshr(both, vector([32] * 8))


def _pairs(builder, vectors):
    """Even and odd lanes of two vectors after each other, for each two."""
    for first, second in zip(vectors[::2], vectors[1::2], strict=True):
        lanes = range(2 * first.type.count)
        order = ir.VectorType(I32, first.type.count)
        yield tuple(
            builder.shuffle_vector(first, second, order(list(lanes[odd::2]))) for odd in (0, 1)
        )


def _like(builder, value, vector):
    return everywhere(builder, value, vector.type.count)
