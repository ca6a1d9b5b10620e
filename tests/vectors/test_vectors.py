"""Every vector of `spec/vectors` through three decoders: the same, and what its JSON says.

A new version adds vectors; those that are there stay as they are.
"""

import hashlib
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

import gcodec

FOLDER = Path(__file__).parents[2] / "spec" / "vectors" / "1"
SUMS = (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
FROZEN_LINES = 802
FROZEN_SHA256 = "bdf639f2cdc9e38d1f556d60b948ee50ecc607109da0d1f984932e14b7656a65"
"""Of the first lines of the list. Change neither after 1.0 is final."""

SPEC = FOLDER.parents[1] / "gcodec-1.md"
LEGAL = sorted(FOLDER.glob("valid/*.gc")) + sorted(FOLDER.glob("uncommon/*.gc"))
FAULTY = sorted(FOLDER.glob("faulty/*.gc"))
DENSE = 2**20
"""Vectors of so many elements and fewer are decoded to arrays too."""
NUMBERS = {1: np.float32, 2: np.float16, 3: np.uint16, 4: np.float64}
"""NumPy's types by elem_dtype; bfloat16 is its patterns."""


def name(path):
    return f"{path.parent.name}-{path.stem}"


def said(path):
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_list_only_grows():
    frozen = "".join(f"{line}\n" for line in SUMS[:FROZEN_LINES])
    assert len(SUMS) >= FROZEN_LINES
    assert hashlib.sha256(frozen.encode()).hexdigest() == FROZEN_SHA256


def test_every_file_is_listed_and_unchanged():
    listed = {file: digest for digest, file in (line.split("  ") for line in SUMS)}
    assert len(listed) == len(SUMS)
    files = {p.relative_to(FOLDER).as_posix(): p for p in FOLDER.glob("*/*") if p.is_file()}
    assert set(files) == set(listed)
    for file, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[file], file
        assert path.with_suffix(".json").exists()
        assert path.with_suffix(".gc").exists()


@pytest.mark.parametrize("path", LEGAL, ids=name)
def test_legal(path, outcome, second_reader):
    data, expected = path.read_bytes(), said(path)
    error, keys, values = outcome(data)
    assert error is None
    assert len(keys) == expected["nnz"]
    size = np.dtype(NUMBERS[expected["header"]["elem_dtype"]]).itemsize
    patterns = [f"{pattern:0{2 * size}x}" for pattern in values]
    assert expected.get("keys", keys) == keys
    assert expected.get("values", patterns) == patterns
    packed = {"keys": struct.pack(f"<{len(keys)}Q", *keys)}
    packed["values"] = np.array(values, f"<u{size}").tobytes()
    for what, content in packed.items():
        assert hashlib.sha256(content).hexdigest() == expected[f"{what}_sha256"]

    decoded = second_reader.decode(data)
    header = decoded.header._asdict()
    for field, value in expected["header"].items():
        if field in ("bound", "weight"):
            assert struct.pack(">d", header[field]).hex() == value
        elif field == "magic":
            assert header[field].hex() == value
        else:
            assert header[field] == (int(value, 16) if isinstance(value, str) else value), field
    tensors = [(f"{t.name_hash:016x}", t.start, list(t.shape)) for t in decoded.tensors]
    assert tensors == [(t["name_hash"], t["start"], t["shape"]) for t in expected["tensors"]]


@pytest.mark.parametrize("path", LEGAL, ids=name)
def test_legal_as_an_array(path, backend):
    """The decoded array, +0 where nothing is stored; tensors by their shapes."""
    data, expected = path.read_bytes(), said(path)
    header = gcodec.inspect(data, backend=backend).header
    n = expected["header"]["n_elements"]
    assert (header["n_elements"], header["n_stored"]) == (n, expected["nnz"])
    if "sketch" in expected:
        is_a_sketch(data, expected, backend)
        return
    if n > DENSE:
        with pytest.raises(gcodec.LimitExceeded):
            gcodec.decode(data, max_elements=DENSE, backend=backend)
        return
    keys, values = gcodec.decode_sparse(data, backend=backend)
    dtype = NUMBERS[expected["header"]["elem_dtype"]]
    assert values.dtype == dtype
    rebuilt = np.zeros(n, dtype)
    rebuilt[keys] = values
    out = gcodec.decode(data, out=np.full(n, 0x7E7E, dtype), backend=backend)
    assert out.tobytes() == rebuilt.tobytes()
    assert gcodec.decode(data, backend=backend).tobytes() == rebuilt.tobytes()
    for i, tensor in enumerate(expected["tensors"]):
        part = gcodec.decode_tensor(data, i, backend=backend)
        assert (part.dtype, part.shape) == (dtype, tuple(tensor["shape"]))
        assert part.tobytes() == rebuilt[tensor["start"] :][: part.size].tobytes()


def is_a_sketch(data, expected, backend):
    """Only `CountSketch.decode` reads it, and writes cells and all that they mean again."""
    for read in (gcodec.decode, gcodec.decode_sparse):
        with pytest.raises(gcodec.Mismatch):
            read(data, backend=backend)
    sketch = gcodec.CountSketch.decode(data, backend=backend)
    said = sketch.parameters
    assert expected["sketch"] == {
        "rows": said.rows,
        "columns_log2": said.columns_log2,
        "hash": said.hash,
        "reserved": 0,
        "seed": f"{said.seed:016x}",
        "unit": struct.pack(">d", said.unit).hex(),
    }
    assert [f"{t.name_hash:016x}" for t in sketch.tensors] == [
        tensor["name_hash"] for tensor in expected["tensors"]
    ]
    again = gcodec.CountSketch.decode(sketch.encode(), backend=backend)
    assert again.cells.tobytes() == sketch.cells.tobytes()
    key = gcodec.inspect(sketch.encode()).header["sum_key"]
    assert f"{key:016x}" == expected["header"]["sum_key"]


@pytest.mark.parametrize("path", FAULTY, ids=name)
def test_faulty(path, outcome, backend):
    data, expected = path.read_bytes(), said(path)["error"]
    assert outcome(data) == (expected, None, None)
    is_sketch = len(data) > 51 and data[51] == 3
    decode = gcodec.CountSketch.decode if is_sketch else gcodec.decode
    for read in (decode, gcodec.inspect):
        with pytest.raises(getattr(gcodec, expected)):
            read(data, backend=backend)


class TestCoverage:
    """What the vectors reach."""

    def test_every_codec(self):
        found = [gcodec.inspect(path.read_bytes()) for path in LEGAL]
        valid = [one for one, path in zip(found, LEGAL, strict=True) if path.parent.name == "valid"]
        for some in (found, valid):
            assert {key for one in some for key in one.key_codecs} >= {
                "all", "bitmap", "coo", "rice", "delta", "blocks", "columns", "seeded",
            }  # fmt: skip
            assert {value for one in some for value in one.value_codecs} >= {
                "raw", "fixed", "rice", "sign", "huffman",
                "signed_fixed", "signed_rice", "signed_huffman",
            }  # fmt: skip

    def test_every_element_type_in_both_kinds_of_frame(self):
        for folder in ("valid", "uncommon"):
            headers = [said(path)["header"] for path in LEGAL if path.parent.name == folder]
            assert {header["frame_kind"] for header in headers} == {1, 2, 3}
            assert {header["elem_dtype"] for header in headers} == set(NUMBERS)
        kinds = {(said(path)["header"]["elem_dtype"], said(path)["header"]["frame_kind"])
            for path in LEGAL if path.parent.name == "valid"}  # fmt: skip
        assert kinds == {(element, kind) for element in NUMBERS for kind in (1, 2)} | {
            (1, 3), (4, 3),
        }  # fmt: skip

    def test_every_value_codec_with_every_element_type(self):
        found = set()
        for path in LEGAL:
            codecs = gcodec.inspect(path.read_bytes()).value_codecs
            found |= {(said(path)["header"]["elem_dtype"], codec) for codec in codecs}
        assert len(found) == 4 * 8

    def test_every_reserved_name_is_refused(self):
        """One vector for each id that the registries and the section table reserve by name."""
        text = SPEC.read_text("utf-8")
        sections = re.findall(r"^\| (\d+) \| ([A-Z]+) \| +\| reserved", text, re.M)
        assert sorted(int(kind) for kind, _ in sections) == [9, 10]
        names = {f"section-{section.lower()}" for _, section in sections}
        for field, kind in (("frame_kind", "frame-kind"), ("aggregation", "aggregation")):
            table = text.split(f" {field} -->")[1].split("\n\n")[0]
            rows = re.findall(r"^\| \d+ \| ([\w-]+) \| reserved", table, re.M)
            names |= {f"{kind}-{row}" for row in rows}
        names |= {"key-codec-6"}
        assert len(names) == 6
        errors = {path.stem: said(path)["error"] for path in FAULTY}
        assert {errors[name] for name in names} == {"UnsupportedFeature"}

    def test_every_step_that_a_frame_can_fail(self, second_reader):
        """All but the codebook of more than 2^16 levels, which is too large for a vector."""
        steps = set()
        for path in FAULTY:
            with pytest.raises(second_reader.FrameError) as caught:
                second_reader.decode(path.read_bytes())
            steps.add(int(str(caught.value).split(":")[0].removeprefix("step ")))
        assert {*range(1, 113), *range(115, 125)} - steps == {50}

    def test_two_of_every_class(self):
        errors = [said(path)["error"] for path in FAULTY]
        table = SPEC.read_text("utf-8").split("<!-- table: steps -->")[1].split("\n\n")[0]
        classes = set(re.findall(r"^\| \d+ \|.*\| (\w+) \|$", table, re.M))
        assert classes - set(errors) == {"Mismatch"}
        assert all(errors.count(error) >= 2 for error in set(errors))
