"""Matrices made compact to their active columns (spec sections 8 and 13) on CUDA: device functions.

The same decisions as `gcodec.packing.columns`. A block goes through the pieces of its chunk, one
after the other: columns that hold a key are bits in shared memory, and ones below a bit are the
column's place. Gaps are uint32, `items`: those of columns where the chunk's keys are, those of keys
as far into the second half. Heads are uint64, two a piece, as they are written.
"""

import numpy as np

from ...format.directory import HEAD_BITS
from . import codes, measure, planes
from .layout import CHUNK_LOG2, MATRICES, MATRICES_AT
from .measure import CLASSES, COLUMN_CLASSES, COLUMN_RESTS, N_COLUMNS, N_PIECES
from .warps import LAST_LANE, position, scan, total

MAX_WIDTH = MAX_COLUMNS = np.uint64((1 << 16) - 1)
MAX_PIECES = np.uint64(255)
EACH = np.uint64(4)
"""Words of bits that a thread counts: 256 of them have a row's."""

ZERO, ONE, TWO, SIX, HALF = (np.uint64(i) for i in (0, 1, 2, 6, 32))
LOW_SIX, STEP = np.uint64(63), planes.STEP
CLASS, OF_HEAD = np.uint64(CLASSES), np.uint64(HEAD_BITS)


def heads(cuda):
    """Device function: the tensor that a chunk begins in, and where heads of its pieces are.

    No chunk has more pieces than tensors, and it shares but the first with those before it.
    """

    @cuda.jit(device=True, forceinline=True)
    def of(facts, chunk):
        begin, end = ZERO, facts[MATRICES] - ONE
        while begin < end:
            middle = (begin + end + ONE) >> ONE
            if facts[facts[MATRICES_AT] + TWO * middle] <= chunk << facts[CHUNK_LOG2]:
                begin = middle
            else:
                end = middle - ONE
        return begin, TWO * (chunk + begin)

    return of


