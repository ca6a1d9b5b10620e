"""The three decoders side by side: `spec/reference.py`, and both backends of the library."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import gcodec
from gcodec.arrays import as_bytes
from gcodec.decoder import unpack_chunks
from gcodec.format import frame as wire
from gcodec.kernels import load

SPEC = Path(__file__).parents[2] / "spec"


@pytest.fixture(scope="session")
def second_reader():
    """`spec/reference.py`, which shares no code with gcodec."""
    found = importlib.util.spec_from_file_location("second_reader", SPEC / "reference.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def cells(data, backend):
    """Stored cells of a count-sketch; its own decoder reads the same."""
    kernels = load(backend)
    content = unpack_chunks(wire.parse(as_bytes(data), kernels), kernels, 0, None)
    keys, values = content.positions(), content.numbers()
    sketch = gcodec.CountSketch.decode(data, backend=backend).cells.reshape(-1)
    assert sketch[keys].tobytes() == values.tobytes()
    assert not np.delete(sketch, keys).any()
    return keys, values


@pytest.fixture(scope="session")
def outcome(second_reader):
    """Function from bytes to what all three decoders say: (class, keys, values as patterns)."""

    def of_library(data, backend):
        try:
            try:
                keys, values = gcodec.decode_sparse(data, backend=backend)
            except gcodec.Mismatch:
                keys, values = cells(data, backend)
        except gcodec.FrameError as error:
            return type(error).__name__, None, None
        return None, keys.tolist(), values.view(f"u{values.itemsize}").tolist()

    def of_all(data):
        try:
            decoded = second_reader.decode(data)
            first = None, decoded.keys, decoded.values
        except second_reader.FrameError as error:
            first = type(error).__name__, None, None
        for backend in ("cpu", "reference"):
            assert of_library(data, backend) == first, backend
        return first

    return of_all
