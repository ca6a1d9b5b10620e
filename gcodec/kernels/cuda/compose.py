"""A frame on CUDA, from collected elements: two kernels after `collect`, and no word to the host.

For keys of one packing that needs no code (COO, bitmap, blocks) and values that travel as they are,
or as indices of one width: what a chunk takes follows from the chunk alone, and where it goes from
those before it. What the kernels are told of a recipe and a shape are *facts*, uint64 words: those
named here, then HEAD_WORDS of a header, the rows of TENSORS and DIMS, the magnitude patterns at
which each level but the first begins, and the patterns of the levels.
"""

import numpy as np

from ...format.header import HEADER_SIZE, OFFSETS
from ...format.ids import KeyCodec, Section, ValueCodec
from . import checksum, planes, selection
from .warps import position

CHUNK_LOG2, INFINITY, KEYS, KEY_WIDTH, BITS, LEVELS, ROWS, DIMS = range(8)
"""Facts: the logarithm of a chunk, the pattern from which on there is no number, the packing of
keys and the bits of one if all have as many, bits of an element, levels or 0 if values go as they
are, words of TENSORS, and of DIMS."""

FACTS = 8
HEAD_WORDS = HEADER_SIZE // 8
WRITTEN, NOT_TAKEN = 1, 2
"""What is told of a frame. What is not taken (nothing is
finite, there is no room, or other elements were collected than the selector meant) is not written.
"""

FIXED, RAW, EMPTY = int(ValueCodec.SIGNED_FIXED), int(ValueCodec.RAW), int(KeyCodec.RICE)
BITMAP, COO, BLOCKS = int(KeyCodec.BITMAP), int(KeyCodec.COO), int(KeyCodec.BLOCKS)
ENTRY, SECTION = np.uint64(4), np.uint64(2)
"""Words of an entry of the directory, and of the table of sections."""

ZERO, ONE, TWO, THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
EIGHT, HALF, LOW_32 = np.uint64(8), np.uint64(32), np.uint64(0xFFFF_FFFF)
HEAD, BEFORE_SECTIONS = np.uint64(FACTS), np.uint64(HEAD_WORDS)
_TENSORS, _SHAPES, _CODEBOOK, _CHUNKS, _PAYLOAD = (
    np.uint64(kind)
    for kind in (
        Section.TENSORS, Section.DIMS, Section.CODEBOOK, Section.CHUNKDIR, Section.PAYLOAD
    )
)  # fmt: skip
SEALERS = 256
"""Threads of the only block of `seal`."""

