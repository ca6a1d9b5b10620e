"""Every way to choose with every way to round: counts, bounds, conservation, on hard inputs."""

import json

import numpy as np
import pytest

import gcodec
import gcodec.format.elements
import gcodec.format.ids
from gcodec import arrays
from gcodec.recipes import RECIPES, from_config, to_config

RATIO = 0.01
SELECTORS = (
    gcodec.TopK(RATIO),
    gcodec.SampledQuantile(RATIO),
    gcodec.DGCSampling(RATIO),
    gcodec.SIDCo(RATIO),
    gcodec.SIDCo(RATIO, law="exponential", stages=0, verified=False),
    gcodec.SIDCo(RATIO, law="gamma-pareto", verified=False),
    gcodec.GaussianK(RATIO),
    gcodec.MSTopK(RATIO),
    gcodec.RedSync(RATIO),
    gcodec.Threshold(0.5, "max"),
    gcodec.Threshold(2.0, "rms"),
    gcodec.LogThreshold(-4),
    gcodec.LogThreshold(1, base=1.7),
    gcodec.BlockTopK(3, 256),
    gcodec.RandomK(RATIO),
    gcodec.RandomBlock(RATIO),
    gcodec.Dense(),
)
QUANTIZERS = (
    gcodec.Raw(),
    gcodec.ReciprocalLog(4),
    gcodec.ReciprocalLog(1, stochastic=True),
    gcodec.ReciprocalLog(base=1.3),
    gcodec.ReciprocalLog(base=3.0, stochastic=True),
    gcodec.ReciprocalLog(2, bits=3),
    gcodec.ReciprocalLog(2, bits=3, stochastic=True),
    gcodec.Uniform(8),
    gcodec.Uniform(3, stochastic=True),
    gcodec.QSGD(7),
    gcodec.QSGD(3, "l2"),
    gcodec.TernGrad(),
    gcodec.TernGrad(2.5),
    gcodec.Natural(),
    gcodec.FewBit(1),
    gcodec.FewBit(2, per_sign=False),
    gcodec.FewBit(3, centre="least"),
    gcodec.LloydMax(3),
    gcodec.Float8("e4m3"),
    gcodec.Float8("e5m2"),
    gcodec.Cast("float16"),
    gcodec.Cast("bfloat16"),
)
EXACTLY_K = (gcodec.TopK, gcodec.MSTopK, gcodec.RedSync)
SENDS_ZEROS = (gcodec.RandomK, gcodec.RandomBlock, gcodec.Dense)
BY_SIZE = (gcodec.Threshold, gcodec.LogThreshold)
STERBENZ = (gcodec.Raw, gcodec.Cast)
DTYPES = ("float16", "bfloat16", "float32", "float64")
N = 5000


def inputs():
    """Name to float64 numbers: what an estimate, a fit or a scale can stumble over."""
    rng = np.random.default_rng(0)
    laplace = rng.laplace(size=N)
    half, few, one = laplace.copy(), np.zeros(N), np.zeros(N)
    half[::2] = 0
    few[rng.choice(N, 10, replace=False)] = rng.normal(size=10)
    one[4321] = -2.5
    return {
        "laplace": laplace,
        "heavy": rng.standard_t(1.5, size=N).clip(-1e4, 1e4),
        "zeros": np.zeros(N),
        "constant": np.full(N, 0.1),
        "two signs": np.full(N, 0.25) * rng.choice([-1, 1], N),
        "two magnitudes": np.where(rng.random(N) < 0.02, 3.0, 0.001),
        "ties": laplace.round(1),
        "half zeros": half,
        "ten nonzeros": few,
        "one nonzero": one,
        "smallest": rng.integers(-3, 4, N) * 1.0,
        "largest": laplace * 1e3,
        "negative zeros": np.where(laplace > 0, -0.0, laplace),
        "n = 0": np.zeros(0),
        "n = 1": np.array([-0.3]),
        "n = 2": np.array([0.5, -0.5]),
        "n = 50": laplace[:50],
    }


INPUTS = inputs()


