"""Frames added up without a dense array between."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec

CODECS = ["topk:ratio=0.2", "reclog:ratio=0.1", "topk:ratio=1", "threshold:threshold=9"]


def frames_of(seed, count, n, recipe):
    rng = np.random.default_rng(seed)
    codec = gcodec.get_codec(recipe)
    return [codec.encode(rng.normal(size=n).astype(np.float32), step=4) for _ in range(count)]


@given(
    st.integers(0, 99),
    st.integers(1, 5),
    st.sampled_from([0, 1, 50, 6000]),
    st.sampled_from(CODECS),
)
@settings(deadline=None)
def test_the_sum_in_the_order_given(seed, count, n, recipe):
    frames = frames_of(seed, count, n, recipe)
    expected = np.zeros(n, np.float32)
    for frame in frames:
        expected += gcodec.decode(frame)
    merged = gcodec.merge(iter(frames))
    assert np.array_equal(gcodec.decode(merged), expected)
    header = gcodec.inspect(merged).header
    assert (header["contributions"], header["step"]) == (count, 4)
    again = gcodec.merge([merged, frames[0]])
    assert gcodec.inspect(again).header["contributions"] == count + 1


def test_both_backends_write_the_same():
    frames = frames_of(0, 3, 500, "reclog:ratio=0.1")
    reference = gcodec.Codec(gcodec.Threshold(0.0), backend="reference")
    assert gcodec.merge(frames, codec=reference).tobytes() == gcodec.merge(frames).tobytes()


def test_a_lossy_codec_may_encode_the_sum():
    frames = frames_of(0, 3, 500, "topk:ratio=0.1")
    merged = gcodec.merge(frames, codec=gcodec.get_codec("reclog:k=5"))
    assert gcodec.inspect(merged).header["n_stored"] == 5


def test_tensors_stay_and_must_agree():
    codec, grad = gcodec.get_codec("topk:k=3"), np.arange(6, dtype=np.float32)
    layout = [("a", (2,)), ("b", (2, 2))]
    one = codec.encode(grad, tensors=layout)
    merged = gcodec.merge([one, one])
    assert np.array_equal(gcodec.decode_tensor(merged, "b"), 2 * gcodec.decode_tensor(one, "b"))
    for other in (codec.encode(grad), codec.encode(grad, tensors=layout, step=1)):
        with pytest.raises(gcodec.Mismatch, match="frame 1"):
            gcodec.merge([one, other])
    with pytest.raises(gcodec.Mismatch, match="nothing to merge"):
        gcodec.merge([])


def test_sums_past_float32_and_broken_frames_are_refused():
    codec = gcodec.get_codec("topk:k=1")
    large = codec.encode(np.array([0, 3e38], np.float32))
    with pytest.raises(gcodec.NonFiniteError, match="flat index 1"):
        gcodec.merge([large, large])
    with pytest.raises(gcodec.Truncated):
        gcodec.merge([large, bytes(large)[:-1]])
