"""Blocks of elements that are rounded in units of a scale of their own."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, exact, make
from strategies import gradients

import gcodec
from gcodec.recipes import from_config, to_config

QUANTIZERS = (
    gcodec.ReciprocalLog(4),
    gcodec.ReciprocalLog(1, stochastic=True),
    gcodec.Uniform(8),
    gcodec.QSGD(7),
    gcodec.QSGD(3, "l2"),
    gcodec.TernGrad(2.5),
    gcodec.Natural(),
    gcodec.FewBit(1),
    gcodec.FewBit(2, per_sign=False),
    gcodec.FewBit(1, centre="least"),
    gcodec.LloydMax(3),
    gcodec.Float8("e4m3"),
)
SCALES = (1, 7, 512, "row", "tensor")
SHAPE = (20, 35)
BUCKET = [("w", (30, 20)), ("b", (31,)), ("none", (0, 3)), ("gain", ()), ("v", (8, 5, 10))]


def codec_of(quantize, scales, select=None, backend="cpu"):
    return gcodec.Codec(select or gcodec.Dense(), quantize, scales=scales, backend=backend)


def uneven(seed=0, shape=SHAPE):
    """Rows whose sizes differ by orders of magnitude; one is zero."""
    rng = np.random.default_rng(seed)
    rows = rng.laplace(size=shape) * np.exp(3 * rng.normal(size=(shape[0], 1)))
    rows[shape[0] // 2] = 0
    return rows.astype(np.float32)


def blocks_of(shapes, scales):
    """The block of every position, counted over all tensors."""
    found, number = [], 0
    for shape in shapes:
        size = math.prod(shape)
        block = scales if isinstance(scales, int) else max(size, 1)
        if scales == "row" and len(shape) > 1:
            block = max(math.prod(shape[1:]), 1)
        found.append(number + np.arange(size) // block)
        number += -(-size // block)
    return np.concatenate(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("quantize", QUANTIZERS, ids=repr)
def test_every_quantiser_in_every_type(quantize, scales, kind):
    for select in (gcodec.Dense(), gcodec.TopK(0.1)):
        for values in ("normal", "edges", "subnormal"):
            grad = make(KINDS[kind], 1, 700, 0.9, values).reshape(SHAPE)
            frames = [
                codec_of(quantize, scales, select, backend).encode(grad, name="w", step=2)
                for backend in ("cpu", "reference")
            ]
            assert bytes(frames[0]) == bytes(frames[1])
            assert gcodec.verify(frames[0], grad).bound_met
            ours, theirs = (
                gcodec.decode(frames[0], backend=backend) for backend in ("cpu", "reference")
            )
            assert ours.tobytes() == theirs.tobytes()
            assert np.isfinite(exact(ours)).all()


@pytest.mark.parametrize("scales", SCALES)
def test_blocks_of_qsgd_are_multiples_of_their_own_norm(scales):
    grad = uneven()
    flat, block = grad.reshape(-1), blocks_of([SHAPE], scales)
    decoded = gcodec.decode(codec_of(gcodec.QSGD(5), scales).encode(grad)).reshape(-1)
    norms = np.zeros(block[-1] + 1)
    np.maximum.at(norms, block, np.abs(flat))
    steps = decoded.astype(float) * 5 / np.where(norms > 0, norms, 1)[block]
    assert np.allclose(steps, steps.round(), atol=1e-5)
    at_norm = (np.abs(flat) == norms[block]) & (flat != 0)
    assert (decoded[at_norm] == flat[at_norm]).all()
    assert (np.abs(decoded - flat) <= norms[block] / 5 * (1 + 1e-6)).all()
    assert not decoded[flat == 0].any()


@pytest.mark.parametrize("scales", SCALES)
def test_one_bit_is_the_mean_of_each_sign_of_a_block(scales):
    grad = uneven()
    flat, block = grad.reshape(-1).astype(float), blocks_of([SHAPE], scales)
    decoded = gcodec.decode(codec_of(gcodec.FewBit(1), scales).encode(grad)).reshape(-1)
    expected = np.zeros(flat.size)
    for number in range(block[-1] + 1):
        for sign in (flat < 0, flat >= 0):
            own = (block == number) & sign
            if own.any():
                expected[own] = flat[own].mean()
    assert np.allclose(decoded, expected, rtol=3e-7, atol=0)


def test_rows_of_every_tensor_of_a_bucket():
    shapes = [shape for _, shape in BUCKET]
    size = sum(math.prod(shape) for shape in shapes)
    grad = uneven(1, (size, 1)).reshape(-1)
    for scales in SCALES:
        block = blocks_of(shapes, scales)
        frame = codec_of(gcodec.FewBit(1, per_sign=False), scales).encode(grad, tensors=BUCKET)
        sums = np.bincount(block, np.abs(grad))
        means = sums / np.bincount(block)
        decoded = gcodec.decode(frame)
        assert np.allclose(np.abs(decoded), means[block], rtol=3e-7, atol=0)
        start = 0
        for name, _ in BUCKET:
            part = gcodec.decode_tensor(frame, name)
            assert np.array_equal(part.reshape(-1), decoded[start : start + part.size])
            start += part.size
        assert gcodec.inspect(frame).scales == block[-1] + 1


@settings(max_examples=60)
@given(
    dense=gradients(sizes=(1, 63, 1025, 3000, 20_000)),
    scales=st.integers(1, 3000),
    quantize=st.sampled_from(QUANTIZERS),
    every=st.booleans(),
    data=st.data(),
)
def test_parts_are_those_of_the_whole(dense, scales, quantize, every, data):
    select = gcodec.Dense() if every else gcodec.TopK(0.5)
    frame = codec_of(quantize, scales, select).encode(dense)
    whole = gcodec.decode(frame)
    size = 1 << gcodec.inspect(frame).header["chunk_log2"]
    chunks = -(-dense.size // size)
    first = data.draw(st.integers(0, chunks))
    last = data.draw(st.integers(first, chunks))
    start, stop = min(first * size, dense.size), min(last * size, dense.size)
    part = gcodec.slice(frame, start, stop)
    for backend in ("cpu", "reference"):
        assert gcodec.decode(part, backend=backend).tobytes() == whole[start:stop].tobytes()
    keys, values = gcodec.decode_sparse(frame, start=start, stop=stop)
    assert np.array_equal(whole[keys], values)
    with np.errstate(over="ignore"):
        total = whole + whole
    if np.isfinite(total).all():
        assert np.array_equal(gcodec.decode(gcodec.merge([frame, frame])), total)


@pytest.mark.parametrize("quantize", QUANTIZERS, ids=repr)
def test_what_does_not_go_stays(quantize):
    grad = uneven()
    memory = gcodec.ErrorFeedback(codec_of(quantize, "row", gcodec.TopK(0.3)))
    before = np.zeros_like(grad)
    for step in range(3):
        frame = memory.encode("w", grad, step=step)
        memory.commit("w")
        u, v = grad + before, gcodec.decode(frame)
        before = memory.residual("w").copy()
        room = np.spacing(np.maximum(np.abs(u), np.abs(v)))
        assert (np.abs((before + v).astype(float) - u) <= room).all()


def test_pairs_give_the_same_bytes():
    grad = uneven().reshape(-1)
    keys = np.flatnonzero(grad)
    codec = codec_of(gcodec.QSGD(7), 100, gcodec.TopK(0.2))
    assert bytes(codec.encode_sparse(keys, grad[keys], grad.size)) == bytes(codec.encode(grad))


def test_threads_and_chunks_do_not_matter():
    grad = uneven(2, (300, 1000))
    for quantize in (gcodec.FewBit(1), gcodec.QSGD(15)):
        frames, decoded = [], []
        for threads in (1, 2):
            gcodec.set_threads(threads)
            frames.append(bytes(codec_of(quantize, 512).encode(grad)))
            decoded.append(gcodec.decode(frames[-1]).tobytes())
        gcodec.set_threads(None)
        assert frames[0] == frames[1]
        assert decoded[0] == decoded[1]


def test_a_scale_takes_what_levels_of_all_cannot():
    """Rows of unlike sizes: a scale of four bytes each, less than half of the error."""
    grad = uneven()
    errors = [
        gcodec.verify(codec_of(gcodec.QSGD(255), scales).encode(grad), grad).error
        for scales in (None, "row")
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("scales", [0, -1, 1.5, True, "column", "Row", b"row", [512]])
def test_other_blocks_are_refused(scales):
    with pytest.raises(ValueError, match="scales is a number of elements, row or tensor, not"):
        codec_of(gcodec.QSGD(), scales)


def test_values_that_travel_as_they_are_have_no_scales():
    for quantize in (gcodec.Raw(), gcodec.Cast("float16")):
        with pytest.raises(ValueError, match=r"sends values as they are: leave scales out"):
            codec_of(quantize, 512)
    with pytest.raises(gcodec.UnknownRecipeError, match="leave scales out"):
        gcodec.get_codec("topk:scales=512")


def test_recipes_and_configurations():
    codec = gcodec.get_codec("qsgd:levels=255,norm=max,scales=512")
    assert codec == codec_of(gcodec.QSGD(255, "max"), 512)
    assert from_config(to_config(codec)) == codec
    assert gcodec.get_codec("onebit:scales=row").scales == "row"