def as_gradient(case, dtype):
    """The input in an element type, scaled to its ends where the name says so."""
    element = gcodec.format.elements.ELEMENTS[gcodec.format.ids.ElementType[dtype.upper()]]
    numbers = INPUTS[case]
    if case == "smallest":
        patterns = np.abs(numbers).astype(element.pattern)
        patterns |= (numbers < 0).astype(element.pattern) << element.pattern.type(element.bits - 1)
        return patterns.view(arrays.NUMBERS[element.type])
    if case == "largest":
        numbers = numbers / np.abs(numbers).max() * element.number(element.infinity - 1)
    if dtype == "float64":
        return numbers
    return arrays.narrow(numbers.astype(np.float32), element).view(arrays.NUMBERS[element.type])


def wide(grad):
    """A gradient's numbers, exactly."""
    return arrays.gradient(grad).numbers().reshape(-1)


def check(select, quantize, grad):
    """What every frame of any method must keep."""
    codec = gcodec.Codec(select, quantize)
    frame = codec.encode(grad, name="w", step=3)
    assert bytes(frame) == bytes(codec.encode(grad, name="w", step=3))
    keys, _ = gcodec.decode_sparse(frame)
    decoded = np.zeros(grad.size, wide(grad).dtype)
    if frame_is_narrower(frame, decoded):
        decoded = decoded.astype(np.float32)
    gcodec.accumulate(frame, decoded)
    assert (np.diff(keys) > 0).all()
    assert np.isfinite(decoded).all()
    exact = wide(grad)
    ratio = getattr(select, "ratio", RATIO)
    nonzero, wanted = np.count_nonzero(exact), max(1, round(ratio * grad.size))
    sent = np.count_nonzero(decoded)
    if not isinstance(select, SENDS_ZEROS):
        zeros = keys[exact[keys] == 0]
        log2 = gcodec.inspect(frame).header["chunk_log2"]
        stored, sizes = (np.bincount(at >> log2) for at in (keys, np.arange(grad.size)))
        whole = np.unique(zeros >> log2)  # zeros go only in chunks that are smaller whole
        assert isinstance(quantize, gcodec.Raw | gcodec.Cast) or not zeros.size
        assert (stored[whole] == sizes[whole]).all()
    if isinstance(select, EXACTLY_K) and isinstance(quantize, gcodec.Raw):
        assert sent == min(wanted, nonzero)
    if not isinstance(select, (*SENDS_ZEROS, *BY_SIZE, gcodec.BlockTopK)) and nonzero:
        assert keys.size <= 2 * wanted
        if isinstance(quantize, gcodec.Raw):
            assert keys.size >= min(wanted, nonzero) // 2
    assert gcodec.verify(frame, grad).bound_met
    return frame


def frame_is_narrower(frame, decoded):
    return decoded.dtype == np.float64 and gcodec.inspect(frame).header["elem_dtype"] != "float64"


