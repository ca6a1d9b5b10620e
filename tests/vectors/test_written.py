"""The valid vectors are what gcodec writes, on both backends."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "spec" / "vectors"
SLOW = 1 << 13
"""Elements that plain Python is not asked to encode here."""


@pytest.fixture(scope="module")
def valid():
    """`spec/vectors/valid.py`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)
        return importlib.import_module("valid")


@pytest.fixture(scope="module")
def sketches():
    """`spec/vectors/sketches.py`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)
        return importlib.import_module("sketches")


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_gcodec_writes_them(valid, backend):
    groups = valid.inputs() | valid.element_types() | valid.whole() | valid.random()
    assert len(groups) > 40
    for name, (_, recipe, gradient, options) in groups.items():
        if backend == "reference" and gradient.size > SLOW:
            continue
        codec = replace(valid.codec_of(recipe), backend=backend)
        frame = bytes(codec.encode(gradient, **options))
        assert frame == (FOLDER / "1" / "valid" / f"{name}.gc").read_bytes(), name


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_sketches_are_written(sketches, backend):
    made = sketches.valid(backend)
    assert len(made) > 6
    for name, (_, frame, _, _) in made.items():
        assert frame == (FOLDER / "1" / "valid" / f"{name}.gc").read_bytes(), name


def test_slice_writes_them(valid):
    cut = valid.slices()
    assert len(cut) > 3
    for name, (_, frame, _, _) in cut.items():
        assert frame == (FOLDER / "1" / "valid" / f"{name}.gc").read_bytes(), name
