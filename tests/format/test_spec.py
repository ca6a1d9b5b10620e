"""`spec/gcodec-1.md` against the code: its tables, its examples, and the order of its checks.

The tables are read out of the document, so neither can change without the other.
"""

import json
import re
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import gcodec
from gcodec import errors
from gcodec.format import frame as wire
from gcodec.format import header as wire_header
from gcodec.format import ids
from gcodec.format.directory import CHUNK, check_directory, choose_chunk_log2
from gcodec.format.header import HEADER_SIZE, LOW_32, Header
from gcodec.format.sections import SECTION, TENSOR, Tensor
from gcodec.kernels import load
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
    listed = {row["name"]: int(row["type"]) for row in table("section types")}
    assert listed == {section.name: section.value for section in ids.Section}
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
        error = refusal(broken("empty", [(place, field, value)]))
        expected = gcodec.Malformed if value == 0 else None if value in known else unknown
        assert error is None if expected is None else type(error) is expected, (value, error)


def test_limits():
    stated = {row["limit"]: eval(row["value"].replace("^", "**")) for row in table("limits")}
    assert stated == {
        name: value for name, value in vars(ids).items() if name.startswith(("MAX_", "MIN_"))
    }
    for row in table("limits"):
        for step in row["step"].split(", "):
            assert STEPS[int(step)]["class"] == "LimitExceeded"


def test_chunk_size():
    assert "with 2^c * density >= 1448, or 24 if there is none" in SPEC
    for density in [1.0, 1448 / 2**20, 0.01, 0.001, 1e-4, 1e-5, 1e-9, 5e-324] + [
        float(np.nextafter(1448 / 2**power, side)) for power in (11, 24) for side in (0, 1)
    ]:
        wanted = [c for c in range(6, 25) if 2**c * Fraction(density) >= 1448]
        for n in (0, 1, 10**4, 10**6, 2**24 - 1, 2**24, 2**35, 2**47 + 1, 2**48):
            c = min(wanted, default=24)
            for _ in range(2):
                c -= c > 6 and n < 8 * 2**c
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


