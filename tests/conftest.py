"""Test settings, and the fixtures that several folders share."""

import os
from dataclasses import replace
from pathlib import Path

import anatomy
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "explore", settings.get_profile("repeatable"), derandomize=False, max_examples=2000
)
settings.load_profile(os.environ.get("GCODEC_TEST_PROFILE", "repeatable"))


@pytest.fixture(params=("cpu", "reference"))
def backend(request):
    """Both backends."""
    return request.param


@pytest.fixture(scope="session")
def section_table():
    """Function from frame bytes to {section type: (count, offset, length)}."""
    return anatomy.section_table


@pytest.fixture(scope="session")
def reseal():
    """Function that makes every check of a changed frame right again: only the content is wrong."""
    return anatomy.reseal


@pytest.fixture
def encode_in_chunks(monkeypatch):
    """Function that encodes with a chunk size of the caller's choice instead of the encoder's."""

    def encode(codec, dense, chunk_log2, **origin):
        codec = replace(codec)  # it has no plans yet
        with monkeypatch.context() as patch:
            for module in ("gathering", "plans"):
                name = f"gcodec.{module}.choose_chunk_log2"
                patch.setattr(name, lambda n, density: chunk_log2)
            return codec.encode(dense, **origin)

    return encode


def pytest_generate_tests(metafunc):
    if "gradient_file" in metafunc.fixturenames:
        folder = os.environ.get("GCODEC_TEST_GRADIENTS")
        files = sorted(Path(folder).glob("*.np[yz]")) if folder else []
        skip = pytest.mark.skip(reason="GCODEC_TEST_GRADIENTS names no folder of gradients")
        values = files or [pytest.param(None, marks=skip)]
        metafunc.parametrize(
            "gradient_file", values, ids=lambda file: getattr(file, "stem", "none")
        )
