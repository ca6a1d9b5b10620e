"""Chunks of a payload back to keys and patterns in scratch, everything about them proved.

Readers of whole payloads return the step of spec section 9 that fails and the chunk, or (0, -1).
"""

from itertools import accumulate, pairwise

from ...format.directory import (
    BLOCK,
    CODE_SPACE,
    HEAD_BITS,
    KEY_HIGH,
    KEY_INDEX,
    KEY_LOW,
    OFFSET_BITS,
    SIGN,
    VALUE_HIGH,
    VALUE_INDEX,
    VALUE_LOW,
    WIDTH_BITS,
)
from ...format.ids import HAS_SIGNS, KeyCodec, ValueCodec
from .checksum import xxh64
from .directory import CODED, HUFFMAN, RICE, entries_of, plane_bits, positions_of
from .huffman import decode_table

WORD = 64
KEY_PLANES = (KEY_INDEX, KEY_HIGH, KEY_LOW)
VALUE_PLANES = (SIGN, VALUE_INDEX, VALUE_HIGH, VALUE_LOW)
CODE_BITS = CODE_SPACE.bit_length() - 1
GOLDEN, FIRST_FACTOR, SECOND_FACTOR = (
    0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
)  # fmt: skip
LOW_64 = (1 << 64) - 1


class RefusedError(Exception):
    """A step of spec section 9 that a chunk fails."""

    def __init__(self, step):
        super().__init__(step)
        self.step = step


def require(condition, step):
    if not condition:
        raise RefusedError(step)


