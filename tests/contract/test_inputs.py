"""What callers may pass to encode and encode_sparse, and what is refused."""

import numpy as np
import pytest
from strategies import make_gradient, same_bits

import gcodec

CODEC = gcodec.Codec(gcodec.TopK(ratio=0.3), gcodec.ReciprocalLog(4))
SHAPES = [(), (0,), (1,), (7,), (0, 5), (3, 4), (2, 3, 5), (2, 1, 3, 2), (2, 2, 2, 2, 3), (1,) * 32]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_come_back(shape, backend):
    dense = make_gradient(1, int(np.prod(shape, dtype=int))).reshape(shape)
    frame = gcodec.Codec(CODEC.select, CODEC.quantize, backend=backend).encode(dense)
    decoded = gcodec.decode(frame, backend=backend)
    assert decoded.shape == shape
    assert isinstance(decoded, np.ndarray)
    assert gcodec.inspect(frame).shapes == [shape]
    flat = CODEC.encode(dense.reshape(-1))
    assert same_bits(decoded.reshape(-1), gcodec.decode(flat))
    out = np.full(shape, 7, np.float32)
    assert gcodec.decode(frame, out=out) is out
    assert same_bits(out, decoded)


def test_more_than_32_dimensions_are_refused(backend):
    codec = gcodec.Codec(backend=backend)
    with pytest.raises(gcodec.LimitExceeded):
        codec.encode(np.ones((1,) * 33, np.float32))


LAYOUTS = {
    "transposed": lambda x: np.asfortranarray(x),
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "a column of a record": lambda x: np.stack((x, -x), axis=-1)[..., 0],
    "read-only": lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
    "unaligned": lambda x: (
        np.frombuffer(b"?" + x.tobytes(), np.uint8)[1:].view("f4").reshape(x.shape)
    ),
    "a matrix": lambda x: np.asmatrix(x),
    "a memory view": lambda x: memoryview(x),
    "broadcast over one": lambda x: np.broadcast_to(x[None], (1, *x.shape))[0],
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_changes_nothing(layout, backend):
    dense = make_gradient(2, 30 * 20).reshape(30, 20)
    codec = gcodec.Codec(CODEC.select, CODEC.quantize, backend=backend)
    given = LAYOUTS[layout](dense)
    before = np.array(given)
    assert bytes(codec.encode(given)) == bytes(codec.encode(dense))
    assert same_bits(np.array(given), before), "the input was modified"


@pytest.mark.parametrize(
    "dtype",
    [
        "i1",
        "i2",
        "i4",
        "u1",
        "u4",
        "u8",
        "c8",
        "?",
        "O",
        "S4",
        "V2",
        "M8[s]",
        ">f2",
        ">f4",
        ">f8",
        ">u2",
    ],
)
def test_other_element_types_are_refused(dtype):
    array = np.ones(5).astype(dtype)
    with pytest.raises(gcodec.UnsupportedDtypeError):
        CODEC.encode(array)
    with pytest.raises(gcodec.UnsupportedDtypeError):
        CODEC.encode_sparse(np.arange(5), array, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 63, 64, 99])
def test_what_is_not_finite_is_refused_with_its_place(bad, at, backend):
    dense = make_gradient(3, 100)
    dense[at] = bad
    codec = gcodec.Codec(backend=backend)
    with pytest.raises(gcodec.NonFiniteError, match=rf"1 NaN.* index {at}\b"):
        codec.encode(dense)
    with pytest.raises(gcodec.NonFiniteError, match="'layer'"):
        codec.encode_sparse(np.arange(1000, 1100), dense, 2000, name="layer")


def test_the_place_of_a_pair_that_is_not_finite_is_its_key():
    with pytest.raises(gcodec.NonFiniteError, match=r"index 777\b"):
        CODEC.encode_sparse(np.array([3, 777]), np.array([1, np.nan], np.float32), 1000)


def test_a_signalling_nan_is_refused(backend):
    dense = np.array([0x7F80_0001, 0], np.uint32).view(np.float32)
    with pytest.raises(gcodec.NonFiniteError):
        gcodec.Codec(backend=backend).encode(dense)


def test_arrays_on_a_device_must_say_where_they_are():
    """What becomes of those that do is in `tests/cuda/test_device.py`."""

    class OnDevice:
        __cuda_array_interface__ = {}  # noqa: RUF012

    with pytest.raises(gcodec.Mismatch, match="no data, shape, typestr, version"):
        CODEC.encode(OnDevice())


