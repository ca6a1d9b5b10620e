"""Chunks that are smaller with all their elements: no frame is much larger than the array."""

import struct

import anatomy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, exact, kind_of, make
from strategies import check_frame, largest, same_bits

import gcodec

ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
ALL = 1


def chunks(frame):
    """(positions, nnz, key codec, bytes of planes) of every chunk."""
    frame = bytes(frame)
    count, start, _ = anatomy.section_table(frame)[anatomy.CHUNKDIR]
    n, log2 = struct.unpack_from("<Q", frame, 24)[0], frame[50]
    for i in range(count):
        len16, nnz = struct.unpack_from("<II", frame, start + 32 * i + 4)
        yield min(1 << log2, n - (i << log2)), nnz, frame[start + 32 * i + 20], 16 * len16


def smallest_keys(dense, chunk_log2):
    """For each chunk, words of the smallest key planes that need no code, by plain arithmetic."""
    on = exact(dense) != 0
    for start in range(0, on.size, 1 << chunk_log2):
        keys = np.flatnonzero(on[start : start + (1 << chunk_log2)])
        positions = min(1 << chunk_log2, on.size - start)
        first = min(1 << chunk_log2, on.size) - 1
        if keys.size == positions:
            yield 0
            continue
        gaps = np.diff(keys, prepend=-1) - 1
        coo = -(-keys.size * max(first.bit_length(), 1) // 64)
        rice = min(
            -(-int(keys.size + (gaps >> k).sum()) // 64) - (-keys.size * k // 64) for k in range(25)
        )
        pieces = [gaps[at : at + 128] for at in range(0, keys.size, 128)]
        fields = sum(piece.size * int(piece.max()).bit_length() for piece in pieces)
        blocks = -(-5 * len(pieces) // 64) - (-fields // 64)
        yield min(-(-positions // 64), coo, rice, blocks)


@settings(max_examples=80)
@given(
    name=st.sampled_from([*KINDS]),
    size=st.sampled_from([1, 63, 64, 65, 500, 1025, 3000, 5000]),
    density=st.sampled_from([0.9, 0.95, 0.97, 0.98, 0.99, 0.999]),
    chunk_log2=st.sampled_from([6, 8, 10, 11]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_choice_and_what_it_costs(encode_in_chunks, name, size, density, chunk_log2, seed):
    dense = make(KINDS[name], seed, size, density)
    codec = gcodec.Codec(gcodec.Threshold(0.0))
    frame = encode_in_chunks(codec, dense, chunk_log2)
    check_frame(codec, dense, frame)
    slow = gcodec.Codec(gcodec.Threshold(0.0), backend="reference")
    assert bytes(encode_in_chunks(slow, dense, chunk_log2)) == bytes(frame)

    width = KINDS[name].bits
    keys = list(smallest_keys(dense, chunk_log2))
    on = np.bincount(np.flatnonzero(exact(dense)) >> chunk_log2, minlength=len(keys))
    coded = anatomy.section_table(frame).get(7)
    for (positions, nnz, codec_id, planes), least, count in zip(
        chunks(frame), keys, on.tolist(), strict=True
    ):
        raw = -(-positions * width // 64)
        words = least + -(-count * width // 64)
        assert (codec_id == ALL) == (nnz == positions)
        assert planes <= (raw // 2 + 1) * 16
        if not coded and count:
            whole = words > raw or count == positions
            assert whole == (nnz == positions)
            assert nnz == (positions if whole else count)
            assert planes == ((raw if whole else words) // 2 + 1) * 16


@ALL_KINDS
@pytest.mark.parametrize("share", [0.5, 0.9, 0.97, 0.98, 0.99, 0.999, 1.0])
def test_never_much_larger_than_the_array(kind, share, backend):
    n = 20_000 if backend == "cpu" else 6000
    codec = gcodec.Codec(gcodec.TopK(ratio=share), backend=backend)
    for seed, values in enumerate(("normal", "any")):
        dense = make(kind, seed, n, values=values)
        dense[exact(dense) == 0] = kind.of([1])[0]
        frame = codec.encode(dense.reshape(50, -1))
        said = gcodec.inspect(frame)
        sizes = said.section_bytes
        tables = sum(sizes[part] for part in sizes if part not in ("HEADER", "CHUNKDIR", "PAYLOAD"))
        most = dense.nbytes + 128 + tables + 48 * said.header["n_chunks"] + 2 * 64
        assert said.frame_bytes <= most
        k = round(share * n)
        decoded = gcodec.decode(frame).reshape(-1)
        assert np.count_nonzero(exact(decoded)) == k
        kept = largest(dense, k)
        assert np.flatnonzero(exact(decoded)).tolist() == kept.tolist()
        assert same_bits(decoded[kept], dense[kept])


def test_one_whole_chunk_among_others(encode_in_chunks):
    dense = make(KINDS["float32"], 0, 4096)
    dense[:1024][::300] = 0
    dense[1024:2048][np.random.default_rng(1).permutation(1024)[:512]] = 0
    dense[2048:3072] = 0
    frame = encode_in_chunks(gcodec.Codec(gcodec.Threshold(0.0)), dense, 10)
    said = gcodec.inspect(frame)
    assert said.key_codecs == {"all": 2, "bitmap": 1}
    assert said.header["frame_kind"] == "sparse"
    assert said.header["n_stored"] == 1024 + 512 + 1024
    assert np.count_nonzero(gcodec.decode_sparse(frame)[1] == 0) == 4


def test_all_chunks_whole_make_a_dense_frame(backend):
    dense = make(KINDS["float64"], 0, 3000)
    dense[::500] = -0.0
    frame = gcodec.Codec(gcodec.Threshold(0.0), backend=backend).encode(dense)
    assert gcodec.inspect(frame).header["frame_kind"] == "dense"
    assert same_bits(gcodec.decode(frame, backend=backend), dense + 0)


@pytest.mark.parametrize("keys", ["bitmap", "blocks", "columns", "coo", "delta", "rice"])
def test_keys_that_were_asked_for_stay(keys):
    dense = make(KINDS["float32"], 0, 3000, 0.99)
    said = gcodec.inspect(gcodec.Codec(gcodec.Threshold(0.0), keys=keys).encode(dense))
    assert "all" not in said.key_codecs
    assert said.header["n_stored"] == np.count_nonzero(dense)


def test_levels_have_no_whole_chunks():
    dense = make(KINDS["float32"], 0, 3000, 0.99)
    frame = gcodec.get_codec("reclog:ratio=1").encode(dense)
    assert gcodec.inspect(frame).header["n_stored"] == np.count_nonzero(dense)


@ALL_KINDS
def test_pairs_and_feedback_see_no_zeros(kind):
    dense = make(kind, 0, 5000, 0.995)
    codec, at = gcodec.Codec(gcodec.Threshold(0.0)), np.flatnonzero(exact(dense))
    frame = codec.encode(dense)
    assert gcodec.inspect(frame).header["n_stored"] > at.size, "a vain test"
    assert bytes(codec.encode_sparse(at, dense[at], 5000)) == bytes(frame)
    memory = gcodec.ErrorFeedback(codec)
    memory.encode("w", dense)
    memory.commit("w")
    assert not memory.residual("w").any()
    again = gcodec.decode(frame)
    assert bytes(codec.encode(again)) == bytes(frame)
    total = gcodec.accumulate(frame, kind_of(dense).widened(dense), scale=-1)
    assert not total.any()
