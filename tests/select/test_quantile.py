"""SampledQuantile: about what TopK keeps, by a sample that the seed decides."""

import numpy as np
import pytest
from backends import run_both
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import gradients, make_gradient, wanted

import gcodec
from gcodec.format.elements import FLOAT32
from gcodec.kernels import load
from gcodec.statistics import DenseStatistics


def kept(select, dense, **origin):
    return np.count_nonzero(gcodec.decode(gcodec.Codec(select).encode(dense, **origin)))


@pytest.mark.parametrize("ratio", [1e-4, 0.001, 0.01, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("power", [1, 3, 9], ids=["normal", "heavy", "very heavy"])
def test_within_a_fifth_on_continuous_data(ratio, power):
    for seed in range(5):
        dense = (make_gradient(seed, 300_000).astype(np.float64) ** power).astype(np.float32)
        select = gcodec.SampledQuantile(ratio, seed)
        k = wanted(select, dense.size)
        assert abs(kept(select, dense) - k) <= 0.2 * k


@settings(max_examples=60)
@given(
    dense=gradients((5000, 20_001, 40_000)),
    ratio=st.floats(0.001, 1),
    seed=st.integers(0, 2**64),
)
def test_never_far_above_and_below_only_for_want_of_elements(dense, ratio, seed):
    select = gcodec.SampledQuantile(ratio, seed)
    k = wanted(select, dense.size)
    assert min(np.count_nonzero(dense), 0.8 * k) <= kept(select, dense) <= 1.2 * k


@settings(max_examples=60)
@given(data=st.data(), samples=st.integers(1, 5000), seed=st.integers(-(2**70), 2**70))
def test_one_position_from_each_stratum(data, samples, seed):
    n = data.draw(st.integers(samples, 2**40 // 5000))
    seed = np.uint64((seed ^ data.draw(st.integers(0, 2**64 - 1))) % 2**64)
    _, (*_, drawn) = run_both("draw_strata", n, seed, np.zeros(samples, np.int64))
    strata = np.arange(samples + 1) * n // samples
    assert drawn.dtype == np.int64
    assert (strata[:-1] <= drawn).all()
    assert (drawn < strata[1:]).all()


def test_positions_are_those_of_splitmix64():
    """Written out again in plain integers: the sample is part of what makes bytes reproducible."""

    def splitmix(state):
        state &= 2**64 - 1
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
        return state ^ state >> 31

    golden, seed, stream, n, samples = 0x9E3779B97F4A7C15, 42, 2**63 + 17, 100_003, 977
    expected = []
    for i in range(samples):
        low, high = i * n // samples, (i + 1) * n // samples
        expected.append(low + splitmix((i + 1) * golden + (seed * golden ^ stream)) % (high - low))
    statistics = DenseStatistics(np.zeros(n, np.uint32), FLOAT32, stream, load("cpu"))
    found = statistics.strata(samples, (seed * golden ^ stream) % 2**64)
    assert found.tolist() == expected


def test_seed_name_and_step_change_the_sample():
    dense, ratio = make_gradient(1, 100_000), 0.1
    counts = {
        kept(gcodec.SampledQuantile(ratio, seed), dense, name=name, step=step)
        for seed in (0, 1)
        for name in ("", "a")
        for step in (0, 1)
    }
    assert len(counts) > 4


@pytest.mark.parametrize(
    "parameters", [(0.0,), (1.5,), (-1.0,), (0.1, 1.5), (0.1, "seed")], ids=str
)
def test_bad_parameters(parameters):
    with pytest.raises((ValueError, TypeError)):
        gcodec.SampledQuantile(*parameters)
