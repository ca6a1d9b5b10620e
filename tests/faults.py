"""Every step of section 9 broken: sound frames, what to overwrite in them, and how."""

import struct

import numpy as np
from document import EXAMPLES, LAYOUTS, example, hex_block

import gcodec
from gcodec.format import frame as wire
from gcodec.format import ids
from gcodec.format.directory import CHUNK
from gcodec.format.header import HEADER_SIZE, LOW_32, Header
from gcodec.format.sections import SECTION, TENSOR, Tensor
from gcodec.format.sketch import Sketch
from gcodec.kernels import load

XXH64 = load("reference").xxh64
FORMATS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "f64": "<d"}
ONE = np.float32(1).view(np.uint32)
CELLS = np.array([1, 0, -2, 0, 3, 0.5], np.float32)

# Sound frames

NO_TABLES = wire.Tables(
    np.zeros(0, np.uint32),
    np.zeros((0, 32), np.uint8),
    np.zeros(0, np.uint8),
    np.zeros(0, np.uint64),
)


def sealed(header, tensors, tables, directory):
    """A frame of chunks without planes."""
    return wire.seal(wire.draft(header, tensors, tables, directory), load("cpu").xxh64)


def _empty_chunk():
    directory = np.zeros(1, CHUNK)
    directory["key_codec"], directory["val_codec"] = ids.KeyCodec.RICE, ids.ValueCodec.RAW
    directory["check"] = XXH64(b"", 0) & LOW_32
    return directory


def _two_tensors():
    """33 dimensions in two tensors of one element each, none of them stored."""
    tensors = Tensor(0, 0, (1,) * 32), Tensor(0, 1, (1,))
    return sealed(Header(n_elements=2), tensors, NO_TABLES, _empty_chunk())


def _tables():
    """Nothing stored, but one level and a code of it."""
    tables = NO_TABLES._replace(levels=np.full(1, ONE), value_code=np.ones(1, np.uint8))
    return sealed(Header(n_elements=10), (Tensor(0, 0, (10,)),), tables, _empty_chunk())


def _scaled():
    """Two blocks of five elements, of which three are stored."""
    grad = np.array([0, 4, 0, 0, 0, -1, 0, 0, 0, 2], np.float32)
    return gcodec.get_codec("reclog:k=3,scales=5").encode(grad).tobytes()


def _level():
    """A count-sketch of one cell, and a level that it does not use."""
    directory = np.zeros(1, CHUNK)
    directory["nnz"] = directory["len16"] = 1
    directory["key_codec"], directory["val_codec"] = ids.KeyCodec.ALL, ids.ValueCodec.RAW
    kind = ids.FrameKind.COUNT_SKETCH
    header = Header(n_elements=1, n_stored=1, frame_kind=kind)
    tables = NO_TABLES._replace(levels=np.full(1, ONE))
    work = wire.draft(header, (Tensor(0, 0, (6,)),), tables, directory, Sketch(1, 0, 5))
    work.payload[:] = 0
    work.directory["check"] = XXH64(work.payload.tobytes(), 0) & LOW_32
    return wire.seal(work, load("cpu").xxh64)


def _long_header(frame):
    """`frame` with 64 bytes of ones between header and section table."""
    data = bytearray(frame[:HEADER_SIZE] + b"\1" * 64 + frame[HEADER_SIZE:])
    for at, width in (6, 2), (8, 8), (112, 8):
        moved = int.from_bytes(data[at : at + width], "little") + 64
        data[at : at + width] = moved.to_bytes(width, "little")
    payload = int.from_bytes(data[112:120], "little")
    data[120:124] = (XXH64(data[128:payload], 0) & LOW_32).to_bytes(4, "little")
    data[124:128] = (XXH64(data[:124], 0) & LOW_32).to_bytes(4, "little")
    return bytes(data)


