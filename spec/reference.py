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
from bisect import bisect
from collections import namedtuple
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, islice, pairwise
from operator import itemgetter
from pathlib import Path


class FrameError(Exception):
    """The frame is refused; the class is one of the eight of section 9."""


NotAFrame, Truncated, UnsupportedVersion, UnsupportedFeature = (
    type(name, (FrameError,), {})
    for name in ("NotAFrame", "Truncated", "UnsupportedVersion", "UnsupportedFeature")
)
LimitExceeded, Corrupt, Malformed, Mismatch = (
    type(name, (FrameError,), {}) for name in ("LimitExceeded", "Corrupt", "Malformed", "Mismatch")
)

# Section 9: the class of each step; all others are Malformed.
CLASSES = {
    **dict.fromkeys([1], NotAFrame),
    **dict.fromkeys([2, 6], Truncated),
    **dict.fromkeys([3], UnsupportedVersion),
    **dict.fromkeys([8, 15, 17, 19, 21, 23, 40, 68, 70, 117], UnsupportedFeature),
    **dict.fromkeys([9, 10, 11, 12, 13, 45, 47, 50, 52, 56, 72, 73, 84], LimitExceeded),
    **dict.fromkeys([113, 118, 122], LimitExceeded),
    **dict.fromkeys([7, 33, 95], Corrupt),
    **dict.fromkeys([114], Mismatch),
}


def require(sound: bool, step: int, what: str) -> None:
    """Refuse the frame with the class of the step unless it is sound."""
    if not sound:
        raise CLASSES.get(step, Malformed)(f"step {step}: {what}")


# Section 2: conventions

