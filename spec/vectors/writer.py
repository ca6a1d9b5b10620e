"""A writer of frames for vectors: any field, codec and plane, sound or not.

It packs what it is told to, so it reaches what no encoder writes. Only XXH64 and the layout of the
header come from `reference.py`.
"""

import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import reference

ALL, BITMAP, COO, RICE, DELTA, BLOCKS, COLUMNS, SEEDED = 1, 2, 3, 4, 5, 7, 8, 9
RAW, FIXED, VALUE_RICE, SIGN, HUFFMAN = 1, 2, 3, 4, 5
SIGNED_FIXED, SIGNED_RICE, SIGNED_HUFFMAN = 18, 19, 21
HEADER = struct.Struct("<4sBBHQIIQQIIHBBBBBBdQIIIIdQQQII")
ENTRY_FIELDS = reference.Chunk._fields
ENTRY_CODES = "IIIIIBBBBHHI"


NO_CODES = ((), (), ())


class Bits:
    """A plane under construction: fields one after the other."""

    def __init__(self, fields=()):
        self.number, self.count = 0, 0
        for value, width in fields:
            self.put(value, width)

    def put(self, value, width):
        assert 0 <= value < 1 << width, (value, width)
        self.number |= value << self.count
        self.count += width

    def words(self):
        return self.number.to_bytes(8 * -(-self.count // 64), "little")


def prefix_codes(lengths):
    """{symbol: (bits in the order of the plane, length)} of a canonical code."""
    table, code, before = {}, 0, 0
    for length, symbol in sorted((length, s) for s, length in enumerate(lengths) if length):
        code <<= length - before
        table[symbol] = int(f"{code:0{length}b}"[::-1], 2), length
        code, before = code + 1, length
    return table


def blocks_of(coded):
    """(plane of codes, bits that each block of 128 but the last takes)."""
    taken = [sum(width for _, width in coded[i : i + 128]) for i in range(0, len(coded), 128)]
    return Bits(coded), [(bits, 11) for bits in taken[:-1]]


def gaps_of(numbers):
    return [b - a for a, b in zip([-1, *numbers], numbers, strict=False)]


@dataclass
class Chunk:
    """One chunk: its entry, and the planes by name."""

    entry: dict
    planes: list
    padding: bytes | None = None

    def body(self):
        words = b"".join(plane.words() for plane in self.planes)
        padding = bytes(16 - len(words) % 16) if self.padding is None else self.padding
        return words + padding if self.entry["nnz"] else b""


def make_chunk(
    keys,
    values,
    key=(COO, 32),
    value=(RAW, 0),
    level_base=0,
    positions=0,
    pieces=(),
    codes=NO_CODES,
    bits=32,
):
    """Pack keys and values: patterns for RAW, else indices, with (index, negative) where signs are.

    `bits`: those of a pattern; `pieces`: (w, f, l, active columns); `codes`: lengths of (classes of
    keys or places, classes of columns, levels). SEEDED keys take no bits, so they are those of
    `reference.draw_keys`, or what is written means others.
    """
    (key_codec, key_param), (value_codec, value_param), nnz = key, value, len(keys)
    index, high, low = Bits(), Bits(), Bits()
    gaps, columns = gaps_of(keys), 0
    if key_codec == BITMAP and nnz:
        high = Bits([(int(p in set(keys)), 1) for p in range(positions)])
    elif key_codec == COO:
        low = Bits([(k, key_param) for k in keys])
    elif key_codec == RICE:
        high = Bits([(1 << (g - 1 >> key_param), (g - 1 >> key_param) + 1) for g in gaps])
        low = Bits([((g - 1) % (1 << key_param), key_param) for g in gaps])
    elif key_codec == BLOCKS:
        for i in range(0, nnz, 128):
            width = max(g - 1 for g in gaps[i : i + 128]).bit_length()
            index.put(width, 5)
            for g in gaps[i : i + 128]:
                high.put(g - 1, width)
    elif key_codec in (DELTA, COLUMNS) and nnz:
        tables = [prefix_codes(codes[0])] * nnz
        if key_codec == COLUMNS:
            key_param, columns = len(pieces), sum(len(active) for *_, active in pieces)
            for w, f, length, active in pieces:
                for number in (w, f, length, len(active)):
                    index.put(number, 32)
            of_columns = [g for *_, active in pieces for g in gaps_of(active)]
            gaps = of_columns + gaps_of(places_of(keys, pieces))
            tables = [prefix_codes(codes[1])] * columns + tables
        high, heads = blocks_of([t[g.bit_length()] for t, g in zip(tables, gaps, strict=True)])
        for head, width in heads:
            index.put(head, width)
        low = Bits([(g - (1 << g.bit_length() - 1), g.bit_length() - 1) for g in gaps])
    sign, value_index, value_high, value_low = Bits(), Bits(), Bits(), Bits()
    if RAW < value_codec < 16:
        sign = Bits([(int(negative), 1) for _, negative in values])
        values = [i for i, _ in values]
    if value_codec == RAW:
        value_low = Bits([(v, bits) for v in values])
    elif value_codec % 16 == FIXED:
        value_low = Bits([(v, value_param) for v in values])
    elif value_codec % 16 == VALUE_RICE:
        value_high = Bits([(1 << (v >> value_param), (v >> value_param) + 1) for v in values])
        value_low = Bits([(v % (1 << value_param), value_param) for v in values])
    elif value_codec % 16 == HUFFMAN:
        table = prefix_codes(codes[2])
        value_high, heads = blocks_of([table[v] for v in values])
        value_index = Bits(heads)
    entry = dict(zip(ENTRY_FIELDS, [0] * 12, strict=True)) | {
        "nnz": nnz,
        "key_hi_bits": high.count,
        "val_hi_bits": value_high.count,
        "key_codec": key_codec,
        "key_param": key_param if nnz else 0,
        "val_codec": value_codec,
        "val_param": value_param if nnz else 0,
        "level_base": level_base,
        "columns": columns,
    }
    return Chunk(entry, [index, high, sign, value_index, value_high, value_low, low])


def places_of(keys, pieces):
    """Places of keys, counted over the active columns of all pieces."""
    places, first_place, start = [], 0, 0
    for w, f, length, active in pieces:
        for key in keys:
            if start <= key < start + length:
                row, column = divmod(key - start + f, w) if w else (0, 0)
                place = row * len(active) + active.index(column) if w else key - start
                places.append(first_place + place)
        first_place += ((f + length - 1) // w + 1) * len(active) if w else length
        start += length
    return places


@dataclass
class Writer:
    """A frame from its parts; `header` and `entries` overwrite fields before the checks are made.

    A check named in `header` ("meta_check", ...) or an entry ("check") stays as given.
    """

    n: int
    chunk_log2: int
    chunks: list = field(default_factory=list)
    levels: list = field(default_factory=list)
    key_codes: list = field(default_factory=list)
    value_code: list = field(default_factory=list)
    seeds: list = field(default_factory=list)
    runs: list = field(default_factory=list)
    scales: list = field(default_factory=list)
    tensors: list | None = None
    header_len: int = 128
    header: dict = field(default_factory=dict)
    entries: dict = field(default_factory=dict)
    sections: dict = field(default_factory=dict)
    keep_empty: bool = False
    element: int = 1
    sketch: tuple | None = None

    def write(self):
        directory, payload = b"", b""
        for i, chunk in enumerate(self.chunks):
            body = chunk.body()
            entry = chunk.entry | {
                "off16": len(payload) // 16,
                "len16": len(body) // 16,
                "check": reference.check32(body, i),
            }
            entry |= self.entries.get(i, {})
            directory += struct.pack("<" + ENTRY_CODES, *(entry[name] for name in ENTRY_FIELDS))
            payload += body
        tensors = [("", (self.n,))] if self.tensors is None else self.tensors
        rows, dims = b"", []
        for name, shape in tensors:
            name_hash = reference.xxh64(name.encode(), 0)
            rows += struct.pack("<QBB6x", name_hash, len(shape), self.element)
            dims += shape
        form = {16: "H", 32: "I", 64: "Q"}[reference.ELEMENTS[self.element][0]]
        key_codes = b"".join(pack_halves(lengths) for lengths in self.key_codes)
        content = {
            1: (len(tensors), rows),
            2: (len(dims), struct.pack(f"<{len(dims)}Q", *dims)),
            3: (len(self.levels), struct.pack(f"<{len(self.levels)}{form}", *self.levels)),
            5: (len(self.chunks), directory),
            6: (len(payload) // 16, payload),
            7: (len(self.key_codes), key_codes),
            8: (len(self.value_code), pack_halves(self.value_code)),
            11: (len(self.scales), struct.pack(f"<{len(self.scales)}{form}", *self.scales)),
            12: (len(self.seeds) // 2, struct.pack(f"<{len(self.seeds)}Q", *self.seeds)),
            13: (len(self.runs), b"".join(struct.pack("<2Q", *run) for run in self.runs)),
        }
        if self.sketch:
            content[4] = 1, self.sketch_entry()
        needed = (1, 5, 6)
        kept = {
            kind: part
            for kind, part in content.items()
            if part[0] or kind in needed or self.keep_empty
        }
        kept = {kind: part for kind, part in (kept | self.sections).items() if part is not None}
        order = sorted(kept, key=lambda kind: (kind == 6, kind))
        first = self.header_len + 16 * len(order)
        table, body = b"", b""
        for kind in order:
            count, part = kept[kind]
            table += struct.pack("<HHIQ", kind, 0, count, len(part))
            body += bytes(-(first + len(body)) % (64 if kind == 6 else 8))
            offset = first + len(body)
            body += part
        body += bytes(-(first + len(body)) % 64)
        stored = sum(chunk.entry["nnz"] for chunk in self.chunks)
        header = {
            "magic": reference.MAGIC, "major": 1, "minor": 0, "header_len": self.header_len,
            "frame_len": first + len(body), "critical_features": 0, "ancillary_features": 0,
            "n_elements": self.n, "n_stored": stored, "n_chunks": len(self.chunks),
            "n_tensors": len(tensors), "n_sections": len(order), "chunk_log2": self.chunk_log2,
            "frame_kind": 2, "elem_dtype": self.element, "aggregation": 1, "bound_kind": 2,
            "rounding": 1, "bound": 0.5, "step": 0, "rank": 2**32 - 1, "world": 2**32 - 1,
            "contributions": 1, "bucket": 0, "weight": 1.0, "sum_key": 0, "layout_key": 0,
            "payload_offset": offset, "meta_check": 0, "header_check": 0,
        }  # fmt: skip
        junk = bytes(range(1, self.header_len - 127))
        frame = HEADER.pack(*(header | self.header).values()) + junk + table
        return seal(frame + body, keep=self.header)

    def sketch_entry(self):
        """(rows, log2 of columns, seed, unit), or with hash and reserved field before the seed."""
        rows, log2, *middle, seed, unit = self.sketch
        return struct.pack("<BBHIQd", rows, log2, *(middle or (1, 0)), seed, unit)


def pack_halves(lengths):
    """Numbers of four bits, two to a byte."""
    padded = [*lengths, *[0] * (len(lengths) % 2)]
    return bytes(a | b << 4 for a, b in zip(padded[::2], padded[1::2], strict=True))


# Changing a frame that is there


def table_of(frame):
    """{section type: (offset of its entry, offset, length)}."""
    header = reference.Header(*HEADER.unpack(frame[:128]))
    found, end = {}, header.header_len + 16 * header.n_sections
    for at in range(header.header_len, end, 16):
        kind, _, _, length = struct.unpack("<HHIQ", frame[at : at + 16])
        offset = reference.align(end, 64 if kind == 6 else 8)
        found[kind] = at, offset, length
        end = offset + length
    return found


def seal(frame, keep=(), chunks=()):
    """Make the checks right again but those in `keep`, and of these chunks (all: their bytes)."""
    frame, table = bytearray(frame), table_of(frame)
    if chunks:
        directory, payload = table[5][1], table[6][1]
        for i in chunks:
            off16, len16 = struct.unpack_from("<II", frame, directory + 32 * i)
            part = bytes(frame[payload + 16 * off16 : payload + 16 * (off16 + len16)])
            struct.pack_into("<I", frame, directory + 32 * i + 28, reference.check32(part, i))
    if "layout_key" not in keep:
        rows = b"".join(
            bytes(frame[offset : offset + length])
            for _, offset, length in (table.get(kind, (0, 0, 0)) for kind in (1, 2))
        )
        struct.pack_into("<Q", frame, 104, reference.xxh64(rows, 0))
    if 4 in table and frame[51] == 3 and "sum_key" not in keep:
        offset = table[4][1]
        data = bytes(frame[104:112] + frame[offset : offset + 24])
        struct.pack_into("<Q", frame, 96, reference.xxh64(data, 0) or 1)
    payload_offset = struct.unpack_from("<Q", frame, 112)[0]
    if "meta_check" not in keep:
        check = reference.check32(bytes(frame[128:payload_offset]))
        struct.pack_into("<I", frame, 120, check)
    if "header_check" not in keep:
        struct.pack_into("<I", frame, 124, reference.check32(bytes(frame[:124])))
    return bytes(frame)


def put(frame, at, code, value):
    """A copy with one number changed, no check made right."""
    frame = bytearray(frame)
    struct.pack_into("<" + code, frame, at, value)
    return bytes(frame)


def flip(frame, i, bit):
    """A copy with one bit of the payload of chunk i changed, and sealed."""
    _, directory, _ = table_of(frame)[5]
    off16 = struct.unpack_from("<I", frame, directory + 32 * i)[0]
    changed = bytearray(frame)
    changed[table_of(frame)[6][1] + 16 * off16 + bit // 8] ^= 1 << bit % 8
    return seal(changed, chunks=[i])
