"""Ranges of chunks as frames of their own."""

import anatomy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, make
from strategies import KEYS, QUANTIZERS, same_bits, vectors

import gcodec

SAME = ("bound", "bound_kind", "rounding", "step", "rank", "world", "weight", "chunk_log2")
SHAPES = [("a", (40, 60)), ("b", (9,)), ("c", (70, 30)), ("d", (3,))]


def ranges(n, chunk_log2):
    """Every range of whole chunks."""
    starts = [*range(0, max(n, 1), 1 << chunk_log2)]
    return [(start, stop) for start in starts for stop in {*starts, n} if start <= stop]


def check_slice(frame, start, stop, **options):
    shard = gcodec.slice(frame, start, stop, **options)
    assert isinstance(shard, gcodec.Frame)
    whole = gcodec.decode(frame).reshape(-1)
    for backend in ("cpu", "reference"):
        assert same_bits(gcodec.decode(shard, backend=backend), whole[start:stop])
    keys, values = gcodec.decode_sparse(frame, start=start, stop=stop)
    found, same = gcodec.decode_sparse(shard)
    assert (found + start).tolist() == keys.tolist()
    assert same_bits(same, values)
    said, before = (gcodec.inspect(f).header for f in (shard, frame))
    assert {name: said[name] for name in SAME} == {name: before[name] for name in SAME}
    assert said["elem_dtype"] == before["elem_dtype"]
    assert (said["n_elements"], said["n_stored"]) == (stop - start, keys.size)
    assert gcodec.inspect(shard).shapes == [(stop - start,)]
    return shard


def structured(seed):
    """A bucket whose matrices keep few of their columns: every codec of keys has its place."""
    rng, parts = np.random.default_rng(seed), []
    for _, shape in SHAPES:
        on = rng.random(shape) < 0.8
        if len(shape) > 1:
            on &= np.isin(np.arange(shape[1]), rng.permutation(shape[1])[:5])
        parts.append((on * 2.0 ** -rng.integers(0, 4, shape)).reshape(-1))
    return (np.concatenate(parts) * rng.choice([-1, 1], 4512)).astype(np.float32)


@pytest.mark.parametrize("quantize", [gcodec.Raw(), gcodec.ReciprocalLog(1)], ids=str)
@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("chunk_log2", [10, 11, 13])
def test_every_range_of_every_packing(keys, quantize, chunk_log2, encode_in_chunks):
    codec = gcodec.Codec(gcodec.Threshold(0.0), quantize, keys)
    frame = encode_in_chunks(codec, structured(1), chunk_log2, tensors=SHAPES, step=9)
    said = gcodec.inspect(frame)
    assert keys == "auto" or keys in said.key_codecs, "a vain test"
    for start, stop in ranges(4512, chunk_log2):
        check_slice(frame, start, stop)


@settings(max_examples=60)
@given(
    dense=vectors((0, 1, 64, 300, 1025, 2000)),
    quantize=st.sampled_from(QUANTIZERS[::2]),
    select=st.sampled_from([gcodec.TopK(ratio=0.3), gcodec.Threshold(0.0), gcodec.Dense()]),
    chunk_log2=st.sampled_from([6, 8, 10]),
    data=st.data(),
)
def test_every_type(encode_in_chunks, dense, quantize, select, chunk_log2, data):
    """And slices of slices, which are those of the whole."""
    frame = encode_in_chunks(gcodec.Codec(select, quantize), dense, chunk_log2)
    start, stop = data.draw(st.sampled_from(ranges(dense.size, chunk_log2)))
    shard = check_slice(frame, start, stop)
    assert bytes(gcodec.slice(frame, start, stop, backend="reference")) == bytes(shard)
    inner, outer = data.draw(st.sampled_from(ranges(stop - start, chunk_log2)))
    again = gcodec.slice(shard, inner, outer)
    assert bytes(again) == bytes(gcodec.slice(frame, start + inner, start + outer))
    if gcodec.inspect(frame).header["frame_kind"] == "dense":
        assert gcodec.inspect(shard).header["frame_kind"] == "dense"


@pytest.mark.parametrize("recipe", ["topk:ratio=0.1", "reclog:ratio=0.1", "dense", "topk:ratio=1"])
def test_all_of_it(recipe):
    for kind in KINDS.values():
        dense = make(kind, 0, 18_000, 0.9)
        flat, named = (
            gcodec.get_codec(recipe).encode(d, name=name, step=4)
            for d, name in ((dense, ""), (dense.reshape(180, 100), "w"))
        )
        assert bytes(gcodec.slice(flat, 0, 18_000)) == bytes(flat)
        assert same_bits(gcodec.decode(gcodec.slice(named, 0, 18_000)), gcodec.decode(flat))
    empty = gcodec.get_codec(recipe).encode(dense[:0])
    assert bytes(gcodec.slice(empty, 0, 0)) == bytes(empty)