U64 = 2**64 - 1
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def align(x: int, size: int) -> int:
    """x rounded up to a multiple of size."""
    return -(-x // size) * size


def rotl(x: int, r: int) -> int:
    """The low 64 bits of x rotated left by r."""
    x &= U64
    return (x << r | x >> (64 - r)) & U64


def xxh64(data: bytes, seed: int) -> int:
    """XXH64 of section 2.1.

    >>> f"{xxh64(b'', 0):x} {xxh64(b'abc', 1):x} {xxh64(bytes(range(101)), 1):x}"
    'ef46db3751d8e999 bea9ca8199328908 436499928c06f890'
    """

    def mix(a: int, w: int) -> int:
        return rotl(a + w * P2, 31) * P1

    h, at = seed + P5, len(data) // 32 * 32
    if at:
        lanes = [seed + P1 + P2, seed + P2, seed, seed - P1]
        for words in struct.iter_unpack("<4Q", data[:at]):
            lanes = [mix(a, w) for a, w in zip(lanes, words, strict=True)]
        h = sum(rotl(a, r) for a, r in zip(lanes, (1, 7, 12, 18), strict=True))
        for a in lanes:
            h = (h ^ mix(0, a)) * P1 + P4 & U64
    h += len(data)
    while len(data) - at >= 8:
        h = rotl(h ^ mix(0, int.from_bytes(data[at : at + 8], "little")), 27) * P1 + P4
        at += 8
    if len(data) - at >= 4:
        h = rotl(h ^ int.from_bytes(data[at : at + 4], "little") * P1, 23) * P2 + P3
        at += 4
    for byte in data[at:]:
        h = rotl(h ^ byte * P5, 11) * P1
    h &= U64
    h = (h ^ h >> 33) * P2 & U64
    h = (h ^ h >> 29) * P3 & U64
    return h ^ h >> 32


def check32(data: bytes, seed: int = 0) -> int:
    """A 32-bit check."""
    return xxh64(data, seed) % 2**32


# Section 3: header

MAGIC = bytes.fromhex("d64743f1")
UNKNOWN = 2**32 - 1
DENSE, COUNT_SKETCH = 1, 3
ELEMENTS = {1: (32, 23), 2: (16, 10), 3: (16, 7), 4: (64, 52)}  # section 11.4: B, p
KNOWN = {  # sections 11.3 to 11.7
    "frame_kind": (1, 2, 3),
    "elem_dtype": tuple(ELEMENTS),
    "aggregation": (1,),
    "bound_kind": (1, 2, 3, 4),
    "rounding": (1, 2, 3),
}

Header = namedtuple(
    "Header",
    "magic major minor header_len frame_len critical_features ancillary_features n_elements "
    "n_stored n_chunks n_tensors n_sections chunk_log2 frame_kind elem_dtype aggregation "
    "bound_kind rounding bound step rank world contributions bucket weight sum_key layout_key "
    "payload_offset meta_check header_check",
)


def read_header(data: bytes) -> Header:
    """Steps 1 to 33."""
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
    for step, (name, ids) in zip(range(14, 24, 2), KNOWN.items(), strict=True):
        require(getattr(h, name) != 0, step, f"{name} is 0")
        require(getattr(h, name) in ids, step + 1, f"{name} is {getattr(h, name)}")
    placed = header_len + 16 * h.n_sections <= h.payload_offset <= frame_len
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
    whole = h.n_stored == h.n_elements
    require(whole or h.frame_kind != DENSE, 32, f"n_stored is {h.n_stored} though it is dense")
    require(h.meta_check == check32(data[128 : h.payload_offset]), 33, "meta_check")
    return h


# Section 4: section table

TENSORS, DIMS, CODEBOOK, CHUNKDIR, PAYLOAD, KEYCODES, VALUECODE = 1, 2, 3, 5, 6, 7, 8
SKETCH, SCALES, SEEDS, RUNS = 4, 11, 12, 13
SINGLE = SEEDS, SKETCH
Section = namedtuple("Section", "count data")
Sections = dict[int, Section]


def read_sections(data: bytes, h: Header) -> Sections:
    """Steps 34 to 42: the sections by type; those that are absent are empty."""
    last_type, end = 0, h.header_len + 16 * h.n_sections
    sections: Sections = {}
    table = struct.iter_unpack("<HHIQ", data[h.header_len : end])
    for i, (kind, reserved, count, length) in enumerate(table):
        ordered = kind > last_type and kind != PAYLOAD
        last = i == h.n_sections - 1
        require(kind == PAYLOAD if last else ordered, 34, f"type {kind} after {last_type}")
        require(reserved == 0, 35, f"reserved field of type {kind}")
        start = align(end, 64 if last else 8)
        require(not any(data[end:start]), 36, f"bytes before type {kind} are not zero")
        last_type, end = kind, start + length
        limit = h.frame_len if last else h.payload_offset
        require(end <= limit, 37, f"length of type {kind} is {length}")
        sections[kind] = Section(count, data[start:end])
    placed = start == h.payload_offset and align(end, 64) == h.frame_len
    require(placed, 38, f"PAYLOAD is {start} to {end} of {h.frame_len}")
    require(not any(data[end : h.frame_len]), 39, "bytes after PAYLOAD are not zero")
    width = ELEMENTS[h.elem_dtype][0]
    entry_bits = {TENSORS: 128, DIMS: 64, CODEBOOK: width, CHUNKDIR: 256, PAYLOAD: 128}
    entry_bits |= {SKETCH: 192, KEYCODES: 128, VALUECODE: 4, SCALES: width, SEEDS: 128, RUNS: 128}
    for kind, section in sections.items():
        if kind < 0x8000:
            require(kind in entry_bits, 40, f"section type {kind}")
            length = -(-section.count * entry_bits[kind] // 8)
            sound = len(section.data) == length and (kind not in SINGLE or section.count <= 1)
            require(sound, 41, f"count of type {kind} is {section.count}")
    require(TENSORS in sections and CHUNKDIR in sections, 42, "no TENSORS or no CHUNKDIR")
    optional = entry_bits.keys() - {SKETCH}
    return dict.fromkeys(optional, Section(0, b"")) | sections


# Section 5: tensor table

Tensor = namedtuple("Tensor", "name_hash start shape")


def read_tensors(h: Header, sections: Sections) -> list[Tensor]:
    """Steps 43 to 49."""
    rows = list(struct.iter_unpack("<QBB6s", sections[TENSORS].data))
    require(len(rows) == h.n_tensors, 43, f"TENSORS has {len(rows)} entries")
    dims = [size for (size,) in struct.iter_unpack("<Q", sections[DIMS].data)]
    require(len(dims) == sum(row[1] for row in rows), 44, f"DIMS has {len(dims)} entries")
    tensors: list[Tensor] = []
    start, sizes = 0, iter(dims)
    for i, (name_hash, ndim, dtype, reserved) in enumerate(rows):
        require(ndim <= 32, 45, f"tensor {i} has {ndim} dimensions")
        plain = dtype == h.elem_dtype and not any(reserved)
        require(plain, 46, f"dtype or reserved bytes of tensor {i}")
        shape = tuple(islice(sizes, ndim))
        require(math.prod(d for d in shape if d) <= 2**48, 47, f"tensor {i} has shape {shape}")
        tensors.append(Tensor(name_hash, start, shape))
        start += math.prod(shape)
    whole = start == h.n_elements or h.frame_kind == COUNT_SKETCH
    require(whole, 48, f"the tensors have {start} elements")
    layout_key = xxh64(sections[TENSORS].data + sections[DIMS].data, 0)
    require(layout_key == h.layout_key, 49, "layout_key")
    return tensors


# Section 6: codebook and codes

Code = dict[str, int]  # bits, the first one first, to symbol
# B; p; patterns; codes, of which value_code may be None; seed and number of chunk 0, or nothing;
# first position, length of blocks and number of blocks before, of each run; patterns of scales
Codes = namedtuple("Codes", "width precision levels key_codes value_code seeds runs scales each")


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
        symbols[f"{code:0{length}b}"] = symbol
        code, before = code + 1, length
    return symbols


def read_codes(h: Header, sections: Sections) -> Codes:
    """Steps 50 to 65."""
    width, significand = ELEMENTS[h.elem_dtype]
    form = {16: "<H", 32: "<I", 64: "<Q"}[width]
    levels = [level for (level,) in struct.iter_unpack(form, sections[CODEBOOK].data)]
    require(len(levels) <= 2**16, 50, f"{len(levels)} levels")
    sign = 2 ** (width - 1)
    for i, level in enumerate(levels):
        finite = level % sign >> significand != (sign >> significand) - 1
        require(finite and level != sign, 51, f"level {i} is {level:#x}")
    all_lengths = half_bytes(sections[KEYCODES].data)
    key_lengths = [all_lengths[i : i + 32] for i in range(0, len(all_lengths), 32)]
    require(len(key_lengths) <= 256, 52, f"{len(key_lengths)} key codes")
    for i, lengths in enumerate(key_lengths):
        require(not lengths[0] and not any(lengths[26:]), 53, f"class in key code {i}")
    key_codes = [prefix_code(x, 54, f"key code {i}") for i, x in enumerate(key_lengths)]
    count = sections[VALUECODE].count
    value_lengths = half_bytes(sections[VALUECODE].data)
    require(count <= 4096, 56, f"{count} lengths in VALUECODE")
    require(count in (0, len(levels)), 57, f"{count} lengths for {len(levels)} levels")
    require(not any(value_lengths[count:]), 58, "spare half byte of VALUECODE")
    value_code = prefix_code(value_lengths[:count], 59, "the value code") if count else None
    seeds = [word for (word,) in struct.iter_unpack("<Q", sections[SEEDS].data)]
    runs: list[tuple[int, int, int]] = []
    start = blocks = 0
    for positions, block in struct.iter_unpack("<QQ", sections[RUNS].data):
        require(positions > 0 and block > 0, 61, f"a run of {positions} in blocks of {block}")
        runs.append((start, block, blocks))
        start, blocks = start + positions, blocks - (-positions // block)
    require(start == h.n_elements or not runs, 62, f"the runs have {start} positions")
    scales = [scale for (scale,) in struct.iter_unpack(form, sections[SCALES].data)]
    require(len(scales) in (blocks, 2 * blocks), 63, f"{len(scales)} scales for {blocks} blocks")
    infinity = (sign >> significand) - 1 << significand
    require(max(scales, default=0) < infinity, 64, "a scale is not finite, or has a sign")
    top = max((level % sign for level in levels), default=0)
    largest = product(top, max(scales, default=0), width, significand)
    require(largest < infinity, 65, "a level times a scale is not finite")
    each = len(scales) // max(blocks, 1)
    tables = levels, key_codes, value_code, seeds, runs, scales, each
    return Codes(width, significand, *tables)


Sketch = namedtuple("Sketch", "rows columns_log2 hash reserved seed unit")


def read_sketch(
    h: Header, sections: Sections, tensors: list[Tensor], chunks: "list[Chunk]"
) -> Sketch | None:
    """Steps 115 to 124."""
    is_sketch = h.frame_kind == COUNT_SKETCH
    needed = SKETCH in sections and sections[SKETCH].count == 1
    require(needed if is_sketch else SKETCH not in sections, 115, "entries in SKETCH")
    if not is_sketch:
        return None
    s = Sketch(*struct.unpack("<BBHIQd", sections[SKETCH].data))
    require(s.hash != 0, 116, "hash is 0")
    require(s.hash == 1, 117, f"hash is {s.hash}")
    require(1 <= s.rows <= 7 and s.columns_log2 <= 20, 118, f"size of the sketch: {s}")
    unit = s.unit >= 2.0**-1022 and math.frexp(s.unit)[0] == 0.5
    plus_0 = s.unit == 0 and math.copysign(1, s.unit) > 0
    require(s.reserved == 0 and (unit or plus_0), 119, f"reserved field or unit: {s}")
    require(h.elem_dtype in (1, 4), 120, f"elem_dtype is {h.elem_dtype}")
    require(h.n_elements == s.rows << s.columns_log2, 121, f"{h.n_elements} cells")
    positions = sum(math.prod(tensor.shape) for tensor in tensors)
    require(positions <= 2**32, 122, f"the tensors have {positions} elements")
    for i, c in enumerate(chunks):
        require(c.nnz == 0 or c.val_codec == RAW, 123, f"val_codec of chunk {i}")
    data = h.layout_key.to_bytes(8, "little") + sections[SKETCH].data
    require(h.sum_key == (xxh64(data, 0) or 1), 124, "sum_key")
    return s


def product(a: int, b: int, width: int, p: int) -> int:
    """The pattern of a times b, patterns without a sign: rounded once, infinity or more past it.

    >>> [f"{product(*pair, 32, 23):x}" for pair in ((0x3FC00000, 0x40000001), (1, 0x3EFFFFFF))]
    ['40400002', '0']
    """
    exponents = [max(x >> p, 1) for x in (a, b)]
    exact = math.prod(x % 2**p + (2**p if x >> p else 0) for x in (a, b))
    exponent = sum(exponents) - (2 ** (width - 2 - p) - 1) - p  # of the last bit of exact, plus p
    drop = max(exact.bit_length() - p - 1, 1 - exponent) if exact else 1 - exponent
    half = Fraction(exact) / Fraction(2) ** drop
    return (exponent + drop - 1 << p) + round(half)


# Section 7: chunk directory

ALL, BITMAP, COO, RICE, DELTA, BLOCKS, COLUMNS, SEEDED = 1, 2, 3, 4, 5, 7, 8, 9
RAW, FIXED, VALUE_RICE, SIGN, HUFFMAN, SIGNED = 1, 2, 3, 4, 5, 16
KEY_CODECS = (ALL, BITMAP, COO, RICE, DELTA, BLOCKS, COLUMNS, SEEDED)
VALUE_CODECS = (RAW, FIXED, VALUE_RICE, SIGN, HUFFMAN, 18, 19, 21)

Chunk = namedtuple(
    "Chunk",
    "off16 len16 nnz key_hi_bits val_hi_bits key_codec key_param val_codec val_param level_base "
    "columns check",
)


def rules(c: Chunk, positions: int, h: Header, codes: Codes) -> Iterator[tuple[int, bool]]:
    """Steps 67 to 90 in order, and whether a chunk passes them."""
    key, value, nnz, items = c.key_codec, c.val_codec % SIGNED, c.nnz, c.nnz + c.columns
    n_levels, n_codes, empty = len(codes.levels), len(codes.key_codes), c.nnz == 0
    yield 67, key != 0
    yield 68, key in KEY_CODECS
    yield 69, c.val_codec != 0
    yield 70, c.val_codec in VALUE_CODECS
    yield 71, nnz <= positions
    yield 72, key != RICE or c.key_param <= 24
    yield 73, key != COO or c.key_param <= 32
    yield 74, key != COO or empty or c.key_param > 0
    yield 75, key != DELTA or empty or c.key_param < n_codes
    yield (
        76,
        empty or ((key != COLUMNS or n_codes >= 2) and (key != SEEDED or len(codes.seeds) > 0)),
    )
    yield 77, key != COLUMNS or empty or c.key_param > 0
    yield 78, key not in (ALL, BITMAP, BLOCKS, SEEDED) or c.key_param == 0
    yield 79, key != COLUMNS or (nnz > 0) <= c.columns <= nnz
    yield 80, key == COLUMNS or c.columns == 0
    yield 81, key != ALL or empty or nnz == positions
    yield 82, h.frame_kind != DENSE or key == ALL
    coded = (items, 12 * items)
    most = nnz + (positions - nnz >> c.key_param)
    of_codec = {BITMAP: (positions, positions), RICE: (nnz, most), BLOCKS: (0, 24 * nnz)}
    of_codec |= {DELTA: coded, COLUMNS: coded}
    least, most = (0, 0) if empty else of_codec.get(key, (0, 0))
    yield 83, least <= c.key_hi_bits <= most
    has_param = value in (FIXED, VALUE_RICE)
    yield 84, not has_param or c.val_param <= 16
    no_bits = c.val_codec == SIGNED + FIXED and not empty and c.val_param == 0
    yield 85, not no_bits and (has_param or c.val_param == 0)
    yield 86, value not in (RAW, HUFFMAN) or c.level_base == 0
    yield 87, value == RAW or empty or c.level_base < n_levels
    yield 88, value != HUFFMAN or codes.value_code is not None
    most = nnz + nnz * (n_levels - c.level_base - 1 >> c.val_param)
    of_codec = {VALUE_RICE: (nnz, most), HUFFMAN: (nnz, 12 * nnz)}
    least, most = (0, 0) if empty else of_codec.get(value, (0, 0))
    yield 89, least <= c.val_hi_bits <= most
    bits = c.key_hi_bits or c.val_hi_bits
    yield 90, not (empty and (bits or c.key_param or c.val_param or c.level_base or c.columns))


def positions_of(h: Header, i: int) -> int:
    """Positions that chunk i covers."""
    return min(i + 1 << h.chunk_log2, h.n_elements) - (i << h.chunk_log2)


def read_directory(h: Header, sections: Sections, codes: Codes) -> list[Chunk]:
    """Steps 66 to 94."""
    require(sections[CHUNKDIR].count == h.n_chunks, 66, "entries in CHUNKDIR")
    chunks = [Chunk(*e) for e in struct.iter_unpack("<5I4B2HI", sections[CHUNKDIR].data)]
    failed: list[tuple[int, int]] = []
    for i, c in enumerate(chunks):
        steps = rules(c, positions_of(h, i), h, codes)
        failed += islice(((step, i) for step, sound in steps if not sound), 1)
    # Each step goes through all chunks before the next does, so the lowest step comes first.
    step, i = min(failed, default=(0, 0))
    require(not failed, step, f"chunk {i}: {chunks[i] if failed else ''}")
    require(sum(c.nnz for c in chunks) == h.n_stored, 91, f"n_stored is {h.n_stored}")
    for i, c in enumerate(chunks):
        most = length16(c, codes.width, 24 * (c.nnz + c.columns))
        require(length16(c, codes.width, 0) <= c.len16 <= most, 92, f"len16 of chunk {i}")
    end16 = 0
    for i, c in enumerate(chunks):
        require(c.off16 == end16, 93, f"off16 of chunk {i} is {c.off16}")
        end16 += c.len16
    require(end16 == sections[PAYLOAD].count, 94, "the length of PAYLOAD")
    return chunks


# Section 8: planes


def plane_bits(c: Chunk, width: int, rests: int) -> list[int]:
    """Bits of the seven planes, in their order."""
    key, value, fields = c.key_codec, c.val_codec % SIGNED, c.nnz * c.key_param
    blocks = -(-(c.nnz + c.columns) // 128)
    ends = 11 * (blocks - 1)
    key_index = {DELTA: ends, BLOCKS: 5 * blocks, COLUMNS: 128 * c.key_param + ends}
    key_low = {COO: fields, RICE: fields, DELTA: rests, COLUMNS: rests}
    sign = c.nnz if RAW < c.val_codec < SIGNED else 0
    value_index = 11 * (-(-c.nnz // 128) - 1) if value == HUFFMAN else 0
    value_width = {RAW: width, FIXED: c.val_param, VALUE_RICE: c.val_param}.get(value, 0)
    values = [sign, value_index, c.val_hi_bits, c.nnz * value_width]
    return [key_index.get(key, 0), c.key_hi_bits, *values, key_low.get(key, 0)]


def length16(c: Chunk, width: int, rests: int) -> int:
    """Length of the planes in units of 16 bytes, the padding included."""
    words = sum(-(-bits // 64) for bits in plane_bits(c, width, rests))
    return words // 2 + 1 if c.nnz else 0


# A plane is a string of 0 and 1, bit 0 first.


def cut(data: bytes, sizes: list[int]) -> list[str]:
    """Planes of so many bits each, and the padding."""
    text = f"{int.from_bytes(data, 'little'):0{8 * len(data)}b}"[::-1]
    planes: list[str] = []
    for bits in sizes:
        plane, spare, text = text[:bits], text[bits : align(bits, 64)], text[align(bits, 64) :]
        require("1" not in spare, 111, "bits of a plane past its last are not zero")
        planes.append(plane)
    return [*planes, text]


def number(bits: str) -> int:
    """The number that a field holds."""
    return int(bits[::-1] or "0", 2)


def fields(plane: str, count: int, width: int) -> list[int]:
    """The first fields of a plane."""
    return [number(plane[j * width : (j + 1) * width]) for j in range(count)]


def unary(plane: str, count: int, step: int) -> list[int]:
    """The numbers h_0, h_1, ... of a unary plane."""
    *zeros, rest = plane.split("1")
    require(len(zeros) == count and not rest, step, "unary plane")
    return [len(run) for run in zeros]


def symbols(plane: str, codes: Sequence[Code], index: str, step: int) -> list[int]:
    """The symbols of item after item, each in a code of its own; ``index``: bits of blocks."""
    found: list[int] = []
    bit = start = 0
    for j, code in enumerate(codes):
        length = next((n for n in range(1, 13) if plane[bit : bit + n] in code), 0)
        require(length > 0, step, f"item {j} is no code")
        found.append(code[plane[bit : bit + length]])
        bit += length
        if j % 128 == 127 and j + 1 < len(codes):
            taken = number(index[j // 128 * 11 :][:11])
            require(bit - start == taken, step, f"block {j // 128} of codes")
            start = bit
    require(bit == len(plane), step, "the codes end before their plane does")
    return found


def read_chunk(
    i: int, c: Chunk, data: bytes, positions: int, codes: Codes
) -> tuple[list[int], list[int]]:
    """Steps 96 to 112: the keys of chunk i with nnz above 0, and its values as patterns."""
    index, high = cut(data, plane_bits(c, codes.width, 0))[:2]
    classes: list[int] = []
    if c.key_codec == DELTA:
        classes = symbols(high, [codes.key_codes[c.key_param]] * c.nnz, index, 101)
    elif c.key_codec == COLUMNS:
        code_of_item = [codes.key_codes[-1]] * c.columns + [codes.key_codes[-2]] * c.nnz
        classes = symbols(high, code_of_item, index[128 * c.key_param :], 101)
    rests = sum(classes) - len(classes)
    require(c.len16 == length16(c, codes.width, rests), 102, f"len16 is {c.len16}")
    _, _, *values, low, padding = cut(data, plane_bits(c, codes.width, rests))
    require("1" not in padding, 112, "the padding is not zero")
    gaps: list[int] = []
    bit = 0
    for length in classes:
        gaps.append(number(low[bit : bit + length - 1] + "1"))
        bit += length - 1
    if c.key_codec == SEEDED:
        keys = draw_keys(i, c.nnz, positions, *codes.seeds)
    else:
        keys = read_keys(c, positions, index, high, low, gaps)
    require(all(a < b for a, b in pairwise(keys)), 97, "keys do not ascend")
    require(keys[-1] < positions, 98, f"key {keys[-1]} of {positions} positions")
    return keys, read_values(c, codes, *values)


def draw(seed: int, counter: int) -> int:
    """A number of 64 bits.

    >>> f"{draw(0, 1):x} {draw(7, 2**24):x}"
    'e220a8397b1dcdaf d5f7dce6d7477c1b'
    """
    x = seed + counter * 0x9E3779B97F4A7C15 & U64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & U64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & U64
    return x ^ x >> 31


def draw_keys(i: int, nnz: int, positions: int, seed: int, first: int) -> list[int]:
    """Keys of SEEDED: one of each of nnz equal parts of chunk i."""
    ends = [j * positions // nnz for j in range(nnz + 1)]
    counters = range((first + i) * 2**24, (first + i) * 2**24 + nnz)
    parts = zip(counters, pairwise(ends), strict=True)
    return [b + draw(seed, counter) % (e - b) for counter, (b, e) in parts]


def place(position: int, row: int, sketch: Sketch) -> tuple[int, int]:
    """The cell of a position in a row of a count-sketch, and 1 or -1.

    >>> [place(4, row, Sketch(3, 2, 1, 0, 0, 0.0)) for row in range(3)]
    [(3, 1), (6, -1), (10, -1)]
    """
    tables, q = row // 3 * 1024, row % 3
    h = 0
    for i in range(4):
        h ^= draw(sketch.seed, tables + 256 * i + (position >> 8 * i) % 256)
    field = (h >> q * (sketch.columns_log2 + 1)) % 2 ** (sketch.columns_log2 + 1)
    columns = 2**sketch.columns_log2
    return row * columns + field % columns, 1 if field < columns else -1


def sums(gaps: list[int]) -> list[int]:
    """Numbers that are these gaps apart, from -1 on."""
    return list(accumulate(gaps, initial=-1))[1:]


def read_keys(
    c: Chunk, positions: int, index: str, high: str, low: str, gaps: list[int]
) -> list[int]:
    """Keys by codec; ``gaps`` are those of DELTA and COLUMNS."""
    if c.key_codec == ALL:
        return list(range(c.nnz))
    if c.key_codec == BITMAP:
        keys = [p for p, bit in enumerate(high) if bit == "1"]
        require(len(keys) == c.nnz, 96, f"the bitmap has {len(keys)} ones, nnz is {c.nnz}")
        return keys
    if c.key_codec == COO:
        return fields(low, c.nnz, c.key_param)
    if c.key_codec == COLUMNS:
        return read_columns(c, positions, index, gaps)
    if c.key_codec == RICE:
        pairs = zip(unary(high, c.nnz, 99), fields(low, c.nnz, c.key_param), strict=True)
        gaps = [(h << c.key_param) + rest + 1 for h, rest in pairs]
    elif c.key_codec == BLOCKS:
        widths = fields(index, -(-c.nnz // 128), 5)
        ends = list(accumulate((widths[j // 128] for j in range(c.nnz)), initial=0))
        require(ends[-1] == c.key_hi_bits, 100, f"the blocks take {ends[-1]} bits")
        gaps = [number(high[a:b]) + 1 for a, b in pairwise(ends)]
    return sums(gaps)


def read_columns(c: Chunk, positions: int, index: str, gaps: list[int]) -> list[int]:
    """Keys of COLUMNS: places among the active columns of each piece, turned into positions."""
    numbers = fields(index, 4 * c.key_param, 32)
    heads = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
    for w, f, length, active in heads:
        require(length >= 1 and (f < w or w == f == active == 0), 103, f"head {w, f, length}")
    require(sum(head[2] for head in heads) == positions, 104, "lengths of pieces")
    require(sum(head[3] for head in heads) == c.columns, 104, "active columns of pieces")
    places = iter(sums(gaps[c.columns :]))
    keys: list[int] = []
    place = next(places, None)
    first_place = first_position = first_column = 0
    for w, f, length, active in heads:
        columns = sums(gaps[first_column : first_column + active])
        require(not columns or columns[-1] < w, 105, f"an active column is not below {w}")
        end_place = first_place + (((f + length - 1) // w + 1) * active if w else length)
        while place is not None and place < end_place:
            position = place - first_place
            if w:
                row, i = divmod(position, active)
                position = row * w + columns[i] - f
            require(0 <= position < length, 106, f"place {place} is not in its piece")
            keys.append(first_position + position)
            place = next(places, None)
        first_place, first_column = end_place, first_column + active
        first_position += length
    require(place is None, 106, f"place {place} is past all pieces")
    return keys


def read_values(c: Chunk, codes: Codes, sign: str, index: str, high: str, low: str) -> list[int]:
    """Values by codec, as patterns."""
    value, nnz = c.val_codec % SIGNED, c.nnz
    if value == RAW:
        return fields(low, nnz, codes.width)
    indices = fields(low, nnz, c.val_param)
    if value == HUFFMAN:
        indices = symbols(high, [codes.value_code] * nnz, index, 108)
    elif value == VALUE_RICE:
        pairs = zip(unary(high, nnz, 107), indices, strict=True)
        indices = [(h << c.val_param) + rest for h, rest in pairs]
    require(c.level_base + max(indices) < len(codes.levels), 109, f"index {max(indices)}")
    patterns = [codes.levels[c.level_base + i] for i in indices]
    if c.val_codec > SIGNED:
        return patterns
    top = 2 ** (codes.width - 1)
    require(max(patterns) < top, 110, "a level has a sign of its own")
    return [top * int(bit) + pattern for bit, pattern in zip(sign, patterns, strict=True)]


def scaled(positions: list[int], values: list[int], codes: Codes) -> list[int]:
    """Patterns times the scales of the blocks that their positions are in."""
    top, found = 2 ** (codes.width - 1), []
    for position, value in zip(positions, values, strict=True):
        run = bisect(codes.runs, position, key=itemgetter(0)) - 1
        start, block, before = codes.runs[run]
        number, negative = before + (position - start) // block, value >= top
        scale = codes.scales[number * codes.each + (negative and codes.each == 2)]
        magnitude = product(value % top, scale, codes.width, codes.precision)
        found.append(negative * top + magnitude)
    return found


# Section 9: all steps in order

# Positions of the stored elements (or cells), and their values as patterns; None, or a sketch.
Decoded = namedtuple("Decoded", "header tensors keys values sketch")


def decode(data: bytes, max_elements: int = 2**48, n_elements: int | None = None) -> Decoded:
    """Decode the frame that ``data`` starts with, or raise one of the eight classes.

    ``max_elements``: what the caller allows (step 113); ``n_elements``: room it has (step 114).
    Both are looked at once steps 94 and 115 to 124 have passed.
    """
    h = read_header(data)
    sections = read_sections(data, h)
    tensors = read_tensors(h, sections)
    codes = read_codes(h, sections)
    chunks = read_directory(h, sections, codes)
    sketch = read_sketch(h, sections, tensors, chunks)
    allowed = n_elements is not None or h.n_elements <= max_elements
    require(allowed, 113, f"{h.n_elements} elements are not allowed")
    require(n_elements in (None, h.n_elements), 114, f"room for {n_elements} elements")
    bodies = [sections[PAYLOAD].data[16 * c.off16 : 16 * (c.off16 + c.len16)] for c in chunks]
    for i, (c, body) in enumerate(zip(chunks, bodies, strict=True)):
        require(c.check == check32(body, i), 95, f"check of chunk {i}")
    keys: list[int] = []
    values: list[int] = []
    for i, (c, body) in enumerate(zip(chunks, bodies, strict=True)):
        if c.nnz:
            chunk_keys, chunk_values = read_chunk(i, c, body, positions_of(h, i), codes)
            positions = [(i << h.chunk_log2) + key for key in chunk_keys]
            keys += positions
            is_scaled = codes.scales and c.val_codec != RAW
            values += scaled(positions, chunk_values, codes) if is_scaled else chunk_values
    return Decoded(h, tensors, keys, values, sketch)


def summary(decoded: Decoded) -> dict[str, object]:
    """What a frame holds, as values that JSON can carry; patterns have B / 4 hex digits."""
    size = ELEMENTS[decoded.header.elem_dtype][0] // 8
    values = b"".join(pattern.to_bytes(size, "little") for pattern in decoded.values)
    keys = struct.pack(f"<{len(decoded.keys)}Q", *decoded.keys)
    return {
        "header": decoded.header._asdict() | {"magic": decoded.header.magic.hex()},
        "tensors": [tensor._asdict() for tensor in decoded.tensors],
        "sketch": decoded.sketch and decoded.sketch._asdict(),
        "nnz": len(decoded.keys),
        "keys": decoded.keys[:16],
        "values": [f"{pattern:0{2 * size}x}" for pattern in decoded.values[:16]],
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
