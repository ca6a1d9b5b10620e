"""The three decoders side by side: `spec/reference.py`, and both backends of the library."""

import importlib.util
from pathlib import Path

import pytest

import gcodec

SPEC = Path(__file__).parents[2] / "spec"


@pytest.fixture(scope="session")
def second_reader():
    """`spec/reference.py`, which shares no code with gcodec."""
    found = importlib.util.spec_from_file_location("second_reader", SPEC / "reference.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def outcome(second_reader):
    """Function from bytes to what all three decoders say: (class, keys, values as patterns)."""

    def of_library(data, backend):
        try:
            keys, values = gcodec.decode_sparse(data, backend=backend)
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
