"""Tables of `spec/gcodec-1.md` against the code: neither can change without the other."""

import re
import struct
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from document import LAYOUTS, REGISTRIES, SPEC, STEPS, table
from faults import broken, refusal

import gcodec
from gcodec import errors
from gcodec.format import directory, ids
from gcodec.format import header as wire_header
from gcodec.format import sections as wire_sections
from gcodec.format import sketch as wire_sketch
from gcodec.format.directory import (
    CHUNK,
    Sizes,
    check_directory,
    choose_chunk_log2,
    measure_chunks,
    place_chunks,
)
from gcodec.format.elements import ELEMENTS, FLOAT32
from gcodec.format.header import HEADER_SIZE, Header
from gcodec.format.sections import SECTION, TENSOR
from gcodec.kernels import cpu, reference
from gcodec.packing import KEY_PACKINGS

NONE = np.zeros(1, np.int64)


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


def test_the_sketch_table_is_the_struct():
    letters = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64", "d": "f64"}
    expected, offset = [], 0
    for letter in wire_sketch._ENTRY.format.lstrip("<"):
        width = struct.calcsize(f"<{letter}")
        expected.append((offset, width, letters[letter]))
        offset += width
    assert list(LAYOUTS["sketch"].values()) == expected
    assert offset == wire_sketch.ENTRY_SIZE == 24


def test_every_registry_is_in_the_spec():
    enums = {
        name
        for name, value in vars(ids).items()
        if isinstance(value, type) and issubclass(value, ids.IntEnum) and value is not ids.IntEnum
    }
    assert {registry for _, registry, _ in REGISTRIES} | {"Section"} == enums
    assert ids.KNOWN_CRITICAL_FEATURES == 0
    assert bytes.fromhex("d6 47 43 f1") == ids.MAGIC
    assert (ids.MAJOR, ids.MINOR) == (1, 0)


