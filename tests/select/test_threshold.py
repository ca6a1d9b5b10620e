"""Threshold: every |x| above it, none at it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FLOAT_MAX, SMALLEST, gradients

import gcodec


def keys_of(threshold, dense, backend="cpu"):
    frame = gcodec.Codec(gcodec.Threshold(threshold), backend=backend).encode(dense)
    return gcodec.decode_sparse(frame)[0].tolist()


@settings(max_examples=100)
@given(dense=gradients(), threshold=st.floats(0, FLOAT_MAX, width=32))
def test_strictly_above(dense, threshold):
    assert (
        keys_of(threshold, dense) == np.flatnonzero(np.abs(dense) > np.float32(threshold)).tolist()
    )


@settings(max_examples=100)
@given(dense=gradients(), which=st.integers(0, 2000))
def test_a_threshold_that_is_in_the_data(dense, which):
    if not dense.size:
        return
    threshold = float(abs(dense[which % dense.size]))
    assert (
        keys_of(threshold, dense) == np.flatnonzero(np.abs(dense) > np.float32(threshold)).tolist()
    )


@pytest.mark.parametrize("zero", [0.0, -0.0, 0])
def test_zero_keeps_all_that_is_not_zero(zero, backend):
    dense = np.array([0.0, -0.0, SMALLEST, -SMALLEST, 1], np.float32)
    assert keys_of(zero, dense, backend) == [2, 3, 4]


def test_the_largest_keeps_nothing(backend):
    assert keys_of(FLOAT_MAX, np.array([FLOAT_MAX, -FLOAT_MAX], np.float32), backend) == []


def test_is_rounded_to_float32(backend):
    """0.1 in float32 is above 0.1 in float64; an element of just that value stays behind."""
    assert float(np.float32(0.1)) > 0.1
    assert keys_of(0.1, np.array([0.1], np.float32), backend) == []


@pytest.mark.parametrize("threshold", [-1.0, float("nan"), float("inf"), -float("inf"), 1e39])
def test_bad_parameters(threshold):
    with pytest.raises(ValueError):
        gcodec.Threshold(threshold)
