"""Dense: every element, zeros too."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, exact, kind_of, make
from strategies import KEYS, QUANTIZERS, check_frame, same_bits, vectors

import gcodec

ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@settings(max_examples=60)
@given(dense=vectors(), keys=st.sampled_from(KEYS))
def test_every_bit_comes_back(dense, keys):
    frame = gcodec.Codec(gcodec.Dense(), keys=keys).encode(dense)
    assert same_bits(gcodec.decode(frame), dense)
    said = gcodec.inspect(frame)
    assert said.header["n_stored"] == dense.size
    every = dense.size > 0 and keys == "auto"
    assert said.header["frame_kind"] == ("dense" if every else "sparse")
    if every:
        assert set(said.key_codecs) == {"all"}
        assert said.section_bytes["PAYLOAD"] <= dense.nbytes + 32 * said.header["n_chunks"]


@settings(max_examples=60)
@given(dense=vectors(), quantize=st.sampled_from(QUANTIZERS[1:]))
def test_zeros_among_levels(dense, quantize):
    codec = gcodec.Codec(gcodec.Dense(), quantize)
    frame = codec.encode(dense)
    check_frame(codec, dense, frame)
    decoded = gcodec.decode(frame)
    assert ((exact(decoded) == 0) == (exact(dense) == 0)).all()
    assert (decoded.view(kind_of(dense).pattern)[exact(dense) == 0] == 0).all(), "-0 became +0"
    slow = gcodec.Codec(gcodec.Dense(), quantize, backend="reference")
    assert bytes(slow.encode(dense)) == bytes(frame)


@ALL_KINDS
def test_a_level_for_zero_only_if_there_are_zeros(kind):
    codec = gcodec.get_codec("reclog:ratio=1,per_octave=1")
    dense = kind.of([kind.one] * 100)
    assert gcodec.inspect(codec.encode(dense)).levels == 1
    codec = gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(1))
    assert gcodec.inspect(codec.encode(dense)).levels == 1
    dense[7] = 0
    said = gcodec.inspect(codec.encode(dense))
    assert (said.levels, said.header["frame_kind"]) == (2, "dense")


@pytest.mark.parametrize("recipe", ["dense", "dense:keys=rice"])
@ALL_KINDS
def test_pairs_stand_for_the_dense_vector(kind, recipe, backend):
    dense = make(kind, 1, 4000, 0.4)
    codec = gcodec.get_codec(recipe, backend=backend)
    for at in (np.flatnonzero(exact(dense)), np.arange(4000)):
        sparse = codec.encode_sparse(at, dense[at], 4000, name="w", step=2)
        assert bytes(sparse) == bytes(codec.encode(dense, name="w", step=2))
    full = make(kind, 2, 500)
    sparse = codec.encode_sparse(np.arange(500), full, 500)
    assert bytes(sparse) == bytes(codec.encode(full))


def test_negative_zeros_among_pairs():
    """The same bytes as `encode` of the dense vector they stand for."""
    dense = np.array([0.0, -0.0, 2.0], np.float32)
    codec = gcodec.Codec(gcodec.Dense())
    assert bytes(codec.encode_sparse(np.arange(3), dense, 3)) == bytes(codec.encode(dense))


def test_pairs_among_levels():
    dense = make(KINDS["float32"], 1, 4000, 0.4)
    codec, at = gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(4)), np.flatnonzero(dense)
    assert bytes(codec.encode_sparse(at, dense[at], 4000)) == bytes(codec.encode(dense))


def test_nothing_at_all(backend):
    codec = gcodec.Codec(gcodec.Dense(), backend=backend)
    for kind in KINDS.values():
        empty = kind.of([])
        frame = codec.encode(empty)
        assert same_bits(gcodec.decode(frame, backend=backend), empty)
        assert gcodec.inspect(frame).header["frame_kind"] == "sparse"
        assert bytes(codec.encode_sparse(np.empty(0, int), empty, 0)) == bytes(frame)
        zeros = gcodec.decode(codec.encode_sparse(np.empty(0, int), empty, 100))
        assert same_bits(zeros, kind.of([0] * 100))


def test_feedback_of_everything_leaves_nothing(backend):
    codec = gcodec.Codec(gcodec.Dense(), backend=backend)
    for kind in KINDS.values():
        memory = gcodec.ErrorFeedback(codec)
        memory.encode("w", make(kind, 3, 300, 0.7))
        memory.commit("w")
        assert not memory.residual("w").any()