def places(cuda):
    """Device functions: find the active columns of a piece, and a key's place among them.

    `bits` are shared, uint64[1024], and `before` uint64[512]: columns before every other word.
    """
    add_below, (lane_of, warp_of) = scan(cuda), position(cuda)

    @cuda.jit(device=True, forceinline=True)
    def mark(keys, at, last, shift, width, bits, before, sums):
        """How many columns there are of keys from `at` to `last`."""
        thread, words = np.uint64(cuda.threadIdx.x), (width + LOW_SIX) >> SIX
        word, j = thread, at + thread
        cuda.syncthreads()
        while word < words:
            bits[word] = ZERO
            word += STEP
        cuda.syncthreads()
        while j < last:
            place = np.uint32(np.uint64(keys[j]) + shift)
            column = np.uint64(np.uint32(place % np.uint32(width)))
            cuda.atomic.or_(bits, column >> SIX, ONE << (column & LOW_SIX))
            j += STEP
        cuda.syncthreads()
        first, own, own_half = EACH * thread, np.uint32(0), np.uint32(0)
        for i in range(4):
            word = first + np.uint64(i)
            if i == 2:
                own_half = own
            if word < words:
                own = np.uint32(own + np.uint32(cuda.popc(bits[word])))
        upto, warp = add_below(lane_of(), own), np.uint64(warp_of())
        if lane_of() == LAST_LANE:
            sums[0, warp] = np.uint64(upto)
        cuda.syncthreads()
        below, active = np.uint64(np.uint32(upto - own)), ZERO
        for other in range(planes.WARPS):
            if np.uint64(other) < warp:
                below += sums[0, other]
            active += sums[0, other]
        before[TWO * thread] = below
        before[TWO * thread + ONE] = below + np.uint64(own_half)
        cuda.syncthreads()
        return active

    @cuda.jit(device=True, forceinline=True)
    def place_of(key, piece, bits, before):
        """Of a key in a chunk."""
        shift, width, active, base = piece
        place = np.uint64(key) + shift
        if width == ZERO:
            return base + place
        row = np.uint64(np.uint32(np.uint32(place) // np.uint32(width)))
        column = place - row * width
        word = column >> SIX
        rank = before[word >> ONE]
        rank += np.uint64(cuda.popc(bits[word] & ((ONE << (column & LOW_SIX)) - ONE)))
        if word & ONE != ZERO:
            rank += np.uint64(cuda.popc(bits[word - ONE]))
        return base + row * active + rank

    return mark, place_of


def keys(cuda):
    """Device function: what a chunk's keys take over active columns, in its row of `measures`."""
    find_heads, (mark, place_of) = heads(cuda), places(cuda)
    add_lanes, (lane_of, warp_of) = total(cuda), position(cuda)
    bit_length = codes.bits_of(cuda)

    @cuda.jit(device=True, forceinline=True)
    def keys_below(keys, begin, end, limit):
        """Where the first key is that is not below a limit."""
        while begin < end:
            middle = (begin + end) >> ONE
            if np.uint64(keys[middle]) < limit:
                begin = middle + ONE
            else:
                end = middle
        return begin

    @cuda.jit(device=True, forceinline=True)
    def pays(count, length, width, phase, active):
        """Whether listing columns makes a piece smaller, by bit lengths of mean gaps."""
        rows = (phase + length - ONE) // width + ONE
        as_is = count * bit_length(length // count)
        of_columns = active * (ONE + bit_length(width // active))
        return of_columns + count * bit_length(rows * active // count) + OF_HEAD < as_is

    @cuda.jit(device=True, forceinline=True)
    def list_columns(width, bits, before, items, out, counted):
        thread, words = np.uint64(cuda.threadIdx.x), (width + LOW_SIX) >> SIX
        word, lower, after = EACH * thread, EACH * thread, ZERO
        if word < words:
            out += before[TWO * thread]
            while lower > ZERO and bits[lower - ONE] == ZERO:
                lower -= ONE
            if lower > ZERO:
                after = lower << SIX
                after -= np.uint64(cuda.clz(np.int64(bits[lower - ONE])))
        end = min(word + EACH, words)
        while word < end:
            left = bits[word]
            while left != ZERO:
                lowest = left & (~left + ONE)
                column = (word << SIX) + bit_length(lowest) - ONE
                gap = column + ONE - after
                items[out] = np.uint32(gap)
                cuda.atomic.add(counted, CLASS + bit_length(gap), np.uint32(1))
                out += ONE
                after, left = column + ONE, left ^ lowest
            word += ONE

    @cuda.jit(device=True, forceinline=True)
    def write_gaps(keys, at, last, piece, bits, before, after, items, counted):
        """Gaps of places; the place after the last."""
        j, half = at + np.uint64(cuda.threadIdx.x), np.uint64(items.size) >> ONE
        while j < last:
            previous = after
            if j > at:
                previous = place_of(keys[j - ONE], piece, bits, before) + ONE
            gap = place_of(keys[j], piece, bits, before) + ONE - previous
            items[half + j] = np.uint32(gap)
            cuda.atomic.add(counted, bit_length(gap), np.uint32(1))
            j += STEP
        if last > at:
            after = place_of(keys[last - ONE], piece, bits, before) + ONE
        return after

    @cuda.jit(device=True, forceinline=True)
    def sum_up(listed, done, counted, measures, row):
        lane, rests = np.uint64(lane_of()), ZERO
        held, held_columns = counted[lane], counted[CLASS + lane]
        if lane > ONE:
            rests = (np.uint64(held) + np.uint64(held_columns)) * (lane - ONE)
        rests = add_lanes(rests)
        measures[row + COLUMN_CLASSES + lane] = held
        measures[row + COLUMN_CLASSES + CLASS + lane] = held_columns
        if lane == ZERO:
            number = ZERO
            if listed <= MAX_COLUMNS and done <= MAX_PIECES:
                number = listed
            measures[row + N_COLUMNS], measures[row + N_PIECES] = np.uint32(number), np.uint32(done)
            measures[row + COLUMN_RESTS] = np.uint32(rests)

    @cuda.jit(device=True, forceinline=True)
    def measure_columns(
        facts, keys, first, count, length, chunk, items, heads, counted, sums, measures, bits,
        before,
    ):  # fmt: skip
        thread, start = np.uint64(cuda.threadIdx.x), chunk << facts[CHUNK_LOG2]
        tensor, out = find_heads(facts, chunk)
        cuda.syncthreads()
        if thread < TWO * CLASS:
            counted[thread] = np.uint32(0)
        cuda.syncthreads()
        at, begin, base, after, listed, done, run = first, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
        while begin < length:
            table, end = facts[MATRICES_AT] + TWO * tensor, length
            if tensor + ONE < facts[MATRICES]:
                end = min(end, facts[table + TWO] - start)
            width, size = facts[table + ONE], end - begin
            last = keys_below(keys, at, first + count, end)
            if width < TWO or width > MAX_WIDTH or size < TWO * width or last == at:
                width = ZERO
            phase = active = ZERO
            if width > ZERO:
                phase = (start + begin - facts[table]) % width
                active = mark(keys, at, last, phase - begin, width, bits, before, sums)
                if pays(last - at, size, width, phase, active):
                    list_columns(width, bits, before, items, first + listed, counted)
                else:
                    width = phase = active = ZERO
            piece = phase - begin, width, active, base
            after = write_gaps(keys, at, last, piece, bits, before, after, items, counted)
            if width > ZERO:
                base += ((phase + size - ONE) // width + ONE) * active
                run = ZERO
                done += ONE
            else:  # neighbours that stay as they are become one
                base += size
                if run == ZERO:
                    done += ONE
                run += size
                size = run
            if thread == ZERO:
                head = out + TWO * (done - ONE)
                heads[head], heads[head + ONE] = width | phase << HALF, size | active << HALF
            listed += active
            begin, at = end, last
            tensor += ONE
        cuda.syncthreads()
        if warp_of() == np.uint32(0):
            sum_up(listed, done, counted, measures, chunk * np.uint64(measure.ROW))

    return measure_columns
