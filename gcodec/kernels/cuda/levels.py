"""Which levels, codes and packings of values are smallest (spec section 13) on CUDA.

Device functions that one thread block calls, as those of `choose`.
"""

import numpy as np

from ...format.ids import MAX_VALUE_RICE, ValueCodec
from . import codes, measure, planes
from .choose import CODES, PLACES, SECTION_BITS, offsets
from .measure import CLASSES, NUMBERS, VALUE, VALUE_HIGH
from .warps import largest, position, total

ZERO, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
EIGHT, SIX = np.uint64(8), np.uint64(6)
CLASS, ROW, WARPS = np.uint64(CLASSES), np.uint64(measure.ROW), np.uint64(planes.WARPS)
ALL_NUMBERS, LEVEL_CODE_BITS = np.uint64(NUMBERS), np.uint64(4)
FIXED, RICE, SIGN, HUFFMAN = (
    np.uint64(codec)
    for codec in (ValueCodec.FIXED, ValueCodec.RICE, ValueCodec.SIGN, ValueCodec.HUFFMAN)
)
SIGNED = np.uint64(ValueCodec.SIGNED_FIXED - ValueCodec.FIXED)
"""What a signed codec's id has more than the other's."""


def values(cuda):
    """Device function: choose the packing of each chunk's values.

    Returns whether levels carry signs, how many occur, and whether there is a code. On return the
    first NUMBERS of `counts` say how often each number occurs, and its lengths are those of
    `lengths`, by place, from NUMBERS on if levels carry signs.
    """
    add_lanes, (lane_of, warp_of) = total(cuda), position(cuda)
    find_largest = largest(cuda, np.uint64)
    words, bit_length, index_words = measure.words_of(cuda), codes.bits_of(cuda), offsets(cuda)
    make_lengths, word_of = codes.lengths(cuda), codes.word(cuda)

    @cuda.jit(device=True, forceinline=True)
    def count_numbers(starts, counted, counts):
        thread, chunk, own = np.uint64(cuda.threadIdx.x), ZERO, ZERO
        while chunk + ONE < np.uint64(starts.size):
            own += np.uint64(counted[chunk * ALL_NUMBERS + thread])
            chunk += ONE
        counts[thread] = own
        cuda.syncthreads()

    @cuda.jit(device=True, forceinline=True)
    def sort(counts, numbers, lengths, signed):
        """Places by frequency of so many numbers, or of their levels, and counts by place.

        Counts by place are the second of `counts`, the third if signed, and places by number the
        third of `lengths`, or the fourth. How many occur.
        """
        thread, used, shift = np.uint64(cuda.threadIdx.x), ZERO, ONE - signed
        own, place, other = ZERO, ZERO, ZERO
        by_place, places = (ONE + signed) * ALL_NUMBERS, (TWO + signed) * ALL_NUMBERS
        counts[by_place + thread] = ZERO
        own = counts[thread]
        if signed == ZERO:
            own += counts[thread ^ ONE]
        cuda.syncthreads()
        while other < numbers:
            count = counts[other]
            if signed == ZERO:
                count += counts[other ^ ONE]
            if count > ZERO:
                used += ONE
                if count > own or (count == own and other >> shift < thread >> shift):
                    place += ONE
            other += ONE << shift
        lengths[places + thread] = np.uint32(place)
        if own > ZERO:  # a level by both of its numbers, which say the same
            cuda.atomic.max(counts, by_place + place, own)
        return used

    @cuda.jit(device=True, forceinline=True)
    def code_both(counts, lengths, scratch, found, used, used_signed):
        """Codes of levels and of numbers by the first warp; the bits that each takes."""
        which = ZERO
        while which < TWO:
            size = used_signed if which else used
            size = max((size + CLASS - ONE) // CLASS, ONE) * CLASS
            at, out = (ONE + which) * ALL_NUMBERS, which * ALL_NUMBERS
            if warp_of() == np.uint32(0):
                bits = make_lengths(counts, at, size, lengths, out, scratch, ZERO)
                if lane_of() == np.uint32(0):
                    found[TWO + which] = bits
            which += ONE
        cuda.syncthreads()
        return found[TWO], found[TWO + ONE]

    @cuda.jit(device=True, forceinline=True)
    def fit_rice(counted, row, numbers, lengths, places, count):
        """The first parameter that costs least, and the unary bits."""
        parameter, unary, k, best = ZERO, ZERO, ZERO, ~ZERO
        while k <= np.uint64(MAX_VALUE_RICE):
            shifted, number = ZERO, np.uint64(lane_of())
            while number < numbers:
                symbol = np.uint64(lengths[places + number])
                shifted += np.uint64(counted[row + number]) * (symbol >> k)
                number += CLASS
            shifted = add_lanes(shifted) + count
            if shifted + k * count >= best:
                break
            best, parameter, unary = shifted + k * count, k, shifted
            k += ONE
        return parameter, unary

    @cuda.jit(device=True, forceinline=True)
    def try_chunk(counted, row, numbers, count, lengths, signed, coded):
        """Fields of the smallest packing of a chunk, and bits of value high; words of it without
        a code, and with one."""
        number, high, low, huffman = np.uint64(lane_of()), ZERO, ZERO, ZERO
        places, own = (TWO + signed) * ALL_NUMBERS, signed * ALL_NUMBERS
        while number < numbers:
            held = np.uint64(counted[row + number])
            if held > ZERO:
                symbol = np.uint64(lengths[places + number])
                high, low = max(high, symbol), max(low, ALL_NUMBERS - symbol)
                huffman += held * np.uint64(lengths[own + symbol])
            number += CLASS
        high, low = find_largest(high), ALL_NUMBERS - find_largest(low)
        huffman = add_lanes(huffman)
        parameter, unary = fit_rice(counted, row, numbers, lengths, places, count)
        size, more = max(bit_length(high), signed), signed * SIGNED
        signs = (ONE - signed) * words(count)
        takes = signs + words(count * size)
        fields, bits = (FIXED + more) | size << EIGHT, ZERO
        if signs + words(unary) + words(count * parameter) < takes:
            takes = signs + words(unary) + words(count * parameter)
            fields, bits = (RICE + more) | parameter << EIGHT, unary
        if signed == ZERO and low == high and signs < takes:
            takes, fields, bits = signs, SIGN | low << np.uint64(16), ZERO
        with_code = signs + index_words(count) + words(huffman)
        if coded and with_code < takes:
            fields, bits = HUFFMAN + more, huffman
        return fields, bits, takes, min(takes, with_code)

    @cuda.jit(device=True, forceinline=True)
    def try_all(starts, measures, counted, numbers, lengths, signed, coded, found):
        """Write fields of all chunks; words of them without a code, and with one."""
        if cuda.threadIdx.x == 0:
            found[0], found[1] = ZERO, ZERO
        cuda.syncthreads()
        chunk, plain, with_code = np.uint64(warp_of()), ZERO, ZERO
        while chunk + ONE < np.uint64(starts.size):
            count = starts[chunk + ONE] - starts[chunk]
            if count > ZERO:
                row = chunk * ALL_NUMBERS
                fields, bits, takes, also = try_chunk(
                    counted, row, numbers, count, lengths, signed, coded
                )
                plain += takes
                with_code += also
                if lane_of() == np.uint32(0):
                    measures[chunk * ROW + VALUE] = np.uint32(fields)
                    measures[chunk * ROW + VALUE_HIGH] = np.uint32(bits)
            chunk += WARPS
        if lane_of() == np.uint32(0):
            cuda.atomic.add(found, 0, plain)
            cuda.atomic.add(found, 1, with_code)
        cuda.syncthreads()
        plain, with_code = found[0], found[1]
        cuda.syncthreads()
        return plain, with_code

    @cuda.jit(device=True, forceinline=True)
    def choose(
        kept, bits, numbers, starts, measures, counted, tables, counts, lengths, scratch, found
    ):
        thread = np.uint64(cuda.threadIdx.x)
        count_numbers(starts, counted, counts)
        used = sort(counts, numbers, lengths, ZERO)
        used_signed = sort(counts, numbers, lengths, ONE)
        cuda.syncthreads()
        cost, cost_signed = code_both(counts, lengths, scratch, found, used, used_signed)
        each = bits + LEVEL_CODE_BITS
        fewer = cost_signed + each * used_signed + kept // EIGHT < cost + each * used + kept
        signed, coded, occur, best, stage = ZERO, False, used, ~ZERO, ZERO
        while stage < TWO + ONE:  # two trials, and the better one again with its code
            if stage != ONE or fewer:
                trial = signed if stage == TWO else stage
                plain, with_code = try_all(
                    starts, measures, counted, numbers, lengths, trial, coded, found
                )
                if stage < TWO:
                    levels = used_signed if trial else used
                    section = ((levels + ONE) // TWO + EIGHT - ONE) // EIGHT * EIGHT
                    section = (section << (TWO + ONE)) + SECTION_BITS
                    pays = (with_code << SIX) + section < plain << SIX
                    takes = (with_code << SIX) + section if pays else plain << SIX
                    takes += levels * bits
                    if takes < best:
                        best, signed, occur = takes, trial, levels
                        coded = pays
            stage += ONE
        place = np.uint64(lengths[(TWO + signed) * ALL_NUMBERS + thread])
        tables[PLACES + thread] = np.uint32(place)
        if coded and counts[thread] > ZERO:
            size = (occur + CLASS - ONE) // CLASS * CLASS
            code = word_of(lengths, signed * ALL_NUMBERS, size, place)
            tables[CODES + thread] = code
        return signed, occur, coded

    return choose