ENCODERS = {
    "encode": lambda step: CODEC.encode(np.ones(3, np.float32), step=step),
    "encode_sparse": lambda step: CODEC.encode_sparse([0], np.ones(1, np.float32), 3, step=step),
    "feedback": lambda step: gcodec.ErrorFeedback(CODEC).encode(
        "w", np.ones(3, np.float32), step=step
    ),
}


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize("step", [-1, 2**64, 2**100])
def test_steps_past_64_bits_are_refused(encode, step):
    with pytest.raises(gcodec.LimitExceeded):
        ENCODERS[encode](step)


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint64, np.uint8])
def test_numpy_integers_are_steps(encode, integer):
    assert bytes(ENCODERS[encode](integer(5))) == bytes(ENCODERS[encode](5))


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint64, np.uint8])
def test_numpy_integers_are_sizes(integer):
    dense = make_gradient(4, 100)
    sparse = CODEC.encode_sparse(np.arange(100), dense, integer(100))
    assert bytes(sparse) == bytes(CODEC.encode(dense))


class TestPairs:
    """Keys and values."""

    @pytest.mark.parametrize("dtype", ["i8", "i4", "u4", "u8", "i2", "u2", "u1", ">i8"])
    def test_any_integer_type_of_keys(self, dtype):
        keys, values = np.array([1, 5, 100], dtype), np.array([1, -2, 3], np.float32)
        dense = np.zeros(200, np.float32)
        dense[keys.astype(int)] = values
        codec = gcodec.Codec(gcodec.TopK(k=2))
        assert bytes(codec.encode_sparse(keys, values, 200)) == bytes(codec.encode(dense))

    @pytest.mark.parametrize(
        "keys", [[1, 1, 2], [2, 1, 3], [-1, 0, 1], [0, 1, 10], [0, 1], [[0, 1, 2]]]
    )
    def test_bad_keys_are_refused(self, keys):
        with pytest.raises(gcodec.Mismatch):
            CODEC.encode_sparse(np.array(keys), np.ones(3, np.float32), 10)

    def test_keys_past_63_bits_are_refused(self):
        with pytest.raises(gcodec.Mismatch):
            CODEC.encode_sparse(np.array([2**63], np.uint64), np.ones(1, np.float32), 10)

    def test_keys_that_are_not_integers_are_refused(self):
        with pytest.raises(gcodec.UnsupportedDtypeError):
            CODEC.encode_sparse(np.array([0.0]), np.ones(1, np.float32), 10)

    @pytest.mark.parametrize("n", [-1, -5])
    @pytest.mark.parametrize("select", [gcodec.TopK(k=1), gcodec.Threshold(0.0)], ids=str)
    def test_a_negative_length_is_refused(self, n, select):
        with pytest.raises(gcodec.GcodecError):
            gcodec.Codec(select).encode_sparse(np.array([], int), np.array([], np.float32), n)

    def test_no_pairs(self, backend):
        codec = gcodec.Codec(CODEC.select, CODEC.quantize, backend=backend)
        for n in (0, 1, 1000):
            frame = codec.encode_sparse(np.array([], int), np.array([], np.float32), n)
            assert bytes(frame) == bytes(codec.encode(np.zeros(n, np.float32)))

    def test_a_length_past_the_format_is_refused(self):
        with pytest.raises(gcodec.LimitExceeded):
            CODEC.encode_sparse(np.array([3]), np.ones(1, np.float32), 2**48 + 1)

    def test_a_vector_far_too_large_to_hold(self, backend):
        keys = np.array([0, 2**31, 2**32 + 5, 2**40 - 1])
        values = np.array([1, -2, 3, 4], np.float32)
        codec = gcodec.Codec(gcodec.Threshold(0.0), keys="rice", backend=backend)
        frame = codec.encode_sparse(keys[:3], values[:3], 2**33)
        found, back = gcodec.decode_sparse(frame, backend=backend)
        assert found.tolist() == keys[:3].tolist()
        assert same_bits(back, values[:3])
        with pytest.raises(gcodec.LimitExceeded):
            gcodec.decode(frame)

    def test_zeros_among_the_values_are_dropped(self):
        values = np.array([0.0, -0.0, 2.0], np.float32)
        frame = gcodec.Codec(gcodec.TopK(k=3)).encode_sparse(np.arange(3), values, 3)
        assert gcodec.decode_sparse(frame)[0].tolist() == [2]
