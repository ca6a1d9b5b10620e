"""Broken and hostile sketch frames: three readers refuse them alike, or read the same."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from frames import bit_flips, extremes, fields, put, used_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec

sys.path.insert(0, str(Path(__file__).parents[2] / "spec"))
import reference

FLAT = np.linspace(-3, 5, 40).astype(np.float32)
FRAMES = {
    "numbers": gcodec.CountSketch(40, columns=32, rows=3, seed=7).insert(FLAT).encode().tobytes(),
    "integers": gcodec.CountSketch((5, 8), columns=16, rows=7, unit=2.0**-20, dtype="float64")
    .insert(FLAT.reshape(5, 8))
    .encode(step=3, sender=(1, 2))
    .tobytes(),
}


def read(data, backend):
    """Cells and what they mean, or the name of the error."""
    try:
        sketch = gcodec.CountSketch.decode(data, backend=backend)
    except gcodec.FrameError as error:
        return type(error).__name__
    except gcodec.NonFiniteError:
        return "not finite"
    return sketch.parameters[:4], sketch.shape, sketch.cells.tobytes()


def by_spec(data):
    """The same, from `spec/reference.py`."""
    try:
        decoded = reference.decode(data, max_elements=1 << 28)
    except reference.FrameError as error:
        return type(error).__name__
    if decoded.sketch is None:
        return "Mismatch"
    s, form = decoded.sketch, {1: "u4", 4: "u8"}[decoded.header.elem_dtype]
    cells = np.zeros(decoded.header.n_elements, form)
    cells[decoded.keys] = decoded.values
    if not s.unit and not np.isfinite(cells.view(f"f{cells.itemsize}")).all():
        return "not finite"
    shapes = [tensor.shape for tensor in decoded.tensors]
    shape = shapes[0] if len(shapes) == 1 else (sum(int(np.prod(x)) for x in shapes),)
    return (s.rows, s.columns_log2, s.seed, s.unit), shape, cells.tobytes()


def alike(data):
    """What all readers say; elements are in none of them."""
    found = read(data, "cpu")
    assert found == read(data, "reference") == by_spec(data)
    if isinstance(found, tuple):
        for other in (gcodec.decode, gcodec.decode_sparse, gcodec.verify):
            with pytest.raises(gcodec.Mismatch):
                other(data)
        out = np.full(40, 7, np.float32)
        with pytest.raises(gcodec.Mismatch):
            gcodec.accumulate(data, out)
        assert (out == 7).all()
        with pytest.raises(gcodec.Mismatch):
            gcodec.slice(data, 0, 0)
        with pytest.raises(gcodec.Mismatch):
            gcodec.decode_tensor(data, 0)
    return found


@pytest.mark.parametrize("name", FRAMES)
def test_every_changed_byte_as_received_is_refused(name):
    assert isinstance(alike(FRAMES[name]), tuple)
    for at, part in bit_flips(FRAMES[name], name):
        found = read(put(FRAMES[name], at, part), "cpu")
        assert isinstance(found, str), f"byte {at} as {part.hex()} was accepted"
        assert found in gcodec.__all__


@pytest.mark.parametrize("name", FRAMES)
def test_every_truncation_is_refused(name):
    frame = FRAMES[name]
    for length in range(0, len(frame), 7):
        assert read(frame[:length], "cpu") == read(frame[:length], "reference") == "Truncated"


@pytest.mark.parametrize("name", FRAMES)
def test_every_resealed_byte(name, reseal, section_table):
    """Any bit of SKETCH, and one of every other byte from the section table on."""
    frame, outcomes = FRAMES[name], set()
    _, start, length = section_table(frame)[4]
    for at in used_bytes(frame, section_table):
        if at < 128:
            continue
        bits = range(8) if start <= at < start + length else [at * 5 % 8]
        for bit in bits:
            broken = reseal(put(frame, at, bytes([frame[at] ^ 1 << bit])))
            found = alike(broken)
            outcomes.add(found if isinstance(found, str) else "read")
    assert {"read", "Malformed", "LimitExceeded", "UnsupportedFeature"} <= outcomes


@pytest.mark.parametrize("name", FRAMES)
def test_every_field_at_its_extremes(name, reseal, section_table):
    frame = FRAMES[name]
    _, start, _ = section_table(frame)[4]
    places = [*fields(frame, section_table), *((start + at, "B") for at in range(24))]
    places += [(start, "I"), (start + 4, "I"), (start + 8, "Q"), (start + 16, "Q")]
    for at, form in places:
        old = struct.unpack_from("<" + form, frame, at)[0]
        for value in extremes(old, 8 * struct.calcsize("<" + form)):
            alike(reseal(put(frame, at, struct.pack("<" + form, value))))


@settings(max_examples=150)
@given(noise=st.binary(min_size=1, max_size=40), at=st.integers(0, 1 << 12))
def test_random_payloads(noise, at, reseal, section_table):
    for frame in FRAMES.values():
        _, start, length = section_table(frame)[6]
        place = start + at % length
        alike(reseal(put(frame, place, noise[: start + length - place])))


def test_a_frame_never_makes_more_than_its_cells():
    """2^32 positions in 500 bytes: nothing of that size is made on a frame's word."""
    vector = Path(__file__).parents[2] / "spec/vectors/1/uncommon/sketch-largest.gc"
    sketch = gcodec.CountSketch.decode(vector.read_bytes())
    assert (sketch.size, sketch.cells.size) == (2**32, 7 << 20)
    with pytest.raises(gcodec.LimitExceeded, match="pass out"):
        sketch.estimate()
