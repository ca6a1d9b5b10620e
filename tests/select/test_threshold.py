"""Threshold: every |x| above it, none at it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS
from strategies import FLOAT_MAX, SMALLEST, gradients

import gcodec


def keys_of(threshold, dense, backend="cpu"):
    frame = gcodec.Codec(gcodec.Threshold(threshold), backend=backend).encode(dense)
    return np.flatnonzero(gcodec.decode(frame)).tolist()


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


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("threshold", [0.1, 0.3, 1 + 2.0**-8, 1 + 2.0**-11, 60017.0, 3e-8, 1e-41])
def test_is_rounded_to_the_element_type(kind, threshold, backend):
    """Up or down: an element of just that value stays behind, the next one does not."""
    middle = int(kind.magnitudes(kind.nearest([threshold]))[0])
    dense = kind.of([max(middle - 1, 0), middle, middle + 1])
    codec = gcodec.Codec(gcodec.Threshold(threshold), backend=backend)
    assert gcodec.decode(codec.encode(dense)).view(kind.pattern).tolist() == [0, 0, middle + 1]


def test_past_the_largest_number_of_a_type_keeps_nothing(backend):
    for name, threshold in (("float16", 65520.0), ("bfloat16", 3.4e38), ("float32", 1e39)):
        kind = KINDS[name]
        assert keys_of(threshold, kind.of([kind.infinity - 1] * 3), backend) == []
    assert keys_of(1e39, np.array([1e38, 1e40]), backend) == [1]


@pytest.mark.parametrize("threshold", [-1.0, float("nan"), float("inf"), -float("inf")])
def test_bad_parameters(threshold):
    with pytest.raises(ValueError):
        gcodec.Threshold(threshold)
