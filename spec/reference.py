"""A decoder of gcodec frames written from ``gcodec-1.md`` alone, in its order, for reading.

It shares nothing with the library: standard library only, one bit or field at a time, a few
microseconds for each. "Section" and "step" are those of the specification.

As a program it prints what a frame holds as JSON:  python reference.py FILE
Exit status: 0, 2 (refused or not read), 3 (a version or feature it does not know), 64 (usage).
"""

import hashlib
import json
import math
import struct
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path


class FrameError(Exception):
    """The frame is refused; the class is one of the eight below."""


class NotAFrame(FrameError):  # noqa: N818  (names of section 9)
    """The bytes do not start with the magic number."""


class Truncated(FrameError):  # noqa: N818
    """The bytes end before the frame does."""


class UnsupportedVersion(FrameError):  # noqa: N818
    """The major version is not known."""


class UnsupportedFeature(FrameError):  # noqa: N818
    """A feature bit, id, section type or codec is not known."""


class LimitExceeded(FrameError):  # noqa: N818
    """A size is past a limit of section 10, or past one that the caller set."""


class Corrupt(FrameError):  # noqa: N818
    """A check does not match."""


class Malformed(FrameError):  # noqa: N818
    """The checks match, but a rule is broken."""


class Mismatch(FrameError):  # noqa: N818
    """The frame is sound, but is not what the caller asked for."""


# Section 9: the class of each step; all others are Malformed.
CLASSES = {
    **dict.fromkeys([1], NotAFrame),
    **dict.fromkeys([2, 6], Truncated),
    **dict.fromkeys([3], UnsupportedVersion),
    **dict.fromkeys([8, 15, 17, 19, 21, 23, 39, 64, 66], UnsupportedFeature),
    **dict.fromkeys([9, 10, 11, 12, 13, 44, 47, 51, 53, 57, 68, 69, 79, 108], LimitExceeded),
    **dict.fromkeys([7, 32, 90], Corrupt),
    **dict.fromkeys([109], Mismatch),
}


def require(sound: bool, step: int, what: str) -> None:
    """Refuse the frame with the class of the step unless it is sound."""
    if not sound:
        raise CLASSES.get(step, Malformed)(f"step {step}: {what}")


# Section 2: conventions

