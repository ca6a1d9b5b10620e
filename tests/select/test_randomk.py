"""Random-k: positions that all ranks can draw, and that do not travel."""

import numpy as np
import pytest

import gcodec

GRAD = np.random.default_rng(0).normal(size=200_000).astype(np.float32)


def keys_of(codec, grad=GRAD, **where):
    return gcodec.decode_sparse(codec.encode(grad, **where))[0]


@pytest.mark.parametrize("method", [gcodec.RandomK, gcodec.RandomBlock])
@pytest.mark.parametrize("k", [1, 7, 2000, 199_999, 200_000])
def test_exactly_k_and_the_same_on_every_rank(method, k):
    codec = gcodec.Codec(method(k=k), gcodec.Raw())
    keys = keys_of(codec, name="w", step=5)
    assert np.count_nonzero(gcodec.decode(codec.encode(GRAD, name="w", step=5))) == k
    other = np.zeros_like(GRAD)
    assert np.array_equal(keys, keys_of(codec, other, name="w", step=5))


@pytest.mark.parametrize("method", [gcodec.RandomK, gcodec.RandomBlock])
def test_steps_names_and_seeds_draw_differently(method):
    codec = gcodec.Codec(method(k=50), gcodec.Raw())
    drawn = [
        keys_of(codec, name="w", step=1),
        keys_of(codec, name="w", step=2),
        keys_of(codec, name="v", step=1),
        keys_of(gcodec.Codec(method(k=50, seed=1), gcodec.Raw()), name="w", step=1),
    ]
    assert len({tuple(keys.tolist()) for keys in drawn}) == 4


def test_positions_are_drawn_evenly():
    """Over 2,000 steps each of 500 positions comes 200 times; chi-squared within six deviations."""
    codec = gcodec.Codec(gcodec.RandomK(k=50), gcodec.Raw())
    grad, counts = np.zeros(500, np.float32), np.zeros(500)
    for step in range(2000):
        counts[keys_of(codec, grad, step=step)] += 1
    assert counts.sum() == 50 * 2000
    statistic = ((counts - 200) ** 2 / (200 * 0.9)).sum()
    assert abs(statistic - 500) < 6 * np.sqrt(2 * 500)


def test_no_bits_for_positions():
    frame = gcodec.Codec(gcodec.RandomK(0.01), gcodec.Raw()).encode(GRAD)
    found = gcodec.inspect(frame)
    assert set(found.key_codecs) == {"seeded"}
    chunks = found.header["n_chunks"]
    assert found.section_bytes["PAYLOAD"] <= 4 * found.header["n_stored"] + 24 * chunks


def test_other_packings_write_the_same_positions():
    drawn = keys_of(gcodec.Codec(gcodec.RandomK(0.01)))
    for keys in ("rice", "coo", "delta", "bitmap", "blocks"):
        assert np.array_equal(drawn, keys_of(gcodec.Codec(gcodec.RandomK(0.01), keys=keys)))


def test_a_slice_draws_as_the_frame_did():
    frame = gcodec.Codec(gcodec.RandomK(0.2), gcodec.Raw()).encode(GRAD)
    size = 1 << gcodec.inspect(frame).header["chunk_log2"]
    dense = gcodec.decode(frame)
    for start, stop in ((0, size), (size, 3 * size), (3 * size, GRAD.size)):
        part = gcodec.slice(frame, start, stop)
        assert np.array_equal(gcodec.decode(part), dense[start:stop])
        again = gcodec.slice(part, stop - start, stop - start)
        assert gcodec.decode(again).size == 0
    inner = gcodec.slice(gcodec.slice(frame, size, 4 * size), size, 2 * size)
    assert np.array_equal(gcodec.decode(inner), dense[2 * size : 3 * size])


def test_a_block_wraps_around():
    codec = gcodec.Codec(gcodec.RandomBlock(k=60), gcodec.Raw())
    wrapped = 0
    for step in range(50):
        keys = keys_of(codec, GRAD[:100], step=step)
        gaps = np.flatnonzero(np.diff(keys) > 1)
        assert gaps.size <= 1
        wrapped += gaps.size
    assert wrapped


def test_unbiased_values_are_scaled_by_their_strata():
    plain, scaled = (
        gcodec.decode_sparse(
            gcodec.Codec(gcodec.RandomK(0.1, unbiased=u), gcodec.Raw()).encode(GRAD[:1000])
        )[1]
        for u in (False, True)
    )
    assert np.array_equal(scaled, plain * np.float32(10))


def test_a_draw_for_each_tensor_is_refused():
    with pytest.raises(ValueError, match="whole bucket"):
        gcodec.Codec(gcodec.RandomK(0.1), per_tensor=True)


def test_scaling_past_the_largest_number_is_refused():
    codec = gcodec.Codec(gcodec.RandomK(0.1, unbiased=True), gcodec.Raw())
    with pytest.raises(gcodec.NonFiniteError, match="scaled"):
        codec.encode(np.full(1000, 3e38, np.float32))
