"""Estimated thresholds: DGC, GaussianK, MSTopK, RedSync."""

import numpy as np
import pytest

import gcodec
from gcodec import arrays
from gcodec.kernels import load
from gcodec.statistics import DenseStatistics

N = 1 << 18


def laplace(seed=0):
    return np.random.default_rng(seed).laplace(size=N).astype(np.float32)


def statistics(grad, stream=0):
    gradient = arrays.gradient(grad)
    return DenseStatistics(gradient.bits, gradient.element, stream, load("cpu"))


def keys_of(select, grad, **where):
    return gcodec.decode_sparse(gcodec.Codec(select).encode(grad, **where))[0]


class TestDGCSampling:
    @pytest.mark.parametrize("stream", range(8))
    def test_near_k_or_exactly_k(self, stream):
        decision = gcodec.DGCSampling(0.01).decide(statistics(laplace(), stream))
        k = round(0.01 * N)
        assert decision.kept == k if decision.fallback else 0.8 * k <= decision.kept <= 1.3 * k

    def test_periodic_data_is_not_fooled_for_long(self):
        """A stride that meets only large elements finds far too high a threshold."""
        grad = np.where(np.arange(N) % 2, 1e-3, 1.0).astype(np.float32) * laplace()
        for step in range(4):
            kept = keys_of(gcodec.DGCSampling(0.01), grad, step=step).size
            assert 0.8 * 0.01 * N <= kept <= 1.3 * 0.01 * N

    def test_too_many_are_cut_by_size_not_by_position(self):
        grad = np.concatenate((np.full(N // 2, 1.0), np.full(N // 2, 2.0))).astype(np.float32)
        keys = keys_of(gcodec.DGCSampling(0.01), grad)
        assert (keys >= N // 2).all()


class TestGaussianK:
    def test_right_on_its_own_law(self):
        grad = np.random.default_rng(0).normal(size=N).astype(np.float32)
        decision = gcodec.GaussianK(0.01).decide(statistics(grad))
        assert not decision.fallback
        assert decision.kept == pytest.approx(0.01 * N, rel=0.1)

    def test_bounded_on_another(self):
        grad = np.random.default_rng(0).standard_t(1.5, size=N).astype(np.float32)
        kept = keys_of(gcodec.GaussianK(0.001), grad).size
        assert 0.5 <= kept / round(0.001 * N) <= 2


class TestMSTopK:
    def test_exactly_k_and_nearly_the_largest(self):
        grad = laplace()
        keys, best = keys_of(gcodec.MSTopK(0.01), grad), keys_of(gcodec.TopK(0.01), grad)
        assert keys.size == best.size
        assert np.abs(grad[keys]).sum() > 0.999 * np.abs(grad[best]).sum()

    def test_the_rest_is_a_run_of_the_band(self):
        """Three rounds leave a wide band: all above it goes, and a run without holes of it."""
        grad = laplace()
        keys, size, k = keys_of(gcodec.MSTopK(0.01, rounds=3), grad), np.abs(grad), round(0.01 * N)
        low, high, lower, upper = 0.0, 1.0, 0.0, float(size.max())
        mean = size.astype(float).mean()
        for _ in range(3):
            part = (low + high) / 2
            cut = float(np.float32(mean + part * (float(size.max()) - mean)))
            if np.count_nonzero(size > cut) <= k:
                high, upper = part, min(upper, cut)
            else:
                low, lower = part, max(lower, cut)
        sure, band = np.flatnonzero(size > upper), np.flatnonzero((size > lower) & (size <= upper))
        assert 0 < k - sure.size < band.size, "nothing to choose"
        assert set(sure) <= set(keys.tolist())
        taken = np.flatnonzero(np.isin(band, keys))
        assert taken.size == k - sure.size
        assert (np.diff(taken) == 1).all()
        assert keys.size == k

    @pytest.mark.parametrize("value", [1.0, 0.0])
    def test_constant_input(self, value):
        grad = np.full(5000, value, np.float32)
        assert keys_of(gcodec.MSTopK(0.01), grad).size == (50 if value else 0)


class TestRedSync:
    @pytest.mark.parametrize("ratio", [0.5, 0.01, 0.0001])
    def test_the_same_as_exact_selection(self, ratio):
        grad = laplace().round(2)
        best = np.sort(np.abs(grad[keys_of(gcodec.TopK(ratio), grad)]))
        assert np.array_equal(np.sort(np.abs(grad[keys_of(gcodec.RedSync(ratio), grad)])), best)
        assert np.array_equal(
            keys_of(gcodec.RedSync(ratio), grad), keys_of(gcodec.TopK(ratio), grad)
        )


@pytest.mark.parametrize("unit", ["max", "rms"])
def test_relative_thresholds_scale_with_the_gradient(unit):
    select = gcodec.Threshold(0.5 if unit == "max" else 3.0, unit)
    grad = laplace()
    keys = keys_of(select, grad)
    assert np.array_equal(keys, keys_of(select, grad * np.float32(2**20)))
    scale = np.abs(grad).max() if unit == "max" else np.sqrt(np.square(grad.astype(float)).mean())
    assert np.array_equal(keys, np.flatnonzero(np.abs(grad) > select.threshold * scale))