U64 = 2**64 - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def align64(x: int) -> int:
    """x rounded up to a multiple of 64."""
    return -(-x // 64) * 64


def rotl(x: int, r: int) -> int:
    """The 64 bits of x rotated left by r."""
    x &= U64
    return (x << r | x >> (64 - r)) & U64


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 of section 2.1.

    >>> f"{xxh64(b'', 0):x} {xxh64(b'abc', 1):x} {xxh64(bytes(range(101)), 1):x}"
    'ef46db3751d8e999 bea9ca8199328908 436499928c06f890'
    """

    def mix(a: int, w: int) -> int:
        return rotl(a + w * P2, 31) * P1 & U64

    whole = len(data) // 32 * 32
    if whole:
        lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
        for words in struct.iter_unpack("<4Q", data[:whole]):
            lanes = [mix(a, w) for a, w in zip(lanes, words, strict=True)]
        h = sum(rotl(a, r) for a, r in zip(lanes, (1, 7, 12, 18), strict=True))
        for a in lanes:
            h = (h ^ mix(0, a)) * P1 + P4 & U64
    else:
        h = seed + P5
    h = h + len(data) & U64
    rest = data[whole:]
    while len(rest) >= 8:
        h = rotl(h ^ mix(0, int.from_bytes(rest[:8], "little")), 27) * P1 + P4 & U64
        rest = rest[8:]
    if len(rest) >= 4:
        h = rotl(h ^ int.from_bytes(rest[:4], "little") * P1 & U64, 23) * P2 + P3 & U64
        rest = rest[4:]
    for byte in rest:
        h = rotl(h ^ byte * P5 & U64, 11) * P1 & U64
    h = (h ^ h >> 33) * P2 & U64
    h = (h ^ h >> 29) * P3 & U64
    return h ^ h >> 32


def check32(data: bytes, seed: int = 0) -> int:
    """A 32-bit check."""
    return xxh64(data, seed) % 2**32


# Section 3: header

MAGIC = bytes.fromhex("d64743f1")
UNKNOWN = 2**32 - 1


# The fields of the header, as they stand in the frame.
Header = namedtuple(
    "Header",
    "magic major minor header_len frame_len critical_features ancillary_features n_elements "
    "n_stored n_chunks n_tensors n_sections chunk_log2 frame_kind elem_dtype aggregation "
    "bound_kind rounding bound step rank world contributions bucket weight sum_key layout_key "
    "payload_offset meta_check header_check",
)


def read_header(data: bytes) -> Header:
    """Steps 1 to 32."""
    require(data[:4] == MAGIC[: len(data)], 1, "the bytes do not start with the magic number")
    require(len(data) >= 16, 2, f"{len(data)} bytes are no header")
    require(data[4] == 1, 3, f"major version {data[4]}")
    header_len, frame_len = struct.unpack("<HQ", data[6:16])
    require(header_len % 64 == 0 and header_len >= 128, 4, f"header_len is {header_len}")
    require(frame_len % 64 == 0 and frame_len >= header_len, 5, f"frame_len is {frame_len}")
    require(frame_len <= len(data), 6, f"{len(data)} of {frame_len} bytes are given")
    h = Header(*struct.unpack("<4sBBHQIIQQIIHBBBBBBdQIIIIdQQQII", data[:128]))
    require(h.header_check == check32(data[:124]), 7, "header_check")
    require(h.critical_features == 0, 8, f"critical_features {h.critical_features:#x}")
    require(h.n_elements <= 2**48, 9, f"n_elements is {h.n_elements}")
    require(h.n_chunks <= 2**24, 10, f"n_chunks is {h.n_chunks}")
    require(1 <= h.n_tensors <= 2**16, 11, f"n_tensors is {h.n_tensors}")
    require(1 <= h.n_sections <= 64, 12, f"n_sections is {h.n_sections}")
    require(6 <= h.chunk_log2 <= 24, 13, f"chunk_log2 is {h.chunk_log2}")
    known = {"frame_kind": [2], "elem_dtype": [1], "aggregation": [1]}  # sections 11.3 to 11.7
    known |= {"bound_kind": [1, 2, 3, 4], "rounding": [1, 2, 3]}
    for step, (name, ids) in zip(range(14, 24, 2), known.items(), strict=True):
        require(getattr(h, name) != 0, step, f"{name} is 0")
        require(getattr(h, name) in ids, step + 1, f"{name} is {getattr(h, name)}")
    placed = header_len + 32 * h.n_sections <= h.payload_offset <= frame_len
    require(placed and h.payload_offset % 64 == 0, 24, f"payload_offset is {h.payload_offset}")
    above = math.copysign(1, h.bound) > 0
    require(math.isfinite(h.bound) and above, 25, f"bound is {h.bound}")
    require(h.bound == 0 or h.bound_kind != 1, 26, f"bound is {h.bound} though it is exact")
    require(math.isfinite(h.weight) and h.weight > 0, 27, f"weight is {h.weight}")
    ranks = h.rank < h.world < UNKNOWN or h.rank == h.world == UNKNOWN
    require(ranks, 28, f"rank {h.rank} of world {h.world}")
    require(h.contributions >= 1, 29, "contributions is 0")
    require(h.n_chunks == -(-h.n_elements >> h.chunk_log2), 30, f"n_chunks is {h.n_chunks}")
    require(h.n_stored <= h.n_elements, 31, f"n_stored is {h.n_stored}")
    require(h.meta_check == check32(data[128 : h.payload_offset]), 32, "meta_check")
    return h


# Section 4: section table

TENSORS, DIMS, CODEBOOK, CHUNKDIR, PAYLOAD, KEYCODES, VALUECODE = 1, 2, 3, 5, 6, 7, 8
ENTRY_BITS = {TENSORS: 384, DIMS: 64, CODEBOOK: 32, CHUNKDIR: 256, PAYLOAD: 128}
ENTRY_BITS |= {KEYCODES: 128, VALUECODE: 4}
Section = namedtuple("Section", "count data")
Sections = dict[int, Section]


def read_sections(data: bytes, h: Header) -> Sections:
    """Steps 33 to 41: the sections by type; those that are absent are empty."""
    table_end = h.header_len + 32 * h.n_sections
    entries = list(struct.iter_unpack("<HHIQQQ", data[h.header_len : table_end]))
    last_type, end = 0, table_end
    sections: Sections = {}
    for i, (kind, flags, count, offset, length, reserved) in enumerate(entries):
        if i == h.n_sections - 1:
            require(kind == PAYLOAD, 33, f"the last section has type {kind}")
        else:
            require(kind > last_type and kind != PAYLOAD, 33, f"type {kind} after {last_type}")
        require(flags == 0 and reserved == 0, 34, f"flags or reserved field of type {kind}")
        require(offset == align64(end), 35, f"offset of type {kind} is {offset}")
        require(not any(data[end:offset]), 35, f"bytes before type {kind} are not zero")
        last_type, end = kind, offset + length
        limit = h.frame_len if kind == PAYLOAD else h.payload_offset
        require(end <= limit, 36, f"length of type {kind} is {length}")
        sections[kind] = Section(count, data[offset:end])
    require(offset == h.payload_offset, 37, f"PAYLOAD starts at {offset}")
    require(align64(end) == h.frame_len, 37, f"PAYLOAD ends at {end} of {h.frame_len}")
    require(not any(data[end : h.frame_len]), 38, "bytes after PAYLOAD are not zero")
    for kind, section in sections.items():
        if kind < 0x8000:
            require(kind in ENTRY_BITS, 39, f"section type {kind}")
            length = -(-section.count * ENTRY_BITS[kind] // 8)
            require(len(section.data) == length, 40, f"count of type {kind} is {section.count}")
    require(TENSORS in sections and CHUNKDIR in sections, 41, "no TENSORS or no CHUNKDIR")
    return dict.fromkeys(ENTRY_BITS, Section(0, b"")) | sections


# Section 5: tensor table

Tensor = namedtuple("Tensor", "name_hash start shape")


def read_tensors(h: Header, sections: Sections) -> list[Tensor]:
    """Steps 42 to 50."""
    entries = list(struct.iter_unpack("<QQQBBHI16s", sections[TENSORS].data))
    require(len(entries) == h.n_tensors, 42, f"TENSORS has {len(entries)} entries")
    dims = [size for (size,) in struct.iter_unpack("<Q", sections[DIMS].data)]
    require(len(dims) == sum(e[3] for e in entries), 43, f"DIMS has {len(dims)} entries")
    tensors: list[Tensor] = []
    next_start = next_dim = 0
    for i, (name, start, numel, ndim, dtype, flags, dims_index, rest) in enumerate(entries):
        require(ndim <= 32, 44, f"tensor {i} has {ndim} dimensions")
        placed = start == next_start and dims_index == next_dim
        require(placed, 45, f"tensor {i}: start {start}, dims_index {dims_index}")
        plain = dtype == h.elem_dtype and flags == 0 and not any(rest)
        require(plain, 46, f"tensor {i}: dtype, flags or reserved bytes")
        shape = tuple(dims[next_dim : next_dim + ndim])
        require(math.prod(d for d in shape if d) <= 2**48, 47, f"tensor {i} has shape {shape}")
        require(math.prod(shape) == numel, 48, f"tensor {i}: numel {numel} of shape {shape}")
        tensors.append(Tensor(name, start, shape))
        next_start, next_dim = start + numel, next_dim + ndim
    require(next_start == h.n_elements, 49, f"the tensors have {next_start} elements")
    layout_key = xxh64(sections[TENSORS].data + sections[DIMS].data, 0)
    require(layout_key == h.layout_key, 50, "layout_key")
    return tensors


# Section 6: codebook and codes

Code = dict[tuple[int, int], int]  # (length, bits) to symbol
Codes = namedtuple("Codes", "levels key_codes value_code")  # levels as patterns; value_code or None


def half_bytes(data: bytes) -> list[int]:
    """Numbers of four bits, the low half of a byte first."""
    return [half for byte in data for half in (byte & 15, byte >> 4)]


def prefix_code(lengths: list[int], step: int, what: str) -> Code:
    """The canonical code of these lengths; its two steps begin at ``step``."""
    require(max(lengths) <= 12, step, f"{what} has a length of {max(lengths)}")
    occurring = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    total = sum(2 ** (12 - length) for length, _ in occurring)
    alone = [length for length, _ in occurring] == [1]
    require(total == 4096 or alone, step + 1, f"{what} is not complete")
    code = before = 0
    symbols: Code = {}
    for length, symbol in occurring:
        code <<= length - before
        symbols[length, code] = symbol
        code, before = code + 1, length
    return symbols


def read_codes(sections: Sections) -> Codes:
    """Steps 51 to 61."""
    levels = [level for (level,) in struct.iter_unpack("<I", sections[CODEBOOK].data)]
    require(len(levels) <= 2**16, 51, f"{len(levels)} levels")
    for i, level in enumerate(levels):
        sound = level >> 23 & 255 != 255 and level != 1 << 31
        require(sound, 52, f"level {i} is {level:#010x}")
    all_lengths = half_bytes(sections[KEYCODES].data)
    key_lengths = [all_lengths[i : i + 32] for i in range(0, len(all_lengths), 32)]
    require(len(key_lengths) <= 256, 53, f"{len(key_lengths)} key codes")
    for i, lengths in enumerate(key_lengths):
        require(not lengths[0] and not any(lengths[26:]), 54, f"class in key code {i}")
    key_codes = [prefix_code(x, 55, f"key code {i}") for i, x in enumerate(key_lengths)]
    count = sections[VALUECODE].count
    value_lengths = half_bytes(sections[VALUECODE].data)
    require(count <= 4096, 57, f"{count} lengths in VALUECODE")
    require(count in (0, len(levels)), 58, f"{count} lengths for {len(levels)} levels")
    require(not any(value_lengths[count:]), 59, "spare half byte of VALUECODE")
    value_code = prefix_code(value_lengths[:count], 60, "the value code") if count else None
    return Codes(levels, key_codes, value_code)


# Section 7: chunk directory

ALL, BITMAP, COO, RICE, DELTA, BLOCKS, COLUMNS = 1, 2, 3, 4, 5, 7, 8
RAW, FIXED, VALUE_RICE, SIGN, HUFFMAN, SIGNED = 1, 2, 3, 4, 5, 16
KEY_CODECS = (1, 2, 3, 4, 5, 7, 8)
VALUE_CODECS = (1, 2, 3, 4, 5, 18, 19, 21)

Chunk = namedtuple(
    "Chunk",
    "off16 len16 nnz key_hi_bits val_hi_bits key_codec key_param val_codec val_param level_base "
    "columns check",
)


def base(c: Chunk) -> int:
    """The value codec, for a SIGNED one that with a sign plane."""
    return c.val_codec % SIGNED


def items_of(c: Chunk) -> int:
    """Codes in key high, with DELTA and COLUMNS keys."""
    return c.nnz + c.columns


def key_hi_range(c: Chunk, positions: int) -> range:
    """What key_hi_bits may be: 0 if nnz is."""
    items = items_of(c)
    ranges = {
        BITMAP: (positions, positions),
        RICE: (c.nnz, c.nnz + (positions - c.nnz >> c.key_param)),
        DELTA: (items, 12 * items),
        BLOCKS: (0, 24 * c.nnz),
        COLUMNS: (items, 12 * items),
    }
    least, most = ranges.get(c.key_codec, (0, 0)) if c.nnz else (0, 0)
    return range(least, most + 1)


def val_hi_range(c: Chunk, n_levels: int) -> range:
    """What val_hi_bits may be: 0 if nnz is."""
    highest = n_levels - c.level_base - 1 >> c.val_param
    ranges = {VALUE_RICE: (c.nnz, c.nnz + c.nnz * highest), HUFFMAN: (c.nnz, 12 * c.nnz)}
    least, most = ranges.get(base(c), (0, 0)) if c.nnz else (0, 0)
    return range(least, most + 1)


def read_directory(h: Header, sections: Sections, codes: Codes) -> list[Chunk]:
    """Steps 62 to 89. Each step goes through all chunks before the next does."""
    require(sections[CHUNKDIR].count == h.n_chunks, 62, "entries in CHUNKDIR")
    chunks = [Chunk(*e) for e in struct.iter_unpack("<5I4B2HI", sections[CHUNKDIR].data)]
    n_levels, n_codes = len(codes.levels), len(codes.key_codes)

    def each(step: int, field: str, sound: Callable[[Chunk, int], bool]) -> None:
        for i, c in enumerate(chunks):
            what = f"{field} of chunk {i}, codecs {c.key_codec} and {c.val_codec}, nnz {c.nnz}"
            require(sound(c, positions_of(h, i)), step, what)

    def keys(c: Chunk, *codecs: int) -> bool:
        return c.key_codec in codecs

    def values(c: Chunk, *codecs: int) -> bool:
        return base(c) in codecs

    each(63, "key_codec", lambda c, _: c.key_codec != 0)
    each(64, "key_codec", lambda c, _: c.key_codec in KEY_CODECS)
    each(65, "val_codec", lambda c, _: c.val_codec != 0)
    each(66, "val_codec", lambda c, _: c.val_codec in VALUE_CODECS)
    each(67, "nnz", lambda c, n: c.nnz <= n)
    each(68, "key_param", lambda c, _: not keys(c, RICE) or c.key_param <= 24)
    each(69, "key_param", lambda c, _: not keys(c, COO) or c.key_param <= 32)
    each(70, "key_param", lambda c, _: not (keys(c, COO) and c.nnz) or c.key_param > 0)
    each(71, "key_param", lambda c, _: not (keys(c, DELTA) and c.nnz) or c.key_param < n_codes)
    each(72, "key codes", lambda c, _: not (keys(c, COLUMNS) and c.nnz) or n_codes >= 2)
    each(73, "key_param", lambda c, _: not (keys(c, COLUMNS) and c.nnz) or c.key_param > 0)
    each(74, "key_param", lambda c, _: not keys(c, ALL, BITMAP, BLOCKS) or c.key_param == 0)
    each(75, "columns", lambda c, _: not keys(c, COLUMNS) or (c.nnz > 0) <= c.columns <= c.nnz)
    each(76, "columns", lambda c, _: keys(c, COLUMNS) or c.columns == 0)
    each(77, "nnz", lambda c, n: not (keys(c, ALL) and c.nnz) or c.nnz == n)
    each(78, "key_hi_bits", lambda c, n: c.key_hi_bits in key_hi_range(c, n))
    each(79, "val_param", lambda c, _: not values(c, FIXED, VALUE_RICE) or c.val_param <= 16)
    each(80, "val_param", lambda c, _: values(c, FIXED, VALUE_RICE) or c.val_param == 0)
    signed_fixed = [c for c in chunks if c.val_codec == SIGNED + FIXED and c.nnz]
    require(all(c.val_param for c in signed_fixed), 80, "SIGNED_FIXED values of no bits")
    each(81, "level_base", lambda c, _: not values(c, RAW, HUFFMAN) or c.level_base == 0)
    each(82, "level_base", lambda c, _: values(c, RAW) or not c.nnz or c.level_base < n_levels)
    each(83, "value code", lambda c, _: not values(c, HUFFMAN) or codes.value_code is not None)
    each(84, "val_hi_bits", lambda c, _: c.val_hi_bits in val_hi_range(c, n_levels))
    unused = ("key_hi_bits", "val_hi_bits", "key_param", "val_param", "level_base", "columns")
    each(85, "a field", lambda c, _: c.nnz > 0 or not any(getattr(c, name) for name in unused))
    require(sum(c.nnz for c in chunks) == h.n_stored, 86, f"n_stored is {h.n_stored}")
    each(87, "len16", lambda c, _: length16(c, 0) <= c.len16 <= length16(c, 24 * items_of(c)))
    end16 = 0
    for i, c in enumerate(chunks):
        require(c.off16 == end16, 88, f"off16 of chunk {i} is {c.off16}")
        end16 += c.len16
    require(end16 == sections[PAYLOAD].count, 89, "the length of PAYLOAD")
    return chunks


def positions_of(h: Header, i: int) -> int:
    """Positions that chunk i covers."""
    return min(i + 1 << h.chunk_log2, h.n_elements) - (i << h.chunk_log2)


# Section 8: planes


def plane_bits(c: Chunk, rests: int) -> list[int]:
    """Bits of the seven planes, in their order."""
    blocks = -(-items_of(c) // 128)
    codes_index = 11 * (blocks - 1)
    key_index = {DELTA: codes_index, BLOCKS: 5 * blocks}
    key_index[COLUMNS] = 128 * c.key_param + codes_index
    fields = c.nnz * c.key_param
    key_low = {COO: fields, RICE: fields, DELTA: rests, COLUMNS: rests}
    has_sign = RAW < c.val_codec < SIGNED
    value_width = {RAW: 32, FIXED: c.val_param, VALUE_RICE: c.val_param}.get(base(c), 0)
    value_index = 11 * (-(-c.nnz // 128) - 1) if base(c) == HUFFMAN else 0
    key_planes = [key_index.get(c.key_codec, 0), c.key_hi_bits]
    value_planes = [c.nnz * has_sign, value_index, c.val_hi_bits, c.nnz * value_width]
    return [*key_planes, *value_planes, key_low.get(c.key_codec, 0)]


def length16(c: Chunk, rests: int) -> int:
    """Length of the planes in units of 16 bytes, the padding included."""
    return sum(-(-bits // 64) for bits in plane_bits(c, rests)) // 2 + 1 if c.nnz else 0


class Plane:
    """The bits of one plane, cut out of the bytes of its chunk."""

    def __init__(self, data: bytes, first_word: int, bits: int) -> None:
        self.bits = bits
        self.end_word = first_word + -(-bits // 64)
        self.data = data[8 * first_word : 8 * self.end_word]
        spare = int.from_bytes(self.data[bits // 8 :], "little") >> bits % 8
        require(spare == 0, 106, "bits of a plane past its last are not zero")

    def field(self, bit: int, width: int) -> int:
        """The number of ``width`` bits at ``bit``."""
        covering = self.data[bit // 8 : -(-(bit + width) // 8)]
        return (int.from_bytes(covering, "little") >> bit % 8) % 2**width

    def ones(self) -> Iterator[int]:
        """Positions of the bits that are 1."""
        for i, byte in enumerate(self.data):
            yield from (8 * i + bit for bit in range(8) if byte >> bit & 1)

    def unary(self, count: int, step: int) -> list[int]:
        """The numbers h_0, h_1, ... of a unary plane."""
        ones = list(self.ones())
        require(len(ones) == count and ones[-1] == self.bits - 1, step, "unary plane")
        return [b - a - 1 for a, b in pairwise([-1, *ones])]

    def symbols(self, codes: Sequence[Code], index: "Plane", at: int, step: int) -> list[int]:
        """The symbols of item after item, each in a code of its own; block heads at ``at``."""
        symbols: list[int] = []
        bit = block_start = 0
        for j, code in enumerate(codes):
            length = word = 0
            while (length, word) not in code:
                require(bit < self.bits and length < 12, step, f"item {j} is no code")
                length, word, bit = length + 1, word * 2 + self.field(bit, 1), bit + 1
            symbols.append(code[length, word])
            if j % 128 == 127 and j + 1 < len(codes):
                taken = index.field(at + 11 * (j // 128), 11)
                require(bit - block_start == taken, step, f"block {j // 128} of codes")
                block_start = bit
        require(bit == self.bits, step, "the codes end before their plane does")
        return symbols


def read_chunk(c: Chunk, data: bytes, positions: int, codes: Codes) -> tuple[list[int], list[int]]:
    """Steps 91 to 107: the keys of a chunk with nnz above 0, and its values as bit patterns."""
    planes: list[Plane] = []
    for bits in plane_bits(c, 0)[:-1]:
        planes.append(Plane(data, planes[-1].end_word if planes else 0, bits))
    key_index, key_high, *value_planes = planes
    classes: list[int] = []
    if c.key_codec == DELTA:
        code_of_item = [codes.key_codes[c.key_param]] * c.nnz
        classes = key_high.symbols(code_of_item, key_index, 0, 96)
    elif c.key_codec == COLUMNS:
        code_of_item = [codes.key_codes[-1]] * c.columns + [codes.key_codes[-2]] * c.nnz
        classes = key_high.symbols(code_of_item, key_index, 128 * c.key_param, 96)
    rests = sum(classes) - len(classes)
    require(c.len16 == length16(c, rests), 97, f"len16 is {c.len16}")
    key_low = Plane(data, planes[-1].end_word, plane_bits(c, rests)[-1])
    require(not any(data[8 * key_low.end_word :]), 107, "the padding is not zero")
    gaps = read_gaps(classes, key_low)
    keys = read_keys(c, positions, [key_index, key_high, key_low], gaps)
    require(all(a < b for a, b in pairwise(keys)), 92, "keys do not ascend")
    require(keys[-1] < positions, 93, f"key {keys[-1]} of {positions} positions")
    return keys, read_values(c, codes, value_planes)


def read_gaps(classes: list[int], key_low: Plane) -> list[int]:
    """Gaps from classes and rests."""
    gaps: list[int] = []
    bit = 0
    for bits in classes:
        gaps.append(2 ** (bits - 1) + key_low.field(bit, bits - 1))
        bit += bits - 1
    return gaps


def sums(gaps: list[int]) -> list[int]:
    """Numbers that are these gaps apart, from -1 on."""
    return list(accumulate(gaps, initial=-1))[1:]


def read_keys(c: Chunk, positions: int, planes: list[Plane], gaps: list[int]) -> list[int]:
    """Keys by codec."""
    index, high, low = planes
    if c.key_codec == ALL:
        return list(range(c.nnz))
    if c.key_codec == BITMAP:
        keys = list(high.ones())
        require(len(keys) == c.nnz, 91, f"the bitmap has {len(keys)} ones, nnz is {c.nnz}")
        return keys
    if c.key_codec == COO:
        return [low.field(j * c.key_param, c.key_param) for j in range(c.nnz)]
    if c.key_codec == RICE:
        k = c.key_param
        unary = high.unary(c.nnz, 94)
        return sums([(h << k) + low.field(j * k, k) + 1 for j, h in enumerate(unary)])
    if c.key_codec == BLOCKS:
        gaps, bit = [], 0
        for j in range(c.nnz):
            width = index.field(j // 128 * 5, 5)
            gaps.append(high.field(bit, width) + 1)
            bit += width
        require(bit == c.key_hi_bits, 95, f"the blocks take {bit} bits")
        return sums(gaps)
    return sums(gaps) if c.key_codec == DELTA else read_columns(c, positions, index, gaps)


def read_columns(c: Chunk, positions: int, index: Plane, gaps: list[int]) -> list[int]:
    """Keys of COLUMNS: places among the active columns of each piece, turned into positions."""
    heads = [[index.field(128 * i + 32 * j, 32) for j in range(4)] for i in range(c.key_param)]
    for w, f, length, active in heads:
        require(length >= 1 and (f < w or w == f == active == 0), 98, f"head {w, f, length}")
    require(sum(head[2] for head in heads) == positions, 99, "lengths of pieces")
    require(sum(head[3] for head in heads) == c.columns, 99, "active columns of pieces")
    places = iter(sums(gaps[c.columns :]))
    keys: list[int] = []
    place = next(places, None)
    first_place = first_position = first_column = 0
    for w, f, length, active in heads:
        columns = sums(gaps[first_column : first_column + active])
        require(not columns or columns[-1] < w, 100, f"an active column is not below {w}")
        end_place = first_place + (((f + length - 1) // w + 1) * active if w else length)
        while place is not None and place < end_place:
            position = place - first_place
            if w:
                row, i = divmod(position, active)
                position = row * w + columns[i] - f
            require(0 <= position < length, 101, f"place {place} is not in its piece")
            keys.append(first_position + position)
            place = next(places, None)
        first_place, first_column = end_place, first_column + active
        first_position += length
    require(place is None, 101, f"place {place} is past all pieces")
    return keys


def read_values(c: Chunk, codes: Codes, planes: list[Plane]) -> list[int]:
    """Values by codec, as f32 patterns."""
    sign, index, high, low = planes
    if base(c) == RAW:
        return [low.field(32 * j, 32) for j in range(c.nnz)]
    v = c.val_param
    if base(c) == HUFFMAN and codes.value_code is not None:
        indices = high.symbols([codes.value_code] * c.nnz, index, 0, 103)
    elif base(c) == VALUE_RICE:
        unary = high.unary(c.nnz, 102)
        indices = [(h << v) + low.field(j * v, v) for j, h in enumerate(unary)]
    else:
        indices = [low.field(j * v, v) for j in range(c.nnz)]
    require(c.level_base + max(indices) < len(codes.levels), 104, f"index {max(indices)}")
    patterns = [codes.levels[c.level_base + i] for i in indices]
    if c.val_codec > SIGNED:
        return patterns
    require(max(patterns) < 1 << 31, 105, "a level has a sign of its own")
    return [sign.field(j, 1) << 31 | pattern for j, pattern in enumerate(patterns)]


# Section 9: all steps in order

# Positions of the stored elements, and their values as f32 patterns.
Decoded = namedtuple("Decoded", "header tensors keys values")


def decode(data: bytes, max_elements: int = 2**48, n_elements: int | None = None) -> Decoded:
    """Decode the frame that ``data`` starts with, or raise one of the eight classes.

    ``max_elements``: what the caller allows (step 108); ``n_elements``: room it has (step 109).
    Both are looked at once step 89 has passed.
    """
    h = read_header(data)
    sections = read_sections(data, h)
    tensors = read_tensors(h, sections)
    codes = read_codes(sections)
    chunks = read_directory(h, sections, codes)
    allowed = n_elements is not None or h.n_elements <= max_elements
    require(allowed, 108, f"{h.n_elements} elements are not allowed")
    require(n_elements in (None, h.n_elements), 109, f"room for {n_elements} elements")
    bodies = [sections[PAYLOAD].data[16 * c.off16 : 16 * (c.off16 + c.len16)] for c in chunks]
    for i, (c, body) in enumerate(zip(chunks, bodies, strict=True)):
        require(c.check == check32(body, i), 90, f"check of chunk {i}")
    keys: list[int] = []
    values: list[int] = []
    for i, (c, body) in enumerate(zip(chunks, bodies, strict=True)):
        if c.nnz:
            chunk_keys, chunk_values = read_chunk(c, body, positions_of(h, i), codes)
            keys += [(i << h.chunk_log2) + key for key in chunk_keys]
            values += chunk_values
    return Decoded(h, tensors, keys, values)


def summary(decoded: Decoded) -> dict[str, object]:
    """What a frame holds, as values that JSON can carry."""
    n = len(decoded.keys)
    keys, values = struct.pack(f"<{n}Q", *decoded.keys), struct.pack(f"<{n}I", *decoded.values)
    return {
        "header": decoded.header._asdict() | {"magic": decoded.header.magic.hex()},
        "tensors": [tensor._asdict() for tensor in decoded.tensors],
        "nnz": n,
        "keys": decoded.keys[:16],
        "values": [f"{pattern:08x}" for pattern in decoded.values[:16]],
        "keys_sha256": hashlib.sha256(keys).hexdigest(),
        "values_sha256": hashlib.sha256(values).hexdigest(),
    }


def main(arguments: list[str]) -> int:
    """Print the summary of the file named, or one line on what is wrong with it."""
    if len(arguments) != 1:
        print("usage: reference.py FILE", file=sys.stderr)
        return 64
    try:
        print(json.dumps(summary(decode(Path(arguments[0]).read_bytes())), indent=2))
    except (FrameError, OSError) as error:
        print(f"{arguments[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 3 if isinstance(error, UnsupportedVersion | UnsupportedFeature) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
