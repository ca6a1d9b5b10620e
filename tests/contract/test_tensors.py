"""Buckets of several tensors, and parts of frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import BACKENDS

import gcodec

LAYOUT = [
    ("a", (60, 40)),
    ("b", (7,)),
    ("c", ()),
    ("none", (0, 3)),
    ("d", (40, 5, 4)),
    ("e", (128,)),
]
SIZE = sum(int(np.prod(shape)) for _, shape in LAYOUT)
CODECS = ["topk:ratio=0.3", "reclog:ratio=0.5", "topk:ratio=0.02", "reclog:ratio=1,keys=columns"]


def bucket(seed):
    grad = np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)
    grad[: 60 * 40].reshape(60, 40)[:, 5:] = 0
    return grad


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recipe", CODECS)
def test_every_tensor_by_name_and_number(recipe, backend):
    frame = gcodec.get_codec(recipe, backend=backend).encode(bucket(0), tensors=LAYOUT)
    assert frame.tobytes() == gcodec.get_codec(recipe).encode(bucket(0), tensors=LAYOUT).tobytes()
    whole = gcodec.decode(frame, backend=backend)
    assert whole.shape == (SIZE,)
    start = 0
    for number, (name, shape) in enumerate(LAYOUT):
        part = whole[start : start + int(np.prod(shape))].reshape(shape)
        start += part.size
        for tensor in (name, number):
            found = gcodec.decode_tensor(frame, tensor, backend=backend)
            assert found.shape == shape
            assert np.array_equal(found, part)


@given(
    st.sampled_from(CODECS),
    st.integers(0, 3),
    st.one_of(st.none(), st.integers(-SIZE - 5, SIZE + 5)),
    st.one_of(st.none(), st.integers(-SIZE - 5, SIZE + 5)),
)
@settings(deadline=None)
def test_a_range_is_a_slice(recipe, seed, start, stop):
    frame = gcodec.get_codec(recipe).encode(bucket(seed), tensors=LAYOUT)
    keys, values = gcodec.decode_sparse(frame, start=start or 0, stop=stop)
    expected = np.zeros(SIZE, np.float32)
    part = slice(start or 0, stop)
    expected[part] = gcodec.decode(frame)[part]
    found = np.zeros(SIZE, np.float32)
    found[keys] = values
    assert np.array_equal(found, expected)


def test_a_part_does_not_look_at_other_chunks():
    grad = np.random.default_rng(0).normal(size=1 << 20).astype(np.float32)
    frame = np.array(gcodec.get_codec("topk:ratio=0.01").encode(grad))
    whole = gcodec.decode(frame)
    frame[-1000] ^= 1  # in the last chunk
    keys, values = gcodec.decode_sparse(frame, stop=1000)
    assert np.array_equal(values, whole[keys])
    with pytest.raises(gcodec.Corrupt, match=r"chunk [1-9]"):
        gcodec.decode_sparse(frame, start=grad.size - 1)


def test_columns_are_chosen_for_matrices_only():
    grad = np.zeros((1000, 300), np.float32)
    grad[:, [3, 77, 150, 151]] = np.random.default_rng(0).normal(size=(1000, 4))
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(4))
    flat, matrix = codec.encode(grad.reshape(-1)), codec.encode(grad)
    assert "columns" in gcodec.inspect(matrix).key_codecs
    assert "columns" not in gcodec.inspect(flat).key_codecs
    assert len(matrix) < len(flat)
    assert np.array_equal(gcodec.decode(matrix).reshape(-1), gcodec.decode(flat))


@pytest.mark.parametrize(
    ("tensors", "error"),
    [
        ([("a", (3,))], gcodec.Mismatch),
        ([], gcodec.LimitExceeded),
        ([("a", (-4,)), ("b", (14,))], gcodec.LimitExceeded),
        ([("a", (1,) * 32 + (10,))], gcodec.LimitExceeded),
    ],
)
def test_layouts_that_do_not_fit_are_refused(tensors, error):
    memory = gcodec.ErrorFeedback(gcodec.Codec())
    with pytest.raises(error):
        gcodec.Codec().encode(np.ones(10, np.float32), tensors=tensors)
    with pytest.raises(error):
        memory.encode("w", np.ones(10, np.float32), tensors=tensors)
    assert memory.state_dict() == {}


def test_a_tensor_that_is_not_there():
    frame = gcodec.Codec().encode(np.ones(4, np.float32), tensors=[("a", (2,)), ("a", (2,))])
    for tensor in ("b", "a", 2, -1):
        with pytest.raises(gcodec.Mismatch, match="of the frame's 2 tensors"):
            gcodec.decode_tensor(frame, tensor)
    with pytest.raises(gcodec.LimitExceeded, match="max_elements"):
        gcodec.decode_tensor(frame, 0, max_elements=1)
