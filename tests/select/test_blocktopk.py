"""The k largest of every block."""

import numpy as np
import pytest

import gcodec


def expected(grad, k, block):
    kept = []
    for start in range(0, grad.size, block):
        part = np.abs(grad[start : start + block])
        best = np.sort(np.argsort(-part, kind="stable")[:k])
        kept += (start + best[part[best] > 0]).tolist()
    return kept


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("n", "k", "block"), [(1000, 3, 64), (1999, 64, 64), (5, 2, 4096), (0, 1, 8)]
)
def test_against_a_sort_of_every_block(n, k, block, backend):
    grad = np.random.default_rng(n).normal(size=n).astype(np.float32).round(1)
    codec = gcodec.Codec(gcodec.BlockTopK(k, block), backend=backend)
    keys, values = gcodec.decode_sparse(codec.encode(grad))
    assert keys.tolist() == expected(grad, k, block)
    assert np.array_equal(values, grad[keys])


def test_each_tensor_has_blocks_of_its_own_if_asked():
    grad = np.random.default_rng(0).normal(size=300).astype(np.float32)
    codec = gcodec.Codec(gcodec.BlockTopK(2, 100), per_tensor=True)
    keys, _ = gcodec.decode_sparse(codec.encode(grad, tensors=[("a", (150,)), ("b", (150,))]))
    halves = [expected(grad[:150], 2, 100), [150 + at for at in expected(grad[150:], 2, 100)]]
    assert keys.tolist() == [*halves[0], *halves[1]]


@pytest.mark.parametrize("parameters", [(0, 8), (9, 8), (1.5, 8)])
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError):
        gcodec.BlockTopK(*parameters)
