"""What a frame holds beside its planes, and where, on CUDA: device functions of a block.

What kernels are told of a recipe, a shape and a call are *facts*, uint64 words: those named here,
then HEAD_WORDS of a header, the rows of TENSORS and DIMS, the magnitude patterns at which each
level but the first begins, the patterns of the levels, and where tensors are. What the next kernel
and the host are told is the *plan*.
"""

import numpy as np

from ...format.header import HEADER_SIZE, OFFSETS
from ...format.ids import FrameKind, KeyCodec, Section, ValueCodec
from . import measure, planes
from .choose import CODES, PLACES
from .choose import offsets as index_of_codes
from .measure import KEY, KEY_HIGH, VALUE, VALUE_HIGH
from .warps import LAST_LANE, position, scan

LOW, LEAST, MOST, STEP = range(4)
"""Of a call: the smallest magnitude pattern that may be kept, how many elements may have been kept,
and the step."""

CHUNK_LOG2, INFINITY, KEYS, KEY_WIDTH, BITS, LEVELS, FIXED, WHOLE, ROWS, DIMS = range(4, 14)
MATRICES, MATRICES_AT = 14, 15
"""Of a recipe and a shape: the logarithm of a chunk, the pattern from which on there is no number,
a bit for each codec that keys may have, bits of a position, bits of an element, levels or 0 if
values go as they are, whether numbers of values have one width, whether a chunk may be better off
whole, words of TENSORS, and of DIMS; how many tensors columns are looked for in, and where the
first position and the row length, or 0, of each are."""

FACTS = 16
HEAD_WORDS = HEADER_SIZE // 8
WRITTEN, NOT_TAKEN = 1, 2
"""What is told of a frame. What is not taken (nothing is finite, there is no room, other elements
were collected than the selector meant, too many levels, or a chunk better off whole) is not
written."""

STATE, SIZE, KEPT, START, META, DIRECTORY, MEASURED, DONE, FIRST_LEVEL, N_LEVELS = range(10)
N_CODES = 10
"""Of the plan: what is told, the words of the frame, how many elements it holds; where the payload
starts; words after the header and before that; where entries of chunks are; how many blocks have
ended, of either kernel; the levels that are needed; codes of keys."""

PLAN = 11
TOLD = 3
"""Words of the plan that the host is told."""

ZERO, ONE, TWO, THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
EIGHT, HALF, BYTE = np.uint64(8), np.uint64(32), np.uint64(255)
HEAD, BEFORE_SECTIONS = np.uint64(FACTS), np.uint64(HEAD_WORDS)
ENTRY, SECTION, KEY_CODE = np.uint64(4), np.uint64(2), np.uint64(2)
"""Words of an entry of the directory, of the table of sections, and of a code of keys."""