def _bases():
    rice = gcodec.get_codec("reclog:ratio=1,keys=rice")
    examples = {kind: example(kind)[2].tobytes() for kind in EXAMPLES}
    return {
        "sign": examples.pop("coo-sign"),
        **{kind.split("-")[0]: frame for kind, frame in examples.items()},
        "frame": hex_block("frame"),
        "none": gcodec.Codec().encode(np.zeros(0, np.float32)).tobytes(),
        "empty": gcodec.Codec().encode(np.zeros(10, np.float32)).tobytes(),
        "ones": rice.encode(np.ones(100, np.float32)).tobytes(),
        "two": rice.encode(np.ones(2000, np.float32)).tobytes(),
        "deep": _two_tensors().tobytes(),
        "scaled": _scaled(),
        "tables": _tables().tobytes(),
        "tail": _long_header(hex_block("frame")),
        "sketch": gcodec.CountSketch(6, columns=4, rows=3).insert(CELLS).encode().tobytes(),
        "cell": gcodec.CountSketch(6, columns=1, rows=1).insert(CELLS).encode().tobytes(),
        "level": _level().tobytes(),
    }


BASES = _bases()

# Ways to break them: (place, field or index, value)

SHORTER = [("section 5", "length", 80), ("section 5", "count", 5), ("chunk 0", "len16", 5)]
LONGER = [("section 5", "length", 112), ("section 5", "count", 7), ("chunk 0", "len16", 7)]
DEEP = [("tensor 0", "ndim", 33), ("tensor 1", "ndim", 0)]