def test_shards_put_together_are_the_whole(encode_in_chunks):
    """A reduce-scatter: every rank merges its range of all frames."""
    size, codec = 4512, gcodec.get_codec("reclog:ratio=0.2")
    for kind in KINDS.values():
        grads = [make(kind, seed, size) for seed in range(3)]
        frames = [encode_in_chunks(codec, grad, 10, tensors=SHAPES) for grad in grads]
        total = gcodec.decode(gcodec.merge(frames))
        shards = [
            gcodec.decode(gcodec.merge([gcodec.slice(frame, start, stop) for frame in frames]))
            for start, stop in ((0, 2048), (2048, 4096), (4096, size))
        ]
        assert same_bits(np.concatenate(shards), total)
    with pytest.raises(gcodec.Mismatch, match="other tensors"):
        gcodec.merge([gcodec.slice(frames[0], 0, 1024), gcodec.slice(frames[1], 0, 2048)])


FRAME = gcodec.get_codec("topk:ratio=0.3").encode(make(KINDS["float32"], 0, 20_000))
CHUNK = 1 << gcodec.inspect(FRAME).header["chunk_log2"]


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (1, 20_000), (0, 1), (0, 19_999), (CHUNK, CHUNK + 64), (CHUNK - 1, 2 * CHUNK),
        (0, 20_001), (0, 10 * CHUNK), (-CHUNK, CHUNK), (CHUNK, 0), (2 * CHUNK, CHUNK), (0, -1)
    ],
)  # fmt: skip
def test_ranges_that_are_none_are_refused(start, stop):
    with pytest.raises(gcodec.Mismatch, match=str(CHUNK)):
        gcodec.slice(FRAME, start, stop)


def test_a_damaged_chunk_spoils_its_own_range_only(backend):
    frame = bytearray(FRAME)
    _, payload, _ = anatomy.section_table(frame)[anatomy.PAYLOAD]
    _, directory, _ = anatomy.section_table(frame)[anatomy.CHUNKDIR]
    second = int.from_bytes(frame[directory + 32 : directory + 36], "little")
    frame[payload + 16 * second + 3] ^= 4
    whole = gcodec.decode(FRAME)
    for start, stop in ((0, CHUNK), (2 * CHUNK, 20_000), (CHUNK, CHUNK)):
        shard = gcodec.slice(frame, start, stop, backend=backend)
        assert same_bits(gcodec.decode(shard), whole[start:stop])
    for start, stop in ((CHUNK, 2 * CHUNK), (0, 2 * CHUNK), (CHUNK, 20_000), (0, 20_000)):
        with pytest.raises(gcodec.Corrupt, match="chunk 1"):
            gcodec.slice(frame, start, stop, backend=backend)


def test_keys_are_proved_when_the_shard_is_decoded():
    """A chunk that matches its check is copied as it is."""
    frame = gcodec.get_codec("topk:ratio=0.3,keys=bitmap").encode(make(KINDS["float32"], 0, 9000))
    broken = bytearray(frame)
    broken[anatomy.section_table(frame)[anatomy.PAYLOAD][1]] ^= 1
    shard = gcodec.slice(anatomy.reseal(broken), 0, 9000)
    with pytest.raises(gcodec.Malformed):
        gcodec.decode(shard)


def test_broken_frames_are_refused(backend):
    for broken, error in (
        (b"GIF89a", gcodec.NotAFrame), (bytes(FRAME)[:-1], gcodec.Truncated),
        (bytes(FRAME)[:60] + b"?" + bytes(FRAME)[61:], gcodec.Corrupt),
    ):  # fmt: skip
        with pytest.raises(error):
            gcodec.slice(broken, 0, CHUNK, backend=backend)


def test_what_else_a_frame_says_is_kept():
    """Parts of a frame from elsewhere: other header length, sections and numbers."""
    changed = anatomy.compose(
        FRAME, header_len=192, sections={0x8005: (1, b"anything")},
        header=[(72, "I", 3), (76, "I", 8), (80, "I", 5), (84, "I", 77), (88, "d", 0.25)],
    )  # fmt: skip
    shard = check_slice(changed, CHUNK, 2 * CHUNK)
    said = gcodec.inspect(shard).header
    assert (said["rank"], said["world"], said["contributions"]) == (3, 8, 5)
    assert (said["bucket"], said["weight"], said["header_len"]) == (77, 0.25, 128)
    assert bytes(shard) == bytes(gcodec.slice(bytes(changed) + b"more", CHUNK, 2 * CHUNK))


def test_a_shard_is_aligned_and_owns_its_memory(backend):
    memory = bytearray(b"?" + bytes(FRAME))
    shard = gcodec.slice(memoryview(memory)[1:], 0, CHUNK, backend=backend)
    before = bytes(shard)
    memory[:] = bytes(len(memory))
    assert bytes(shard) == before
    assert not shard.flags.writeable
