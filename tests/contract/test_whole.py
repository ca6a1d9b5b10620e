"""Encoding in one call gives the bytes that encoding in parts does, or leaves it to the parts."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from gradients import LAWS, RECIPES, laplace, make, mostly_zero, ties, wide

import gcodec
from gcodec import plans, whole
from gcodec.kernels import cpu
from gcodec.kernels.cpu.vector import LOCATE, MASK, SCALAR, best_tier
from gcodec.kernels.cpu.whole import encoder

SHAPES = ((1,), (), (3,), (64,), (1000,), (40, 25), (5000,), (300, 100), (3, 4, 5), (150_001,))


@pytest.fixture
def in_parts(monkeypatch):
    """Encode as if the gradient were of no common kind."""

    def encode(codec, grad, **more):
        with monkeypatch.context() as patch:
            patch.setattr(whole, "encode", lambda *_: None)
            return codec.encode(grad, **more)

    return encode


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_the_same_bytes_as_in_parts(kind, recipe, in_parts):
    codec, taken = gcodec.get_codec(recipe), 0
    for shape in SHAPES:
        for law in LAWS:
            grad = make(law, shape, kind)
            frame = whole.encode(codec, grad, "w", 7, None, (1, 4))
            parts = in_parts(codec, grad, name="w", step=7, sender=(1, 4))
            if frame is not None:
                taken += 1
                assert bytes(frame) == bytes(parts), (shape, law.__name__)
    assert taken >= 0.8 * len(SHAPES) * len(LAWS)


@pytest.mark.parametrize("law", [laplace, mostly_zero, ties])
@pytest.mark.parametrize("n", [5000, 60_000])
def test_a_sample_is_the_same_one(n, law, in_parts):
    """Or it misses, which is left to the parts."""
    codec = gcodec.Codec(gcodec.SampledQuantile(0.01, seed=-5), gcodec.ReciprocalLog())
    sizes = set()
    for step in (0, 1, 1 << 62):
        grad = make(law, (n,), "float32")
        frame = whole.encode(codec, grad, "w", step, None, None)
        parts = in_parts(codec, grad, name="w", step=step)
        assert (frame is None) == (n > 50_000 and law is not laplace)
        assert frame is None or bytes(frame) == bytes(parts)
        sizes.add(gcodec.decode_sparse(parts)[0].size)
    assert (len(sizes) > 1) == (n > 50_000 and law is laplace)


@pytest.mark.parametrize("tier", range(LOCATE + 1))
def test_every_tier_writes_the_same(tier, monkeypatch):
    if tier > max(MASK, best_tier()):
        pytest.skip("the CPU has no such instructions")
    grad = make(laplace, (70_000,), "float32")
    plain = gcodec.Codec(quantize=gcodec.ReciprocalLog())
    expected = plain.encode(grad)
    codec = replace(plain)
    codec.encode(grad[:1])
    assert whole.encode(codec, grad, "", 0, None, None) is not None
    codec.plans[grad.shape, grad.dtype, "", None, None].kernel = encoder(tier)
    assert bytes(whole.encode(codec, grad, "", 0, None, None)) == bytes(expected)
    assert tier != SCALAR or encoder(SCALAR) is not encoder(MASK)


def test_scratch_grows_until_it_is_enough():
    """A threshold keeps far more than the plan thought; the second call knows."""
    grad = make(wide, (1 << 17,), "float32")
    codec = gcodec.get_codec("reclog:threshold=0.05,values=fixed")
    frame = whole.encode(codec, grad, "", 0, None, None)
    (plan,) = codec.plans.values()
    enough = plan.work, plan.frame
    assert gcodec.decode_sparse(frame)[0].size == np.count_nonzero(np.abs(grad) > np.float32(0.05))
    assert bytes(whole.encode(codec, grad, "", 0, None, None)) == bytes(frame)
    assert (plan.work, plan.frame) == enough


@pytest.mark.parametrize("nothing", [True, False])
def test_a_sample_that_misses_takes_no_more_scratch(nothing, in_parts):
    """Or too much: all that is large lies where it looks."""
    grad = make(laplace, (1 << 18,), "float32")
    n, samples = grad.size, grad.size >> 4
    places = np.empty(samples, np.int64)
    cpu.draw_strata(n, np.uint64(n), places)
    grad[places] = 0 if nothing else 1 + np.abs(grad[places])
    codec = gcodec.get_codec("topk:ratio=0.01")
    expected, frame = in_parts(codec, grad), whole.encode(codec, grad, "", 0, None, None)
    assert bytes(frame) == bytes(expected)
    (plan,) = codec.plans.values()
    assert plan.work < grad.nbytes / 20


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("recipe", ["topk:ratio=0.01", "reclog:threshold=0.1"])
def test_what_is_no_number_is_refused(recipe, bad):
    grad = make(laplace, (5000,), "float32")
    grad[4321] = bad
    with pytest.raises(gcodec.NonFiniteError, match=r"'w' has 1 NaN.* index 4321"):
        gcodec.get_codec(recipe).encode(grad, name="w")


def test_what_is_not_of_the_common_kind_is_left_to_the_parts():
    grad = make(laplace, (500,), "float32")
    plain = gcodec.Codec(quantize=gcodec.ReciprocalLog())
    for codec in (
        replace(plain, backend="reference"),
        replace(plain, scales=64),
        replace(plain, per_tensor=True),
        replace(plain, quantize=gcodec.ReciprocalLog(bits=4)),
        replace(plain, quantize=gcodec.ReciprocalLog(stochastic=True)),
        replace(plain, select=gcodec.Threshold(0.5, "max")),
        replace(plain, select=gcodec.GaussianK(0.1)),
    ):
        assert whole.encode(codec, grad, "", 0, None, None) is None
    for given in (grad.tolist(), grad[::2], grad.astype(np.int32), grad[:0], np.ma.array(grad)):
        assert whole.encode(plain, given, "", 0, None, None) is None
    for step in (-1, 1 << 63, 1.0):
        assert whole.encode(plain, grad, "", step, None, None) is None
    with pytest.raises(gcodec.Mismatch):
        plain.encode(grad, sender=(4, 4))
    assert bytes(plain.encode(grad, step=1 << 63)) != bytes(plain.encode(grad))


def test_the_gradient_stays_writable_and_the_frame_is_not():
    grad = make(laplace, (20, 50), "float32")
    before = grad.copy()
    frame = gcodec.Codec().encode(grad)
    assert grad.flags.writeable
    assert np.array_equal(grad, before)
    assert not frame.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        frame.setflags(write=True)


def test_frames_do_not_share_their_scratch():
    codec, grads = gcodec.Codec(), [make(laplace, (9, size), "float32") for size in (50, 51)]
    frames = [codec.encode(grad) for grad in grads]
    copies = [bytes(frame) for frame in frames]
    for grad in grads:
        codec.encode(-grad)
    assert [bytes(frame) for frame in frames] == copies


def test_threads_have_scratch_of_their_own():
    codec, rng = gcodec.Codec(quantize=gcodec.ReciprocalLog()), np.random.default_rng(0)
    grads = [rng.normal(size=20_000).astype(np.float32) for _ in range(8)]
    expected = [bytes(codec.encode(grad)) for grad in grads]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert [bytes(frame) for frame in pool.map(codec.encode, grads)] == expected


def test_a_codec_travels_without_its_plans(monkeypatch):
    codec = gcodec.Codec()
    codec.encode(np.ones(3, np.float32))
    assert codec.plans
    copy = pickle.loads(pickle.dumps(codec))
    assert copy == codec
    assert not copy.plans
    monkeypatch.setattr(plans, "MOST_PLANS", 4)
    for size in range(1, 20):
        codec.encode(np.ones(size, np.float32))
        assert len(codec.plans) <= 4