FAULTS = {
    1: ("frame", [("byte", 0, 0)]),
    2: ("frame", [("cut", 15, 0)]),
    3: ("frame", [("header", "major", 2)]),
    4: ("frame", [("header", "header_len", 64)]),
    5: ("frame", [("header", "frame_len", 385)]),
    6: ("frame", [("header", "frame_len", 448)]),
    7: ("frame", [("header", "header_check", 0)]),
    8: ("frame", [("header", "critical_features", 1 << 31)]),
    9: ("frame", [("header", "n_elements", 2**48 + 1)]),
    10: ("frame", [("header", "n_chunks", 2**24 + 1)]),
    11: ("frame", [("header", "n_tensors", 0)]),
    12: ("frame", [("header", "n_sections", 65)]),
    13: ("frame", [("header", "chunk_log2", 5)]),
    14: ("frame", [("header", "frame_kind", 0)]),
    15: ("frame", [("header", "frame_kind", 4)]),
    16: ("frame", [("header", "elem_dtype", 0)]),
    17: ("frame", [("header", "elem_dtype", 5)]),
    18: ("frame", [("header", "aggregation", 0)]),
    19: ("frame", [("header", "aggregation", 2)]),
    20: ("frame", [("header", "bound_kind", 0)]),
    21: ("frame", [("header", "bound_kind", 5)]),
    22: ("frame", [("header", "rounding", 0)]),
    23: ("frame", [("header", "rounding", 4)]),
    24: ("frame", [("header", "payload_offset", 321)]),
    25: ("frame", [("header", "bound", float("inf"))]),
    26: ("frame", [("header", "bound_kind", 1)]),
    27: ("frame", [("header", "weight", 0.0)]),
    28: ("frame", [("header", "rank", 0)]),
    29: ("frame", [("header", "contributions", 0)]),
    30: ("frame", [("header", "n_chunks", 2)]),
    31: ("frame", [("header", "n_stored", 11)]),
    32: ("frame", [("header", "frame_kind", 1)]),
    33: ("frame", [("header", "meta_check", 0)]),
    34: ("frame", [("section 1", "type", 1)]),
    35: ("frame", [("section 1", "reserved", 1)]),
    36: ("frame", [("byte", 319, 1)]),
    37: ("frame", [("section 4", "length", 65)]),
    38: ("frame", [("section 4", "length", 0)]),
    39: ("frame", [("byte", 383, 1)]),
    40: ("columns", [("section 5", "type", 9)]),
    41: ("frame", [("section 2", "count", 9)]),
    42: ("frame", [("section 3", "type", 0x8000)]),
    43: ("frame", [("header", "n_tensors", 2)]),
    44: ("frame", [("tensor 0", "ndim", 0)]),
    45: ("deep", DEEP),
    46: ("frame", [("tensor 0", "dtype", 2)]),
    47: ("frame", [("dim", 0, 2**48 + 1)]),
    48: ("frame", [("dim", 0, 9)]),
    49: ("frame", [("header", "layout_key", 1)]),
    51: ("frame", [("level", 1, -0.0)]),
    53: ("columns", [("key code", 0, 0x11)]),
    54: ("columns", [("key code", 0, 0xD0)]),
    55: ("columns", [("key code", 0, 0x20)]),
    57: ("columns", [("section 5", "count", 16)]),
    58: ("columns", [("value code", 7, 0x14)]),
    59: ("columns", [("value code", 0, 0x4D)]),
    60: ("columns", [("value code", 0, 0x42)]),
    61: ("scaled", [("run", 1, 0)]),
    62: ("scaled", [("run", 0, 9)]),
    63: ("scaled", [("run", 1, 2)]),
    64: ("scaled", [("scale", 1, float("inf"))]),
    65: ("scaled", [("scale", 0, 3e38), ("level", 0, 8.0)]),
    66: ("frame", [("section 3", "count", 2), ("section 3", "length", 64)]),
    67: ("frame", [("chunk 0", "key_codec", 0)]),
    68: ("frame", [("chunk 0", "key_codec", 6)]),
    69: ("frame", [("chunk 0", "val_codec", 0)]),
    70: ("frame", [("chunk 0", "val_codec", 20)]),
    71: ("frame", [("chunk 0", "nnz", 11)]),
    72: ("frame", [("chunk 0", "key_param", 25)]),
    73: ("coo", [("chunk 0", "key_param", 33)]),
    74: ("coo", [("chunk 0", "key_param", 0)]),
    75: ("delta", [("chunk 0", "key_param", 1)]),
    76: (
        "delta",
        [("chunk 0", "key_codec", 8), ("chunk 0", "key_param", 1), ("chunk 0", "columns", 1)],
    ),
    77: ("columns", [("chunk 0", "key_param", 0)]),
    78: ("bitmap", [("chunk 0", "key_param", 1)]),
    79: ("columns", [("chunk 0", "columns", 284)]),
    80: ("frame", [("chunk 0", "columns", 1)]),
    81: ("all", [("chunk 0", "nnz", 39)]),
    82: ("ones", [("header", "frame_kind", 1)]),
    83: ("frame", [("chunk 0", "key_hi_bits", 7)]),
    84: ("frame", [("chunk 0", "val_param", 17)]),
    85: ("coo", [("chunk 0", "val_param", 1)]),
    86: ("coo", [("chunk 0", "level_base", 1)]),
    87: ("frame", [("chunk 0", "level_base", 2)]),
    88: ("rice", [("chunk 0", "val_codec", 5)]),
    89: ("frame", [("chunk 0", "val_hi_bits", 1)]),
    90: ("empty", [("chunk 0", "key_param", 1)]),
    91: ("frame", [("header", "n_stored", 2)]),
    92: ("frame", [("chunk 0", "len16", 3)]),
    93: ("frame", [("chunk 0", "off16", 1)]),
    94: ("all", [("section 4", "length", 16), ("section 4", "count", 1)]),
    95: ("frame", [("chunk 0", "check", 0)]),
    96: ("bitmap", [("flip", 0, 4)]),
    97: ("coo", [("flip", 4, 7 << 8)]),
    98: ("frame", [("flip", 2, 4)]),
    99: ("frame", [("flip", 0, 2)]),
    100: ("blocks", [("flip", 0, 1 << 5)]),
    101: ("delta", [("flip", 0, 1)]),
    102: ("delta", SHORTER),
    103: ("columns", [("flip", 2, 50 << 32)]),
    104: ("columns", [("flip", 1, 1)]),
    105: ("columns", [("word", 2, 40)]),
    106: ("columns", [("word", 2, 50 | 1 << 32)]),
    107: ("rice", [("flip", 2, 1 << 6)]),
    108: ("columns", [("flip", 10, 1)]),
    109: ("all", [("chunk 0", "level_base", 1)]),
    110: ("all", [("level", 0, -1.0)]),
    111: ("frame", [("flip", 1, 1 << 3)]),
    112: ("frame", [("flip", 3, 1 << 63)]),
    115: ("none", [("header", "frame_kind", 3)]),
    116: ("sketch", [("sketch", "hash", 0)]),
    117: ("sketch", [("sketch", "hash", 2)]),
    118: ("sketch", [("sketch", "rows", 8)]),
    119: ("sketch", [("sketch", "unit", 3.0)]),
    120: ("cell", [("header", "elem_dtype", 2), ("tensor 0", "dtype", 2)]),
    121: ("sketch", [("sketch", "columns_log2", 5)]),
    122: ("sketch", [("dim", 0, 2**32 + 1)]),
    123: ("level", [("chunk 0", "val_codec", 4)]),
    124: ("sketch", [("header", "sum_key", 0)]),
}
ELSEWHERE = {50, 52, 56, 113, 114}
"""Steps that other tests break: too large tables, and what the caller asked for."""