class Plane:
    """Bits of a plane, which take whole words from `start` on."""

    def __init__(self, payload, start, bits):
        words = payload[start : start + -(-bits // WORD)]
        self.start, self.bits, self.words = start, bits, words.size
        self.bytes = words.tobytes()
        require(int.from_bytes(self.bytes, "little") >> bits == 0, 111)

    def field(self, at, width):
        """Bits past the plane are zeros."""
        part = self.bytes[at // 8 : -(-(at + width) // 8)]
        return int.from_bytes(part, "little") >> at % 8 & (1 << width) - 1

    def fields(self, count, width, at=0):
        return [self.field(at + width * j, width) for j in range(count)]

    def ones(self):
        """Where its ones are."""
        bits = f"{int.from_bytes(self.bytes, 'little'):b}"
        return [at for at, bit in enumerate(reversed(bits)) if bit == "1"]

    def unary(self, count, step):
        """Numbers as zeros before ones, of which the last bit is one."""
        ones = self.ones()
        require(len(ones) == count and ones[-1] == self.bits - 1, step)
        return [one - before - 1 for before, one in pairwise([-1, *ones])]

    def codes(self, tables, sizes, step):
        """Symbols in blocks that take so many bits; the code of item j is `tables(j)`."""
        symbols, at = [], 0
        for start in range(0, len(tables), BLOCK):
            stop = at + sizes[start // BLOCK]
            require(stop <= self.bits, step)
            for table in tables[start : start + BLOCK]:
                entry = int(table[self.field(at, CODE_BITS)])
                at += entry & 15
                require(entry & 15 and at <= stop, step)
                symbols.append(entry >> 4)
            require(at == stop, step)
        return symbols


def first_corrupt(payload, directory, first):
    """Step 95: the first entry whose check its bytes do not match, or -1; chunks from `first`."""
    for i, entry in enumerate(entries_of(directory)):
        part = payload[2 * entry.off16 : 2 * (entry.off16 + entry.len16)]
        if xxh64(part.tobytes(), first + i) & 0xFFFF_FFFF != entry.check:
            return i
    return -1


def _each_chunk(payload, directory, first, pattern_bits, which, numbers, read):
    """Fill `numbers` with what `read` makes of some planes of each chunk with keys."""
    done = 0
    for i, entry in enumerate(entries_of(directory)):
        if not entry.nnz:
            continue
        sizes = plane_bits(entry, pattern_bits)
        words = (-(-bits // WORD) for bits in sizes)
        starts = list(accumulate(words, initial=2 * entry.off16))
        try:
            planes = [Plane(payload, starts[plane], sizes[plane]) for plane in which]
            numbers[done : done + entry.nnz] = read(entry, first + i, planes)
        except RefusedError as fault:
            return fault.step, first + i
        done += entry.nnz
    return 0, -1


def read_keys(payload, directory, first, layout, codes, seeds, tables, scratch, keys):
    """Keys of consecutive chunks, of which `first` is the number of the first.

    Also spare bits of their planes, and the padding. `layout` is n_elements, chunk_log2 and bits of
    a pattern; `codes` are the lengths of gap classes. `tables`, uint16[codes, 4096], are zeros;
    `scratch` is not needed here.
    """
    n_elements, chunk_log2, pattern_bits = layout
    for row, table in zip(codes, tables, strict=True):
        decode_table(row, table)

    def read(entry, chunk, planes):
        positions = positions_of(chunk, n_elements, chunk_log2)
        index, high, low = planes
        stop = 2 * (entry.off16 + entry.len16)
        if entry.key_codec in CODED:
            gaps, low = _read_gaps(payload, entry, tables, index, high, low, stop)
        if entry.key_codec == KeyCodec.COLUMNS:
            found = _over_columns(entry, index, gaps, positions)
        elif entry.key_codec == KeyCodec.DELTA:
            found = _sums(gaps)
        else:
            found = _plain_keys(entry, chunk, index, high, low, positions, seeds)
        require(all(a < b for a, b in pairwise(found)), 97)
        require(found[-1] < positions, 98)
        require(not payload[low.start + low.words : stop].any(), 112)
        return found

    return _each_chunk(payload, directory, first, pattern_bits, KEY_PLANES, keys, read)


def _sums(gaps):
    """Keys from gaps."""
    return [following - 1 for following in accumulate(gaps)]


def _plain_keys(entry, chunk, index, high, low, positions, seeds):
    count, parameter = entry.nnz, entry.key_param
    match entry.key_codec:
        case KeyCodec.ALL:
            return list(range(count))
        case KeyCodec.BITMAP:
            ones = high.ones()
            require(len(ones) == count, 96)
            return ones
        case KeyCodec.COO:
            return low.fields(count, parameter)
        case KeyCodec.RICE:
            pairs = zip(high.unary(count, 99), low.fields(count, parameter), strict=True)
            return _sums((number << parameter) + field + 1 for number, field in pairs)
        case KeyCodec.BLOCKS:
            gaps, at = [], 0
            for width in index.fields(-(-count // BLOCK), WIDTH_BITS):
                size = min(BLOCK, count - len(gaps))
                gaps += [field + 1 for field in high.fields(size, width, at)]
                at += size * width
            require(at == high.bits, 100)
            return _sums(gaps)
        case KeyCodec.SEEDED:
            seed, base = seeds.tolist()
            edges = [j * positions // count for j in range(count + 1)]
            draws = (_draw(seed, (base + chunk << 24) + j) for j in range(count))
            return [
                a + drawn % (b - a) for (a, b), drawn in zip(pairwise(edges), draws, strict=True)
            ]
    raise AssertionError(f"key codec {entry.key_codec} passed the directory")


def _draw(seed, counter):
    x = seed + counter * GOLDEN & LOW_64
    x = (x ^ x >> 30) * FIRST_FACTOR & LOW_64
    x = (x ^ x >> 27) * SECOND_FACTOR & LOW_64
    return x ^ x >> 31


def _read_gaps(payload, entry, tables, index, high, low, stop):
    """Gaps of a chunk, those of columns first; plane key low, now that its length is known."""
    by_column = entry.key_codec == KeyCodec.COLUMNS
    items = entry.columns + entry.nnz
    own = tables[-2] if by_column else tables[entry.key_param]
    head = HEAD_BITS * entry.key_param if by_column else 0
    sizes = index.fields((items - 1) // BLOCK, OFFSET_BITS, head)
    which = [tables[-1]] * entry.columns + [own] * entry.nnz
    classes = high.codes(which, [*sizes, high.bits - sum(sizes)], 101)
    rests = sum(classes) - items
    words = low.start + -(-rests // WORD) - 2 * entry.off16
    require(words // 2 + 1 == entry.len16, 102)
    low = Plane(payload, low.start, rests)
    ends = accumulate((kind - 1 for kind in classes), initial=0)
    gaps = [
        1 << kind - 1 | low.field(at, kind - 1) for kind, at in zip(classes, ends, strict=False)
    ]
    return gaps, low


def _over_columns(entry, index, gaps, positions):
    """Keys of a chunk whose pieces list their active columns."""
    words = index.fields(4 * entry.key_param, 32)
    pieces = [words[at : at + 4] for at in range(0, len(words), 4)]
    for width, phase, length, active in pieces:
        require(length and (phase < width if width else not phase | active), 103)
    require(sum(piece[2] for piece in pieces) == positions, 104)
    require(sum(piece[3] for piece in pieces) == entry.columns, 104)
    place_of = _sums(gaps[entry.columns :])
    keys, begin, start, listed = [], 0, 0, 0
    for width, phase, length, active in pieces:
        columns = _sums(gaps[listed : listed + active])
        require(not columns or columns[-1] < width, 105)
        listed += active
        size = ((phase + length - 1) // width + 1) * active if width else length
        for place in place_of[len(keys) :]:
            local = place - start
            if local >= size:
                break
            if width:
                local = local // active * width + columns[local % active] - phase
            require(0 <= local < length, 106)
            keys.append(begin + local)
        begin, start = begin + length, start + size
    require(len(keys) == entry.nnz, 106)
    return keys


def read_values(payload, directory, first, layout, levels, code, table, patterns):
    """Patterns of the values of consecutive chunks, and spare bits of their planes.

    As `read_keys`. `code` holds the lengths of level indices, `table`, uint16[4096], is zeros.
    """
    bits = layout[2]
    if code.size:
        decode_table(code, table)

    def read(entry, _, planes):
        count, parameter, codec = entry.nnz, entry.val_param, entry.val_codec
        signs, index, high, low = planes
        if codec == ValueCodec.RAW:
            return low.fields(count, bits)
        if codec in RICE:
            pairs = zip(high.unary(count, 107), low.fields(count, parameter), strict=True)
            indices = [(number << parameter) + field for number, field in pairs]
        elif codec in HUFFMAN:
            sizes = index.fields((count - 1) // BLOCK, OFFSET_BITS)
            indices = high.codes([table] * count, [*sizes, high.bits - sum(sizes)], 108)
        else:
            indices = low.fields(count, parameter)
        require(max(indices) + entry.level_base < levels.size, 109)
        found = [int(levels[entry.level_base + i]) for i in indices]
        if codec in HAS_SIGNS:
            require(max(found) >> bits - 1 == 0, 110)
            negative = signs.fields(count, 1)
            found = [value | bit << bits - 1 for value, bit in zip(found, negative, strict=True)]
        return found

    return _each_chunk(payload, directory, first, bits, VALUE_PLANES, patterns, read)