def test_section_types():
    rows = table("section types")
    assert {row["name"]: int(row["type"]) for row in rows} == {
        section.name: section.value for section in ids.Section
    }
    sizes = {int(row["type"]): row["entry size"] for row in rows if row["entry size"]}
    known = {kind: str(size // 2) for kind, size in wire_sections._HALF_BYTES.items()}
    other = {
        ids.Section.CODEBOOK: "B / 8",
        ids.Section.SCALES: "B / 8",
        ids.Section.VALUECODE: "1/2",
    }
    assert sizes == known | other
    assert wire_sections._HALF_BYTES[ids.Section.VALUECODE] == 1
    reserved = [row["name"] for row in rows if row["content"].startswith("reserved")]
    assert reserved == [section.name for section in ids.RESERVED_SECTIONS]
    assert ids.FIRST_ANCILLARY_SECTION == 0x8000
    assert [int(row["type"]) for row in rows] == [*(i for i in ids.Section if i != 6), 6]


def test_alignments():
    assert "A section starts at align8 (PAYLOAD: align64) of the end of the one before" in SPEC
    assert (ids.SECTION_ALIGNMENT, ids.ALIGNMENT) == (8, 64)


@pytest.mark.parametrize(("name", "registry", "field"), REGISTRIES)
def test_registries_are_the_enums(name, registry, field):
    listed = {row["name"].upper().replace("-", "_"): int(row["id"]) for row in table(name)}
    assert listed == {entry.name: entry.value for entry in getattr(ids, registry)}


def with_field(field, value):
    """A sound frame, but for an id in a header or directory entry."""
    if field == "hash" or (field, value) == ("frame_kind", ids.FrameKind.COUNT_SKETCH):
        return broken("sketch", [("sketch", "hash", value)] if field == "hash" else [])
    place = "header" if field in Header._fields else "chunk 0"
    if field == "elem_dtype":
        return broken("empty", [(place, field, value), ("tensor 0", "dtype", value)])
    return broken("all" if field == "frame_kind" else "tables", [(place, field, value)])


@pytest.mark.parametrize(("name", "registry", "field"), REGISTRIES)
def test_a_reader_knows_what_the_registry_says(name, registry, field):
    known = {int(row["id"]) for row in table(name) if row["1.0"] == "yes"}
    for value in range(256):
        error = refusal(with_field(field, value))
        if value in known:
            assert error is None, value
        else:
            expected = gcodec.UnsupportedFeature if value else gcodec.Malformed
            assert type(error) is expected, (value, error)


@pytest.mark.parametrize(("name", "registry", "field"), REGISTRIES)
def test_reserved_ids_are_refused_by_name(name, registry, field):
    for row in table(name):
        if row["1.0"] == "reserved":
            assert f" {row['name']} " in str(refusal(with_field(field, int(row["id"]))))


def test_some_ids_are_reserved():
    reserved = [
        row["name"] for name, *_ in REGISTRIES for row in table(name) if row["1.0"] != "yes"
    ]
    assert reserved == ["control", "overwrite", "step"]


@pytest.mark.parametrize("name", [section.name for section in ids.RESERVED_SECTIONS])
def test_reserved_sections_are_refused_by_name(name):
    kind = ids.Section[name]
    error = refusal(broken("columns", [("section 5", "type", kind)]))
    assert type(error) is gcodec.UnsupportedFeature
    assert f" {name} " in str(error)


def test_element_types():
    for row in table("registry ElementType elem_dtype"):
        element = ELEMENTS[ids.ElementType(int(row["id"]))]
        bits, precision = map(int, re.search(r"B = (\d+), p = (\d+)", row["meaning"]).groups())
        assert (element.bits, element.precision, element.name) == (bits, precision, row["name"])
        exponent = 2 ** (bits - 2 - precision) - 1
        assert (element.bias, element.lowest) == (exponent, 1 - exponent - precision)
        assert element.infinity == (2 ** (bits - 1 - precision) - 1) << precision
    assert len(ELEMENTS) == len(table("registry ElementType elem_dtype"))


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
    measure_chunks(chunk, FLOAT32, NONE)
    return chunk, place_chunks(chunk)


def refused(positions, n_levels, n_codes, value_code, fields, kind=ids.FrameKind.SPARSE):
    """Class of what `check_directory` raises on one entry, or None."""
    chunk, payload = entry(**fields)
    chunk.flags.writeable = False
    header = Header(n_elements=positions, chunk_log2=9, n_stored=fields["nnz"], frame_kind=kind)
    sizes = Sizes(n_levels, n_codes, int(value_code), int(value_code))
    found = set()
    for kernels in (cpu, reference):
        try:
            check_directory(chunk, header, FLOAT32, payload, sizes, kernels.check_directory)
            found.add(None)
        except gcodec.FrameError as error:
            found.add(type(error))
    (only,) = found
    return only


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
    dense = refused(positions, size, codes_there, True, chosen, ids.FrameKind.DENSE)
    wanted = kind == "key" and "only this if frame_kind is dense" in row[first]
    assert dense is (None if wanted else gcodec.Malformed)
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


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=lambda element: element.name)
@pytest.mark.parametrize("key", table("key planes"), ids=lambda row: row["key_codec"])
@pytest.mark.parametrize("value", table("value planes"), ids=lambda row: row["val_codec"])
def test_plane_bits(key, value, element):
    for nnz in (1, 3, 5, 127, 128, 129, 300):
        fields = {"nnz": nnz, "key_param": 3, "val_param": 5}
        fields["key_hi_bits"] = 77 if key["key high"] != "0" else 0
        fields["val_hi_bits"] = 66 if value["value high"] != "0" else 0
        fields["columns"] = 70 if key["key_codec"] == "COLUMNS" else 0
        if "val_param" not in value["value low"]:
            fields["val_param"] = 0
        blocks = ceil((nnz + fields["columns"]) / 128)
        names = fields | {"ceil": ceil, "blocks": blocks, "rests": 99, "B": element.bits}
        expected = [int(eval((key | value).get(plane, "0"), dict(names))) for plane in PLANES]
        chunk, _ = entry(
            key_codec=ids.KeyCodec[key["key_codec"]],
            val_codec=ids.ValueCodec[value["val_codec"]],
            **fields,
        )
        rests = np.array([99 if key["key low"] == "rests" else 0])
        assert directory.plane_bits(chunk, element, rests)[0].tolist() == expected
        words = sum(-(-bits // 64) for bits in expected)
        measure_chunks(chunk, element, rests)
        assert chunk["len16"][0] == words // 2 + 1
        assert place_chunks(chunk) == 16 * (words // 2 + 1)


def test_what_keys_allows():
    stated = {row["keys"]: row["codecs"].split(", ") for row in table("keys")}
    assert stated == {
        name: [codec.name for codec in sorted(allowed)] for name, allowed in KEY_PACKINGS.items()
    } | {"auto": stated["auto"]}
    assert {ids.KeyCodec[name] for name in stated["auto"]} == set(KEY_PACKINGS["auto"])


def test_chunk_size():
    assert "with 2^c * density >= 2896, or 24 if there is none" in SPEC
    for density in [1.0, 2896 / 2**20, 0.01, 0.001, 1e-4, 1e-5, 1e-9, 5e-324] + [
        float(np.nextafter(2896 / 2**power, side)) for power in (11, 24) for side in (0, 1)
    ]:
        wanted = [c for c in range(6, 25) if 2**c * Fraction(density) >= 2896]
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
