"""The examples of the specification: bytes that both backends write, and what the notes say."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from document import EXAMPLES, SPEC, block, example, hex_block, hex_lines, table_after

import gcodec
from gcodec.format import codes, ids
from gcodec.format import frame as wire
from gcodec.kernels import load

KERNELS = load("reference")


def test_xxh64_examples():
    for row in table_after("| data | seed | XXH64 |"):
        digits = re.fullmatch(r"`([0-9a-f ]+)`", row[0])
        data = (
            b"" if row[0] == "none" else bytes.fromhex(digits[1]) if digits else bytes(range(101))
        )
        assert f"{KERNELS.xxh64(data, int(row[1])):016x}" == row[2]


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


def test_notes_of_the_whole_frame():
    """Sizes, counts and places that notes name are those of the bytes beside them."""
    at = checked = 0
    for data, note in hex_lines("frame"):
        number = re.search(
            r"(?:frame_len|payload_offset|count|length|padding to|dimension) (\d+)", note
        )
        if note.startswith("padding to"):
            assert at + len(data) == int(number[1])
            checked += 1
        elif number:
            words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
            assert int(number[1]) in words, note
            checked += 1
        at += len(data)
    assert checked == 15


def test_sections_of_the_whole_frame_are_where_the_notes_say():
    stated = [
        (int(length), -(-int(end) // int(to)) * int(to))
        for _, note in hex_lines("frame")
        for length, to, end in re.findall(r"length (\d+): at align(8|64)\((\d+)\)", note)
    ]
    places = {"e3 d9 53 a6": 0, "0a 00 00 00 00": 1, "c6 0a ff 3e": 2}
    data = hex_block("frame")
    assert [length for length, _ in stated] == [16, 8, 8, 32, 32]
    for start, section in places.items():
        assert data[stated[section][1] :].startswith(bytes.fromhex(start))
    for (length, at), (_, following) in pairwise(stated):
        assert 0 <= following - at - length < 64


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_examples(kind, backend):
    positions, values, frame = example(kind, backend)
    parsed = wire.parse(np.asarray(frame), KERNELS)
    tables = parsed.tables
    packed = [codes.pack_lengths(lengths) for lengths in (tables.key_codes, tables.value_code)]
    shown = parsed.directory.tobytes() + parsed.payload.tobytes() + b"".join(packed)
    shown += tables.seeds.tobytes()
    assert shown == hex_block(kind)
    keys, decoded = gcodec.decode_sparse(frame, backend=backend)
    assert keys.tolist() == positions.tolist()
    if kind.endswith("raw"):
        assert decoded.tolist() == values.tolist()
    else:
        assert np.sign(decoded).tolist() == np.sign(values).tolist()
        assert (np.abs(decoded / values - 1) < 1 / 3 + 0.01).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_example_of_scales(backend):
    given = json.loads(block("json scaled"))
    gradient = np.array(given["gradient"], np.float32)
    frame = gcodec.get_codec(given["recipe"], backend=backend).encode(gradient)
    parsed = wire.parse(np.asarray(frame), KERNELS)
    runs, scales, each = parsed.tables.scaling
    parts = parsed.tables.levels, parsed.payload, scales, runs.astype("<u8")
    assert b"".join(part.tobytes() for part in parts) == hex_block("scaled")
    assert each == 2
    decoded = ", ".join(f"{x:g}" for x in gcodec.decode(frame).reshape(-1))
    assert f"It decodes to {decoded}." in SPEC


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_example_of_a_sketch(backend):
    given = json.loads(block("json sketch"))
    gradient = np.array(given.pop("gradient"), np.float32)
    sketch = gcodec.CountSketch(gradient.size, backend=backend, **given).insert(gradient)
    parsed = wire.parse(np.asarray(sketch.encode()), KERNELS)
    parts = parsed.sketch.to_bytes(), parsed.directory.tobytes(), parsed.payload.tobytes()
    assert b"".join(parts) == hex_block("sketch")
    rows = [", ".join(f"{x:g}" for x in row) for row in sketch.cells]
    notes = [note for _, note in hex_lines("sketch")]
    assert [note for note in notes if note.startswith("row")] == [
        f"row {i}: {row}" for i, row in enumerate(rows)
    ]
    said = re.search(r"position 1 has columns (.*); position 4 has\n(.*)\.", SPEC)
    for position, places in zip((1, 4), said.groups(), strict=True):
        one = gcodec.CountSketch(6, **given).insert_sparse([position], np.ones(1, np.float32))
        found = [(int(np.flatnonzero(row)[0]), row.sum() > 0) for row in one.cells]
        stated = re.findall(r"(\d) \((added|subtracted)\)", places)
        assert found == [(int(column), word == "added") for column, word in stated]


def test_examples_show_every_codec():
    found = set()
    for kind in EXAMPLES:
        chunks = wire.parse(np.asarray(example(kind)[2]), KERNELS).directory
        named = kind.upper().replace("-", "_")
        for row in chunks:
            key, value = ids.KeyCodec(row["key_codec"]), ids.ValueCodec(row["val_codec"])
            found |= {key, value}
        assert named == f"{key.name}_{value.name}"
    assert found == {*ids.KeyCodec, *ids.ValueCodec}


def test_examples_show_both_kinds_of_frames():
    kinds = {kind: gcodec.inspect(example(kind)[2]).header["frame_kind"] for kind in EXAMPLES}
    assert [kind for kind in kinds if kinds[kind] == "dense"] == ["all-fixed"]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_notes_of_the_entries(kind):
    """What the notes beside a directory entry say, against the entry."""
    directory = wire.parse(np.asarray(example(kind)[2]), KERNELS).directory
    notes = ", ".join(note for _, note in hex_lines(kind)).split("check, seed")
    assert len(notes) == directory.size + 1
    for chunk, note in zip(directory, notes[:-1], strict=True):
        said = dict(re.findall(r"(off16|len16|nnz|\w+_hi_bits|level_base|columns) (\d+)", note))
        assert len(said) == 7
        assert said == {field: str(chunk[field]) for field in said}
        (key, key_param), (value, val_param) = re.findall(r"_codec (\w+), (\d+)", note)
        assert (ids.KeyCodec[key], ids.ValueCodec[value]) == (
            chunk["key_codec"], chunk["val_codec"]
        )  # fmt: skip
        assert (int(key_param), int(val_param)) == (chunk["key_param"], chunk["val_param"])


def canonical(lengths):
    """Codes as section 6 makes them."""
    code = before = 0
    found = {}
    for length, symbol in sorted((length, s) for s, length in enumerate(lengths) if length):
        code <<= length - before
        found[symbol] = f"{code:0{length}b}"[-length:]
        code, before = code + 1, length
    return found


def codes_shown():
    """(packed lengths, note) of the codes in the examples; a long one takes several lines."""
    found = []
    for kind in EXAMPLES:
        for data, note in hex_lines(kind):
            if re.match("KEYCODES|VALUECODE", note):
                found.append((data, note.split(":")[1].replace("classes", "")))
            elif re.fullmatch(r"(\d+ [01]+(, )?)+", note):
                found[-1] = (found[-1][0] + data, f"{found[-1][1]}, {note}")
    return found


def test_codes_in_the_examples():
    shown = codes_shown()
    assert len(shown) == 5
    for data, note in shown:
        lengths = [half for byte in data for half in (byte & 15, byte >> 4)]
        words = {int(symbol): word for symbol, word in re.findall(r"(\d+) ([01]+)\b", note)}
        assert words == canonical(lengths)
        packed = np.zeros(len(lengths), np.uint16)
        load("reference").codes(np.array(lengths, np.uint8), packed)
        assert {s: f"{packed[s]:0{len(word)}b}"[::-1] for s, word in words.items()} == words
