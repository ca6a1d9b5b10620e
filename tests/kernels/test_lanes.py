"""32 lanes decode one chunk together, as spec section 8 says under "In parallel".

A warp is modelled in lock step. What a lane does is a function without state of its own: it is
given the payload and tables, which are read-only, and numbers that were known before any lane
began. Only prefix sums tell lanes of each other.
"""

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
import pytest
from frames import FRAMES
from strategies import KEYS

import gcodec
from gcodec.arrays import as_bytes
from gcodec.format.directory import (
    KEY_HIGH,
    KEY_INDEX,
    KEY_LOW,
    SIGN,
    VALUE_HIGH,
    VALUE_INDEX,
    VALUE_LOW,
    chunk_lengths,
    plane_bits,
    planes,
)
from gcodec.format.frame import Tables, parse
from gcodec.format.ids import HAS_SIGNS, KeyCodec, ValueCodec
from gcodec.kernels import cpu, reference

WARP, BLOCK, WORD = 32, 128, 64
PASSES = 16
"""So many times at most do lanes go over all items, besides reading codes and unary numbers."""


def batches(n):
    return -(-n // WARP)


class Warp:
    """32 lanes over one payload; counts steps of lanes that loop, and batches of all others."""

    def __init__(self, words):
        assert not words.flags.writeable
        self.words, self.steps, self.batches = words, 0, 0

    def loop(self, lane, size, columns, shared=()):
        """A lane for each row: it yields (place, number) at each step, no place twice."""
        assert lane.__closure__ is None, "lanes share only what they are given"
        written = np.full(size, -1, np.int64)
        rows = np.transpose(columns).tolist()
        for at in range(0, len(rows), WARP):
            lanes = [lane(self.words, *row, *shared) for row in rows[at : at + WARP]]
            while answers := [a for a in (next(lane, None) for lane in lanes) if a]:
                self.steps += 1
                for place, number in answers:
                    assert written[place] == -1
                    written[place] = number
        assert (written >= 0).all()
        return written

    def each(self, lane, *columns, shared=()):
        """A number for each row, 32 rows at once."""
        assert lane.__closure__ is None, "lanes share only what they are given"
        rows = np.transpose(columns).tolist()
        self.batches += batches(len(rows))
        return np.array([lane(self.words, *row, *shared) for row in rows], np.int64)

    def sums(self, numbers, anew=None):
        """Inclusive prefix sums, 32 at once in five shuffles; begun anew at some of them."""
        result = np.array(numbers, np.int64)
        new = np.zeros(result.size, bool) if anew is None else anew.copy()
        carry = 0
        for at in range(0, result.size, WARP):
            self.batches += 1
            lanes, first = result[at : at + WARP], new[at : at + WARP]
            lanes[0] += 0 if first[0] else carry
            for distance in (1, 2, 4, 8, 16):
                lanes[distance:] += np.where(first[distance:], 0, lanes[:-distance])
                first[distance:] |= first[:-distance]
            carry = lanes[-1]
        return result


def field(words, bit, width):
    """The bits of one field, which end in the word after the first at latest."""
    low, high = int(words[bit // WORD]), int(words[(bit + WORD - 1) // WORD])
    return ((high << WORD | low) >> bit % WORD) & ((1 << width) - 1)


def ones_in_word(words, word):
    return int(words[word]).bit_count()


def codes_of_block(words, item, stop, bit, end, tables, split):
    """Symbols of one block; items from `split` on have the second table."""
    while item < stop:
        entry = int(tables[item >= split][field(words, bit, 12)])
        assert entry, "no code"
        bit += entry & 15
        yield item, entry >> 4
        item += 1
    assert bit == end


def ones_of_word(words, word, place, start):
    """Where in its plane a word has ones; `place` is how many come before."""
    rest = int(words[word])
    while rest:
        yield place, word * WORD - start + (rest & -rest).bit_length() - 1
        rest &= rest - 1
        place += 1


def key_of_place(words, place, pieces, columns):
    """Steps among the few pieces, then arithmetic on the one that the place is in."""
    piece = pieces[bisect_right(pieces, place, key=lambda piece: piece.end)]
    local = place - piece.first
    if piece.width:
        row, column = divmod(local, piece.active)
        local = row * piece.width + int(columns[piece.listed + column]) - piece.phase
    assert 0 <= local < piece.length
    return piece.begin + local


def read_fields(warp, start, count, width, *, stride=0):
    bits = start + (stride or width) * np.arange(count)
    return warp.each(field, bits, np.full(count, width))


def read_blocks(warp, index, start, end, count, tables, split=0):
    """Steps (1) and (2): symbols of all codes from `start` to `end`."""
    blocks = -(-count // BLOCK)
    ends = start + warp.sums(read_fields(warp, index, blocks - 1, 11))
    first = BLOCK * np.arange(blocks)
    rows = first, np.minimum(first + BLOCK, count), np.append(start, ends), np.append(ends, end)
    return warp.loop(codes_of_block, count, rows, (tables, split))


def read_rests(warp, start, classes):
    """The first half of step (3): gaps."""
    widths = classes - 1
    bits = start + warp.sums(widths) - widths
    return (1 << widths) + warp.each(field, bits, widths)


def read_ones(warp, start, end, count):
    """Where a plane has ones: sums of the ones in each word say which numbers a word's are."""
    words = np.arange(start // WORD, -(-end // WORD))
    ones = warp.each(ones_in_word, words)
    return warp.loop(ones_of_word, count, (words, warp.sums(ones) - ones), (start,))


class Chunk(NamedTuple):
    """A directory entry, the bits where its planes start and end, and what it refers to."""

    entry: np.void
    positions: int
    start: list[int]
    end: list[int]
    number: int
    tables: Tables


def chunks_of(frame):
    """The payload, and its chunks."""
    parsed = parse(as_bytes(frame), cpu)
    start = planes(parsed.directory, parsed.element)[:, :-1] * WORD
    end = start + plane_bits(parsed.directory, parsed.element)
    lengths = chunk_lengths(parsed.header.n_elements, parsed.header.chunk_log2)
    columns = lengths.tolist(), start.tolist(), end.tolist(), range(lengths.size)
    rows = zip(parsed.directory, *columns, strict=True)
    return parsed.payload, [Chunk(*row, parsed.tables) for row in rows]


def decode_table(lengths):
    table = np.zeros(4096, np.uint16)
    assert reference.decode_table(lengths, table)
    return table


def read_keys(warp, chunk):
    entry, start, end = chunk.entry, chunk.start, chunk.end
    count, parameter = int(entry["nnz"]), int(entry["key_param"])
    match KeyCodec(entry["key_codec"]):
        case KeyCodec.ALL:
            return np.arange(count)
        case KeyCodec.BITMAP:
            return read_ones(warp, start[KEY_HIGH], end[KEY_HIGH], count)
        case KeyCodec.COO:
            return read_fields(warp, start[KEY_LOW], count, parameter)
        case KeyCodec.RICE:
            # h_0 to h_j add up to the place of one j, less j
            high = read_ones(warp, start[KEY_HIGH], end[KEY_HIGH], count) - np.arange(count)
            low = read_fields(warp, start[KEY_LOW], count, parameter)
            return (high << parameter) + warp.sums(low + 1) - 1
        case KeyCodec.BLOCKS:
            block, place = np.divmod(np.arange(count), BLOCK)
            widths = read_fields(warp, start[KEY_INDEX], block[-1] + 1, 5)
            bits = widths * np.bincount(block)
            starts = start[KEY_HIGH] + warp.sums(bits) - bits
            width = widths[block]
            return warp.sums(1 + warp.each(field, starts[block] + place * width, width)) - 1
        case KeyCodec.DELTA:
            tables = [decode_table(chunk.tables.key_codes[parameter])]
            high = start[KEY_INDEX], start[KEY_HIGH], end[KEY_HIGH]
            classes = read_blocks(warp, *high, count, tables, count)
            return warp.sums(read_rests(warp, start[KEY_LOW], classes)) - 1
        case KeyCodec.COLUMNS:
            return read_columns(warp, chunk)
        case KeyCodec.SEEDED:
            seed, first = chunk.tables.seeds.tolist()
            part = seed, (first + chunk.number) << 24, count, chunk.positions
            return warp.each(draw_one, np.arange(count), shared=part)


def draw_one(words, j, seed, counter, count, positions):
    """A key that a lane finds by its number alone."""
    x = (seed + (counter + j) * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    begin, end = j * positions // count, (j + 1) * positions // count
    return begin + (x ^ x >> 31) % (end - begin)


class Piece(NamedTuple):
    """A head, and where its active columns, its positions and its places begin."""

    width: int
    phase: int
    length: int
    active: int
    listed: int
    begin: int
    first: int
    end: int


def read_columns(warp, chunk):
    """Sums are begun anew for each piece's columns, and for the places: step (4)."""
    entry, start, end = chunk.entry, chunk.start, chunk.end
    pieces, listed = int(entry["key_param"]), int(entry["columns"])
    count = int(entry["nnz"]) + listed
    tables = [decode_table(chunk.tables.key_codes[row]) for row in (-1, -2)]
    high = start[KEY_INDEX] + 128 * pieces, start[KEY_HIGH], end[KEY_HIGH]
    classes = read_blocks(warp, *high, count, tables, listed)
    gaps = read_rests(warp, start[KEY_LOW], classes)

    heads = [
        read_fields(warp, start[KEY_INDEX] + 32 * part, pieces, 32, stride=128) for part in range(4)
    ]
    width, phase, length, active = heads
    rows = (phase + length - 1) // np.maximum(width, 1) + 1
    places = np.where(width, rows * active, length)
    lists, begins, ends = (warp.sums(sizes) for sizes in (active, length, places))
    assert (lists[-1], begins[-1]) == (listed, chunk.positions)
    table = np.transpose((*heads, lists - active, begins - length, ends - places, ends)).tolist()

    anew = np.zeros(count, bool)
    anew[(lists - active)[active > 0]] = True
    anew[listed] = True
    keys = warp.sums(gaps, anew) - 1
    shared = [Piece(*row) for row in table], keys[:listed]
    return warp.each(key_of_place, keys[listed:], shared=shared)


def read_values(warp, chunk):
    """Bit patterns."""
    entry, start, end = chunk.entry, chunk.start, chunk.end
    count, parameter, codec = (int(entry[name]) for name in ("nnz", "val_param", "val_codec"))
    levels = chunk.tables.levels
    if codec == ValueCodec.RAW:
        halves = -(-levels.itemsize // 4)  # a pattern of 64 bits is two fields
        width = 8 * levels.itemsize // halves
        fields = read_fields(warp, start[VALUE_LOW], count * halves, width)
        return fields.astype(f"u{width // 8}").view(levels.dtype)
    fields = read_fields(warp, start[VALUE_LOW], count, parameter)
    match codec % 16:
        case ValueCodec.RICE:
            ones = read_ones(warp, start[VALUE_HIGH], end[VALUE_HIGH], count)
            fields += (np.diff(ones, prepend=-1) - 1) << parameter
        case ValueCodec.HUFFMAN:
            tables = [decode_table(chunk.tables.value_code)]
            high = start[VALUE_INDEX], start[VALUE_HIGH], end[VALUE_HIGH]
            fields = read_blocks(warp, *high, count, tables, count)
    values = levels[fields + entry["level_base"]]
    if codec in HAS_SIGNS:
        highest = levels.dtype.type(8 * levels.itemsize - 1)
        values |= read_fields(warp, start[SIGN], count, 1).astype(levels.dtype) << highest
    return values


def most_steps(chunk):
    """Of 32 lanes: 128 codes of a block each, or 64 ones of a word."""
    entry = chunk.entry
    count, columns = int(entry["nnz"]), int(entry["columns"])
    steps = 0
    for codec, coded, unary, items, plane in (
        ("key_codec", (KeyCodec.DELTA, KeyCodec.COLUMNS), (KeyCodec.RICE, KeyCodec.BITMAP),
         count + columns, KEY_HIGH),
        ("val_codec", (ValueCodec.HUFFMAN, ValueCodec.SIGNED_HUFFMAN),
         (ValueCodec.RICE, ValueCodec.SIGNED_RICE), count, VALUE_HIGH),
    ):  # fmt: skip
        words = -(-(chunk.end[plane] - chunk.start[plane]) // WORD)
        steps += BLOCK * batches(-(-items // BLOCK)) * (entry[codec] in coded)
        steps += WORD * batches(words) * (entry[codec] in unary)
    return steps


def check(frame):
    """Lanes find what the decoder finds, in few steps."""
    words, chunks = chunks_of(frame)
    keys, values = gcodec.decode_sparse(frame)
    at = base = 0
    for chunk in chunks:
        count = int(chunk.entry["nnz"])
        if count:
            warp = Warp(words)
            own = slice(at, at + count)
            assert (base + read_keys(warp, chunk)).tolist() == keys[own].tolist()
            patterns = values[own].view(chunk.tables.levels.dtype)
            assert read_values(warp, chunk).tolist() == patterns.tolist()
            assert warp.steps <= most_steps(chunk)
            words_of_planes = max(np.subtract(chunk.end, chunk.start)) // WORD + 1
            items = count + int(chunk.entry["columns"]) + int(chunk.entry["key_param"])
            assert warp.batches <= PASSES * batches(max(items, words_of_planes))
        at, base = at + count, base + chunk.positions
    assert at == keys.size


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_every_codec(name):
    """Small ones; that every codec is among them is asserted where they are made."""
    check(FRAMES[name])


def a_matrix(seed, density, values):
    """Keys in some of the columns, all of them if density is 1."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(70, 100))
    dense[:, rng.permutation(100)[round(100 * density) :]] = 0
    dense[rng.random(dense.shape) > max(density, 0.7)] = 0
    exponents = {
        "geometric": np.minimum(rng.geometric(0.5, dense.shape) - 1, 9),
        "flat tail": np.where(rng.random(dense.shape) < 0.6, 0, rng.integers(1, 17, dense.shape)),
    }
    if values in exponents:
        sign = np.where(exponents[values] % 2, -1, 1) if density < 0.3 else np.sign(dense)
        dense = 2.0 ** -exponents[values] * sign * (dense != 0)
    return dense.astype(np.float32)


@pytest.mark.parametrize("values", ["raw", "geometric", "flat tail"])
@pytest.mark.parametrize("density", [0.03, 0.08, 0.4, 1.0])
@pytest.mark.parametrize("keys", KEYS)
def test_any_packing(keys, density, values, encode_in_chunks):
    """Chunks of 1 to 32 blocks, the last block mostly not full."""
    quantize = gcodec.Raw() if values == "raw" else gcodec.ReciprocalLog(1)
    codec = gcodec.Codec(gcodec.Threshold(0.0), quantize, keys)
    frame = encode_in_chunks(codec, a_matrix(1, density, values), chunk_log2=12)
    check(frame)
    if keys not in ("auto", "columns") or (keys == "columns" and density < 1):
        assert set(gcodec.inspect(frame).key_codecs) == {keys}


@pytest.mark.parametrize("count", [1, 127, 128, 129, 4095, 4096, 4097, 9000])
def test_blocks_of_every_size(count, encode_in_chunks):
    """32 blocks take as many steps as one."""
    rng = np.random.default_rng(count)
    dense = np.zeros(1 << 14, np.float32)
    dense[np.sort(rng.permutation(dense.size)[:count])] = 1
    frame = encode_in_chunks(
        gcodec.Codec(gcodec.Threshold(0.0), keys="delta"), dense, chunk_log2=14
    )
    check(frame)
    words, (chunk,) = chunks_of(frame)
    warp = Warp(words)
    read_keys(warp, chunk)
    assert warp.steps == sum(min(BLOCK, count - at) for at in range(0, count, WARP * BLOCK))


def test_a_bucket_of_many_pieces(encode_in_chunks):
    """More pieces to a chunk than lanes, with and without rows."""
    rng = np.random.default_rng(3)
    tensors, parts = [], []
    for i in range(40):
        shape = (30, 20 + i) if i % 2 else (5,)
        part = np.zeros(shape, np.float32)
        part[..., rng.permutation(shape[-1])[:4]] = 1
        parts.append((part * (rng.random(shape) < 0.9)).reshape(-1))
        tensors.append((f"w{i}", shape))
    codec = gcodec.Codec(gcodec.Threshold(0.0), keys="columns")
    frame = encode_in_chunks(codec, np.concatenate(parts), chunk_log2=16, tensors=tensors)
    (chunk,) = chunks_of(frame)[1]
    assert chunk.entry["key_codec"] == KeyCodec.COLUMNS
    assert chunk.entry["key_param"] > WARP
    check(frame)
