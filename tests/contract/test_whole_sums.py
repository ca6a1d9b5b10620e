"""Sums with a residual, ranges of threads and buckets give the bytes and residuals of the parts."""

import numpy as np
import pytest
from gradients import LAWS, RECIPES, laplace, make

import gcodec
from gcodec import whole
from gcodec.kernels import plans

SIZES = (1, 64, 5000, 150_001)
MANY = 3 << 20
"""Enough for three threads."""


@pytest.fixture
def in_parts(monkeypatch):
    """Call as if no gradient were of the common kind."""

    def call(function, *what, **more):
        with monkeypatch.context() as patch:
            patch.setattr(whole, "encode", lambda *_: None)
            patch.setattr(whole, "encode_sum", lambda *_: None)
            return function(*what, **more)

    return call


@pytest.fixture
def taken(monkeypatch):
    """Whether each sum so far was of the common kind."""
    answers, encode_sum = [], whole.encode_sum

    def told(*what):
        encoded = encode_sum(*what)
        answers.append(encoded is not None)
        return encoded

    monkeypatch.setattr(whole, "encode_sum", told)
    return answers


def assert_alike(make_memory, grads, in_parts, **more):
    """Messages and buffers of some steps, one of which is not delivered."""
    memory, other = make_memory(), make_memory()
    for step, grad in enumerate(grads):
        message = memory.encode("w", grad, step=step, **more)
        expected = in_parts(other.encode, "w", grad, step=step, **more)
        assert bytes(message) == bytes(expected), step
        for each in (memory, other):
            (each.rollback if step == 1 else each.commit)("w")
        mine, theirs = (each.state_dict()["w"] for each in (memory, other))
        assert mine.pop("selector") == theirs.pop("selector")
        for name in mine:
            assert mine[name].tobytes() == theirs[name].tobytes(), (name, step)
        assert memory.counters == other.counters


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_error_feedback(kind, recipe, in_parts, taken):
    codec = gcodec.get_codec(recipe)
    for size in SIZES:
        for law in LAWS:
            grads = [make(law, (size,), kind) for _ in range(2)] + [make(laplace, (size,), kind)]
            assert_alike(
                lambda: gcodec.ErrorFeedback(codec, beta=0.75, gamma=1.25), grads, in_parts
            )
    assert sum(taken) >= 0.8 * len(taken)


def test_momentum(in_parts, taken):
    codec = gcodec.get_codec("reclog:ratio=0.02")
    grads = [make(laplace, (size,), "float32") for size in (30_000,) * 3]
    assert_alike(lambda: gcodec.MomentumFeedback(codec), grads, in_parts)
    assert taken == [True] * 3


