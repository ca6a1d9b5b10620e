"""What holds for every selector, quantiser and packing of keys."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, make
from strategies import (
    KEYS,
    LARGE_SIZES,
    QUANTIZERS,
    SELECTORS,
    check_frame,
    codecs,
    gradients,
    make_gradient,
    same_bits,
    selectors,
    wanted,
)

import gcodec

COMBINATIONS = [
    pytest.param(select, quantize, keys, id=f"{select}-{quantize}-{keys}")
    for select in SELECTORS
    for quantize in QUANTIZERS
    for keys in KEYS
]


@pytest.mark.parametrize(("select", "quantize", "keys"), COMBINATIONS)
@settings(max_examples=6)
@given(data=st.data(), dense=gradients())
def test_every_combination(select, quantize, keys, data, dense):
    codec = gcodec.Codec(data.draw(selectors(select)), quantize, keys)
    frame = codec.encode(dense, name="w", step=3)
    check_frame(codec, dense, frame)

    slow = gcodec.Codec(codec.select, quantize, keys, backend="reference")
    assert bytes(slow.encode(dense, name="w", step=3)) == bytes(frame)
    if select == "dense":
        dense = dense + 0  # what is not among the pairs is +0
        frame = codec.encode(dense, name="w", step=3)
    at = np.flatnonzero(dense) if dense.size % 2 else np.arange(dense.size)
    for twin in (codec, slow):
        pairs = twin.encode_sparse(at, dense[at], dense.size, name="w", step=3)
        assert bytes(pairs) == bytes(frame)

    decoded = gcodec.decode(frame)
    assert same_bits(gcodec.decode(frame, backend="reference"), decoded)
    total = gcodec.accumulate(frame, np.zeros(dense.size, np.float32))
    assert same_bits(total, decoded)


@settings(max_examples=100)
@given(codec=codecs(), dense=gradients(LARGE_SIZES))
def test_many_chunks(codec, dense):
    check_frame(codec, dense, codec.encode(dense))


@settings(max_examples=60)
@given(codec=codecs(), dense=gradients(), chunk_log2=st.integers(6, 24))
def test_any_chunk_size(encode_in_chunks, codec, dense, chunk_log2):
    """Chunks that the encoder would not choose, from 64 positions on, decode to the same."""
    frame = encode_in_chunks(codec, dense, chunk_log2)
    assert gcodec.inspect(frame).header["chunk_log2"] == chunk_log2
    check_frame(codec, dense, frame)
    slow = gcodec.Codec(codec.select, codec.quantize, codec.keys, backend="reference")
    assert bytes(encode_in_chunks(slow, dense, chunk_log2)) == bytes(frame)
    assert same_bits(gcodec.decode(frame), gcodec.decode(codec.encode(dense)))
    assert same_bits(gcodec.decode(frame, backend="reference"), gcodec.decode(frame))


@pytest.mark.parametrize("ratio", [1.0, 0.3, 0.05])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("quantize", QUANTIZERS[::3], ids=str)
def test_sampled_quantile_is_near_what_was_asked(ratio, seed, quantize):
    codec = gcodec.Codec(gcodec.SampledQuantile(ratio, seed), quantize)
    for n in (500, 20_000, 100_003):
        dense = make_gradient(seed, n)
        frame = codec.encode(dense, name=f"layer{seed}", step=n)
        check_frame(codec, dense, frame)
        k = wanted(codec.select, n)
        assert abs(np.count_nonzero(gcodec.decode(frame)) - k) <= 0.2 * k


@settings(max_examples=60)
@given(
    codec=codecs(),
    dense=gradients(values=("normal", "ties", "all_equal", "subnormal", "around_smallest_normal")),
    scale=st.floats(-4, 4),
)
def test_accumulate_adds_what_decode_gives(codec, dense, scale):
    """Without overflow, which has a test of its own."""
    frame, start = codec.encode(dense), make_gradient(1, dense.size, density=0.7)
    expected = start.copy()
    keys, values = gcodec.decode_sparse(frame)
    expected[keys] = start[keys] + values * np.float32(scale)
    for backend in ("cpu", "reference"):
        total = start.copy()
        assert gcodec.accumulate(frame, total, scale=scale, backend=backend) is total
        assert same_bits(total, expected)


@settings(max_examples=100)
@given(
    select=st.integers(1, 4000).map(lambda k: gcodec.TopK(k=k))
    | st.just(gcodec.TopK(ratio=1.0))
    | st.just(gcodec.Threshold(0.0)),
    quantize=st.sampled_from(QUANTIZERS),
    keys=st.sampled_from(KEYS),
    dense=gradients(),
)
def test_decoded_values_encode_to_the_same_frame(select, quantize, keys, dense):
    """Canonical: one set of elements, one frame, if the selector keeps all of its own output."""
    codec = gcodec.Codec(select, quantize, keys)
    frame = codec.encode(dense, name="again")
    assert bytes(codec.encode(gcodec.decode(frame), name="again")) == bytes(frame)


@settings(max_examples=40)
@given(codec=codecs(), dense=gradients(), name=st.text(max_size=5), step=st.integers(0, 2**64 - 1))
def test_same_arguments_same_bytes(codec, dense, name, step):
    frame = codec.encode(dense, name=name, step=step)
    twin = eval(repr(codec), {public: getattr(gcodec, public) for public in gcodec.__all__})
    assert twin == codec
    assert hash(twin) == hash(codec)
    assert bytes(twin.encode(dense.copy(), name=name, step=step)) == bytes(frame)
    assert gcodec.inspect(frame).header["step"] == step


def test_name_and_step_are_in_the_frame():
    codec, dense = gcodec.Codec(), make_gradient(0, 100)
    frames = [
        codec.encode(dense, name=name, step=step) for name in ("", "a", "b") for step in (0, 1)
    ]
    assert len({bytes(frame) for frame in frames}) == 6
    assert len({gcodec.inspect(frame).header["layout_key"] for frame in frames}) == 3


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda frame: frame])
def test_copies_of_frames_cannot_be_written(duplicate):
    frame = gcodec.Codec().encode(make_gradient(0, 1000))
    twin = duplicate(frame)
    assert isinstance(twin, gcodec.Frame)
    assert bytes(twin) == bytes(frame)
    assert not twin.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        twin[130] = 0
    inside = copy.deepcopy({"frames": [frame, frame]})["frames"]
    assert all(not part.flags.writeable for part in inside)
    assert same_bits(gcodec.decode(inside[1]), gcodec.decode(frame))


@pytest.mark.parametrize(
    "recipe", ["topk:ratio=0.98", "reclog:ratio=0.3", "dense", "quantile:ratio=0.2,per_tensor=1"]
)
def test_a_second_call_writes_the_same_bytes(recipe, backend):
    """Nothing of the first call is left behind, whatever came between."""
    for kind in KINDS.values():
        codec = gcodec.get_codec(recipe, backend=backend)
        dense, other = make(kind, 0, 6000), make(kind, 1, 4000, values="any")
        tensors = [("a", (2000,)), ("b", (100, 40))]
        first = codec.encode(dense, tensors=tensors, step=1)
        codec.encode(other)
        assert bytes(codec.encode(dense, tensors=tensors, step=1)) == bytes(first)
        assert same_bits(gcodec.decode(first), gcodec.decode(bytes(first)))