OTHER_FAULTS = [
    (25, "empty", [("header", "bound", -0.0)]),
    (25, "frame", [("header", "bound", -1.0)]),
    (25, "frame", [("header", "bound", float("nan"))]),
    (26, "empty", [("header", "bound", 5e-324)]),
    (28, "frame", [("header", "world", 4)]),
    (28, "frame", [("header", "rank", 4), ("header", "world", 4)]),
    (28, "frame", [("header", "rank", 0), ("header", "world", 0)]),
    (32, "empty", [("header", "frame_kind", 1)]),
    (32, "all", [("header", "n_stored", 39)]),
    (35, "tail", [("section 0", "reserved", 1)]),
    (36, "sign", [("after", 5, 1)]),
    (36, "bitmap", [("after", 3, 1)]),
    (36, "bitmap", [("after", 8, 1)]),
    (37, "frame", [("section 4", "length", 2**64 - 1)]),
    (37, "columns", [("section 5", "length", 2**63)]),
    (38, "frame", [("header", "payload_offset", 384)]),
    (40, "columns", [("section 5", "type", 0x7FFF)]),
    (40, "columns", [("section 5", "type", 14)]),
    (41, "columns", [("section 5", "count", 17)]),
    (43, "deep", [*DEEP, ("header", "n_tensors", 3)]),
    (44, "coo", [("section 1", "type", 3), ("section 1", "count", 2)]),
    (44, "deep", [("tensor 0", "ndim", 33)]),
    (44, "deep", [("tensor 1", "ndim", 0)]),
    (45, "deep", [*DEEP, ("tensor 0", "dtype", 2)]),
    (46, "deep", [("tensor 0", "dtype", 0)]),
    (46, "columns", [("tensor 1", "reserved", 1)]),
    (46, "columns", [("tensor 1", "reserved", 1 << 47)]),
    (46, "columns", [("tensor 1", "dtype", 3)]),
    (47, "deep", [("dim", 0, 2**32), ("dim", 1, 2**32)]),
    (47, "deep", [("dim", 0, 0), ("dim", 1, 2**24), ("dim", 2, 2**24 + 1)]),
    (48, "deep", [("dim", 0, 0)]),
    (48, "columns", [("dim", 0, 25)]),
    (49, "columns", [("header", "layout_key", 1)]),
    (51, "columns", [("level", 4, float("inf"))]),
    (51, "frame", [("level", 0, float("nan"))]),
    (53, "columns", [("key code", 29, 1)]),
    (53, "columns", [("key code", 15, 0x10)]),
    (54, "columns", [("key code", 12, 0x0F)]),
    (55, "columns", [("key code", 17, 0x44)]),
    (55, "columns", [("key code", i, 0) for i in range(3)]),
    (57, "columns", [("section 2", "count", 16), ("section 2", "length", 64)]),
    (59, "columns", [("value code", 2, 0x0F)]),
    (60, "columns", [("value code", i, 0) for i in range(8)]),
    (61, "scaled", [("run", 0, 0)]),
    (62, "scaled", [("run", 0, 2**64 - 1)]),
    (64, "scaled", [("scale", 0, -1.0)]),
    (64, "scaled", [("scale", 0, -0.0)]),
    (64, "scaled", [("scale", 1, float("nan"))]),
    (65, "scaled", [("scale", 1, 3e38), ("level", 1, -8.0)]),
    (67, "columns", [("chunk 0", "key_codec", 0)]),
    (70, "columns", [("chunk 0", "val_codec", 6)]),
    (71, "columns", [("chunk 0", "nnz", 1775)]),
    (74, "coo", [("chunk 0", "key_param", 0), ("chunk 0", "val_param", 17)]),
    (78, "all", [("chunk 0", "key_param", 1)]),
    (78, "blocks", [("chunk 0", "key_param", 1)]),
    (79, "columns", [("chunk 0", "columns", 0)]),
    (80, "delta", [("chunk 0", "columns", 1)]),
    (82, "two", [("header", "frame_kind", 1)]),
    (82, "empty", [("header", "frame_kind", 1), ("header", "n_stored", 10)]),
    (83, "frame", [("chunk 0", "key_hi_bits", 2)]),
    (83, "columns", [("chunk 0", "key_hi_bits", 290)]),
    (85, "bitmap", [("chunk 0", "val_param", 17)]),
    (86, "columns", [("chunk 0", "level_base", 1)]),
    (87, "sign", [("chunk 1", "level_base", 2)]),
    (88, "empty", [("chunk 0", "val_codec", 21)]),
    (89, "rice", [("chunk 0", "val_hi_bits", 40)]),
    (89, "rice", [("chunk 0", "val_hi_bits", 41 * 4 + 1)]),
    (89, "columns", [("chunk 0", "val_hi_bits", 282)]),
    (83, "empty", [("chunk 0", "key_hi_bits", 1)]),
    (91, "columns", [("header", "n_stored", 282)]),
    (92, "delta", [("chunk 0", "len16", 3)]),
    (93, "columns", [("chunk 0", "off16", 1)]),
    (95, "columns", [("chunk 0", "check", 0)]),
    (96, "bitmap", [("flip", 0, 1)]),
    (97, "coo", [("word", 4, 0)]),
    (98, "coo", [("flip", 4, 8 << 56)]),
    (98, "blocks", [("flip", 3, 1 << 14)]),
    (98, "delta", [("flip", 9, 1 << 6)]),
    (99, "frame", [("flip", 0, 1 << 5 | 1 << 4)]),
    (100, "blocks", [("flip", 0, 1 << 9)]),
    (101, "delta", [("flip", 2, 1 << 2)]),
    (101, "columns", [("flip", 4, 1)]),
    (102, "delta", LONGER),
    (103, "columns", [("word", 1, 0), ("word", 3, 1774 | 8 << 32)]),
    (103, "columns", [("word", 0, 1 << 32)]),
    (103, "columns", [("word", 1, 24 | 1 << 32), ("word", 3, 1750 | 7 << 32)]),
    (104, "columns", [("flip", 3, 1 << 32)]),
    (104, "columns", [("word", 1, 2**32 - 1), ("word", 3, 1775 | 8 << 32)]),
    (106, "columns", [("word", 2, 60)]),
    (107, "rice", [("flip", 2, 1 << 52 | 1 << 51)]),
    (108, "bitmap", [("flip", 11, 1)]),
    (110, "bitmap", [("level", 4, -3.0)]),
    (111, "columns", [("flip", 4, 1 << 22)]),
    (111, "bitmap", [("flip", 5, 1 << 56), ("flip", 0, 2)]),
    (112, "coo", [("flip", 5, 1)]),
    (41, "sketch", [("section 2", "count", 0)]),
    (95, "sketch", [("chunk 0", "check", 0)]),
    (117, "sketch", [("sketch", "hash", 0x0100)]),
    (118, "sketch", [("sketch", "rows", 0)]),
    (118, "sketch", [("sketch", "columns_log2", 21)]),
    (119, "sketch", [("sketch", "reserved", 1)]),
    (119, "sketch", [("sketch", "unit", -1.0)]),
    (119, "sketch", [("sketch", "unit", -0.0)]),
    (119, "sketch", [("sketch", "unit", float("inf"))]),
    (119, "sketch", [("sketch", "unit", float("nan"))]),
    (119, "sketch", [("sketch", "unit", 2.0**-1023)]),
    (121, "sketch", [("sketch", "rows", 2)]),
    (124, "sketch", [("header", "sum_key", 2**64 - 1)]),
]
ALL_FAULTS = [(step, *fault) for step, fault in FAULTS.items()] + OTHER_FAULTS