@pytest.mark.parametrize("kind", ["coo-raw", "rice-rice"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_chunks(kind, backend):
    given = json.loads(block(f"json {kind}-input"))
    gradient = np.zeros(given["n"], np.float32)
    gradient[given["keys"]] = given["values"]
    frame = gcodec.get_codec(given["recipe"], backend=backend).encode(gradient)
    parsed = wire.parse(np.asarray(frame), XXH64)
    assert parsed.directory.tobytes() + parsed.payload.tobytes() == hex_block(kind)
    keys, values = gcodec.decode_sparse(frame, backend=backend)
    assert keys.tolist() == given["keys"]
    assert np.sign(values).tolist() == np.sign(given["values"]).tolist()
    if kind == "coo-raw":
        assert values.tolist() == given["values"]


# The order of the checks: each step broken alone, then every two of them together

STEPS = {int(row["step"]): row for row in table("steps")}


def _two_tensors():
    """33 dimensions in two tensors of one element each, none of them stored."""
    directory = np.zeros(1, CHUNK)
    directory["key_codec"], directory["val_codec"] = ids.KeyCodec.RICE, ids.ValueCodec.RAW
    directory["check"] = XXH64(b"", 0) & LOW_32
    tensors = Tensor(0, 0, (1,) * 32), Tensor(0, 1, (1,))
    header = Header(n_elements=2)
    return wire.seal(wire.draft(header, tensors, np.empty(0, np.float32), directory), XXH64)


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
    spread = np.zeros(200, np.float32)
    spread[[3, 4, 17, 40]] = [1, -2, 0.5, 8]
    return {
        "empty": gcodec.Codec().encode(np.zeros(10, np.float32)).tobytes(),
        "rice": hex_block("frame"),
        "coo": codec("topk:k=4,keys=coo").encode(spread).tobytes(),
        "ones": codec("reclog:ratio=1,keys=rice").encode(np.ones(100, np.float32)).tobytes(),
        "two": codec("reclog:ratio=1,keys=rice").encode(np.ones(1000, np.float32)).tobytes(),
        "deep": _two_tensors().tobytes(),
        "tail": _long_header(hex_block("frame")),
    }


BASES = _bases()

FAULTS = {
    1: ("rice", [("byte", 0, 0)]),
    2: ("rice", [("cut", 15, 0)]),
    3: ("rice", [("header", "major", 2)]),
    4: ("rice", [("header", "header_len", 64)]),
    5: ("rice", [("header", "frame_len", 641)]),
    6: ("rice", [("header", "frame_len", 704)]),
    7: ("rice", [("header", "header_check", 0)]),
    8: ("rice", [("header", "critical_features", 1 << 31)]),
    9: ("rice", [("header", "n_elements", 2**48 + 1)]),
    10: ("rice", [("header", "n_chunks", 2**24 + 1)]),
    11: ("rice", [("header", "n_tensors", 0)]),
    12: ("rice", [("header", "n_sections", 65)]),
    13: ("rice", [("header", "chunk_log2", 5)]),
    14: ("rice", [("header", "frame_kind", 0)]),
    15: ("rice", [("header", "frame_kind", 3)]),
    16: ("rice", [("header", "elem_dtype", 0)]),
    17: ("rice", [("header", "elem_dtype", 2)]),
    18: ("rice", [("header", "aggregation", 0)]),
    19: ("rice", [("header", "aggregation", 2)]),
    20: ("rice", [("header", "bound_kind", 0)]),
    21: ("rice", [("header", "bound_kind", 5)]),
    22: ("rice", [("header", "rounding", 0)]),
    23: ("rice", [("header", "rounding", 4)]),
    24: ("rice", [("header", "payload_offset", 577)]),
    25: ("rice", [("header", "bound", float("inf"))]),
    26: ("rice", [("header", "bound_kind", 1)]),
    27: ("rice", [("header", "weight", 0.0)]),
    28: ("rice", [("header", "rank", 0)]),
    29: ("rice", [("header", "contributions", 0)]),
    30: ("rice", [("header", "n_chunks", 2)]),
    31: ("rice", [("header", "n_stored", 11)]),
    32: ("rice", [("header", "meta_check", 0)]),
    33: ("rice", [("section 1", "type", 1)]),
    34: ("rice", [("section 1", "flags", 1)]),
    35: ("rice", [("section 1", "offset", 448)]),
    36: ("rice", [("section 3", "length", 576)]),
    37: ("rice", [("section 4", "length", 0)]),
    38: ("rice", [("byte", 639, 1)]),
    39: ("rice", [("section 2", "type", 4)]),
    40: ("rice", [("section 2", "count", 9)]),
    41: ("rice", [("section 3", "type", 0x8000)]),
    42: ("rice", [("header", "n_tensors", 2)]),
    43: ("rice", [("tensor 0", "ndim", 0)]),
    44: ("deep", [("tensor 0", "ndim", 33), ("tensor 1", "ndim", 0)]),
    45: ("rice", [("tensor 0", "start", 1)]),
    46: ("rice", [("tensor 0", "dtype", 2)]),
    47: ("rice", [("dim", 0, 2**48 + 1)]),
    48: ("rice", [("tensor 0", "numel", 9)]),
    49: ("rice", [("tensor 0", "numel", 9), ("dim", 0, 9)]),
    50: ("rice", [("header", "layout_key", 1)]),
    52: ("rice", [("level", 1, 0)]),
    53: ("rice", [("section 3", "count", 2), ("section 3", "length", 64)]),
    54: ("rice", [("chunk 0", "key_codec", 0)]),
    55: ("rice", [("chunk 0", "key_codec", 5)]),
    56: ("rice", [("chunk 0", "val_codec", 0)]),
    57: ("rice", [("chunk 0", "val_codec", 2)]),
    58: ("rice", [("chunk 0", "key_param", 25)]),
    59: ("coo", [("chunk 0", "key_param", 33)]),
    60: ("coo", [("chunk 0", "val_param", 17)]),
    61: ("rice", [("chunk 0", "flags", 1)]),
    62: ("rice", [("chunk 0", "nnz", 11)]),
    63: ("rice", [("chunk 0", "key_hi_bits", 7)]),
    64: ("coo", [("chunk 0", "key_param", 0)]),
    65: ("rice", [("chunk 0", "val_hi_bits", 7)]),
    66: ("coo", [("chunk 0", "level_base", 1)]),
    67: ("ones", [("chunk 0", "level_base", 1)]),
    68: ("empty", [("chunk 0", "key_param", 1)]),
    69: ("rice", [("header", "n_stored", 2)]),
    71: ("rice", [("chunk 0", "len16", 2)]),
    72: ("rice", [("chunk 0", "off16", 1)]),
    73: ("coo", [("section 3", "length", 48), ("section 3", "count", 3)]),
    74: ("rice", [("chunk 0", "check", 0)]),
    75: ("rice", [("word", 1, 0x27)]),
    76: ("coo", [("word", 0, 4 | 3 << 14)]),
    77: ("rice", [("word", 0, 6)]),
    78: ("rice", [("word", 3, 0x1D)]),
    79: ("rice", [("word", 3, 0x19), ("chunk 0", "val_hi_bits", 5)]),
    80: ("rice", [("word", 2, 2 | 1 << 3)]),
}
SEALED_AFTER = {"layout_key": 1, "check": 1, "meta_check": 2, "header_check": 3}
"""Fields that are overwritten only once the hash they hold, and those before it, are right."""

ELSEWHERE = {51, 70, 81, 82}


def broken(base, pokes):
    """The frame `base` with fields overwritten and, but for those, every check right again."""
    data = bytearray(BASES[base])
    sections = int.from_bytes(data[6:8], "little")
    spans = {
        int(row["type"]): slice(int(row["offset"]), int(row["offset"] + row["length"]))
        for row in np.frombuffer(data[sections : sections + 32 * data[48]], SECTION)
    }
    payload, dims = spans[6], spans.get(2, slice(0, 0))
    levels = spans.get(3, dims).start
    starts = {"section": sections, "tensor": spans[1].start, "chunk": spans[5].start}
    plain = {
        "byte": (0, "<B"),
        "dim": (dims.start, "<Q"),
        "level": (levels, "<f"),
        "word": (payload.start, "<Q"),
    }

    def put(place, field, value):
        kind, _, index = place.partition(" ")
        if kind in plain:
            start, form = plain[kind]
            offset = start + struct.calcsize(form) * field
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
            for i, row in enumerate(np.frombuffer(BASES[base][spans[5]], CHUNK)):
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


def test_of_two_broken_steps_the_first_is_reported():
    alone = {step: without_numbers(refusal(broken(*fault))) for step, fault in FAULTS.items()}
    wrong = []
    for step, (base, pokes) in FAULTS.items():
        for later, (other, more) in FAULTS.items():
            touched = {poke[:2] for poke in pokes} & {poke[:2] for poke in more}
            if later <= step or other != base or touched:
                continue
            found = without_numbers(refusal(broken(base, pokes + more)))
            if found != alone[step]:
                wrong.append((step, later, found))
    assert not wrong


@pytest.mark.parametrize(
    ("step", "base", "pokes"),
    [
        (25, "empty", [("header", "bound", -0.0)]),
        (25, "rice", [("header", "bound", -1.0)]),
        (25, "rice", [("header", "bound", float("nan"))]),
        (26, "empty", [("header", "bound", 5e-324)]),
        (28, "rice", [("header", "world", 4)]),
        (28, "rice", [("header", "rank", 4), ("header", "world", 4)]),
        (28, "rice", [("header", "rank", 0), ("header", "world", 0)]),
        (34, "tail", [("section 0", "flags", 1)]),
        (42, "deep", [*FAULTS[44][1], ("header", "n_tensors", 3)]),
        (43, "coo", [("section 1", "type", 3), ("section 1", "count", 2)]),
        (43, "deep", [("tensor 0", "ndim", 33)]),
        (43, "deep", [("tensor 1", "ndim", 0), ("tensor 0", "start", 1)]),
        (44, "deep", [*FAULTS[44][1], ("tensor 0", "start", 1)]),
        (45, "rice", [("tensor 0", "dims_index", 1)]),
        (45, "deep", [("tensor 0", "start", 1), ("tensor 1", "dtype", 0)]),
        (46, "deep", [("tensor 0", "dtype", 2), ("tensor 1", "start", 2)]),
        (47, "deep", [("dim", 0, 2**32), ("dim", 1, 2**32), ("tensor 0", "numel", 0)]),
        (47, "deep", [("dim", 0, 0), ("dim", 1, 2**24), ("dim", 2, 2**24 + 1)]),
        (48, "deep", [("tensor 0", "numel", 2), ("tensor 1", "dtype", 2)]),
        (63, "rice", [("chunk 0", "key_hi_bits", 2)]),
        (65, "rice", [("chunk 0", "val_hi_bits", 2)]),
    ],
)
def test_other_ways_to_break_a_step(step, base, pokes):
    found, expected = refusal(broken(base, pokes)), refusal(broken(*FAULTS[step]))
    where = r"(section|tensor) \d+"
    assert without_numbers(type(found)(re.sub(where, "", str(found)))) == without_numbers(
        type(expected)(re.sub(where, "", str(expected)))
    )


@pytest.mark.parametrize(
    ("base", "pokes"),
    [
        ("rice", [("header", "bound", 0.0)]),
        ("rice", [("header", "bound", 0.0), ("header", "bound_kind", 1)]),
        ("rice", [("header", "rank", 0), ("header", "world", 1)]),
        ("rice", [("header", "rank", 2**32 - 3), ("header", "world", 2**32 - 2)]),
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
        ("rice", [("section 0", "length", 640), ("section 1", "flags", 1)], 36, "section 0"),
        ("two", [("chunk 0", "flags", 1), ("chunk 1", "key_codec", 0)], 54, "chunk 1"),
        ("two", [("chunk 1", "flags", 1), ("chunk 0", "flags", 1)], 61, "chunk 0"),
        ("two", [("word", 24, 1), ("chunk 1", "check", 0)], 74, "chunk 1"),
        ("two", [("word", 24, 1), ("word", 26, 0)], 80, "chunk 0"),
    ],
)
def test_steps_of_one_bracket_go_item_by_item_others_step_by_step(base, pokes, step, where):
    error = refusal(broken(base, pokes))
    alone = re.sub(r"(section|chunk) \d+", "", str(refusal(broken(*FAULTS[step]))))
    assert str(error).startswith(where)
    assert without_numbers(type(error)(alone)) == without_numbers(
        type(error)(re.sub(where, "", str(error)))
    )


def test_step_51_too_many_levels():
    levels = np.ones(2**16 + 1, np.float32)
    header = Header(chunk_log2=6)
    tensors = (Tensor(0, 0, (0,)),)
    for size in (levels.size - 1, levels.size):
        work = wire.draft(header, tensors, levels[:size], np.zeros(0, CHUNK))
        error = refusal(wire.seal(work, load("cpu").xxh64))
        allowed = size <= 2**16
        assert (error is None) if allowed else type(error).__name__ == STEPS[51]["class"]


def test_step_70_too_long_a_payload():
    chunks, nnz, len16 = 2**8, 2**16, 2**24
    directory = np.zeros(chunks, CHUNK)
    directory["key_codec"], directory["val_codec"] = ids.KeyCodec.RICE, ids.ValueCodec.RICE
    directory["nnz"] = directory["key_hi_bits"] = nnz
    directory["val_hi_bits"] = 64 * (2 * len16 - 2) - 2 * nnz
    directory["len16"], directory["off16"] = len16, np.arange(chunks) * len16
    header = Header(n_stored=chunks * nnz)
    lengths = np.full(chunks, nnz)
    with pytest.raises(gcodec.FrameError) as caught:
        check_directory(directory, lengths, header, 2**16, 2**36)
    assert caught.type.__name__ == STEPS[70]["class"]
    directory["val_hi_bits"][-1] -= 128
    directory["len16"][-1] -= 1
    check_directory(directory, lengths, header, 2**16, 2**36 - 16)


def test_steps_81_and_82_come_last():
    frame, faulty = BASES["rice"], broken(*FAULTS[80])
    for step, arguments in (
        (81, {"max_elements": 9}),
        (82, {"out": np.zeros(9, np.float32)}),
        (82, {"out": np.zeros(10)}),
    ):
        assert type(refusal(frame, **arguments)).__name__ == STEPS[step]["class"]
        assert type(refusal(faulty, **arguments)).__name__ == STEPS[80]["class"]
