"""`spec/reference.py` against the library, on what is drawn and what is broken at random.

It was written from the specification alone, so where it differs, one of the two or the
specification is wrong.
"""

import doctest
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from frames import FRAMES, used_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import codecs, gradients

import gcodec

SPEC = Path(__file__).parents[2] / "spec"
PROGRAM = SPEC / "reference.py"
VECTORS = {
    f"{path.parent.name}/{path.stem}": path.read_bytes()
    for folder in ("valid", "uncommon")
    for path in sorted((SPEC / "vectors" / "1" / folder).glob("*.gc"))
    if path.stat().st_size < 3000
}
SIZES = (0, 1, 2, 3, 63, 64, 65, 129, 300, 1023, 1024, 1025, 1400)


def test_its_examples(second_reader):
    assert doctest.testmod(second_reader).failed == 0


def test_its_classes_are_those_of_the_steps(second_reader):
    text = (SPEC / "gcodec-1.md").read_text(encoding="utf-8")
    table = text.split("<!-- table: steps -->")[1].split("\n\n")[0]
    steps = {int(n): name for n, name in re.findall(r"^\| (\d+) \|.*\| (\w+) \|$", table, re.M)}
    assert sorted(steps) == list(range(1, 125))
    for step, name in steps.items():
        assert second_reader.CLASSES.get(step, second_reader.Malformed).__name__ == name, step


def test_it_uses_the_standard_library_alone():
    imports = re.findall(r"^(?:import|from) (\w+)", PROGRAM.read_text(encoding="utf-8"), re.M)
    assert set(imports) <= sys.stdlib_module_names


def cast(dense, element):
    """float32 in another type, what overflows as the largest number; bfloat16 as its bits."""
    if element == "bfloat16":
        return (dense.view(np.uint32) >> 16).astype(np.uint16)
    most = np.finfo(element).max
    with np.errstate(over="ignore"):
        return np.clip(dense.astype(element), -most, most)


@settings(max_examples=400)
@given(
    dense=gradients(sizes=SIZES),
    codec=codecs(),
    step=st.integers(0, 2**64 - 1),
    element=st.sampled_from(["float32", "float16", "bfloat16", "float64"]),
)
def test_what_is_encoded(dense, codec, step, element, outcome, second_reader):
    dense = cast(dense, element)
    frame = bytes(codec.encode(dense, step=step))
    error, keys, values = outcome(frame)
    assert error is None
    bits = dense.view(f"u{dense.itemsize}")
    sent, held = bits[np.array(keys, np.int64)], np.array(values, bits.dtype)
    if codec.quantize == gcodec.Raw():
        assert ((held == sent) | (held == 0)).all()
    top = 8 * dense.itemsize - 1
    assert ((held >> top == sent >> top) | (held == 0)).all()
    decoded = second_reader.decode(frame)
    assert decoded.header.step == step
    assert decoded.tensors[0].shape == dense.shape
    assert second_reader.ELEMENTS[decoded.header.elem_dtype][0] == 8 * dense.itemsize


@st.composite
def broken(draw):
    """(name, frame with one byte changed that belongs to it)."""
    name = draw(st.sampled_from(sorted(FRAMES | VECTORS)))
    frame = (FRAMES | VECTORS)[name]
    return name, frame, draw(st.integers(0, 2**16)), draw(st.integers(1, 255))


@settings(max_examples=3000)
@given(drawn=broken(), sealed=st.booleans())
def test_one_byte_changed(drawn, sealed, outcome, reseal, section_table):
    name, frame, place, change = drawn
    used = used_bytes(frame, section_table)
    at = used[place % len(used)]
    changed = frame[:at] + bytes([frame[at] ^ change]) + frame[at + 1 :]
    error, _, _ = outcome(reseal(changed) if sealed else changed)
    spare = name == "uncommon/bytes-after" and at >= struct.unpack_from("<Q", frame, 8)[0]
    assert error is not None or sealed or spare, f"byte {at} of {name} was accepted"


class TestProgram:
    """`python spec/reference.py FILE`."""

    def run(self, *arguments):
        command = [sys.executable, "-I", str(PROGRAM), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_prints_json(self):
        answer = self.run(SPEC / "vectors" / "1" / "valid" / "example.gc")
        assert (answer.returncode, answer.stderr) == (0, "")
        summary = json.loads(answer.stdout)
        assert summary["keys"] == [0, 4, 9]
        assert summary["values"] == ["3f000000", "bfc00000", "3f000000"]
        assert summary["header"]["step"] == 7

    @pytest.mark.parametrize(
        ("file", "status", "error"),
        [
            ("n-stored-8", 2, "Malformed"),
            ("major-2", 3, "UnsupportedVersion"),
            ("section-14", 3, "UnsupportedFeature"),
            ("no such file", 2, "FileNotFoundError"),
        ],
    )
    def test_refuses_in_one_line(self, file, status, error):
        answer = self.run(SPEC / "vectors" / "1" / "faulty" / f"{file}.gc")
        assert (answer.returncode, answer.stdout) == (status, "")
        assert answer.stderr.count("\n") == 1
        assert error in answer.stderr

    def test_usage(self):
        assert self.run().returncode == self.run("a", "b").returncode == 64
