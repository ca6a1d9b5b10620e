"""A frame on CUDA, from collected elements: two kernels after `collect`, and no word to the host.

In the first, each thread block measures a chunk, and the last one to end chooses packings, makes
codes and lays the frame out; in the second, each writes a chunk, and the last one seals the frame.
`layout` says what they are told.
"""

import numpy as np

from . import checksum, choose, codes, columns, layout, levels, measure, planes
from .choose import CODES, COUNTS, FOUND, LENGTHS, PLACES, SCRATCH
from .layout import BITS, CHUNK_LOG2, FIXED, HALF, HEAD, LEVELS, ONE, TWO, ZERO
from .measure import NUMBERS
from .warps import position

COUNTED = np.uint64(2 * measure.CLASSES)
"""Shared counts of gaps; those of numbers follow."""

SUMS = (2, planes.WARPS)
MOST_LEVELS = np.uint64(NUMBERS // 2)
LOW_32, ROW, STEP = np.uint64(0xFFFF_FFFF), np.uint64(measure.ROW), planes.STEP
ALL_NUMBERS = np.uint64(NUMBERS)
ELEMENTS, KEY_HIGH, KEY_LOW, VALUE_HIGH = layout.ELEMENTS, *(np.uint64(i) for i in range(3))
"""Planes that hold codes."""


def quantizer(cuda, kind):
    """Device functions: which levels are needed, and the number of a value among them.

    2 * level + 1 if it is negative; levels begin where `grid` says, and are so many but one.
    """
    sign = np.uint64(np.dtype(kind).itemsize * 8 - 1)
    low_bits = np.uint64(np.iinfo(kind).max >> 1)

    @cuda.jit(device=True, forceinline=True)
    def count_up_to(facts, begin, end, pattern):
        """How many of ascending words are at or below a pattern."""
        first = begin
        while begin < end:
            middle = (begin + end) >> ONE
            if facts[middle] <= pattern:
                begin = middle + ONE
            else:
                end = middle
        return begin - first

    @cuda.jit(device=True, forceinline=True)
    def levels_of(facts, top):
        """Where levels begin that are needed, the first one, and how many; 0 if values go as they
        are."""
        begin = HEAD + layout.BEFORE_SECTIONS + facts[layout.ROWS] + facts[layout.DIMS]
        if facts[LEVELS] == ZERO:
            return begin, ZERO, ZERO
        end, low = begin + facts[LEVELS] - ONE, facts[layout.LOW]
        first = count_up_to(facts, begin, end, low)
        return begin + first, first, count_up_to(facts, begin, end, max(low, top)) - first + ONE

    @cuda.jit(device=True, forceinline=True)
    def number_of(pattern, facts, begin, end):
        level = count_up_to(facts, begin, end, np.uint64(pattern) & low_bits)
        return level << ONE | np.uint64(pattern) >> sign

    return levels_of, number_of


def measure_chunks(cuda, memory, kind):
    """Kernel: what chunks take, and the frame but its planes, a thread block for each chunk.

    facts : uint64
    starts, keys, values, top : from `collect`
    numbers : uint32[room], becomes 2 * level + sign; none if values go as they are
    widths : uint32[room // BLOCK + chunks], for blocks of keys
    items : uint32[2 * room], heads : uint64[2 * (chunks + tensors)], for keys over active columns;
        none if these are not looked for
    counted : uint32[chunks, NUMBERS], for numbers; none if they are not counted
    measures : uint32[chunks, ROW]; tables : uint32[TABLES]
    plan : uint64[PLAN], zeroed; its first TOLD words become WRITTEN, the words of the frame and how
        many elements it holds, or NOT_TAKEN
    frame : uint64, large enough whatever was collected
    """
    levels_of, number_of = quantizer(cuda, kind)
    measure_keys, measure_columns = measure.keys(cuda), columns.keys(cuda)
    choose_keys, choose_values = choose.keys(cuda), levels.values(cuda)
    lay_out, bit_length, arrive = layout.write(cuda), codes.bits_of(cuda), memory.arrive
    allowed = measure.is_allowed(cuda)

    @cuda.jit(device=True, forceinline=True)
    def measure_values(values, first, count, facts, begin, n_levels, numbers, shared, counted, at):
        """Numbers of a chunk's values, and how often each occurs."""
        thread = j = np.uint64(cuda.threadIdx.x)
        counts = facts[FIXED] == ZERO
        if counts:
            shared[COUNTED + thread] = np.uint32(0)
        cuda.syncthreads()
        while j < count:
            number = number_of(values[first + j], facts, begin, begin + n_levels - ONE)
            numbers[first + j] = np.uint32(number)
            if counts:
                cuda.atomic.add(shared, COUNTED + number, np.uint32(1))
            j += STEP
        cuda.syncthreads()
        if counts:
            counted[at + thread] = shared[COUNTED + thread]

    def kernel(
        facts, starts, keys, values, top, numbers, widths, items, heads, counted, measures, tables,
        plan, frame,
    ):  # fmt: skip
        counts = cuda.shared.array(COUNTS, np.uint64)
        lengths = cuda.shared.array(LENGTHS, np.uint32)
        scratch = cuda.shared.array(SCRATCH, np.uint64)
        sums = cuda.shared.array(SUMS, np.uint64)
        found = cuda.shared.array(FOUND, np.uint64)
        n_chunks, chunk = np.uint64(starts.size) - ONE, np.uint64(cuda.blockIdx.x)
        kept, largest = starts[n_chunks], np.uint64(top[0])
        if cuda.threadIdx.x == 0:
            found[0], found[1], found[2] = levels_of(facts, largest)
        cuda.syncthreads()
        begin, first_level, n_levels = found[0], found[1], found[2]
        counting = n_levels > ZERO and facts[FIXED] == ZERO
        taken = facts[layout.LEAST] <= kept and kept <= facts[layout.MOST]
        taken = taken and kept <= np.uint64(keys.size) and largest < facts[layout.INFINITY]
        if not taken or (counting and n_levels > MOST_LEVELS):
            if chunk == ZERO and cuda.threadIdx.x == 0:
                plan[layout.STATE] = np.uint64(layout.NOT_TAKEN)
            return
        first, log2 = starts[chunk], facts[CHUNK_LOG2]
        count = starts[chunk + ONE] - first
        if count > ZERO:
            length = min(facts[HEAD + ELEMENTS] - (chunk << log2), ONE << log2)
            place = first // planes.ITEMS + chunk
            measure_keys(
                keys, first, count, length, facts[layout.KEY_WIDTH], facts[layout.KEYS], widths,
                place, lengths, sums, measures, chunk * ROW,
            )  # fmt: skip
            if allowed(facts[layout.KEYS], measure.COLUMNS):
                measure_columns(
                    facts, keys, first, count, length, chunk, items, heads, lengths, sums, measures,
                    scratch, counts,
                )  # fmt: skip
        if n_levels > ZERO:
            measure_values(
                values, first, count, facts, begin, n_levels, numbers, lengths, counted,
                chunk * ALL_NUMBERS,
            )  # fmt: skip
        cuda.syncthreads()
        if cuda.threadIdx.x == 0:
            found[0] = arrive(plan, layout.MEASURED)
        cuda.syncthreads()
        if found[0] + ONE != n_chunks:
            return
        where = facts[HEAD + ELEMENTS], log2
        n_codes = choose_keys(
            facts[layout.KEYS], starts, measures, where, tables, counts, lengths, scratch, found
        )
        signed, used, coded, width = ZERO, ZERO, False, ZERO
        if counting:
            signed, used, coded = choose_values(
                kept, facts[BITS], TWO * n_levels, starts, measures, counted, tables, counts,
                lengths, scratch, found,
            )  # fmt: skip
        elif n_levels > ZERO:
            signed, width = ONE, bit_length(TWO * n_levels - ONE)
            if kept > ZERO:
                used = TWO * n_levels
        lay_out(
            facts, starts, measures, tables, counts, first_level, n_levels, width, n_codes, signed,
            used, coded, frame, plan, sums, found,
        )  # fmt: skip

    return kernel


def write_chunks(cuda, memory, kind):
    """Kernel: planes and checks, a thread block for each chunk.

    facts, starts, keys, values, numbers, widths, items, heads, tables : as for `measure_chunks`,
        which came before
    plan : uint64[PLAN]
    residual : kind[n], which what elements decode to is taken off from; or none
    frame : uint64
    """
    lane_of, warp_of = position(cuda)
    digest, digest_and_half = checksum.digest(cuda)
    between, bit_length = planes.skip(cuda), codes.bits_of(cuda)
    write_blocks, write_bitmap = planes.blocks(cuda), planes.bitmap(cuda)
    words, index_words = measure.words_of(cuda), choose.offsets(cuda)
    of_values, arrive = layout.value_words(cuda), memory.arrive
    find_heads = columns.heads(cuda)
    sign = np.uint64(np.dtype(kind).itemsize * 8 - 1)
    add, as_float, as_bits = memory.add, memory.as_float, memory.as_bits

    @cuda.jit(device=True, forceinline=True)
    def gap_over_columns(items, first, j, n_columns, n_codes):
        """A gap of columns or of places, and the number of its code."""
        if j < n_columns:
            return np.uint64(items[first + j]), n_codes - ONE
        half = np.uint64(items.size) >> ONE
        return np.uint64(items[half + first + j - n_columns]), n_codes - TWO

    @cuda.jit(device=True, forceinline=True)
    def code_of(j, what):
        """Of a gap's class, the rest of a gap, or a value; in unary if there is no code."""
        plane, keys, numbers, items, tables, first, coded, parameter, n_columns, n_codes = what
        if plane == VALUE_HIGH:
            number = np.uint64(numbers[first + j])
            if coded:
                entry = np.uint64(tables[CODES + number])
                return entry >> np.uint64(5) << HALF | entry & np.uint64(31)
            return ONE << HALF | (np.uint64(tables[PLACES + number]) >> parameter) + ONE
        if n_columns > ZERO:
            gap, parameter = gap_over_columns(items, first, j, n_columns, n_codes)
        else:
            gap = between(keys, first, j) + ONE
        if not coded:
            return ONE << HALF | ((gap - ONE) >> parameter) + ONE
        size = bit_length(gap)
        if plane == KEY_HIGH:
            entry = np.uint64(tables[(parameter << np.uint64(5)) + size])
            return entry >> np.uint64(5) << HALF | entry & np.uint64(31)
        return (gap ^ (ONE << (size - ONE))) << HALF | size - ONE

    @cuda.jit(device=True, forceinline=True)
    def key_of(keys, place, what):
        """A position, or the distance of one to the one before."""
        first, of_gaps = what
        if of_gaps:
            return between(keys, first, place - first)
        return np.uint64(keys[place])

    @cuda.jit(device=True, forceinline=True)
    def value_of(values, place, what):
        """A value's pattern, its sign, its number, or its place in the codebook."""
        numbers, tables, which = what
        if which == ZERO:
            return np.uint64(values[place])
        number = np.uint64(numbers[place])
        if which == ONE:
            return number & ONE
        return number if which == TWO else np.uint64(tables[PLACES + number])

    write_codes = planes.codes(cuda, code_of)
    write_keys, write_values = planes.fields(cuda, key_of), planes.fields(cuda, value_of)

    @cuda.jit(device=True, forceinline=True)
    def nothing(residual, keys, values, numbers, first, count, base, facts, points):
        """Residuals have 32 or 64 bits."""

    @cuda.jit(device=True, forceinline=True)
    def take_off(residual, keys, values, numbers, first, count, base, facts, points):
        """What elements decode to; points are the place of the first level, or 0."""
        j = np.uint64(cuda.threadIdx.x)
        while j < count:
            at, decoded = base + np.uint64(keys[first + j]), values[first + j]
            if points > ZERO:
                number = np.uint64(numbers[first + j])
                decoded = kind(facts[points + (number >> ONE)] | (number & ONE) << sign)
            less = as_float(kind(decoded ^ kind(ONE << sign)))
            residual[at] = as_bits(add(as_float(residual[at]), less))
            j += STEP

    settle = nothing if kind is np.uint16 else take_off

    @cuda.jit(device=True, forceinline=True)
    def write_all_codes(
        keys, numbers, items, tables, first, count, codec, parameter, n_columns, n_codes, value,
        value_parameter, ends, frame, sums,
    ):  # fmt: skip
        """Planes of codes and unary numbers: of classes, of values, of rests."""
        index, high, value_index, value_high, low = ends
        plane = ZERO
        while plane <= VALUE_HIGH:
            of_value, is_delta = plane == VALUE_HIGH, codec == layout.DELTA or n_columns > ZERO
            is_rice = value == layout.RICE or value == layout.SIGNED_RICE
            is_code = value == layout.HUFFMAN or value == layout.SIGNED_HUFFMAN
            wanted = is_delta or (codec == layout.KEY_RICE and plane == KEY_HIGH)
            coded, start, at, argument, size = is_delta, high, index, parameter, count + n_columns
            if plane == KEY_LOW:
                start = low
            if of_value:
                wanted, coded = is_rice or is_code, is_code
                start, at, argument, size = value_high, value_index, value_parameter, count
            if wanted:
                indexed = coded and plane != KEY_LOW
                what = (
                    plane, keys, numbers, items, tables, first, coded, argument, n_columns, n_codes,
                )  # fmt: skip
                write_codes(what, size, not coded, indexed, frame, at, start, sums)
            plane += ONE

    @cuda.jit(device=True, forceinline=True)
    def write_planes(
        facts, keys, values, numbers, widths, items, heads, tables, n_codes, first, count, chunk,
        entry, word, units, frame, sums,
    ):  # fmt: skip
        """All of a chunk."""
        spare = np.uint64(cuda.threadIdx.x)
        while spare < TWO * units:
            frame[word + spare] = ZERO
            spare += STEP
        counts, told = frame[entry + ONE], frame[entry + TWO]
        codec, parameter = told >> HALF & np.uint64(255), told >> np.uint64(40) & np.uint64(255)
        value, value_parameter = told >> np.uint64(48) & np.uint64(255), told >> np.uint64(56)
        index_size = of_heads = n_columns = ZERO
        if codec == layout.DELTA:
            index_size = index_words(count)
        elif codec == layout.COLUMNS:
            n_columns = frame[entry + layout.THREE] >> np.uint64(16) & np.uint64(0xFFFF)
            of_heads = TWO * parameter
            index_size = of_heads + index_words(count + n_columns)
        elif codec == layout.BLOCKS:
            index_size = words((count + planes.ITEMS - ONE) // planes.ITEMS * planes.FIELD_WIDTH)
        signs, value_index, upper, lower = of_values(
            value, count, value_parameter, told & LOW_32, facts[BITS]
        )
        high = word + index_size
        sign_at = high + words(counts >> HALF)
        index_at = sign_at + signs
        upper_at = index_at + value_index
        lower_at = upper_at + upper
        low = lower_at + lower
        cuda.syncthreads()
        if codec == layout.BLOCKS:
            place = first // planes.ITEMS + chunk
            write_blocks(keys, first, count, widths, place, sums, frame, word, high)
            cuda.syncthreads()
        elif codec == layout.BITMAP:
            write_bitmap(keys, first, count, frame, high)
        elif codec == layout.COO or (codec == layout.KEY_RICE and parameter > ZERO):
            what = first, codec == layout.KEY_RICE
            write_keys(keys, first, count, what, parameter, frame, low)
        elif codec == layout.COLUMNS:
            _, head = find_heads(facts, chunk)
            spare = np.uint64(cuda.threadIdx.x)
            while spare < of_heads:
                frame[word + spare] = heads[head + spare]
                spare += STEP
        ends = word + of_heads, high, index_at, upper_at, low
        write_all_codes(
            keys, numbers, items, tables, first, count, codec, parameter, n_columns, n_codes, value,
            value_parameter, ends, frame, sums,
        )  # fmt: skip
        field = ZERO
        while field < TWO:  # signs, then the fields of values
            width, which, start = ONE if signs > ZERO else ZERO, ONE, sign_at
            if field == ONE:
                start, width, which = lower_at, value_parameter, TWO
                if value == layout.RAW:
                    width, which = facts[BITS], ZERO
                elif facts[FIXED] == ZERO:
                    which = TWO + ONE
            if width > ZERO:
                what = numbers, tables, which
                write_values(values, first, count, what, width, frame, start)
            field += ONE

    def kernel(
        facts, starts, keys, values, numbers, widths, items, heads, tables, plan, residual, frame
    ):
        sums = cuda.shared.array(SUMS, np.uint64)
        last = cuda.shared.array(1, np.uint64)
        if plan[layout.STATE] == np.uint64(layout.NOT_TAKEN):
            return
        n_chunks, chunk = np.uint64(starts.size) - ONE, np.uint64(cuda.blockIdx.x)
        lane, first = lane_of(), starts[chunk]
        count = starts[chunk + ONE] - first
        entry = plan[layout.DIRECTORY] + layout.ENTRY * chunk
        placed = frame[entry]
        word, units = plan[layout.START] + TWO * (placed & LOW_32), placed >> HALF
        if count > ZERO:
            write_planes(
                facts, keys, values, numbers, widths, items, heads, tables, plan[layout.N_CODES],
                first, count, chunk, entry, word, units, frame, sums,
            )  # fmt: skip
        if residual.size:
            points = ZERO
            if plan[layout.N_LEVELS] > ZERO:
                points = HEAD + layout.BEFORE_SECTIONS + facts[layout.ROWS] + facts[layout.DIMS]
                points += facts[LEVELS] - ONE + plan[layout.FIRST_LEVEL]
            base = chunk << facts[CHUNK_LOG2]
            settle(residual, keys, values, numbers, first, count, base, facts, points)
        cuda.syncthreads()
        if warp_of() == np.uint32(0):
            check = digest(frame, word, TWO * units, chunk, lane) & LOW_32
            if lane == np.uint32(0):
                frame[entry + layout.THREE] |= check << HALF
                last[0] = arrive(plan, layout.DONE)
        cuda.syncthreads()
        if last[0] + ONE != n_chunks or warp_of() != np.uint32(0):
            return
        before, after = layout.BEFORE_SECTIONS, plan[layout.META]
        meta = digest(frame, before, after, ZERO, lane) & LOW_32
        check = digest_and_half(frame, ZERO, before - ONE, meta, lane) & LOW_32
        if lane == np.uint32(0):
            frame[layout.CHECKS] = meta | check << HALF

    return kernel
