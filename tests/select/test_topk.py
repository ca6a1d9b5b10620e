"""TopK: exactly min(k, nonzeros), ties by ascending index."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import gradients, largest

import gcodec


def keys_of(select, dense, backend="cpu"):
    frame = gcodec.Codec(select, backend=backend).encode(dense)
    return np.flatnonzero(gcodec.decode(frame)).tolist()


@settings(max_examples=150)
@given(dense=gradients(), k=st.integers(1, 4000))
def test_exactly_k_against_a_stable_sort(dense, k):
    keys = keys_of(gcodec.TopK(k=k), dense)
    assert len(keys) == min(k, np.count_nonzero(dense))
    assert keys == largest(dense, k).tolist()


@settings(max_examples=100)
@given(dense=gradients(), ratio=st.floats(1e-9, 1))
def test_ratio_keeps_at_least_one_and_rounds_to_even(dense, ratio):
    k = max(1, round(ratio * dense.size))
    assert keys_of(gcodec.TopK(ratio=ratio), dense) == largest(dense, k).tolist()


@pytest.mark.parametrize("k", [1, 63, 64, 65, 100, 127, 128, 129, 400])
def test_ties_go_to_the_first(k, backend):
    dense = np.tile(np.array([1, -1], np.float32), 200)
    dense[[64, 130]] = 2
    others = [i for i in range(400) if i not in (64, 130)]
    expected = sorted([64, 130][:k] + others[: max(0, k - 2)])
    assert keys_of(gcodec.TopK(k=k), dense, backend) == expected


@pytest.mark.parametrize("last_bit", [0, 1, 9, 10, 19, 20, 22])
def test_neighbouring_patterns_are_told_apart(last_bit, backend):
    """The radix selection takes 11, 10 and 10 bits: differences in each of them count."""
    dense = np.full(300, 0x3F80_0000, np.uint32)
    dense[[70, 210]] |= np.uint32(1 << last_bit)
    assert keys_of(gcodec.TopK(k=2), dense.view(np.float32), backend) == [70, 210]
    assert keys_of(gcodec.TopK(k=3), dense.view(np.float32), backend) == [0, 70, 210]


def test_zeros_never_fill_up(backend):
    dense = np.array([0.0, -0.0, 1e-45, 0.0, -1e-45], np.float32)
    assert keys_of(gcodec.TopK(k=5), dense, backend) == [2, 4]
    assert keys_of(gcodec.TopK(ratio=1.0), np.zeros(70, np.float32), backend) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"ratio": 0.1, "k": 1},
        {"ratio": 0.0},
        {"ratio": -0.1},
        {"ratio": 1.1},
        {"ratio": float("nan")},
        {"k": 0},
        {"k": -1},
        {"k": 1.5},
        {"k": "3"},
    ],
    ids=str,
)
def test_bad_parameters(parameters):
    with pytest.raises(ValueError):
        gcodec.TopK(**parameters)


def test_numpy_integers_count():
    assert keys_of(gcodec.TopK(k=np.int64(1)), np.array([1, 2], np.float32)) == [1]