_LENGTH, _ELEMENTS, _STORED, _STEP, _START, _CHECKS = (
    np.uint64(OFFSETS[name] // 8)
    for name in ("frame_len", "n_elements", "n_stored", "step", "payload_offset", "meta_check")
)
_SECTIONS = np.uint64(OFFSETS["n_sections"] // 8)
_SECTIONS_SHIFT = np.uint64(OFFSETS["n_sections"] % 8 * 8)
_SECTIONS_MASK = ~(np.uint64(0xFFFF) << _SECTIONS_SHIFT)


def _shared(cuda):
    """Device functions that both kernels need."""

    @cuda.jit(device=True, inline="always")
    def words_of(bits):
        return (bits + np.uint64(63)) >> np.uint64(6)

    @cuda.jit(device=True, inline="always")
    def is_taken(facts, least, most, kept, room, top):
        """Whether elements are as the selector meant, there, and numbers."""
        return least <= kept and kept <= most and kept <= room and top < facts[INFINITY]

    @cuda.jit(device=True, inline="always")
    def starts_of_levels(facts):
        return HEAD + BEFORE_SECTIONS + facts[ROWS] + facts[DIMS]

    @cuda.jit(device=True, inline="always")
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

    @cuda.jit(device=True, inline="always")
    def levels_of(facts, low, top):
        """The first level that is needed, and how many; none if values go as they are."""
        if facts[LEVELS] == ZERO:
            return ZERO, ZERO
        begin = starts_of_levels(facts)
        end = begin + facts[LEVELS] - ONE
        first = count_up_to(facts, begin, end, low)
        return first, count_up_to(facts, begin, end, max(low, top)) - first + ONE

    @cuda.jit(device=True, inline="always")
    def lay_out(facts, n_levels, kept, n_chunks):
        """Words before the codebook, of it, before the payload, and how many sections there are."""
        book = words_of(TWO * n_levels * facts[BITS]) if kept > ZERO else ZERO
        sections = THREE + np.uint64(facts[DIMS] > ZERO) + np.uint64(book > ZERO)
        at = BEFORE_SECTIONS + SECTION * sections + facts[ROWS] + facts[DIMS]
        start = at + book + ENTRY * n_chunks
        return at, book, (start + EIGHT - ONE) // EIGHT * EIGHT, sections

    return words_of, is_taken, starts_of_levels, count_up_to, levels_of, lay_out


def write_chunks(cuda, memory, kind):
    """Kernel: planes, checks and the directory, a thread block for each chunk.

    facts : uint64; low : uint64, the smallest magnitude pattern that may be kept
    least, most : uint64, how many elements may have been kept
    starts, keys, values, top : from `collect`
    progress : uint64[1 + chunks], zeroed
    widths : uint32[room // BLOCK + chunks], for blocks of keys
    residual : kind[n], which what elements decode to is taken off from; or none
    frame : uint64, large enough whatever was collected
    """
    words_of, is_taken, starts_of_levels, count_up_to, levels_of, lay_out = _shared(cuda)
    lane_of, warp_of = position(cuda)
    add_before, (digest, _) = selection.look_back(cuda, memory), checksum.digest(cuda)
    measure_blocks, write_blocks = planes.blocks(cuda)
    write_bitmap, write_fields = planes.bitmap(cuda), planes.fields(cuda, planes.element(cuda))
    sign = np.uint64(np.dtype(kind).itemsize * 8 - 1)
    low_bits = np.uint64(np.iinfo(kind).max >> 1)
    add, as_float, as_bits = memory.add, memory.as_float, memory.as_bits

    @cuda.jit(device=True, inline="always")
    def number_of(values, place, grid):
        """2 * level + 1 if negative; levels begin where `grid` says, and are so many but one."""
        facts, begin, end = grid
        pattern = np.uint64(values[place])
        level = count_up_to(facts, begin, end, pattern & low_bits)
        return (level << ONE) | (pattern >> sign)

    write_numbers = planes.fields(cuda, number_of)

    @cuda.jit(device=True, inline="always")
    def nothing(residual, keys, values, first, count, base, grid, points):
        """Residuals have 32 or 64 bits."""

    @cuda.jit(device=True, inline="always")
    def take_off(residual, keys, values, first, count, base, grid, points):
        """What elements decode to; points are the place of the first level, or 0."""
        j = np.uint64(cuda.threadIdx.x)
        while j < count:
            at, decoded = base + np.uint64(keys[first + j]), values[first + j]
            if points > ZERO:
                number = number_of(values, first + j, grid)
                level = grid[0][points + (number >> ONE)]
                decoded = kind(level | ((number & ONE) << sign))
            less = as_float(kind(decoded ^ kind(ONE << sign)))
            residual[at] = as_bits(add(as_float(residual[at]), less))
            j += planes.STEP

    settle = nothing if kind is np.uint16 else take_off

    def kernel(
        facts, low, least, most, starts, keys, values, top, progress, widths, residual, frame
    ):
        shared, sums = cuda.shared.array(2, np.uint64), cuda.shared.array((2, 8), np.uint64)
        n_chunks = np.uint64(starts.size) - ONE
        kept, largest = starts[n_chunks], np.uint64(top[0])
        if not is_taken(facts, least, most, kept, np.uint64(keys.size), largest):
            return
        if cuda.threadIdx.x == 0:
            shared[0] = cuda.atomic.add(progress, 0, ONE)
        cuda.syncthreads()
        chunk, lane = shared[0], lane_of()
        first = starts[chunk]
        count = starts[chunk + ONE] - first
        codec = facts[KEYS]
        index = high = key_low = key_high_bits = ZERO
        place = first // planes.ITEMS + chunk
        if count > ZERO:
            if codec == np.uint64(BLOCKS):
                key_high_bits = measure_blocks(keys, first, count, widths, place, sums)
                number = (count + planes.ITEMS - ONE) // planes.ITEMS
                index = words_of(number * planes.FIELD_WIDTH)
            elif codec == np.uint64(BITMAP):
                n = facts[HEAD + _ELEMENTS]
                key_high_bits = min(n - (chunk << facts[CHUNK_LOG2]), ONE << facts[CHUNK_LOG2])
            else:
                key_low = words_of(count * facts[KEY_WIDTH])
        high = words_of(key_high_bits)
        from_level, n_levels = levels_of(facts, low, largest)
        width = facts[BITS]
        if n_levels > ZERO:
            width = np.uint64(64) - np.uint64(cuda.clz(np.int64(TWO * n_levels - ONE)))
        used = index + high + words_of(count * width) + key_low
        units = (used >> ONE) + ONE if count > ZERO else ZERO
        if warp_of() == np.uint32(0):
            before = add_before(progress, chunk, lane, units)
            if lane == np.uint32(0):
                shared[1] = before
        cuda.syncthreads()
        before = shared[1]
        at, book, start, _ = lay_out(facts, n_levels, kept, n_chunks)
        word = start + TWO * before
        begin = starts_of_levels(facts) + from_level
        grid = facts, begin, begin + n_levels - ONE
        value_at = word + index + high
        if count > ZERO:
            if codec == np.uint64(BLOCKS):
                write_blocks(keys, first, count, widths, place, sums, frame, word, word + index)
            elif codec == np.uint64(BITMAP):
                write_bitmap(keys, first, count, high, frame, word)
            else:
                to = word + used - key_low
                write_fields(keys, first, count, ZERO, facts[KEY_WIDTH], frame, to)
            if n_levels > ZERO:
                write_numbers(values, first, count, grid, width, frame, value_at)
            else:
                write_fields(values, first, count, ZERO, width, frame, value_at)
            spare = used + np.uint64(cuda.threadIdx.x)
            if spare < TWO * units:
                frame[word + spare] = ZERO
        if residual.size:
            points = ZERO
            if n_levels > ZERO:
                points = begin + facts[LEVELS] - ONE
            base = chunk << facts[CHUNK_LOG2]
            settle(residual, keys, values, first, count, base, grid, points)
        cuda.syncthreads()
        if warp_of() != np.uint32(0):
            return
        check = digest(frame, word, TWO * units, chunk, lane) & LOW_32
        if lane == np.uint32(0):
            codecs, entry = np.uint64(EMPTY | RAW << 16), at + book + ENTRY * chunk
            if count > ZERO:
                codecs = codec | np.uint64(RAW << 16)
                if codec == np.uint64(COO):
                    codecs |= facts[KEY_WIDTH] << EIGHT
                if n_levels > ZERO:
                    codecs = (codecs & np.uint64(0xFFFF)) | np.uint64(FIXED << 16)
                    codecs |= width << np.uint64(24)
            frame[entry] = before | units << HALF
            frame[entry + ONE] = count | key_high_bits << HALF
            frame[entry + TWO] = codecs << HALF
            frame[entry + THREE] = check << HALF

    return kernel


def seal(cuda):
    """Kernel: everything of a frame but chunks and their entries, by one thread block.

    facts, low, least, most, starts, progress, frame : as for `write_chunks`, which came before
    room : uint64, of elements; top : uint64; step : uint64
    told : uint64[3], becomes WRITTEN, the words of the frame and how many were kept, or NOT_TAKEN
    """
    _, is_taken, starts_of_levels, _, levels_of, lay_out = _shared(cuda)
    digest, digest_and_half = checksum.digest(cuda)
    lane_of, warp_of = position(cuda)

    @cuda.jit(device=True, inline="always")
    def enter(frame, number, section, count, size):
        at = BEFORE_SECTIONS + SECTION * number
        frame[at] = section | count << HALF
        frame[at + ONE] = size * EIGHT
        return number + ONE

    def kernel(facts, low, least, most, room, starts, top, progress, step, frame, told):
        thread, threads = np.uint64(cuda.threadIdx.x), np.uint64(SEALERS)
        n_chunks = np.uint64(starts.size) - ONE
        kept, largest = starts[n_chunks], np.uint64(top[0])
        if not is_taken(facts, least, most, kept, room, largest):
            if thread == ZERO:
                told[0] = np.uint64(NOT_TAKEN)
            return
        from_level, n_levels = levels_of(facts, low, largest)
        at, book, start, sections = lay_out(facts, n_levels, kept, n_chunks)
        units = progress[n_chunks] & selection.COUNT
        end = start + TWO * units
        size = (end + EIGHT - ONE) // EIGHT * EIGHT
        word = thread
        shape = facts[ROWS] + facts[DIMS]
        while word < BEFORE_SECTIONS:
            frame[word] = facts[HEAD + word]
            word += threads
        word = thread
        while word < shape:
            frame[at - shape + word] = facts[HEAD + BEFORE_SECTIONS + word]
            word += threads
        bits, word = facts[BITS], thread
        points = starts_of_levels(facts) + facts[LEVELS] - ONE + from_level
        while word < book:
            number, gathered, shift = word * np.uint64(64) // bits, ZERO, ZERO
            while shift < np.uint64(64):
                if number < TWO * n_levels:
                    level = facts[points + (number >> ONE)] | (number & ONE) << (bits - ONE)
                    gathered |= level << shift
                number += ONE
                shift += bits
            frame[at + word] = gathered
            word += threads
        word = at + book + ENTRY * n_chunks + thread
        if word < start:
            frame[word] = ZERO
        if end + thread < size:
            frame[end + thread] = ZERO
        cuda.syncthreads()
        if thread == ZERO:
            number = enter(frame, ZERO, _TENSORS, facts[ROWS] >> ONE, facts[ROWS])
            if facts[DIMS] > ZERO:
                number = enter(frame, number, _SHAPES, facts[DIMS], facts[DIMS])
            if book > ZERO:
                length = TWO * n_levels * bits >> THREE
                number = enter(frame, number, _CODEBOOK, TWO * n_levels, book)
                frame[BEFORE_SECTIONS + SECTION * number - ONE] = length
            number = enter(frame, number, _CHUNKS, n_chunks, ENTRY * n_chunks)
            enter(frame, number, _PAYLOAD, units, TWO * units)
            frame[_LENGTH], frame[_START] = size * EIGHT, start * EIGHT
            frame[_STORED], frame[_STEP] = kept, step
            of_sections = frame[_SECTIONS] & _SECTIONS_MASK
            frame[_SECTIONS] = of_sections | sections << _SECTIONS_SHIFT
        cuda.syncthreads()
        if warp_of() != np.uint32(0):
            return
        lane = lane_of()
        size_of_meta = start - BEFORE_SECTIONS
        meta = digest(frame, BEFORE_SECTIONS, size_of_meta, ZERO, lane) & LOW_32
        check = digest_and_half(frame, ZERO, BEFORE_SECTIONS - ONE, meta, lane) & LOW_32
        if lane == np.uint32(0):
            frame[_CHECKS] = meta | check << HALF
            told[0], told[1], told[2] = np.uint64(WRITTEN), size, kept

    return kernel
