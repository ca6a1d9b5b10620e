"""Raw: every bit of every kept value comes back."""

from hypothesis import given
from strategies import gradients, same_bits

import gcodec


@given(dense=gradients())
def test_bits_come_back(dense):
    frame = gcodec.Codec(gcodec.Threshold(0.0), gcodec.Raw()).encode(dense)
    assert same_bits(gcodec.decode(frame), dense + 0)
    keys, values = gcodec.decode_sparse(frame)
    assert same_bits(values, dense[keys])


@given(dense=gradients())
def test_says_that_it_is_exact(dense):
    said = gcodec.inspect(gcodec.Codec(gcodec.Threshold(0.0), gcodec.Raw()).encode(dense))
    assert (said.header["bound_kind"], said.header["bound"], said.levels) == ("exact", 0.0, 0)
