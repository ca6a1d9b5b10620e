"""Test settings, and the fixtures that several folders share."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, settings

import gcodec

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


PAYLOAD = 6


def _low(data, seed=0):
    return xxhash.xxh64_intdigest(bytes(data), seed) & 0xFFFF_FFFF


def _section_table(frame):
    """{section type: (count, offset, length)}, as far as the buffer goes; read without gcodec."""
    header_len, n_sections = (struct.unpack_from("<H", frame, at)[0] for at in (6, 48))
    table = {}
    for i in range(min(n_sections, 64)):
        at = header_len + 32 * i
        if at + 32 > len(frame):
            break
        kind, _, count, offset, length = struct.unpack_from("<HHIQQ", frame, at)
        table.setdefault(kind, (count, offset, length))
    return table


@pytest.fixture(scope="session")
def section_table():
    """Function from frame bytes to {section type: (count, offset, length)}."""
    return _section_table


def _reseal(data, *, layout=True, chunks=True):
    frame = bytearray(data)
    table = _section_table(frame)
    _, payload, payload_len = table.get(PAYLOAD, (0, len(frame), 0))
    _, directory, directory_len = table.get(5, (0, 0, 0))
    for i in range(min(directory_len // 32, 4096) if chunks else 0):
        at = directory + 32 * i
        if at + 32 > len(frame):
            break
        off16, len16 = struct.unpack_from("<II", frame, at)
        part = frame[payload : payload + payload_len][off16 * 16 : (off16 + len16) * 16]
        struct.pack_into("<I", frame, at + 28, _low(part, i))
    if layout:
        spans = [table.get(kind, (0, 0, 0))[1:] for kind in (1, 2)]
        rows = b"".join(bytes(frame[start : start + size]) for start, size in spans)
        struct.pack_into("<Q", frame, 104, xxhash.xxh64_intdigest(rows))
    payload_offset = struct.unpack_from("<Q", frame, 112)[0]
    struct.pack_into("<I", frame, 120, _low(frame[128:payload_offset]))
    struct.pack_into("<I", frame, 124, _low(frame[:124]))
    return bytes(frame)


@pytest.fixture(scope="session")
def reseal():
    """Function that makes every check of a changed frame right again: only the content is wrong.

    It follows the frame's own offsets as far as they stay inside the buffer.
    """
    return _reseal


def _compose(frame, *, header_len=128, header=(), sections=()):
    frame = bytes(frame)
    parts = {
        kind: (count, frame[offset : offset + length])
        for kind, (count, offset, length) in _section_table(frame).items()
    }
    parts.update(sections)
    order = sorted(
        (kind for kind in parts if parts[kind]), key=lambda kind: (kind == PAYLOAD, kind)
    )
    table, body = b"", b""
    first = offset = -(-(header_len + 32 * len(order)) // 64) * 64
    for kind in order:
        count, content = parts[kind]
        offset = first + len(body)
        table += struct.pack("<HHIQQQ", kind, 0, count, offset, len(content), 0)
        body += content.ljust(-(-len(content) // 64) * 64, b"\0")
    head = bytearray(frame[:128].ljust(header_len, b"\0"))
    struct.pack_into("<HQ", head, 6, header_len, first + len(body))
    struct.pack_into("<H", head, 48, len(order))
    struct.pack_into("<Q", head, 112, offset)
    for at, form, value in header:
        struct.pack_into("<" + form, head, at, value)
    return _reseal((head + table).ljust(first, b"\0") + body)


@pytest.fixture(scope="session")
def compose():
    """Function that writes a frame anew from the parts of another: a writer of the tests' own.

    `header` holds (offset, struct code, value); `sections` holds {type: (count, bytes)}, or None to
    leave one out.
    """
    return _compose


@pytest.fixture
def encode_in_chunks(monkeypatch):
    """Function that encodes with a chunk size of the caller's choice instead of the encoder's."""

    def encode(codec, dense, chunk_log2, **origin):
        with monkeypatch.context() as patch:
            patch.setattr("gcodec.encoder.choose_chunk_log2", lambda n, density: chunk_log2)
            return codec.encode(dense, **origin)

    return encode


def _outcome(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except gcodec.FrameError as error:
        return type(error)


@pytest.fixture(scope="session")
def decode_between_canaries():
    """Function that decodes into the middle of an array, and checks that nothing else was written.

    Returns (outcome, decoded): the class of the `FrameError`, or None and the result. Any other
    exception escapes, and an output that was touched by a refused frame fails.
    """

    def decode(frame, n, backend, margin=64):
        canary = np.float32(-12345.678)
        whole = np.full(n + 2 * margin, canary)
        out = whole[margin : margin + n]
        result = _outcome(gcodec.decode, frame, out=out, backend=backend)
        refused = isinstance(result, type)
        around = np.concatenate((whole[:margin], whole[margin + n :]))
        assert (around == canary).all(), "written outside of out"
        if refused:
            assert (out == canary).all(), f"out was touched before {result.__name__}"
        return (result, None) if refused else (None, out)

    return decode


def pytest_generate_tests(metafunc):
    if "gradient_file" in metafunc.fixturenames:
        folder = os.environ.get("GCODEC_TEST_GRADIENTS")
        files = sorted(Path(folder).glob("*.np[yz]")) if folder else []
        skip = pytest.mark.skip(reason="GCODEC_TEST_GRADIENTS names no folder of gradients")
        values = files or [pytest.param(None, marks=skip)]
        metafunc.parametrize(
            "gradient_file", values, ids=lambda file: getattr(file, "stem", "none")
        )
