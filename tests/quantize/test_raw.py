"""Raw: every bit of every kept value comes back."""

import numpy as np
import pytest
from hypothesis import given
from kinds import KINDS, exact, make
from strategies import gradients, same_bits

import gcodec

CODEC = gcodec.Codec(gcodec.Threshold(0.0), gcodec.Raw())


@given(dense=gradients())
def test_bits_come_back(dense):
    frame = CODEC.encode(dense)
    assert same_bits(gcodec.decode(frame), dense + 0)
    keys, values = gcodec.decode_sparse(frame)
    assert same_bits(values, (dense + 0)[keys])


@given(dense=gradients())
def test_says_that_it_is_exact(dense):
    said = gcodec.inspect(CODEC.encode(dense))
    assert (said.header["bound_kind"], said.header["bound"], said.levels) == ("exact", 0.0, 0)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_number_of_sixteen_bits(name, backend):
    kind = KINDS[name]
    finite = np.arange(kind.infinity)
    dense = kind.of(np.concatenate((finite, finite | 0x8000)))
    codec = gcodec.Codec(CODEC.select, CODEC.quantize, backend=backend)
    decoded = gcodec.decode(codec.encode(dense), backend=backend)
    positive_zero = np.where(exact(dense) == 0, 0, dense.view(kind.pattern))
    assert (decoded.view(kind.pattern) == positive_zero).all()
    assert same_bits(gcodec.decode(gcodec.Codec(gcodec.Dense()).encode(dense)), dense)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_any_pattern_of_more_bits(name):
    dense = make(KINDS[name], 0, 20_000, values="any")
    assert same_bits(gcodec.decode(CODEC.encode(dense)), dense)
