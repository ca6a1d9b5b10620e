"""out= of decode and accumulate: filled whole, or untouched."""

import numpy as np
import pytest
from strategies import make_gradient, same_bits

import gcodec

DENSE = make_gradient(5, 600).reshape(20, 30)
FRAME = gcodec.Codec(gcodec.TopK(ratio=0.2), gcodec.ReciprocalLog(2)).encode(DENSE)
DECODED = gcodec.decode(FRAME)
WRITERS = {
    "decode": lambda out, backend: gcodec.decode(FRAME, out=out, backend=backend),
    "accumulate": lambda out, backend: gcodec.accumulate(FRAME, out, backend=backend),
}


@pytest.fixture(params=WRITERS)
def write(request, backend):
    return lambda out: WRITERS[request.param](out, backend)


def _read_only():
    array = np.ones(600, np.float32)
    array.flags.writeable = False
    return array


class OnDevice:
    """Claims to live on a device."""

    __cuda_array_interface__ = {}  # noqa: RUF012
    dtype, size = np.dtype(np.float32), 600


REFUSED = {
    "float64": lambda: np.ones(600),
    "int32": lambda: np.ones(600, np.int32),
    "big-endian": lambda: np.ones(600, ">f4"),
    "read-only": _read_only,
    "too small": lambda: np.ones(599, np.float32),
    "too large": lambda: np.ones(601, np.float32),
    "empty": lambda: np.ones(0, np.float32),
    "every second": lambda: np.ones(1200, np.float32)[::2],
    "transposed": lambda: np.ones((20, 30), np.float32, order="F"),
    "a list": lambda: [1.0] * 600,
    "bytes": lambda: bytearray(np.ones(600, np.float32).tobytes()),
    "masked": lambda: np.ma.ones(600, np.float32),
    "on a device": OnDevice,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_filled_is_refused_and_untouched(kind, write):
    out = REFUSED[kind]()
    with pytest.raises(gcodec.Mismatch):
        write(out)
    if not isinstance(out, OnDevice):
        values = np.frombuffer(out, np.float32) if isinstance(out, bytearray) else np.asarray(out)
        assert (values == 1).all()


@pytest.mark.parametrize("shape", [(600,), (30, 20), (2, 3, 100), (600, 1)], ids=str)
def test_any_shape_of_the_right_size(shape, write):
    out = np.zeros(shape, np.float32)
    assert write(out) is out
    assert same_bits(out.reshape(-1), DECODED.reshape(-1))


def test_unaligned_memory(write):
    out = np.zeros(4 * 600 + 1, np.uint8)[1:].view(np.float32)
    write(out)
    assert same_bits(out.copy(), DECODED.reshape(-1))


def test_a_memory_map(write, tmp_path):
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(600,))
    write(out)
    assert same_bits(np.array(out), DECODED.reshape(-1))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("name", WRITERS)
def test_a_matrix_is_refused_or_filled(name):
    """`np.matrix.reshape(-1)` stays two-dimensional: an index into it is a row, far past the end.

    The matrix lies in an array so long that even those rows do.
    """
    whole = np.zeros(600 * 600, np.float32)
    out = np.asmatrix(whole[:600]).reshape(20, 30)
    assert np.shares_memory(out, whole)
    for backend in ("reference", "cpu"):
        whole[:] = 0
        try:
            WRITERS[name](out, backend)
        except gcodec.Mismatch:
            assert not whole.any()
        else:
            assert (whole[:600] == DECODED.reshape(-1)).all()
            assert not whole[600:].any()


def test_decode_overwrites_and_accumulate_adds(backend):
    out = np.full(600, 5, np.float32)
    gcodec.decode(FRAME, out=out, backend=backend)
    assert same_bits(out.reshape(20, 30), DECODED)
    gcodec.accumulate(FRAME, out, backend=backend)
    gcodec.accumulate(FRAME, out, scale=-1, backend=backend)
    gcodec.accumulate(FRAME, out, scale=np.float32(0.5), backend=backend)
    assert same_bits(out.reshape(20, 30), DECODED * np.float32(1.5))


def test_decoding_over_the_frame_itself(backend):
    """The output may be the memory that the frame came in."""
    dense = make_gradient(1, 2000)
    frame = gcodec.Codec(gcodec.TopK(ratio=0.1)).encode(dense)
    memory = np.zeros(2000, np.float32)
    memory.view(np.uint8)[: len(frame)] = frame
    gcodec.decode(memory.view(np.uint8), out=memory, backend=backend)
    assert same_bits(memory, gcodec.decode(frame))


def test_every_call_gives_fresh_memory(backend):
    first, second = (gcodec.decode(FRAME, backend=backend) for _ in range(2))
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    keys, values = gcodec.decode_sparse(FRAME, backend=backend)
    values[:] = 0
    keys[:] = 0
    assert same_bits(gcodec.decode(FRAME, backend=backend), DECODED)


def test_max_elements(backend):
    assert gcodec.decode(FRAME, max_elements=600, backend=backend).size == 600
    with pytest.raises(gcodec.LimitExceeded, match="600"):
        gcodec.decode(FRAME, max_elements=599, backend=backend)
    out = np.empty(600, np.float32)
    assert gcodec.decode(FRAME, out=out, max_elements=1, backend=backend) is out


def test_a_few_bytes_that_describe_a_terabyte(backend):
    codec = gcodec.Codec(gcodec.Threshold(0.0), backend=backend)
    frame = codec.encode_sparse(np.array([5]), np.ones(1, np.float32), 2**33)
    with pytest.raises(gcodec.LimitExceeded):
        gcodec.decode(frame, backend=backend)
    with pytest.raises(gcodec.Mismatch):
        gcodec.decode(frame, out=np.zeros(10, np.float32), backend=backend)


def test_unknown_backends_are_refused():
    with pytest.raises(gcodec.BackendUnavailableError):
        gcodec.decode(FRAME, backend="abacus")
    with pytest.raises(gcodec.BackendUnavailableError):
        gcodec.inspect(FRAME, backend="abacus")
    with pytest.raises(ValueError):
        gcodec.Codec(backend="abacus")