@pytest.mark.parametrize("quantize", QUANTIZERS, ids=repr)
@pytest.mark.parametrize("select", SELECTORS, ids=repr)
def test_every_pair_on_hard_inputs(select, quantize):
    for case in INPUTS:
        check(select, quantize, as_gradient(case, "float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("select", SELECTORS, ids=repr)
def test_every_selector_in_every_type(select, dtype):
    for case in INPUTS:
        for quantize in (gcodec.Raw(), gcodec.ReciprocalLog(4)):
            check(select, quantize, as_gradient(case, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("quantize", QUANTIZERS, ids=repr)
def test_every_quantiser_in_every_type(quantize, dtype):
    for case in INPUTS:
        for select in (gcodec.TopK(0.2), gcodec.Dense()):
            check(select, quantize, as_gradient(case, dtype))


@pytest.mark.parametrize("quantize", QUANTIZERS, ids=repr)
@pytest.mark.parametrize("select", SELECTORS, ids=repr)
def test_residual_and_message_make_up_what_was_to_be_sent(select, quantize):
    """Exactly for values that travel as they are or near; else to a unit in the last place."""
    for case in ("laplace", "heavy", "ties", "two magnitudes", "half zeros"):
        grad = as_gradient(case, "float32")
        memory = gcodec.ErrorFeedback(gcodec.Codec(select, quantize))
        for step in range(2):
            before = memory.residual("w").copy() if step else np.zeros_like(grad)
            frame = memory.encode("w", grad, step=step)
            memory.commit("w")
            u, v = grad + before, np.zeros_like(grad)
            gcodec.accumulate(frame, v)
            back = memory.residual("w") + v
            if isinstance(quantize, STERBENZ) or quantize == gcodec.ReciprocalLog(4):
                assert np.array_equal(back, u)
            else:
                room = np.spacing(np.maximum(np.abs(u), np.abs(v)))
                assert (np.abs(back.astype(float) - u) <= room).all()


@pytest.mark.parametrize("quantize", QUANTIZERS, ids=repr)
@pytest.mark.parametrize("select", SELECTORS, ids=repr)
def test_backends_write_the_same_bytes(select, quantize):
    for case in ("laplace", "ties", "half zeros"):
        grad = as_gradient(case, "float32")[:3000]
        frames = [
            bytes(gcodec.Codec(select, quantize, backend=backend).encode(grad, name="w", step=1))
            for backend in ("cpu", "reference")
        ]
        assert frames[0] == frames[1]


@pytest.mark.parametrize("select", SELECTORS, ids=repr)
def test_pairs_and_the_dense_vector_give_the_same_bytes(select):
    for case in ("laplace", "half zeros", "ten nonzeros", "zeros"):
        grad = as_gradient(case, "float32")
        keys = np.flatnonzero(grad)
        codec = gcodec.Codec(select, gcodec.ReciprocalLog(2))
        pairs = codec.encode_sparse(keys, grad[keys], grad.size, name="w", step=2)
        assert bytes(pairs) == bytes(codec.encode(grad, name="w", step=2))


@pytest.mark.parametrize("part", [*SELECTORS, *QUANTIZERS], ids=repr)
def test_configurations_come_back(part):
    parts = {"select": part} if part in SELECTORS else {"quantize": part}
    codec = gcodec.Codec(**parts)
    assert from_config(json.loads(json.dumps(to_config(codec)))) == codec
    names = {name: getattr(gcodec, name) for name in gcodec.__all__}
    assert eval(repr(codec), names) == codec


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_encodes(name):
    recipe = f"{name}:threshold=0.1" if name == "threshold" else name
    codec = gcodec.get_codec(recipe)
    check(codec.select, codec.quantize, as_gradient("laplace", "float32"))
    assert from_config(to_config(codec)) == codec


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"select": {"method": "TopK"}},
        {"select": {"method": "Nothing"}, "quantize": {"method": "Raw"}, "keys": "auto"},
        {**to_config(gcodec.Codec()), "select": {"method": "TopK", "ratio": 2}},
        {**to_config(gcodec.Codec()), "keys": "huffman"},
    ],
)
def test_bad_configurations_are_refused(config):
    with pytest.raises(gcodec.UnknownRecipeError):
        from_config(config)


@pytest.mark.parametrize(
    "select", [s for s in SELECTORS if not isinstance(s, gcodec.Dense)], ids=repr
)
def test_a_failed_encode_changes_nothing(select):
    memory = gcodec.ErrorFeedback(gcodec.Codec(select, gcodec.FewBit(1)))
    grad = as_gradient("laplace", "float32")
    memory.encode("w", grad)
    memory.commit("w")
    before, counters = memory.state_dict()["w"], vars(memory.counters).copy()
    with pytest.raises(gcodec.NonFiniteError):
        memory.encode("w", np.where(np.arange(N) == 7, np.float32(np.nan), grad))
    after = memory.state_dict()["w"]
    assert np.array_equal(before["residual"], after["residual"])
    assert before["selector"] == after["selector"]
    assert vars(memory.counters) == counters


UNBIASED = (
    gcodec.Codec(gcodec.Dense(), gcodec.QSGD(3)),
    gcodec.Codec(gcodec.Dense(), gcodec.QSGD(2, "l2")),
    gcodec.Codec(gcodec.Dense(), gcodec.QSGD(3), scales=64),
    gcodec.Codec(gcodec.Dense(), gcodec.QSGD(2, "l2"), scales=32),
    gcodec.Codec(gcodec.Dense(), gcodec.TernGrad()),
    gcodec.Codec(gcodec.Dense(), gcodec.Natural()),
    gcodec.Codec(gcodec.Dense(), gcodec.Uniform(3, stochastic=True)),
    gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(1, stochastic=True)),
    gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(base=1.5, stochastic=True)),
    gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(1, bits=3, stochastic=True)),
    gcodec.Codec(gcodec.RandomK(0.1, unbiased=True), gcodec.Raw()),
    gcodec.Codec(gcodec.RandomBlock(0.1, unbiased=True), gcodec.Raw()),
)