SEALED_AFTER = {"layout_key": 1, "sum_key": 1, "check": 1, "meta_check": 2, "header_check": 3}
"""Fields that are overwritten only once the hash they hold, and those before it, are right."""


def spans_of(data):
    """Section type to its bytes, by the rule of section 4."""
    start = int.from_bytes(data[6:8], "little")
    end = start + SECTION.itemsize * data[48]
    spans = {}
    for row in np.frombuffer(data[start:end], SECTION):
        step = 64 if row["type"] == ids.Section.PAYLOAD else 8
        first = -(-end // step) * step
        end = first + int(row["length"])
        spans[int(row["type"])] = slice(first, end)
    return spans


def broken(base, pokes):
    """The frame `base` with fields overwritten and, but for those, every check right again."""
    data = bytearray(BASES[base])
    spans = spans_of(bytes(data))
    payload, dims = spans[6], spans.get(2, slice(0, 0))
    starts = {
        "section": int.from_bytes(data[6:8], "little"),
        "tensor": spans[1].start,
        "chunk": spans[5].start,
        "sketch": spans.get(4, dims).start,
    }
    sizes = {"section": SECTION.itemsize, "tensor": TENSOR.itemsize, "chunk": CHUNK.itemsize}
    plain = {
        "byte": (0, "<B"),
        "dim": (dims.start, "<Q"),
        "level": (spans.get(3, dims).start, "<f"),
        "key code": (spans.get(7, dims).start, "<B"),
        "value code": (spans.get(8, dims).start, "<B"),
        "scale": (spans.get(11, dims).start, "<f"),
        "run": (spans.get(13, dims).start, "<Q"),
        "word": (payload.start, "<Q"),
        "flip": (payload.start, "<Q"),
    }

    def put(place, field, value):
        kind, _, index = place.partition(" ")
        if place == "after":
            data[spans[field].stop] = value
            return
        if place in plain:
            start, form = plain[place]
            offset = start + struct.calcsize(form) * field
            if place == "flip":
                value ^= struct.unpack_from(form, data, offset)[0]
        else:
            offset, width, type_ = LAYOUTS[kind][field]
            offset += starts.get(kind, 0) + sizes.get(kind, 0) * int(index or 0)
            if type_ == "bytes":
                data[offset : offset + width] = value.to_bytes(width, "little")
                return
            form = FORMATS[type_]
        struct.pack_into(form, data, offset, value)

    for stage in range(4):
        for place, field, value in pokes:
            if SEALED_AFTER.get(field, 0) == stage and place != "cut":
                put(place, field, value)
        if stage == 0:
            put("header", "layout_key", XXH64(data[spans[1]] + data[dims], 0))
            if 4 in spans:
                put("header", "sum_key", XXH64(data[104:112] + data[spans[4]], 0))
            for i, row in enumerate(np.frombuffer(bytes(data[spans[5]]), CHUNK)):
                start = payload.start + 16 * int(row["off16"])
                part = data[start : start + 16 * int(row["len16"])]
                put(f"chunk {i}", "check", XXH64(part, i) & LOW_32)
        elif stage == 1:
            end = int.from_bytes(data[112:120], "little")
            put("header", "meta_check", XXH64(data[HEADER_SIZE:end], 0) & LOW_32)
        elif stage == 2:
            put("header", "header_check", XXH64(data[:124], 0) & LOW_32)
    cut = [length for place, length, _ in pokes if place == "cut"]
    return bytes(data[: min(cut, default=len(data))])


def refusal(frame, backend="reference", **arguments):
    """What `decode` raises, or None; of a count-sketch, its own."""
    is_sketch = len(frame) > 51 and frame[51] == ids.FrameKind.COUNT_SKETCH
    decode = gcodec.CountSketch.decode if is_sketch else gcodec.decode
    try:
        decode(frame, backend=backend, **arguments)
    except gcodec.FrameError as error:
        return error
    return None
