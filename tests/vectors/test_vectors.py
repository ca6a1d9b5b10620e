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
FROZEN_LINES = 510
FROZEN_SHA256 = "164daf9648ade1ce27540efef984728afdaadc12e0f15ce376a135296d8283d8"
"""Of the first lines of the list. Change neither after 1.0 is final."""

SPEC = FOLDER.parents[1] / "gcodec-1.md"
LEGAL = sorted(FOLDER.glob("valid/*.gc")) + sorted(FOLDER.glob("uncommon/*.gc"))
FAULTY = sorted(FOLDER.glob("faulty/*.gc"))
DENSE = 2**20
"""Vectors of so many elements and fewer are decoded to arrays too."""


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
    patterns = [f"{pattern:08x}" for pattern in values]
    assert expected.get("keys", keys) == keys
    assert expected.get("values", patterns) == patterns
    packed = {"keys": struct.pack(f"<{len(keys)}Q", *keys)}
    packed["values"] = struct.pack(f"<{len(keys)}I", *values)
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
    if n > DENSE:
        with pytest.raises(gcodec.LimitExceeded):
            gcodec.decode(data, max_elements=DENSE, backend=backend)
        return
    keys, values = gcodec.decode_sparse(data, backend=backend)
    out = gcodec.decode(data, out=np.full(n, np.nan, np.float32), backend=backend)
    rebuilt = np.zeros(n, np.float32)
    rebuilt[keys] = values
    assert out.tobytes() == rebuilt.tobytes()
    for i, tensor in enumerate(expected["tensors"]):
        part = gcodec.decode_tensor(data, i, backend=backend)
        assert part.shape == tuple(tensor["shape"])
        assert part.tobytes() == rebuilt[tensor["start"] :][: part.size].tobytes()


@pytest.mark.parametrize("path", FAULTY, ids=name)
def test_faulty(path, outcome, backend):
    data, expected = path.read_bytes(), said(path)["error"]
    assert outcome(data) == (expected, None, None)
    for read in (gcodec.decode, gcodec.inspect):
        with pytest.raises(getattr(gcodec, expected)):
            read(data, backend=backend)


class TestCoverage:
    """What the vectors reach."""

    def test_every_codec(self):
        found = [gcodec.inspect(path.read_bytes()) for path in LEGAL]
        valid = [one for one, path in zip(found, LEGAL, strict=True) if path.parent.name == "valid"]
        for some in (found, valid):
            assert {key for one in some for key in one.key_codecs} >= {
                "all", "bitmap", "coo", "rice", "delta", "blocks", "columns",
            }  # fmt: skip
        assert {value for one in found for value in one.value_codecs} >= {
            "raw", "fixed", "rice", "sign", "huffman",
            "signed_fixed", "signed_rice", "signed_huffman",
        }  # fmt: skip

    def test_every_step_that_a_frame_can_fail(self, second_reader):
        """All but the codebook of more than 2^16 levels, which is too large for a vector."""
        steps = set()
        for path in FAULTY:
            with pytest.raises(second_reader.FrameError) as caught:
                second_reader.decode(path.read_bytes())
            steps.add(int(str(caught.value).split(":")[0].removeprefix("step ")))
        assert set(range(1, 108)) - steps == {51}

    def test_two_of_every_class(self):
        errors = [said(path)["error"] for path in FAULTY]
        classes = set(re.findall(r"^\| \d+ \|.*\| (\w+) \|$", SPEC.read_text("utf-8"), re.M))
        assert classes - set(errors) == {"Mismatch"}
        assert all(errors.count(error) >= 2 for error in set(errors))