@pytest.mark.parametrize("recipe", ["reclog:ratio=0.01", "reclog:threshold=0.004", "topk:k=5"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(threads, recipe, in_parts, taken):
    codec, rng = gcodec.get_codec(recipe), np.random.default_rng(1)
    grads = [rng.laplace(scale=1e-3, size=MANY + 77).astype(np.float32) for _ in range(2)]
    gcodec.set_threads(1)
    expected = bytes(in_parts(codec.encode, grads[0]))
    try:
        gcodec.set_threads(threads)
        assert bytes(codec.encode(grads[0])) == expected
        assert_alike(lambda: gcodec.ErrorFeedback(codec), grads, in_parts)
    finally:
        gcodec.set_threads(None)
    assert all(taken)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    "recipe", ["reclog:threshold=0.004", "reclog:threshold=0.001,values=fixed,keys=blocks"]
)
def test_threads_write_what_they_gathered(recipe, counted, in_parts, monkeypatch):
    """Also where columns, or values that were not counted by chunk, need keys and levels of all."""
    if not counted:
        monkeypatch.setattr(plans, "MOST_COUNTS", 0)
    codec, rng = gcodec.get_codec(recipe), np.random.default_rng(2)
    grad = rng.laplace(scale=1e-3, size=MANY).astype(np.float32)
    grad[: MANY // 3] = 0  # one thread gathers little
    rows = grad.copy().reshape(-1, 1024)
    rows[:, rng.random(1024) < 0.97] = 0  # active columns
    for each in (grad, rows):
        expected = in_parts(codec.encode, each)
        for threads in (1, 2, 3):
            gcodec.set_threads(threads)
            try:
                assert bytes(codec.encode(each)) == bytes(expected)
            finally:
                gcodec.set_threads(None)
    if recipe == "reclog:threshold=0.004":
        assert "columns" in gcodec.inspect(expected).key_codecs


def test_a_sample_of_a_sum(in_parts, taken):
    codec = gcodec.Codec(gcodec.SampledQuantile(0.01, seed=3), gcodec.ReciprocalLog())
    grads = [make(laplace, (60_000,), "float32") for _ in range(3)]
    assert_alike(lambda: gcodec.ErrorFeedback(codec), grads, in_parts)
    assert taken[0]


def test_scratch_that_was_too_small_grows(in_parts, taken):
    """A threshold keeps far more than the plan thought."""
    codec = gcodec.get_codec("reclog:threshold=0.0005,values=fixed")
    grads = [make(laplace, (200_000,), "float32") for _ in range(3)]
    assert_alike(lambda: gcodec.ErrorFeedback(codec), grads, in_parts)
    assert taken == [True] * 3


@pytest.mark.parametrize(
    "recipe", ["reclog:ratio=0.05", "topk:ratio=0.02", "reclog:threshold=0.003"]
)
def test_buckets_of_tensors(recipe, in_parts, taken):
    """With matrices, empty tensors and scalars."""
    layout = [("a", (40, 300)), ("b", ()), ("none", (0, 7)), ("c", (200, 9, 9)), ("d", (77,))]
    codec, size = gcodec.get_codec(recipe), 40 * 300 + 1 + 200 * 81 + 77
    grad = make(laplace, (size,), "float32")
    grad[:12000].reshape(40, 300)[:, 7::13] *= 30
    for tensors in (layout, tuple(layout)):
        more = {"tensors": tensors, "sender": (2, 5)}
        frame = codec.encode(grad, name="bucket", **more)
        assert bytes(frame) == bytes(in_parts(codec.encode, grad, name="bucket", **more))
        assert_alike(lambda: gcodec.ErrorFeedback(codec), [grad] * 3, in_parts, **more)
    assert all(taken)
    assert len(codec.plans) == 2


def test_a_bad_layout_is_refused():
    codec, grad = gcodec.Codec(), np.ones(6, np.float32)
    with pytest.raises(gcodec.Mismatch, match="5 elements"):
        codec.encode(grad, tensors=[("a", (5,))])
    with pytest.raises(TypeError):
        codec.encode(grad, tensors=[("a", (2.5,))])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("recipe", ["reclog:ratio=0.01", "reclog:threshold=0.1"])
def test_what_is_no_number_leaves_the_residual(recipe, bad):
    memory = gcodec.ErrorFeedback(gcodec.get_codec(recipe))
    grad = make(laplace, (50_000,), "float32")
    memory.encode("w", grad)
    memory.commit("w")
    before = memory.residual("w").copy()
    grad[777] = bad
    with pytest.raises(gcodec.NonFiniteError, match="index 777"):
        memory.encode("w", grad)
    assert np.array_equal(memory.residual("w"), before)
    grad[777] = 0
    memory.encode("w", grad)


SCALES = [1, 1, 1.001, 0.999, 1, 1.02, 1, 2, 2, 2, 0.1, 0.1, *[1] * 20, 0, 1, 1]
"""By which gradients of steps that follow each other are larger than one another."""


@pytest.mark.parametrize("recipe", ["reclog:ratio=0.01", "topk:ratio=0.02", "topk:k=900"])
@pytest.mark.parametrize("memory", [gcodec.ErrorFeedback, None])
def test_the_last_step_tells_where_to_begin(recipe, memory, in_parts, taken):
    """Exactly the largest all the same, if it told wrong, too little or too much."""
    rng, remembered = np.random.default_rng(0), set()
    codec, other = gcodec.get_codec(recipe), gcodec.get_codec(recipe)
    mine, theirs = (memory(each) if memory else each for each in (codec, other))
    for step, scale in enumerate(SCALES):
        grad = (rng.laplace(size=50_000) * scale).astype(np.float32)
        if step % 7 == 5:
            grad = np.round(grad, 1)
        encode = (lambda it: it.encode("w", grad)) if memory else (lambda it: it.encode(grad))  # noqa: B023
        assert bytes(encode(mine)) == bytes(in_parts(encode, theirs)), step
        if memory:
            mine.commit("w")
            theirs.commit("w")
            assert mine.residual("w").tobytes() == theirs.residual("w").tobytes()
        facts = next(iter(codec.plans.values())).facts
        remembered.add((bool(facts[plans.NEXT]), bool(facts[plans.PAUSE])))
    assert remembered >= {(False, False), (True, False), (False, True)}