def deviation(codec, grad, rounds):
    """Mean over steps of decoded - exact, in standard errors, root mean square over elements.

    Infinite if an element is always off by the same: that is bias without a spread to compare with.
    Only what rounds the other way less than once in rounds / 12 (one in 160,000 such elements never
    does) may stay where it is: it is off by that share of a step.
    """
    total, squares = np.zeros(grad.size), np.zeros(grad.size)
    for step in range(rounds):
        error = gcodec.decode(codec.encode(grad, name="w", step=step)).astype(float) - grad
        total += error
        squares += error**2
    variance = squares / rounds - (total / rounds) ** 2
    mean, fixed = total / rounds, variance <= 1e-12
    said = gcodec.inspect(codec.encode(grad, name="w")).header
    step = said["bound"] * (np.abs(grad) if said["bound_kind"] == "relative" else 1)
    if (np.abs(mean) > 12 / rounds * step)[fixed].any():
        return np.inf
    return float(np.sqrt(np.mean(mean[~fixed] ** 2 / (variance[~fixed] / rounds))))


@pytest.mark.parametrize("codec", UNBIASED, ids=repr)
def test_unbiased_methods_are_right_on_average(codec):
    """Standardised means have a root mean square of 1 if there is no bias."""
    grad = as_gradient("laplace", "float32")[:400]
    assert 0.8 < deviation(codec, grad, 600) < 1.25


def test_the_test_of_bias_finds_bias():
    grad = as_gradient("laplace", "float32")[:400]
    clipped = gcodec.Codec(gcodec.Dense(), gcodec.TernGrad(clip=0.5))
    assert deviation(clipped, grad, 600) > 2
    nearest = gcodec.Codec(gcodec.Dense(), gcodec.Uniform(3))
    assert deviation(nearest, grad, 600) > 2
    unscaled = gcodec.Codec(gcodec.RandomK(0.1), gcodec.Raw())
    assert deviation(unscaled, grad, 600) > 2


def test_unbiased_scaling_stays_outside_feedback():
    memory = gcodec.ErrorFeedback(gcodec.get_codec("randomk:ratio=0.1,unbiased=1"))
    with pytest.raises(ValueError, match="exclude each other"):
        memory.encode("w", np.ones(100, np.float32))


def test_ranks_draw_differently_when_they_round_and_alike_when_they_select():
    grad = as_gradient("laplace", "float32")
    stochastic = gcodec.Codec(gcodec.RandomK(0.5), gcodec.QSGD(3))
    frames = [stochastic.encode(grad, sender=(rank, 4)) for rank in range(4)]
    keys, values = zip(*map(gcodec.decode_sparse, frames), strict=True)
    assert all(np.array_equal(keys[0], other) for other in keys)
    assert len({part.tobytes() for part in values}) == 4
    said = gcodec.inspect(frames[2]).header
    assert (said["rank"], said["world"]) == (2, 4)
    errors = [gcodec.decode(frame) - grad for frame in frames]
    alone = np.mean([np.square(error[keys[0]]).mean() for error in errors])
    together = np.square(np.mean(errors, axis=0)[keys[0]]).mean()
    assert together == pytest.approx(alone / 4, rel=0.2)


@pytest.mark.parametrize("sender", [(4, 4), (-1, 4), (0, 0), (0, 2**32 - 1)])
def test_a_rank_outside_its_world_is_refused(sender):
    with pytest.raises(gcodec.Mismatch, match="world"):
        gcodec.Codec().encode(as_gradient("laplace", "float32"), sender=sender)
