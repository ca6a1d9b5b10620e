"""pack and unpack of both backends: the same planes, back to the same elements, the same fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcodec.format import ids
from gcodec.format.directory import (
    CHUNK,
    KEY_HIGH,
    KEY_LOW,
    PAD,
    SIGN,
    VALUE_HIGH,
    VALUE_LOW,
    chunk_lengths,
    place_chunks,
    planes,
)
from gcodec.kernels import cpu, reference, status

BACKENDS = (cpu, reference)
N_LEVELS = 37
LEVELS = np.linspace(1, 2, N_LEVELS, dtype=np.float32).view(np.uint32)


class Packed:
    """Kept elements of every chunk with a directory for them, and the payload that cpu packs."""

    def __init__(self, seed, n, density, chunk_log2, key_codec, value_codec):
        rng = np.random.default_rng(seed)
        at = np.flatnonzero(rng.random(n) < density)
        self.lengths = chunk_lengths(n, chunk_log2)
        self.counts = np.bincount(at >> chunk_log2, minlength=self.lengths.size).astype(np.int64)
        self.keys = (at & ((1 << chunk_log2) - 1)).astype(np.uint32)
        self.symbols = np.minimum(rng.geometric(0.3, at.size) - 1, N_LEVELS - 1).astype(np.uint32)
        signs = rng.integers(0, 2, at.size, dtype=np.uint32) << np.uint32(31)
        raw = rng.integers(0, 2**32, at.size, dtype=np.uint32)
        coded = value_codec == ids.ValueCodec.RICE
        self.bits = (LEVELS[self.symbols] | signs) if coded else raw
        self.directory = self._directory(chunk_log2, key_codec, value_codec)
        self.planes = planes(self.directory)
        self.payload = self.pack(cpu)

    def _directory(self, chunk_log2, key_codec, value_codec):
        directory = np.zeros(self.lengths.size, CHUNK)
        directory["nnz"], filled = self.counts, self.counts > 0
        parameters, high = np.zeros((2, self.lengths.size), np.int64)
        directory["key_codec"], directory["val_codec"] = key_codec, value_codec
        directory["key_param"] = np.where(filled, chunk_log2, 0)
        if key_codec == ids.KeyCodec.RICE:
            cpu.rice_fit_gaps(self.keys, self.counts, ids.MAX_KEY_RICE, parameters, high)
            directory["key_param"], directory["key_hi_bits"] = parameters, high
        if value_codec == ids.ValueCodec.RICE:
            cpu.rice_fit(self.symbols, self.counts, ids.MAX_VALUE_RICE, parameters, high)
            directory["val_param"], directory["val_hi_bits"] = parameters, high
        self.words = place_chunks(directory) // 8
        return directory

    def pack(self, backend):
        payload = np.zeros(self.words, np.uint64)
        backend.pack(self.directory, self.planes, self.keys, self.symbols, self.bits, payload)
        return payload

    def unpack(self, backend, payload, lengths=None, levels=LEVELS):
        keys, values = np.zeros((2, self.keys.size), np.uint32)
        lengths = self.lengths if lengths is None else lengths
        found, chunk = backend.unpack(
            self.directory, self.planes, lengths, levels, payload, keys, values
        )
        return (int(found), int(chunk)), keys, values

    def fault(self, payload, **changed):
        """Status and chunk, the same from both backends."""
        answers = [self.unpack(backend, payload, **changed)[0] for backend in BACKENDS]
        assert answers[0] == answers[1]
        return answers[0]


PACKED = st.builds(
    Packed,
    seed=st.integers(0, 2**32 - 1),
    n=st.sampled_from([0, 1, 63, 64, 65, 129, 700]),
    density=st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
    chunk_log2=st.sampled_from([6, 7, 9, 24]),
    key_codec=st.sampled_from(ids.KeyCodec),
    value_codec=st.sampled_from(ids.ValueCodec),
)


@given(PACKED)
def test_same_planes_and_back(packed):
    assert (packed.pack(reference) == packed.payload).all()
    for backend in BACKENDS:
        answer, keys, values = packed.unpack(backend, packed.payload)
        assert answer == (status.OK, 0)
        assert (keys == packed.keys).all()
        assert (values == packed.bits).all()


@settings(max_examples=300)
@given(PACKED, st.lists(st.integers(0, 2**20), min_size=1, max_size=4), st.booleans())
def test_same_status_of_damaged_planes(packed, flips, whole_word):
    """Whatever the damage: the same status in the same chunk, the same elements if it is OK."""
    if not packed.words:
        return
    payload = packed.payload.copy()
    for flip in flips:
        word = flip % packed.words
        payload[word] ^= np.uint64(2**64 - 1 if whole_word else 1 << (flip >> 7) % 64)
    first, second = (packed.unpack(backend, payload) for backend in BACKENDS)
    assert first[0] == second[0]
    if first[0][0] == status.OK:
        assert (first[1] == second[1]).all()
        assert (first[2] == second[2]).all()
        assert all(k < packed.lengths.max(initial=0) for k in first[1].tolist())


RICE_RICE = (ids.KeyCodec.RICE, ids.ValueCodec.RICE)
COO_RICE = (ids.KeyCodec.COO, ids.ValueCodec.RICE)
COO_RAW = (ids.KeyCodec.COO, ids.ValueCodec.RAW)


def _clear_lowest(payload, word):
    payload[word] &= payload[word] - np.uint64(1)


def _move_last_one(payload, first, bits):
    """Take the one that ends a unary plane and put it a bit further."""
    last = int(bits) - 1
    payload[first + last // 64] ^= np.uint64(1 << last % 64)
    payload[first + (last + 1) // 64] ^= np.uint64(1 << (last + 1) % 64)


def _put_key(payload, plane, width, index, key):
    first = int(plane[KEY_LOW]) * 64 + index * width
    for i in range(width):
        word, bit = divmod(first + i, 64)
        payload[word] &= ~np.uint64(1 << bit)
        payload[word] |= np.uint64((key >> i & 1) << bit)


@pytest.mark.parametrize("n", [100, 1000])
class TestEachStatus:
    """One defect each, in a known chunk, with its status."""

    def damaged(self, n, codecs, density=0.4):
        packed = Packed(5, n, density, 9, *codecs)
        chunk = packed.lengths.size - 1
        return packed, packed.payload.copy(), chunk, packed.planes[chunk], packed.directory[chunk]

    @pytest.mark.parametrize(
        ("plane_of", "expected"), [(KEY_HIGH, status.KEY_PLANE), (VALUE_HIGH, status.VALUE_PLANE)]
    )
    def test_a_one_too_few(self, n, plane_of, expected):
        packed, payload, chunk, plane, _ = self.damaged(n, RICE_RICE)
        _clear_lowest(payload, plane[plane_of])
        assert packed.fault(payload) == (expected, chunk)

    @pytest.mark.parametrize(
        ("plane_of", "expected"), [(KEY_HIGH, status.KEY_PLANE), (VALUE_HIGH, status.VALUE_PLANE)]
    )
    def test_a_one_too_many(self, n, plane_of, expected):
        packed, payload, chunk, plane, entry = self.damaged(n, RICE_RICE)
        bits = entry["key_hi_bits"] if plane_of == KEY_HIGH else entry["val_hi_bits"]
        words = payload[plane[plane_of] : plane[plane_of] + -(-int(bits) // 64)]
        zero = next(i for i in range(int(bits)) if not int(words[i // 64]) >> i % 64 & 1)
        words[zero // 64] |= np.uint64(1 << zero % 64)
        assert packed.fault(payload) == (expected, chunk)

    @pytest.mark.parametrize(
        ("plane_of", "field", "expected"),
        [
            (KEY_HIGH, "key_hi_bits", status.KEY_PLANE),
            (VALUE_HIGH, "val_hi_bits", status.VALUE_PLANE),
        ],
    )
    def test_a_unary_plane_that_ends_late(self, n, plane_of, field, expected):
        packed, payload, chunk, plane, entry = self.damaged(n, RICE_RICE)
        assert entry[field] % 64, "needs a spare bit in the plane's last word"
        _move_last_one(payload, plane[plane_of], entry[field])
        assert packed.fault(payload) == (expected, chunk)

    @pytest.mark.parametrize("repeat", [True, False])
    def test_keys_out_of_order(self, n, repeat):
        packed, payload, chunk, plane, _ = self.damaged(n, COO_RICE)
        first, second = packed.keys[-packed.counts[-1] :][:2].tolist()
        _put_key(payload, plane, 9, 1, first if repeat else second)
        _put_key(payload, plane, 9, 0, first if repeat else second)
        assert packed.fault(payload) == (status.KEY_ORDER, chunk)

    @pytest.mark.parametrize("codecs", [COO_RICE, COO_RAW, RICE_RICE])
    def test_a_key_past_the_chunk(self, n, codecs):
        packed, payload, chunk, _, _ = self.damaged(n, codecs)
        lengths = packed.lengths.copy()
        lengths[-1] = packed.keys[-1]
        assert packed.fault(payload, lengths=lengths) == (status.KEY_RANGE, chunk)

    def test_an_index_past_the_codebook(self, n):
        packed, payload, chunk, _, _ = self.damaged(n, RICE_RICE)
        last = packed.symbols[-int(packed.counts[-1]) :].max()
        others = packed.symbols[: -int(packed.counts[-1])].max(initial=0)
        found, where = packed.fault(payload, levels=LEVELS[:last])
        assert found == status.VALUE_RANGE
        assert where == chunk or others >= last
        assert packed.fault(payload, levels=LEVELS[: packed.symbols.max() + 1])[0] == status.OK

    @pytest.mark.parametrize(
        ("codecs", "plane_of", "used"),
        [
            (COO_RICE, KEY_LOW, lambda e: int(e["nnz"]) * int(e["key_param"])),
            (COO_RAW, KEY_LOW, lambda e: int(e["nnz"]) * int(e["key_param"])),
            (RICE_RICE, SIGN, lambda e: int(e["nnz"])),
            (RICE_RICE, VALUE_LOW, lambda e: int(e["nnz"]) * int(e["val_param"])),
            (RICE_RICE, PAD, lambda e: 0),
            (COO_RAW, PAD, lambda e: 0),
        ],
    )
    def test_spare_bits(self, n, codecs, plane_of, used):
        packed, payload, chunk, plane, entry = self.damaged(n, codecs)
        bits = used(entry)
        if plane_of != PAD and not bits % 64:
            pytest.skip("the plane has no spare bit here")
        for bit in {bits, (bits | 63)}:
            broken = payload.copy()
            broken[plane[plane_of] + bit // 64] ^= np.uint64(1 << bit % 64)
            assert packed.fault(broken) == (status.SPARE_BITS, chunk)

    def test_the_last_word_of_the_padding(self, n):
        packed, payload, chunk, _, _ = self.damaged(n, COO_RAW)
        payload[-1] ^= np.uint64(1 << 63)
        assert packed.fault(payload) == (status.SPARE_BITS, chunk)


def test_every_status_has_a_message():
    codes = {v for k, v in vars(status).items() if k.isupper() and isinstance(v, int)}
    assert set(status.MESSAGES) == codes - {status.OK}


def test_a_raw_plane_with_odd_count_has_spare_bits_checked():
    packed = Packed(5, 64, 1.0, 6, *COO_RAW)
    odd = Packed(5, 63, 1.0, 6, *COO_RAW)
    assert packed.fault(packed.payload) == (status.OK, 0)
    odd.payload[odd.planes[0, VALUE_LOW] + 31] |= np.uint64(1 << 32)
    assert odd.fault(odd.payload) == (status.SPARE_BITS, 0)