STEP_OF = planes.STEP
_TENSORS, _SHAPES, _CODEBOOK, _CHUNKS, _KEYCODES, _VALUECODE, _PAYLOAD = (
    np.uint64(kind)
    for kind in (
        Section.TENSORS, Section.DIMS, Section.CODEBOOK, Section.CHUNKDIR, Section.KEYCODES,
        Section.VALUECODE, Section.PAYLOAD,
    )
)  # fmt: skip
_LENGTH, ELEMENTS, _STORED, _STEP, _START, CHECKS = (
    np.uint64(OFFSETS[name] // 8)
    for name in ("frame_len", "n_elements", "n_stored", "step", "payload_offset", "meta_check")
)
_SECTIONS, _KIND = (np.uint64(OFFSETS[name] // 8) for name in ("n_sections", "frame_kind"))
_SECTIONS_SHIFT, _KIND_SHIFT = (
    np.uint64(OFFSETS[name] % 8 * 8) for name in ("n_sections", "frame_kind")
)
_SECTIONS_MASK = ~(np.uint64(0xFFFF) << _SECTIONS_SHIFT)
_KIND_CHANGE = np.uint64(FrameKind.SPARSE ^ FrameKind.DENSE) << _KIND_SHIFT

ALL, BITMAP, COO, KEY_RICE, DELTA, BLOCKS, COLUMNS = (
    np.uint64(codec)
    for codec in (
        KeyCodec.ALL, KeyCodec.BITMAP, KeyCodec.COO, KeyCodec.RICE, KeyCodec.DELTA, KeyCodec.BLOCKS,
        KeyCodec.COLUMNS,
    )
)  # fmt: skip
RAW, RICE, HUFFMAN, SIGNED_FIXED, SIGNED_RICE, SIGNED_HUFFMAN = (
    np.uint64(codec)
    for codec in (
        ValueCodec.RAW, ValueCodec.RICE, ValueCodec.HUFFMAN, ValueCodec.SIGNED_FIXED,
        ValueCodec.SIGNED_RICE, ValueCodec.SIGNED_HUFFMAN,
    )
)  # fmt: skip


def value_words(cuda):
    """Device function: words of each plane of values: signs, index, high and low."""
    words, index_words = measure.words_of(cuda), index_of_codes(cuda)

    @cuda.jit(device=True, forceinline=True)
    def of(codec, count, parameter, high, bits):
        signs = index = ZERO
        if codec != RAW and codec < SIGNED_FIXED:
            signs = words(count)
        if codec == HUFFMAN or codec == SIGNED_HUFFMAN:  # noqa: SIM109 - a tuple is a loop
            index = index_words(count)
        width = bits if codec == RAW else parameter
        return signs, index, words(high), words(count * width)

    return of


def entries(cuda):
    """Device function: entries of all chunks but their checks; units of all planes.

    And whether all chunks have all elements, and none would be better off so. `sums` is shared,
    uint64[2, WARPS], and `found` uint64[2].
    """
    add_below, (lane_of, warp_of) = scan(cuda), position(cuda)
    words, index_words, of_values = measure.words_of(cuda), index_of_codes(cuda), value_words(cuda)

    @cuda.jit(device=True, forceinline=True)
    def keys_of(facts, length, measures, row):
        """Codec and parameter, bits of key high, and words of all planes of keys."""
        told, high = np.uint64(measures[row + KEY]), np.uint64(measures[row + KEY_HIGH])
        codec, takes = told & BYTE, np.uint64(measures[row + measure.PLAIN_WORDS])
        if codec == BITMAP:
            high = length
        elif codec == COO:
            told |= facts[KEY_WIDTH] << EIGHT
        elif codec == KEY_RICE:
            told |= np.uint64(measures[row + measure.RICE]) << EIGHT
            high = np.uint64(measures[row + measure.UNARY])
        elif codec == BLOCKS:
            high = np.uint64(measures[row + measure.BLOCK_BITS])
        return told, high, takes

    @cuda.jit(device=True, forceinline=True)
    def enter(facts, starts, measures, width, chunk, frame, entry, found):
        """One, of which only the offset is missing; its units."""
        count = starts[chunk + ONE] - starts[chunk]
        frame[entry + ONE] = frame[entry + THREE] = ZERO
        if count == ZERO:
            frame[entry + TWO] = (KEY_RICE | RAW << np.uint64(16)) << HALF
            cuda.atomic.max(found, 0, ONE)
            return ZERO
        row, log2 = chunk * np.uint64(measure.ROW), facts[CHUNK_LOG2]
        length = min(facts[HEAD + ELEMENTS] - (chunk << log2), ONE << log2)
        told, high, takes = keys_of(facts, length, measures, row)
        if told & BYTE == DELTA:
            rests = np.uint64(measures[row + measure.REST_BITS])
            takes = index_words(count) + words(high) + words(rests)
        columns = ZERO
        if told & BYTE == COLUMNS:
            columns = np.uint64(measures[row + measure.N_COLUMNS])
            rests = np.uint64(measures[row + measure.COLUMN_RESTS])
            takes = TWO * (told >> EIGHT) + index_words(count + columns)
            takes += words(high) + words(rests)
        value, value_high = RAW, ZERO
        if facts[FIXED] != ZERO:
            value = SIGNED_FIXED | width << EIGHT
        elif facts[LEVELS] != ZERO:
            value = np.uint64(measures[row + VALUE])
            value_high = np.uint64(measures[row + VALUE_HIGH])
        parameter = value >> EIGHT & BYTE
        signs, index, upper, lower = of_values(
            value & BYTE, count, parameter, value_high, facts[BITS]
        )
        takes += signs + index + upper + lower
        if told & BYTE != ALL:
            cuda.atomic.max(found, 0, ONE)
        if facts[WHOLE] != ZERO and count < length and words(length * facts[BITS]) < takes:
            cuda.atomic.max(found, 1, ONE)
        frame[entry + ONE] = count | high << HALF
        codecs = told | (value & np.uint64(0xFFFF)) << np.uint64(16)
        frame[entry + TWO] = value_high | codecs << HALF
        frame[entry + THREE] = value >> np.uint64(16) | columns << np.uint64(16)
        return (takes >> ONE) + ONE

    @cuda.jit(device=True, forceinline=True)
    def enter_all(facts, starts, measures, width, frame, directory, sums, found):
        thread, lane, warp = np.uint64(cuda.threadIdx.x), lane_of(), np.uint64(warp_of())
        n_chunks = np.uint64(starts.size) - ONE
        tile = half = units = ZERO
        if thread < TWO:
            found[thread] = ZERO
        cuda.syncthreads()
        while tile < n_chunks:
            chunk, own = tile + thread, ZERO
            entry = directory + ENTRY * chunk
            if chunk < n_chunks:
                own = enter(facts, starts, measures, width, chunk, frame, entry, found)
            upto = np.uint64(add_below(lane, np.uint32(own)))
            if lane == LAST_LANE:
                sums[half, warp] = upto
            cuda.syncthreads()
            before, together = units + upto - own, ZERO
            for other in range(planes.WARPS):
                if np.uint64(other) < warp:
                    before += sums[half, other]
                together += sums[half, other]
            if chunk < n_chunks:
                frame[entry] = before | own << HALF
            units += together
            tile += STEP_OF
            half = half ^ ONE
        return units, found[0] == ZERO, found[1] == ZERO

    return enter_all


def write(cuda):
    """Device function: all of a frame but planes and checks, and the plan; whether it is sound.

    `used` are levels of the codebook: numbers in order if they have one width, else those that
    occur, by `tables`, with their counts in `counts`.
    """
    enter_all = entries(cuda)

    @cuda.jit(device=True, forceinline=True)
    def enter(frame, number, section, count, size):
        at = BEFORE_SECTIONS + SECTION * number
        frame[at] = section | count << HALF
        frame[at + ONE] = size
        return number + ONE

    @cuda.jit(device=True, forceinline=True)
    def words_of_bytes(size):
        return (size + EIGHT - ONE) // EIGHT

    @cuda.jit(device=True, forceinline=True)
    def copy_head(facts, frame, at, start):
        """The header, TENSORS and DIMS; zeros after them, before `start`."""
        thread = np.uint64(cuda.threadIdx.x)
        word, shape = thread, facts[ROWS] + facts[DIMS]
        while word < BEFORE_SECTIONS:
            frame[word] = facts[HEAD + word]
            word += STEP_OF
        word = at + thread
        while word < start:
            value = ZERO
            if word - at < shape:
                value = facts[HEAD + BEFORE_SECTIONS + word - at]
            frame[word] = value
            word += STEP_OF
        cuda.syncthreads()

    @cuda.jit(device=True, forceinline=True)
    def put(frame, start, number, width, pattern):
        """Fields of a section that is zero; several share a word."""
        bit = number * width
        cuda.atomic.or_(frame, start + bit // np.uint64(64), pattern << (bit & np.uint64(63)))

    @cuda.jit(device=True, forceinline=True)
    def write_book(facts, first_level, n_levels, signed, counts, tables, frame, book):
        number, bits = np.uint64(cuda.threadIdx.x), facts[BITS]
        points = HEAD + BEFORE_SECTIONS + facts[ROWS] + facts[DIMS] + facts[LEVELS] - ONE
        while number < TWO * n_levels:
            level, place = facts[points + first_level + (number >> ONE)], number
            occurs = True
            if facts[FIXED] == ZERO:
                place = np.uint64(tables[PLACES + number])
                occurs = counts[number] > ZERO
                if signed == ZERO:  # by the even number of a level
                    occurs = number & ONE == ZERO and counts[number] + counts[number ^ ONE] > ZERO
            if occurs:
                if signed != ZERO:
                    level |= (number & ONE) << (bits - ONE)
                put(frame, book, place, bits, level)
            number += STEP_OF

    @cuda.jit(device=True, forceinline=True)
    def write_codes(n_codes, coded, tables, counts, frame, key_codes, value_code):
        """Lengths of codes."""
        thread = number = np.uint64(cuda.threadIdx.x)
        length_mask = np.uint64((1 << 5) - 1)
        while number < n_codes * np.uint64(measure.CLASSES):
            put(frame, key_codes, number, ENTRY, np.uint64(tables[number]) & length_mask)
            number += STEP_OF
        if coded and counts[thread] > ZERO:
            place, length = tables[PLACES + thread], np.uint64(tables[CODES + thread])
            put(frame, value_code, np.uint64(place), ENTRY, length & length_mask)

    @cuda.jit(device=True, forceinline=True)
    def lay_out(
        facts, starts, measures, tables, counts, first_level, n_levels, width, n_codes, signed,
        used, coded, frame, plan, sums, found,
    ):  # fmt: skip
        thread, n_chunks = np.uint64(cuda.threadIdx.x), np.uint64(starts.size) - ONE
        kept, bits = starts[n_chunks], facts[BITS]
        sections = THREE + np.uint64(facts[DIMS] > ZERO) + np.uint64(used > ZERO)
        sections += np.uint64(n_codes > ZERO) + np.uint64(coded)
        at = BEFORE_SECTIONS + SECTION * sections
        book = at + facts[ROWS] + facts[DIMS]
        size_of_book, size_of_code = used * bits // EIGHT, ZERO
        if coded:
            size_of_code = (used + ONE) // TWO
        directory = book + words_of_bytes(size_of_book)
        key_codes = directory + ENTRY * n_chunks
        value_code = key_codes + KEY_CODE * n_codes
        start = words_of_bytes(value_code + words_of_bytes(size_of_code)) * EIGHT
        copy_head(facts, frame, at, start)
        write_book(facts, first_level, n_levels, signed, counts, tables, frame, book)
        write_codes(n_codes, coded, tables, counts, frame, key_codes, value_code)
        units, dense, sound = enter_all(
            facts, starts, measures, width, frame, directory, sums, found
        )
        end = start + TWO * units
        size = words_of_bytes(end) * EIGHT
        if end + thread < size:
            frame[end + thread] = ZERO
        if thread == ZERO:
            number = enter(frame, ZERO, _TENSORS, facts[ROWS] >> ONE, facts[ROWS] * EIGHT)
            if facts[DIMS] > ZERO:
                number = enter(frame, number, _SHAPES, facts[DIMS], facts[DIMS] * EIGHT)
            if used > ZERO:
                number = enter(frame, number, _CODEBOOK, used, size_of_book)
            number = enter(frame, number, _CHUNKS, n_chunks, ENTRY * EIGHT * n_chunks)
            if n_codes > ZERO:
                number = enter(frame, number, _KEYCODES, n_codes, KEY_CODE * EIGHT * n_codes)
            if coded:
                number = enter(frame, number, _VALUECODE, used, size_of_code)
            enter(frame, number, _PAYLOAD, units, TWO * EIGHT * units)
            frame[_LENGTH], frame[_START] = size * EIGHT, start * EIGHT
            frame[_STORED], frame[_STEP] = kept, facts[STEP]
            of_sections = frame[_SECTIONS] & _SECTIONS_MASK
            frame[_SECTIONS] = of_sections | sections << _SECTIONS_SHIFT
            if dense:
                frame[_KIND] ^= _KIND_CHANGE
            plan[SIZE], plan[KEPT], plan[START] = size, kept, start
            plan[META], plan[DIRECTORY] = start - BEFORE_SECTIONS, directory
            plan[FIRST_LEVEL], plan[N_LEVELS], plan[N_CODES] = first_level, n_levels, n_codes
            plan[STATE] = np.uint64(WRITTEN) if sound else np.uint64(NOT_TAKEN)

    return lay_out
