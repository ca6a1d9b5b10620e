"""Gradients of real training, from the folder that GCODEC_TEST_GRADIENTS names, if it does."""

from itertools import product

import numpy as np
import pytest
from strategies import expected_keys, outside_bound, same_bits, wanted

import gcodec

SELECT = (gcodec.TopK(ratio=0.01), gcodec.Threshold(1e-3), gcodec.SampledQuantile(0.01))
QUANTIZE = (gcodec.Raw(), gcodec.ReciprocalLog(4))


def _load(file):
    loaded = np.load(file)
    if file.suffix == ".npy":
        dense = loaded.reshape(-1)
        keys = np.flatnonzero(dense)
        return keys, dense[keys], dense.size
    keys, values = loaded["keys"], loaded["values"]
    return keys, values, int(loaded["dimension"])


@pytest.mark.parametrize(("select", "quantize"), list(product(SELECT, QUANTIZE)), ids=str)
def test_a_real_gradient(gradient_file, select, quantize):
    at, given, n = _load(gradient_file)
    dense = np.zeros(n, np.float32)
    dense[at] = given
    codec = gcodec.Codec(select, quantize)
    frame = codec.encode(dense, name=gradient_file.stem)
    assert bytes(codec.encode_sparse(at, given, n, name=gradient_file.stem)) == bytes(frame)

    keys, values = gcodec.decode_sparse(frame)
    expected = expected_keys(select, dense)
    if expected is not None:
        assert np.array_equal(keys, expected)
    else:
        k = wanted(select, n)
        nonzeros = np.count_nonzero(dense)
        assert abs(keys.size - min(k, nonzeros)) <= 0.2 * k
    said = gcodec.inspect(frame)
    assert said.header["n_stored"] == keys.size
    assert said.frame_bytes == len(frame)
    assert not outside_bound(dense[keys], values, said.header["bound"])
    rebuilt = np.zeros(n, np.float32)
    rebuilt[keys] = values
    assert same_bits(gcodec.decode(frame), rebuilt)
    assert said.bits_per_key < 32
