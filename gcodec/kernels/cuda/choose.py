"""Which packings of keys are smallest, and the codes for them (spec section 13) on CUDA.

Device functions that one thread block calls once all chunks are measured. What it finds goes to
`measures`, a row for each chunk, and to `tables`, uint32: codes of keys, then, by the number of a
value, its place in the codebook and its code. These two it reads again after another barrier.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS
from ...format.ids import SECTION_ENTRY
from . import codes, measure, planes
from .measure import CLASSES, COLUMN_CLASSES, COLUMNS, DELTA, KEY, KEY_HIGH, N_COLUMNS, NUMBERS
from .warps import FULL, position, total

GROUPS = 26
"""Of densities: bit lengths of positions for each key."""

TOGETHER = GROUPS
"""The row of all groups, in counts and lengths; in lengths, those of gaps of places among active
columns and of gaps of columns follow."""

KEY_CODES = CLASSES * CLASSES
PLACES, CODES = np.uint64(KEY_CODES), np.uint64(KEY_CODES + NUMBERS)
TABLES = KEY_CODES + 2 * NUMBERS
COUNTS = (GROUPS + 1) * CLASSES
"""Shared words of counts: those of gaps by group, or three of NUMBERS."""

LENGTHS = 4 * NUMBERS
SCRATCH = max(planes.WARPS * codes.scratch_of(CLASSES), codes.scratch_of(NUMBERS))
WITH_CODES, WITHOUT = GROUPS + 1, GROUPS + 2
FOUND = GROUPS + 3
"""Shared words of what warps tell each other: bits of codes by group, then sums of words."""

ZERO, ONE, TWO = np.uint64(0), np.uint64(1), np.uint64(2)
EIGHT, SIX = np.uint64(8), np.uint64(6)
CLASS, ROW, WARPS, STEP = (
    np.uint64(number) for number in (CLASSES, measure.ROW, planes.WARPS, planes.THREADS)
)
ALL_GROUPS = np.uint64(TOGETHER)
WARP_SCRATCH = np.uint64(codes.scratch_of(CLASSES))
CODE_BITS, SECTION_BITS = np.uint64(4 * CLASSES), np.uint64(8 * SECTION_ENTRY)
OFFSET, FOUR = np.uint64(OFFSET_BITS), np.uint64(4)
BYTE = np.uint32(255)


def offsets(cuda):
    """Device function: words of the index of codes."""
    words = measure.words_of(cuda)

    @cuda.jit(device=True, forceinline=True)
    def index_words(count):
        return words((count - ONE) // np.uint64(BLOCK) * OFFSET)

    return index_words


def keys(cuda):
    """Device function: choose the packing of each chunk's keys; how many codes there are."""
    add_lanes, (lane_of, warp_of) = total(cuda), position(cuda)
    words, allowed, index_words = measure.words_of(cuda), measure.is_allowed(cuda), offsets(cuda)
    make_lengths, word_of = codes.lengths(cuda), codes.word(cuda)
    bit_length = codes.bits_of(cuda)

    @cuda.jit(device=True, forceinline=True)
    def group_of(facts_of_chunks, chunk, count):
        """Of a chunk's density."""
        n, log2 = facts_of_chunks
        return bit_length(min(n - (chunk << log2), ONE << log2) // count)

    @cuda.jit(device=True, forceinline=True)
    def count_gaps(starts, measures, where, chosen, by_columns, counts):
        """Classes of all gaps, or of the chunks that have codes, by group and together.

        By columns, those of places are the first row, and those of columns the second.
        """
        i, lane, chunk = np.uint64(cuda.threadIdx.x), np.uint64(lane_of()), np.uint64(warp_of())
        codec = np.uint32(COLUMNS) if by_columns else np.uint32(DELTA)
        while i < np.uint64(COUNTS):
            counts[i] = ZERO
            i += STEP
        cuda.syncthreads()
        while chunk + ONE < np.uint64(starts.size):
            count, row = starts[chunk + ONE] - starts[chunk], chunk * ROW
            if count > ZERO and (not chosen or measures[row + KEY] & BYTE == codec):
                if not by_columns:
                    own = np.uint64(measures[row + lane])
                    if own > ZERO:
                        group = group_of(where, chunk, count)
                        cuda.atomic.add(counts, group * CLASS + lane, own)
                        cuda.atomic.add(counts, ALL_GROUPS * CLASS + lane, own)
                elif measures[row + N_COLUMNS] > np.uint32(0):
                    at = row + COLUMN_CLASSES + lane
                    cuda.atomic.add(counts, lane, np.uint64(measures[at]))
                    cuda.atomic.add(counts, CLASS + lane, np.uint64(measures[at + CLASS]))
            chunk += WARPS
        cuda.syncthreads()

    @cuda.jit(device=True, forceinline=True)
    def make_codes(counts, lengths, out, scratch, found):
        """A code for each row that occurs, and its bits.

        Lengths of other rows are anything, and nothing comes of them.
        """
        group, lane, own = np.uint64(warp_of()), lane_of(), np.uint64(warp_of()) * WARP_SCRATCH
        while group <= ALL_GROUPS:
            at, bits = group * CLASS, ZERO
            if cuda.any_sync(FULL, counts[at + np.uint64(lane)] > ZERO):
                bits = make_lengths(counts, at, CLASS, lengths, out + at, scratch, own)
            if lane == np.uint32(0):
                found[group] = bits
            group += WARPS
        cuda.syncthreads()

    @cuda.jit(device=True, forceinline=True)
    def count_codes(found):
        """A code for each group that occurs, or one; their number, and whether it is one."""
        number, bits, group = ZERO, ZERO, ZERO
        while group < ALL_GROUPS:
            if found[group] > ZERO:
                number += ONE
                bits += CODE_BITS + found[group]
            group += ONE
        one = number > ONE and CODE_BITS + found[ALL_GROUPS] <= bits
        return ONE if one else number, one

    @cuda.jit(device=True, forceinline=True)
    def number_of(found, group, one):
        """Of a group's code."""
        number, other = ZERO, ZERO
        while other < group and not one:
            if found[other] > ZERO:
                number += ONE
            other += ONE
        return number

    @cuda.jit(device=True, forceinline=True)
    def over_columns(measures, row, count, columns, lengths):
        """Bits of codes over active columns, and words of all."""
        lane = np.uint64(lane_of())
        at, code = row + COLUMN_CLASSES + lane, (ALL_GROUPS + ONE) * CLASS + lane
        high = np.uint64(measures[at]) * np.uint64(lengths[code])
        high += np.uint64(measures[at + CLASS]) * np.uint64(lengths[code + CLASS])
        high = add_lanes(high)
        pieces = np.uint64(measures[row + measure.N_PIECES])
        rests = np.uint64(measures[row + measure.COLUMN_RESTS])
        size = TWO * pieces + index_words(count + columns) + words(high) + words(rests)
        return high, size

    @cuda.jit(device=True, forceinline=True)
    def use(codecs, starts, measures, where, lengths, found, one, chosen):
        """What codes take in each chunk; and a code for it, if it is smaller or was chosen.

        The sum of this thread's chunks' words, with and without codes.
        """
        chunk, lane = np.uint64(warp_of()), lane_of()
        coded = plain = ZERO
        while chunk + ONE < np.uint64(starts.size):
            count, row = starts[chunk + ONE] - starts[chunk], chunk * ROW
            if count > ZERO:
                group = group_of(where, chunk, count)
                parameter = number_of(found, group, one)
                if one:
                    group = ALL_GROUPS
                own = np.uint64(measures[row + np.uint64(lane)])
                high = own * np.uint64(lengths[group * CLASS + np.uint64(lane)])
                high = add_lanes(high)
                rests = np.uint64(measures[row + measure.REST_BITS])
                size = index_words(count) + words(high) + words(rests)
                columns = more = by_columns = ZERO
                if allowed(codecs, COLUMNS):
                    columns = np.uint64(measures[row + N_COLUMNS])
                if columns > ZERO:
                    more, by_columns = over_columns(measures, row, count, columns, lengths)
                least = np.uint64(measures[row + measure.PLAIN_WORDS])
                codec, takes = np.uint64(measures[row + measure.PLAIN]), least
                if chosen:
                    codec = np.uint64(measures[row + KEY] & BYTE)
                else:  # the lower id on ties
                    if size < takes or (size == takes and codec > np.uint64(DELTA)):
                        codec, takes = np.uint64(DELTA), size
                    if columns > ZERO and by_columns < takes:
                        codec = np.uint64(COLUMNS)
                bits = ZERO
                if codec == np.uint64(DELTA):
                    takes, bits = size, high
                    codec |= parameter << EIGHT
                elif codec == np.uint64(COLUMNS):
                    takes, bits = by_columns, more
                    codec |= np.uint64(measures[row + measure.N_PIECES]) << EIGHT
                cuda.syncwarp()
                if lane == np.uint32(0):
                    plain += least
                    coded += takes
                    measures[row + KEY] = np.uint32(codec)
                    measures[row + KEY_HIGH] = np.uint32(bits)
            chunk += WARPS
        return coded, plain

    @cuda.jit(device=True, forceinline=True)
    def share(coded, plain, found):
        """Sums over warps of what their first lanes have."""
        if cuda.threadIdx.x == 0:
            found[WITH_CODES] = found[WITHOUT] = ZERO
        cuda.syncthreads()
        if lane_of() == np.uint32(0):
            cuda.atomic.add(found, WITH_CODES, coded)
            cuda.atomic.add(found, WITHOUT, plain)
        cuda.syncthreads()
        return found[WITH_CODES], found[WITHOUT]

    @cuda.jit(device=True, forceinline=True)
    def settle(starts, measures):
        """All chunks without codes."""
        chunk = np.uint64(cuda.threadIdx.x)
        while chunk + ONE < np.uint64(starts.size):
            if starts[chunk + ONE] > starts[chunk]:
                row = chunk * ROW
                measures[row + KEY] = measures[row + measure.PLAIN]
                measures[row + KEY_HIGH] = np.uint32(0)
            chunk += STEP

    @cuda.jit(device=True, forceinline=True)
    def keep_codes(lengths, found, one, number, more, tables):
        """Those of groups, or one, then those of columns."""
        i = np.uint64(cuda.threadIdx.x)
        while i < (ALL_GROUPS + ONE + more) * CLASS:
            group, symbol = i // CLASS, i % CLASS
            if group > ALL_GROUPS:
                wanted, row = True, number + group - ALL_GROUPS - ONE
            else:
                wanted = one == (group == ALL_GROUPS) and found[group] > ZERO
                row = number_of(found, group, one)
            if wanted:
                at = row * CLASS + symbol
                tables[at] = word_of(lengths, group * CLASS, CLASS, symbol)
            i += STEP

    @cuda.jit(device=True, forceinline=True)
    def choose(codecs, starts, measures, where, tables, counts, lengths, scratch, found):
        if not allowed(codecs, DELTA):
            settle(starts, measures)
            return ZERO
        of_codes = ONE << np.uint64(DELTA) | ONE << np.uint64(COLUMNS)
        others, by_columns = codecs & ~of_codes != ZERO, allowed(codecs, COLUMNS)
        number, one, more = ZERO, False, ZERO
        coded = plain = stage = ZERO
        while stage < FOUR:  # codes of columns and of others, then again for those that have them
            chosen, columns = stage >= TWO, stage & ONE == ZERO
            if by_columns or not columns:
                count_gaps(starts, measures, where, chosen, columns, counts)
                out = (ALL_GROUPS + ONE) * CLASS if columns else ZERO
                make_codes(counts, lengths, out, scratch, found)
                if columns:
                    more = TWO if found[0] > ZERO else ZERO
                else:
                    number, one = count_codes(found)
                    coded, plain = use(codecs, starts, measures, where, lengths, found, one, chosen)
                cuda.syncthreads()
            stage += ONE
        n_codes = number + more
        if others and n_codes > ZERO:
            coded, plain = share(coded, plain, found)
            if plain << SIX <= (coded << SIX) + SECTION_BITS + CODE_BITS * n_codes:
                n_codes = ZERO
        if n_codes == ZERO:
            settle(starts, measures)
        else:
            keep_codes(lengths, found, one, number, more, tables)
        return n_codes

    return choose
