"""`spec/gcodec-1.md` against the code: its tables, its examples, and the order of its checks.

The tables are read out of the document, so neither can change without the other.
"""

import json
import re
import struct
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest

import gcodec
from gcodec import errors
from gcodec.format import codes, directory, ids
from gcodec.format import frame as wire
from gcodec.format import header as wire_header
from gcodec.format import sections as wire_sections
from gcodec.format.directory import CHUNK, check_directory, choose_chunk_log2, place_chunks
from gcodec.format.header import HEADER_SIZE, LOW_32, Header
from gcodec.format.sections import SECTION, TENSOR, Tensor
from gcodec.kernels import load
from gcodec.packing import KEY_PACKINGS
from gcodec.quantize import reclog

SPEC = (Path(__file__).parents[2] / "spec" / "gcodec-1.md").read_text(encoding="utf-8")
XXH64 = load("reference").xxh64
FORMATS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "f64": "<d"}


def table(name):
    """Rows of the table under the marker `name`, as dictionaries by column."""
    lines = SPEC.split(f"<!-- table: {name}", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def block(kind):
    """Text of the fenced block `kind`."""
    return re.search(rf"^```{re.escape(kind)}\n(.*?)^```$", SPEC, re.M | re.S)[1]


def hex_block(kind):
    """Bytes of an annotated block, whose offsets must be right."""
    data = b""
    for line in block(f"hex {kind}").splitlines():
        offset, text = line.split(";")[0].split(maxsplit=1)
        assert int(offset, 16) == len(data), line
        zeros = re.fullmatch(r"00\*(\d+)\s*", text)
        data += bytes(int(zeros[1])) if zeros else bytes.fromhex(text)
    return data


def fields(name):
    """Field name to (offset, width, type) of a layout table."""
    rows = [row for row in table(name) if row["offset"]]
    return {row["field"]: (int(row["offset"]), int(row["width"]), row["type"]) for row in rows}


LAYOUTS = {name: fields(name) for name in ("header", "section", "tensor", "chunk")}


# Tables


def test_header_table_is_the_struct():
    letters = re.findall(r"\d*[a-zA-Z]", wire_header._STRUCT.format.lstrip("<"))
    types = {"4s": "bytes", "B": "u8", "H": "u16", "I": "u32", "Q": "u64", "d": "f64"}
    expected, offset = {}, 0
    for field, letter in zip(Header._fields, letters, strict=True):
        width = struct.calcsize(f"<{letter}")
        expected[field] = (offset, width, types[letter])
        offset += width
    assert LAYOUTS["header"] == expected
    assert offset == HEADER_SIZE == 128
    assert wire_header.PREFIX_SIZE == 16


@pytest.mark.parametrize(
    ("name", "dtype"), [("section", SECTION), ("tensor", TENSOR), ("chunk", CHUNK)]
)
def test_entry_tables_are_the_dtypes(name, dtype):
    letters = {"u": "u", "V": "bytes"}
    expected = {}
    for field, (kind, offset) in dtype.fields.items():
        letter = letters[kind.kind]
        size = kind.itemsize
        expected[field] = (offset, size, letter if letter == "bytes" else f"u{8 * size}")
    assert LAYOUTS[name] == expected


REGISTRIES = re.findall(r"<!-- table: (registry (\w+) (\w+)) -->", SPEC)


def registry_row(name):
    return {row["name"].upper().replace("-", "_"): int(row["id"]) for row in table(name)}


def test_every_registry_is_in_the_spec():
    enums = {
        name
        for name, value in vars(ids).items()
        if isinstance(value, type) and issubclass(value, ids.IntEnum) and value is not ids.IntEnum
    }
    assert {registry for _, registry, _ in REGISTRIES} | {"Section"} == enums
    rows = table("section types")
    listed = {row["name"]: int(row["type"]) for row in rows}
    assert listed == {section.name: section.value for section in ids.Section}
    sizes = {int(row["type"]): Fraction(row["entry size"]) for row in rows if row["entry size"]}
    assert sizes == {**wire_sections._ELEMENT_BYTES, ids.Section.VALUECODE: Fraction(1, 2)}
    assert ids.KNOWN_CRITICAL_FEATURES == 0
    assert ids.FIRST_ANCILLARY_SECTION == 0x8000
    assert bytes.fromhex("d6 47 43 f1") == ids.MAGIC
    assert (ids.MAJOR, ids.MINOR) == (1, 0)


@pytest.mark.parametrize(("name", "registry", "field"), REGISTRIES)
def test_registries_are_the_enums(name, registry, field):
    assert registry_row(name) == {entry.name: entry.value for entry in getattr(ids, registry)}


@pytest.mark.parametrize(("name", "registry", "field"), REGISTRIES)
def test_a_reader_knows_what_the_registry_says(name, registry, field):
    known = {int(row["id"]) for row in table(name) if row["1.0"] == "yes"}
    place = "header" if field in Header._fields else "chunk 0"
    unknown = gcodec.UnsupportedFeature
    for value in range(256):
        error = refusal(broken("tables", [(place, field, value)]))
        expected = gcodec.Malformed if value == 0 else None if value in known else unknown
        assert error is None if expected is None else type(error) is expected, (value, error)


def test_limits():
    stated = {row["limit"]: eval(row["value"].replace("^", "**")) for row in table("limits")}
    assert stated == {
        name: value for name, value in vars(ids).items() if name.startswith(("MAX_", "MIN_"))
    }
    for row in table("limits"):
        for step in filter(None, row["step"].split(", ")):
            assert STEPS[int(step)]["class"] == "LimitExceeded"
    assert ids.MAX_PAYLOAD > 16 * (2**32 - 1), "the limit without a step"


def entry(**fields):
    """A directory of one chunk, placed."""
    chunk = np.zeros(1, CHUNK)
    for field, value in fields.items():
        chunk[field] = value
    return chunk, place_chunks(chunk)


def refused(positions, n_levels, n_codes, value_code, fields):
    """Class of what `check_directory` raises on one entry, or None."""
    chunk, payload = entry(**fields)
    header = Header(n_stored=fields["nnz"])
    try:
        lengths = np.array([positions])
        check_directory(chunk, lengths, header, payload, n_levels, n_codes, value_code)
    except gcodec.FrameError as error:
        return type(error)
    return None


def span(cell, names):
    """Both ends of a cell such as `nnz to 12 * nnz`."""
    ends = [int(eval(part, dict(names))) for part in cell.split(" to ")]
    return ends[0], ends[-1]


RAW = {"key_codec": ids.KeyCodec.COO, "key_param": 9, "val_codec": ids.ValueCodec.RAW}


@pytest.mark.parametrize("nnz", [1, 5, 128, 129, 300])
@pytest.mark.parametrize(
    ("kind", "row"), [(kind, row) for kind in ("key", "value") for row in table(f"{kind} fields")]
)
def test_fields_by_codec(kind, row, nnz):
    first, *fields = row
    name, *needs = row[first].split(",")
    registry = ids.KeyCodec if kind == "key" else ids.ValueCodec
    positions, codes_there, size = (nnz if name == "ALL" else 300), 3, 40
    names = {"nnz": nnz, "positions": positions, "codes": codes_there, "size": size}
    chosen = RAW | {"nnz": nnz, first: registry[name]}
    if kind == "key":
        chosen["key_param"] = 0

    def settle(changed=None, value=None):
        for field in fields:
            known = names | chosen | {"levels": size - chosen.get("level_base", 0)}
            chosen[field] = value if field == changed else span(row[field], known)[0]
        return refused(positions, size, codes_there, True, chosen)

    assert settle() is None
    for field in fields:
        known = names | chosen | {"levels": size - chosen.get("level_base", 0)}
        low, high = span(row[field], known)
        assert settle(field, high) is None
        past = [low - 1] * (low > 0) + [high + 1] * (high < 2 ** (8 * CHUNK[field].itemsize) - 1)
        for value in past:
            assert settle(field, value) in (gcodec.Malformed, gcodec.LimitExceeded)
        settle()
    if name == "ALL":
        assert refused(nnz + 1, size, codes_there, True, chosen) is gcodec.Malformed
    elif needs:
        assert refused(positions, size, 1, False, chosen) is gcodec.Malformed


def test_every_codec_has_fields_and_planes():
    for kind, registry in (("key", ids.KeyCodec), ("value", ids.ValueCodec)):
        for part in ("fields", "planes"):
            rows = [next(iter(row.values())).split(",")[0] for row in table(f"{kind} {part}")]
            assert rows == [codec.name for codec in registry]


PLANES = [row["plane"] for row in table("planes")]


def test_planes_in_order():
    columns = [getattr(directory, name.upper().replace(" ", "_")) for name in PLANES]
    assert columns == list(range(directory.END))


@pytest.mark.parametrize("nnz", [1, 127, 128, 129, 300])
@pytest.mark.parametrize("key", table("key planes"), ids=lambda row: row["key_codec"])
@pytest.mark.parametrize("value", table("value planes"), ids=lambda row: row["val_codec"])
def test_plane_bits(key, value, nnz):
    fields = {"nnz": nnz, "key_param": 3, "val_param": 5}
    fields["key_hi_bits"] = 77 if key["key high"] != "0" else 0
    fields["val_hi_bits"] = 66 if value["value high"] != "0" else 0
    fields["columns"] = 70 if key["key_codec"] == "COLUMNS" else 0
    if "val_param" not in value["value low"]:
        fields["val_param"] = 0
    names = fields | {"ceil": ceil, "blocks": ceil((nnz + fields["columns"]) / 128), "rests": 99}
    expected = [int(eval((key | value).get(plane, "0"), dict(names))) for plane in PLANES]
    chunk, _ = entry(
        key_codec=ids.KeyCodec[key["key_codec"]],
        val_codec=ids.ValueCodec[value["val_codec"]],
        **fields,
    )
    rests = np.array([99 if key["key low"] == "rests" else 0])
    assert directory.plane_bits(chunk, rests)[0].tolist() == expected
    words = sum(-(-bits // 64) for bits in expected)
    place_chunks(chunk, rests)
    assert chunk["len16"][0] == words // 2 + 1


def test_what_keys_allows():
    stated = {row["keys"]: row["codecs"].split(", ") for row in table("keys")}
    assert stated == {
        name: [codec.name for codec in sorted(allowed)] for name, allowed in KEY_PACKINGS.items()
    } | {"auto": stated["auto"]}
    assert {ids.KeyCodec[name] for name in stated["auto"]} == set(KEY_PACKINGS["auto"])


def test_chunk_size():
    assert "with 2^c * density >= 1448, or 24 if there is none" in SPEC
    for density in [1.0, 1448 / 2**20, 0.01, 0.001, 1e-4, 1e-5, 1e-9, 5e-324] + [
        float(np.nextafter(1448 / 2**power, side)) for power in (11, 24) for side in (0, 1)
    ]:
        wanted = [c for c in range(6, 25) if 2**c * Fraction(density) >= 1448]
        for n in (0, 1, 10**4, 10**6, 2**24 - 1, 2**24, 2**35, 2**47 + 1, 2**48):
            c = min(wanted, default=24)
            for _ in range(2):
                c -= c > 6 and n < 4 * 2**c
            while n > 2**24 * 2**c:
                c += 1
            assert choose_chunk_log2(n, density) == c


def test_error_classes():
    listed = [row["class"] for row in table("classes")]
    assert listed == [error.__name__ for error in errors.FrameError.__subclasses__()]


def test_reclog_grid():
    def pattern(number):
        return struct.pack(">d", number).hex()

    stated = json.loads(block("json reclog-grid"))
    assert [int(steps) for steps in stated] == list(reclog.STEPS)
    for steps, grid in stated.items():
        thresholds, points = reclog._thresholds(int(steps)), reclog._points(int(steps))
        assert grid["thresholds"] == thresholds
        assert grid["levels"] == [pattern(point) for point in points]
        assert grid["bound"] == pattern(reclog._bound(thresholds, points))


def test_xxh64_examples():
    for row in table_after("| data | seed | XXH64 |"):
        digits = re.fullmatch(r"`([0-9a-f ]+)`", row[0])
        data = (
            b"" if row[0] == "none" else bytes.fromhex(digits[1]) if digits else bytes(range(101))
        )
        assert f"{XXH64(data, int(row[1])):016x}" == row[2]


def table_after(heading):
    lines = SPEC.split(heading, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


# Examples


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_whole_frame(backend):
    given = json.loads(block("json frame-input"))
    codec = gcodec.get_codec(given["recipe"], backend=backend)
    gradient = np.array(given["gradient"], np.float32)
    frame = codec.encode(gradient, name=given["name"], step=given["step"])
    assert frame.tobytes() == hex_block("frame")
    decoded = gcodec.decode(hex_block("frame"), backend=backend)
    expected = np.zeros(10, np.uint32)
    expected[[0, 4, 9]] = 0x3EFF0AC6, 0xBFB4578D, 0x3EFF0AC6
    assert decoded.view(np.uint32).tolist() == expected.tolist()


EXAMPLES = re.findall(r"^```json ([a-z-]+)-input$", SPEC, re.M)[1:]


def example(kind, backend="cpu"):
    """Positions and values of an example's input, and its frame."""
    given = json.loads(block(f"json {kind}-input"))
    keys = [
        range(key[0], key[1] + 1, key[2]) if isinstance(key, list) else [key]
        for key in given["keys"]
    ]
    positions = np.array([position for part in keys for position in part])
    values = np.resize(np.array(given["values"], np.float32), positions.size)
    gradient = np.zeros(given["shape"], np.float32)
    gradient.reshape(-1)[positions] = values
    codec = gcodec.get_codec(given["recipe"], backend=backend)
    order = np.argsort(positions)
    return positions[order], values[order], codec.encode(gradient, tensors=given.get("tensors"))


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_examples(kind, backend):
    positions, values, frame = example(kind, backend)
    parsed = wire.parse(np.asarray(frame), XXH64)
    packed = [codes.pack_lengths(lengths).tobytes() for lengths in parsed.tables[1:]]
    shown = parsed.directory.tobytes() + parsed.payload.tobytes() + b"".join(packed)
    assert shown == hex_block(kind)
    keys, decoded = gcodec.decode_sparse(frame, backend=backend)
    assert keys.tolist() == positions.tolist()
    if kind.endswith("raw"):
        assert decoded.tolist() == values.tolist()
    else:
        assert np.sign(decoded).tolist() == np.sign(values).tolist()
        assert (np.abs(decoded / values - 1) < 1 / 3 + 0.01).all()


def test_examples_show_every_codec():
    found = set()
    for kind in EXAMPLES:
        chunks = wire.parse(np.asarray(example(kind)[2]), XXH64).directory
        named = kind.upper().replace("-", "_")
        for row in chunks:
            key, value = ids.KeyCodec(row["key_codec"]), ids.ValueCodec(row["val_codec"])
            found |= {key, value}
        assert named == f"{key.name}_{value.name}"
    assert found == {*ids.KeyCodec, *ids.ValueCodec}


def canonical(lengths):
    """Codes as section 6 makes them."""
    code = before = 0
    found = {}
    for length, symbol in sorted((length, s) for s, length in enumerate(lengths) if length):
        code <<= length - before
        found[symbol] = f"{code:0{length}b}"[-length:]
        code, before = code + 1, length
    return found


def test_codes_in_the_examples():
    notes = re.findall(
        r"^[0-9a-f]{4}  ([0-9a-f ]+); .*(?:classes|VALUECODE:) (\d+ [01]+.*)$", SPEC, re.M
    )
    assert len(notes) == 5
    for text, note in notes:
        lengths = [half for byte in bytes.fromhex(text) for half in (byte & 15, byte >> 4)]
        words = {int(symbol): word for symbol, word in re.findall(r"(\d+) ([01]+)", note)}
        assert words == canonical(lengths)
        packed = np.zeros(len(lengths), np.uint16)
        load("reference").codes(np.array(lengths, np.uint8), packed)
        assert {s: f"{packed[s]:0{len(word)}b}"[::-1] for s, word in words.items()} == words


# The order of the checks: each step broken alone, then every two of them together

STEPS = {int(row["step"]): row for row in table("steps")}


NO_TABLES = wire.Tables(np.zeros(0, "<f4"), np.zeros((0, 32), np.uint8), np.zeros(0, np.uint8))


def _sealed(header, tensors, tables, directory):
    work = wire.draft(header, tensors, tables, directory, np.zeros(directory.size, np.int64))
    return wire.seal(work, load("cpu").xxh64)


def _empty_chunk():
    directory = np.zeros(1, CHUNK)
    directory["key_codec"], directory["val_codec"] = ids.KeyCodec.RICE, ids.ValueCodec.RAW
    directory["check"] = XXH64(b"", 0) & LOW_32
    return directory


def _two_tensors():
    """33 dimensions in two tensors of one element each, none of them stored."""
    tensors = Tensor(0, 0, (1,) * 32), Tensor(0, 1, (1,))
    return _sealed(Header(n_elements=2), tensors, NO_TABLES, _empty_chunk())


def _tables():
    """Nothing stored, but one level and a code of it."""
    tables = NO_TABLES._replace(levels=np.ones(1, "<f4"), value_code=np.ones(1, np.uint8))
    return _sealed(Header(n_elements=10), (Tensor(0, 0, (10,)),), tables, _empty_chunk())


def _long_header(frame):
    """`frame` with 64 bytes of ones between header and section table."""
    data = bytearray(frame[:HEADER_SIZE] + b"\1" * 64 + frame[HEADER_SIZE:])
    for at, width in [(6, 2), (8, 8), (112, 8)] + [(200 + 32 * i, 8) for i in range(data[48])]:
        moved = int.from_bytes(data[at : at + width], "little") + 64
        data[at : at + width] = moved.to_bytes(width, "little")
    payload = int.from_bytes(data[112:120], "little")
    data[120:124] = (XXH64(data[128:payload], 0) & LOW_32).to_bytes(4, "little")
    data[124:128] = (XXH64(data[:124], 0) & LOW_32).to_bytes(4, "little")
    return bytes(data)


def _bases():
    codec = gcodec.get_codec
    return {
        **{
            kind.split("-")[0]: example(kind)[2].tobytes()
            for kind in EXAMPLES
            if kind != "coo-sign"
        },
        "sign": example("coo-sign")[2].tobytes(),
        "frame": hex_block("frame"),
        "empty": gcodec.Codec().encode(np.zeros(10, np.float32)).tobytes(),
        "ones": codec("reclog:ratio=1,keys=rice").encode(np.ones(100, np.float32)).tobytes(),
        "two": codec("reclog:ratio=1,keys=rice").encode(np.ones(1000, np.float32)).tobytes(),
        "deep": _two_tensors().tobytes(),
        "tables": _tables().tobytes(),
        "tail": _long_header(hex_block("frame")),
    }


BASES = _bases()
SHORTER = [("section 5", "length", 80), ("section 5", "count", 5), ("chunk 0", "len16", 5)]
LONGER = [("section 5", "length", 112), ("section 5", "count", 7), ("chunk 0", "len16", 7)]

FAULTS = {
    1: ("frame", [("byte", 0, 0)]),
    2: ("frame", [("cut", 15, 0)]),
    3: ("frame", [("header", "major", 2)]),
    4: ("frame", [("header", "header_len", 64)]),
    5: ("frame", [("header", "frame_len", 641)]),
    6: ("frame", [("header", "frame_len", 704)]),
    7: ("frame", [("header", "header_check", 0)]),
    8: ("frame", [("header", "critical_features", 1 << 31)]),
    9: ("frame", [("header", "n_elements", 2**48 + 1)]),
    10: ("frame", [("header", "n_chunks", 2**24 + 1)]),
    11: ("frame", [("header", "n_tensors", 0)]),
    12: ("frame", [("header", "n_sections", 65)]),
    13: ("frame", [("header", "chunk_log2", 5)]),
    14: ("frame", [("header", "frame_kind", 0)]),
    15: ("frame", [("header", "frame_kind", 3)]),
    16: ("frame", [("header", "elem_dtype", 0)]),
    17: ("frame", [("header", "elem_dtype", 2)]),
    18: ("frame", [("header", "aggregation", 0)]),
    19: ("frame", [("header", "aggregation", 2)]),
    20: ("frame", [("header", "bound_kind", 0)]),
    21: ("frame", [("header", "bound_kind", 5)]),
    22: ("frame", [("header", "rounding", 0)]),
    23: ("frame", [("header", "rounding", 4)]),
    24: ("frame", [("header", "payload_offset", 577)]),
    25: ("frame", [("header", "bound", float("inf"))]),
    26: ("frame", [("header", "bound_kind", 1)]),
    27: ("frame", [("header", "weight", 0.0)]),
    28: ("frame", [("header", "rank", 0)]),
    29: ("frame", [("header", "contributions", 0)]),
    30: ("frame", [("header", "n_chunks", 2)]),
    31: ("frame", [("header", "n_stored", 11)]),
    32: ("frame", [("header", "meta_check", 0)]),
    33: ("frame", [("section 1", "type", 1)]),
    34: ("frame", [("section 1", "flags", 1)]),
    35: ("frame", [("section 1", "offset", 448)]),
    36: ("frame", [("section 3", "length", 576)]),
    37: ("frame", [("section 4", "length", 0)]),
    38: ("frame", [("byte", 639, 1)]),
    39: ("frame", [("section 2", "type", 4)]),
    40: ("frame", [("section 2", "count", 9)]),
    41: ("frame", [("section 3", "type", 0x8000)]),
    42: ("frame", [("header", "n_tensors", 2)]),
    43: ("frame", [("tensor 0", "ndim", 0)]),
    44: ("deep", [("tensor 0", "ndim", 33), ("tensor 1", "ndim", 0)]),
    45: ("frame", [("tensor 0", "start", 1)]),
    46: ("frame", [("tensor 0", "dtype", 2)]),
    47: ("frame", [("dim", 0, 2**48 + 1)]),
    48: ("frame", [("tensor 0", "numel", 9)]),
    49: ("frame", [("tensor 0", "numel", 9), ("dim", 0, 9)]),
    50: ("frame", [("header", "layout_key", 1)]),
    52: ("frame", [("level", 1, -0.0)]),
    54: ("columns", [("key code", 0, 0x11)]),
    55: ("columns", [("key code", 0, 0xD0)]),
    56: ("columns", [("key code", 0, 0x20)]),
    58: ("columns", [("section 5", "count", 6)]),
    59: ("columns", [("value code", 2, 0x12)]),
    60: ("columns", [("value code", 0, 0x3D)]),
    61: ("columns", [("value code", 0, 0x32)]),
    62: ("frame", [("section 3", "count", 2), ("section 3", "length", 64)]),
    63: ("frame", [("chunk 0", "key_codec", 0)]),
    64: ("frame", [("chunk 0", "key_codec", 6)]),
    65: ("frame", [("chunk 0", "val_codec", 0)]),
    66: ("frame", [("chunk 0", "val_codec", 20)]),
    67: ("frame", [("chunk 0", "nnz", 11)]),
    68: ("frame", [("chunk 0", "key_param", 25)]),
    69: ("coo", [("chunk 0", "key_param", 33)]),
    70: ("coo", [("chunk 0", "key_param", 0)]),
    71: ("delta", [("chunk 0", "key_param", 1)]),
    72: (
        "delta",
        [("chunk 0", "key_codec", 8), ("chunk 0", "key_param", 1), ("chunk 0", "columns", 1)],
    ),
    73: ("columns", [("chunk 0", "key_param", 0)]),
    74: ("bitmap", [("chunk 0", "key_param", 1)]),
    75: ("columns", [("chunk 0", "columns", 156)]),
    76: ("frame", [("chunk 0", "columns", 1)]),
    77: ("all", [("chunk 0", "nnz", 39)]),
    78: ("frame", [("chunk 0", "key_hi_bits", 7)]),
    79: ("frame", [("chunk 0", "val_param", 17)]),
    80: ("coo", [("chunk 0", "val_param", 1)]),
    81: ("coo", [("chunk 0", "level_base", 1)]),
    82: ("frame", [("chunk 0", "level_base", 2)]),
    83: ("rice", [("chunk 0", "val_codec", 5)]),
    84: ("frame", [("chunk 0", "val_hi_bits", 1)]),
    85: ("empty", [("chunk 0", "key_param", 1)]),
    86: ("frame", [("header", "n_stored", 2)]),
    87: ("frame", [("chunk 0", "len16", 3)]),
    88: ("frame", [("chunk 0", "off16", 1)]),
    89: ("all", [("section 4", "length", 16), ("section 4", "count", 1)]),
    90: ("frame", [("chunk 0", "check", 0)]),
    91: ("bitmap", [("flip", 0, 4)]),
    92: ("coo", [("flip", 4, 7 << 8)]),
    93: ("frame", [("flip", 2, 4)]),
    94: ("frame", [("flip", 0, 2)]),
    95: ("blocks", [("flip", 0, 1 << 5)]),
    96: ("delta", [("flip", 0, 1)]),
    97: ("delta", SHORTER),
    98: ("columns", [("flip", 2, 50 << 32)]),
    99: ("columns", [("flip", 1, 1)]),
    100: ("columns", [("word", 2, 40)]),
    101: ("columns", [("word", 2, 50 | 1 << 32)]),
    102: ("rice", [("flip", 2, 1 << 6)]),
    103: ("columns", [("flip", 8, 1)]),
    104: ("all", [("chunk 0", "level_base", 1)]),
    105: ("all", [("level", 0, -1.0)]),
    106: ("frame", [("flip", 1, 1 << 3)]),
    107: ("frame", [("flip", 3, 1 << 63)]),
}
ELSEWHERE = {51, 53, 57, 108, 109}
FIRST_UNORDERED, LAST_UNORDERED = 91, 107
SEALED_AFTER = {"layout_key": 1, "check": 1, "meta_check": 2, "header_check": 3}
"""Fields that are overwritten only once the hash they hold, and those before it, are right."""


def broken(base, pokes):
    """The frame `base` with fields overwritten and, but for those, every check right again."""
    data = bytearray(BASES[base])
    sections = int.from_bytes(data[6:8], "little")
    spans = {
        int(row["type"]): slice(int(row["offset"]), int(row["offset"] + row["length"]))
        for row in np.frombuffer(data[sections : sections + 32 * data[48]], SECTION)
    }
    payload, dims = spans[6], spans.get(2, slice(0, 0))
    starts = {"section": sections, "tensor": spans[1].start, "chunk": spans[5].start}
    plain = {
        "byte": (0, "<B"),
        "dim": (dims.start, "<Q"),
        "level": (spans.get(3, dims).start, "<f"),
        "key code": (spans.get(7, dims).start, "<B"),
        "value code": (spans.get(8, dims).start, "<B"),
        "word": (payload.start, "<Q"),
        "flip": (payload.start, "<Q"),
    }

    def put(place, field, value):
        kind, _, index = place.partition(" ")
        if place in plain:
            start, form = plain[place]
            offset = start + struct.calcsize(form) * field
            if place == "flip":
                value ^= struct.unpack_from(form, data, offset)[0]
        else:
            offset, _, type_ = LAYOUTS[kind][field]
            size = TENSOR.itemsize if kind == "tensor" else SECTION.itemsize
            offset += starts.get(kind, 0) + size * int(index or 0)
            form = FORMATS[type_]
        struct.pack_into(form, data, offset, value)

    for stage in range(4):
        for place, field, value in pokes:
            if SEALED_AFTER.get(field, 0) == stage and place != "cut":
                put(place, field, value)
        if stage == 0:
            put("header", "layout_key", XXH64(data[spans[1]] + data[dims], 0))
            for i, row in enumerate(np.frombuffer(bytes(data[spans[5]]), CHUNK)):
                start = payload.start + 16 * int(row["off16"])
                part = data[start : start + 16 * int(row["len16"])]
                put(f"chunk {i}", "check", XXH64(part, i) & LOW_32)
        elif stage == 1:
            put("header", "meta_check", XXH64(data[HEADER_SIZE : payload.start], 0) & LOW_32)
        elif stage == 2:
            put("header", "header_check", XXH64(data[:124], 0) & LOW_32)
    cut = [length for place, length, _ in pokes if place == "cut"]
    return bytes(data[: min(cut, default=len(data))])


def refusal(frame, backend="reference", **arguments):
    """What `decode` raises, or None."""
    try:
        gcodec.decode(frame, backend=backend, **arguments)
    except gcodec.FrameError as error:
        return error
    return None


def without_numbers(error):
    return type(error).__name__, re.sub(r"-?[\d.]+(e-\d+)?|inf|nan|\(.*\)", "", str(error))


def test_every_step_has_a_fault():
    assert list(STEPS) == list(range(1, len(STEPS) + 1))
    assert set(FAULTS) | ELSEWHERE == set(STEPS)


def test_the_frames_to_be_broken_are_sound():
    for base in BASES:
        assert broken(base, []) == BASES[base]
        assert refusal(BASES[base]) is None


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("step", FAULTS)
def test_step_refuses_with_its_class(step, backend):
    error = refusal(broken(*FAULTS[step]), backend)
    assert type(error).__name__ == STEPS[step]["class"], error


OTHER_FAULTS = [
    (25, "empty", [("header", "bound", -0.0)]),
    (25, "frame", [("header", "bound", -1.0)]),
    (25, "frame", [("header", "bound", float("nan"))]),
    (26, "empty", [("header", "bound", 5e-324)]),
    (28, "frame", [("header", "world", 4)]),
    (28, "frame", [("header", "rank", 4), ("header", "world", 4)]),
    (28, "frame", [("header", "rank", 0), ("header", "world", 0)]),
    (34, "tail", [("section 0", "flags", 1)]),
    (40, "columns", [("section 5", "count", 7)]),
    (42, "deep", [*FAULTS[44][1], ("header", "n_tensors", 3)]),
    (43, "coo", [("section 1", "type", 3), ("section 1", "count", 2)]),
    (43, "deep", [("tensor 0", "ndim", 33)]),
    (43, "deep", [("tensor 1", "ndim", 0), ("tensor 0", "start", 1)]),
    (44, "deep", [*FAULTS[44][1], ("tensor 0", "start", 1)]),
    (45, "frame", [("tensor 0", "dims_index", 1)]),
    (45, "deep", [("tensor 0", "start", 1), ("tensor 1", "dtype", 0)]),
    (46, "deep", [("tensor 0", "dtype", 2), ("tensor 1", "start", 2)]),
    (47, "deep", [("dim", 0, 2**32), ("dim", 1, 2**32), ("tensor 0", "numel", 0)]),
    (47, "deep", [("dim", 0, 0), ("dim", 1, 2**24), ("dim", 2, 2**24 + 1)]),
    (48, "deep", [("tensor 0", "numel", 2), ("tensor 1", "dtype", 2)]),
    (50, "columns", [("header", "layout_key", 1)]),
    (52, "columns", [("level", 4, float("inf"))]),
    (52, "frame", [("level", 0, float("nan"))]),
    (54, "columns", [("key code", 29, 1)]),
    (54, "columns", [("key code", 15, 0x10)]),
    (55, "columns", [("key code", 12, 0x0F)]),
    (56, "columns", [("key code", 17, 0x44)]),
    (56, "columns", [("key code", i, 0) for i in range(3)]),
    (58, "columns", [("section 2", "count", 4), ("section 2", "length", 16), ("level", 4, 0.0)]),
    (60, "columns", [("value code", 2, 0x0F)]),
    (61, "columns", [("value code", i, 0) for i in range(3)]),
    (63, "columns", [("chunk 0", "key_codec", 0)]),
    (66, "columns", [("chunk 0", "val_codec", 6)]),
    (67, "columns", [("chunk 0", "nnz", 975)]),
    (70, "coo", [("chunk 0", "key_param", 0), ("chunk 0", "val_param", 17)]),
    (74, "all", [("chunk 0", "key_param", 1)]),
    (74, "blocks", [("chunk 0", "key_param", 1)]),
    (75, "columns", [("chunk 0", "columns", 0)]),
    (76, "delta", [("chunk 0", "columns", 1)]),
    (78, "frame", [("chunk 0", "key_hi_bits", 2)]),
    (78, "columns", [("chunk 0", "key_hi_bits", 162)]),
    (80, "bitmap", [("chunk 0", "val_param", 17)]),
    (81, "columns", [("chunk 0", "level_base", 1)]),
    (82, "sign", [("chunk 1", "level_base", 2)]),
    (83, "empty", [("chunk 0", "val_codec", 21)]),
    (84, "rice", [("chunk 0", "val_hi_bits", 40)]),
    (84, "rice", [("chunk 0", "val_hi_bits", 41 * 4 + 1)]),
    (84, "columns", [("chunk 0", "val_hi_bits", 154)]),
    (78, "empty", [("chunk 0", "key_hi_bits", 1)]),
    (86, "columns", [("header", "n_stored", 154)]),
    (87, "delta", [("chunk 0", "len16", 3)]),
    (88, "columns", [("chunk 0", "off16", 1)]),
    (90, "columns", [("chunk 0", "check", 0)]),
    (91, "bitmap", [("flip", 0, 1)]),
    (92, "coo", [("word", 4, 0)]),
    (93, "coo", [("flip", 4, 8 << 56)]),
    (93, "blocks", [("flip", 3, 1 << 14)]),
    (93, "delta", [("flip", 9, 1 << 6)]),
    (94, "frame", [("flip", 0, 1 << 5 | 1 << 4)]),
    (95, "blocks", [("flip", 0, 1 << 9)]),
    (96, "delta", [("flip", 2, 1 << 2)]),
    (96, "columns", [("flip", 4, 1)]),
    (97, "delta", LONGER),
    (98, "columns", [("word", 1, 0), ("word", 3, 974 | 8 << 32)]),
    (98, "columns", [("word", 0, 1 << 32)]),
    (98, "columns", [("word", 1, 24 | 1 << 32), ("word", 3, 950 | 7 << 32)]),
    (99, "columns", [("flip", 3, 1 << 32)]),
    (99, "columns", [("word", 1, 2**32 - 1), ("word", 3, 999 | 8 << 32)]),
    (101, "columns", [("word", 2, 60)]),
    (102, "rice", [("flip", 2, 1 << 52 | 1 << 51)]),
    (103, "bitmap", [("flip", 10, 1)]),
    (105, "bitmap", [("level", 4, -3.0)]),
    (106, "columns", [("flip", 4, 1 << 11)]),
    (106, "bitmap", [("flip", 6, 1 << 16), ("flip", 0, 1)]),
    (107, "coo", [("flip", 5, 1)]),
]
ALL_FAULTS = [(step, *fault) for step, fault in FAULTS.items()] + OTHER_FAULTS


def without_places(error):
    """The error's class and text without numbers."""
    return without_numbers(
        type(error)(re.sub(r"(section|tensor|chunk|code) \d+|^[A-Z]+", "", str(error)))
    )


def test_of_two_broken_steps_the_first_is_reported():
    alone = [without_numbers(refusal(broken(base, pokes))) for _, base, pokes in ALL_FAULTS]
    wrong, pairs = [], 0
    for (step, base, pokes), expected in zip(ALL_FAULTS, alone, strict=True):
        for later, other, more in ALL_FAULTS:
            touched = {poke[:2] for poke in pokes} & {poke[:2] for poke in more}
            if later <= step or other != base or touched:
                continue
            found = without_numbers(refusal(broken(base, pokes + more)))
            ordered = step < FIRST_UNORDERED or later > LAST_UNORDERED
            pairs += 1
            if found != expected if ordered else found[0] != expected[0]:
                wrong.append((step, later, base, pokes, more, found))
    assert pairs > 2500
    assert not wrong


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("step", "base", "pokes"), OTHER_FAULTS)
def test_other_ways_to_break_a_step(step, base, pokes, backend):
    found = refusal(broken(base, pokes), backend)
    if step < FIRST_UNORDERED:
        assert without_places(found) == without_places(refusal(broken(*FAULTS[step])))
    else:
        assert type(found).__name__ == STEPS[step]["class"]


def test_steps_without_an_order_have_one_class():
    unordered = range(FIRST_UNORDERED, LAST_UNORDERED + 1)
    assert f"**Steps {unordered[0]} to {unordered[-1]} have\nno order**" in SPEC
    assert {STEPS[step]["class"] for step in unordered} == {"Malformed"}


@pytest.mark.parametrize(
    ("base", "pokes"),
    [
        ("frame", [("header", "bound", 0.0)]),
        ("frame", [("header", "bound", 0.0), ("header", "bound_kind", 1)]),
        ("frame", [("header", "rank", 0), ("header", "world", 1)]),
        ("frame", [("header", "rank", 2**32 - 3), ("header", "world", 2**32 - 2)]),
        ("frame", [("level", 0, 0.0), ("level", 1, 1e-45)]),
        ("all", [("level", 0, 0.0), ("level", 1, 0.0)]),
        ("sign", [("chunk 0", "level_base", 1), ("chunk 1", "level_base", 0)]),
        ("columns", [("word", 2, 49)]),
        ("tail", [("byte", i, 0xD6) for i in range(128, 192)]),
        (
            "deep",
            [
                ("dim", 0, 0),
                ("dim", 1, 2**48),
                ("tensor 0", "numel", 0),
                ("tensor 1", "start", 0),
                ("header", "n_elements", 1),
            ],
        ),
    ],
)
def test_what_is_just_allowed(base, pokes):
    assert refusal(broken(base, pokes)) is None


@pytest.mark.parametrize("at", [128, 191])
def test_meta_check_covers_the_tail_of_a_long_header(at):
    frame = bytearray(BASES["tail"])
    frame[at] ^= 1
    assert without_numbers(refusal(bytes(frame))) == without_numbers(refusal(broken(*FAULTS[32])))


@pytest.mark.parametrize(
    ("base", "pokes", "step", "where"),
    [
        ("frame", [("section 0", "length", 640), ("section 1", "flags", 1)], 36, "section 0"),
        ("columns", [("key code", 0, 0x20), ("key code", 16, 0xD0)], 56, "key code 0"),
        ("columns", [("key code", 0, 0x20), ("key code", 31, 1)], 54, "a key code"),
        ("two", [("chunk 0", "columns", 1), ("chunk 1", "key_codec", 0)], 63, "chunk 1"),
        ("two", [("chunk 1", "columns", 1), ("chunk 0", "columns", 1)], 76, "chunk 0"),
        ("two", [("flip", 8, 1), ("chunk 1", "check", 0)], 90, "chunk 1"),
    ],
)
def test_steps_of_one_bracket_go_item_by_item_others_step_by_step(base, pokes, step, where):
    error = refusal(broken(base, pokes))
    assert str(error).startswith(where)
    assert without_places(error) == without_places(refusal(broken(*FAULTS[step])))


@pytest.mark.parametrize(
    ("step", "most", "tables"),
    [
        (51, 2**16, lambda n: NO_TABLES._replace(levels=np.ones(n, "<f4"))),
        (53, 2**8, lambda n: NO_TABLES._replace(key_codes=np.eye(1, 32, 1, np.uint8).repeat(n, 0))),
        (
            57,
            2**12,
            lambda n: NO_TABLES._replace(
                levels=np.ones(n, "<f4"), value_code=np.resize([12], n).astype(np.uint8)
            ),
        ),
    ],
)
def test_steps_51_53_and_57_too_large_tables(step, most, tables):
    for size in (most, most + 1):
        frame = _sealed(Header(), (Tensor(0, 0, (0,)),), tables(size), np.zeros(0, CHUNK))
        error = refusal(frame)
        assert (error is None) if size == most else type(error).__name__ == STEPS[step]["class"]


def test_steps_108_and_109_come_after_89_and_here_before_the_payload():
    frame, faulty, early = BASES["frame"], broken(*FAULTS[107]), broken(*FAULTS[86])
    for step, arguments in (
        (108, {"max_elements": 9}),
        (109, {"out": np.zeros(9, np.float32)}),
        (109, {"out": np.zeros(10)}),
    ):
        assert type(refusal(frame, **arguments)).__name__ == STEPS[step]["class"]
        assert type(refusal(faulty, **arguments)).__name__ == STEPS[step]["class"]
        assert type(refusal(early, **arguments)).__name__ == STEPS[86]["class"]
