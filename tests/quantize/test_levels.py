"""Quantisers of few levels: where the levels lie, and what they are worth."""

import numpy as np
import pytest

import gcodec

RNG = np.random.default_rng(0)
GRAD = RNG.laplace(size=20_000).astype(np.float32)
HEAVY = RNG.standard_t(2, size=20_000).astype(np.float32)


def decoded(quantize, grad=GRAD, select=None, **where):
    out = np.zeros(grad.size, np.float32)
    return gcodec.accumulate(
        gcodec.Codec(select or gcodec.Dense(), quantize).encode(grad, **where), out
    )


def error(quantize, grad=GRAD):
    exact = grad.astype(float)
    return np.linalg.norm(decoded(quantize, grad) - exact) / np.linalg.norm(exact)


def test_one_bit_is_the_mean_of_each_sign():
    found = decoded(gcodec.FewBit(1))
    for side in (GRAD > 0, GRAD < 0):
        assert np.unique(found[side]).size == 1
        assert found[side][0] == pytest.approx(GRAD[side].astype(float).mean(), rel=1e-6)


def test_one_bit_with_one_mean_for_both_signs():
    found = decoded(gcodec.FewBit(1, per_sign=False))
    assert np.array_equal(np.sign(found), np.sign(GRAD))
    assert np.abs(found) == pytest.approx(np.abs(GRAD.astype(float)).mean(), rel=1e-6)


def test_the_least_of_what_is_kept_is_the_threshold():
    found = decoded(gcodec.FewBit(1, centre="least", per_sign=False), select=gcodec.TopK(0.01))
    sent = found[found != 0]
    assert np.unique(np.abs(sent)).tolist() == [np.sort(np.abs(GRAD))[-200]]


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_few_bits_take_so_many_levels_and_more_are_better(bits):
    levels = np.unique(decoded(gcodec.FewBit(bits)))
    assert levels.size == 2**bits
    if bits > 1:
        assert error(gcodec.FewBit(bits)) < 0.8 * error(gcodec.FewBit(bits - 1))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_uniform_levels_are_even(bits):
    levels = np.unique(np.abs(decoded(gcodec.Uniform(bits))))
    assert levels.size <= 2 ** (bits - 1)
    steps = np.diff(levels) / np.diff(levels).min()
    assert steps == pytest.approx(steps.round(), rel=1e-3)


@pytest.mark.parametrize("grad", [GRAD, HEAVY], ids=["laplace", "heavy"])
@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_learned_levels_are_better_than_even_ones(bits, grad):
    assert error(gcodec.LloydMax(bits), grad) < error(gcodec.Uniform(bits), grad)


def test_learned_levels_come_near_the_best_known():
    """Max (1960): 16 levels of a normal law leave a mean squared error of 0.009497."""
    normal = np.random.default_rng(1).normal(size=200_000).astype(np.float32)
    assert error(gcodec.LloydMax(4), normal) ** 2 == pytest.approx(0.009497, rel=0.05)


@pytest.mark.parametrize(("kind", "worst"), [("e4m3", 2**-4), ("e5m2", 2**-3)])
def test_float8_is_relative_down_to_its_subnormals(kind, worst):
    grad = (2.0 ** RNG.uniform(-8, 0, 5000)).astype(np.float32)
    off = np.abs(decoded(gcodec.Float8(kind), grad) - grad) / grad
    assert worst / 4 < off.max() <= worst


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_float8_scales_by_powers_of_two(scale):
    grad = GRAD * np.float32(scale)
    assert error(gcodec.Float8(), grad) == pytest.approx(error(gcodec.Float8()), rel=0.2)


def test_cast_rounds_to_nearest_even():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name, dtype in (("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)):
        frame = gcodec.Codec(gcodec.Dense(), gcodec.Cast(name)).encode(GRAD)
        assert gcodec.inspect(frame).header["elem_dtype"] == name
        assert gcodec.decode(frame).tobytes() == GRAD.astype(dtype).tobytes()


def test_cast_saturates():
    grad = np.array([1e30, -1e30, 1.0], np.float32)
    assert decoded(gcodec.Cast("float16"), grad).tolist() == [65504.0, -65504.0, 1.0]


def test_cast_of_what_is_as_narrow_stays():
    grad = GRAD.astype(np.float16)
    frame = gcodec.Codec(gcodec.Dense(), gcodec.Cast("float16")).encode(grad)
    assert gcodec.inspect(frame).header["bound_kind"] == "exact"
    assert np.array_equal(gcodec.decode(frame), grad)


def test_qsgd_levels_are_multiples_of_the_norm():
    found = np.unique(np.abs(decoded(gcodec.QSGD(7), name="w"))) * 7 / np.abs(GRAD).max()
    assert found == pytest.approx(found.round(), rel=1e-6)
    assert found.max() == pytest.approx(7)
    norm = np.linalg.norm(GRAD.astype(float))
    found = np.unique(np.abs(decoded(gcodec.QSGD(100, "l2"), name="w")))
    assert found * 100 / norm == pytest.approx(np.arange(found.size), rel=1e-5)


def test_ternary():
    assert set(np.unique(decoded(gcodec.TernGrad()))) <= {
        0,
        *np.abs(GRAD).max() * np.array([-1, 1]),
    }
    clipped = np.unique(np.abs(decoded(gcodec.TernGrad(2.5))))
    assert clipped[1] == pytest.approx(2.5 * GRAD.astype(float).std(), rel=1e-5)


def test_natural_levels_are_powers_of_two():
    found = decoded(gcodec.Natural())
    mantissa, _ = np.frexp(np.abs(found[found != 0]))
    assert (mantissa == 0.5).all()
    ratio = found / GRAD
    assert ((ratio >= 0.5) & (ratio <= 2)).all()


def test_draws_depend_on_step_name_and_seed():
    frames = {
        bytes(gcodec.Codec(gcodec.Dense(), gcodec.QSGD(3, seed=seed)).encode(GRAD, **where))[256:]
        for seed, where in ((0, {}), (1, {}), (0, {"step": 1}), (0, {"name": "w"}))
    }
    assert len(frames) == 4


def test_what_becomes_zero_is_left_out_where_it_is_most():
    frame = gcodec.Codec(gcodec.Dense(), gcodec.QSGD(4, "l2")).encode(GRAD)
    keys, values = gcodec.decode_sparse(frame)
    assert keys.size < GRAD.size / 2
    assert (values != 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: gcodec.FewBit(0),
        lambda: gcodec.FewBit(4),
        lambda: gcodec.FewBit(1, centre="median"),
        lambda: gcodec.Uniform(1),
        lambda: gcodec.Uniform(13),
        lambda: gcodec.LloydMax(9),
        lambda: gcodec.Float8("e3m4"),
        lambda: gcodec.Cast("float32"),
        lambda: gcodec.QSGD(0),
        lambda: gcodec.QSGD(3, "l1"),
        lambda: gcodec.QSGD(3, seed=0.5),
        lambda: gcodec.TernGrad(0.0),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(ValueError):
        make()
