"""Every packing of keys and values: chosen where it is smaller, the same on both backends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import KEYS, check_frame, make_gradient, same_bits

import gcodec

EVERYTHING = gcodec.Threshold(0.0)
OCTAVES = gcodec.ReciprocalLog(1)
KEY_CODECS = {"all", "bitmap", "coo", "rice", "delta", "blocks", "columns"}
VALUE_CODECS = {
    "raw", "fixed", "rice", "sign", "huffman", "signed_fixed", "signed_rice", "signed_huffman",
}  # fmt: skip


def own_sign(exponents):
    """A sign that follows from the magnitude."""
    return np.where(exponents % 2, -1, 1)


def of_levels(rng, name, size):
    """Powers of two with such a histogram: one level per octave leaves them as they are."""
    exponents = {
        "uniform": lambda: rng.integers(0, 4, size),
        "geometric": lambda: np.minimum(rng.geometric(0.5, size) - 1, 12),
        "flat tail": lambda: np.where(rng.random(size) < 0.6, 0, rng.integers(1, 33, size)),
        "one": lambda: np.zeros(size, int),
        "one in each part": lambda: np.arange(size) // 512 % 4,
    }[name]()
    return exponents, 2.0**-exponents


LEVELS = ("uniform", "geometric", "flat tail", "one", "one in each part")


def matrix(rng, shape, columns, density):
    """Ones in a few columns of a matrix of shape[0] rows."""
    width = int(np.prod(shape[1:]))
    on = np.zeros((shape[0], width), bool)
    on[:, rng.permutation(width)[:columns]] = True
    return (on & (rng.random(on.shape) < density)).reshape(shape)


def check(codec, dense, chunk=None, **options):
    """All that a frame promises, on both backends; what its inspection says."""
    slow = gcodec.Codec(codec.select, codec.quantize, codec.keys, backend="reference")
    encode = chunk or (lambda codec, dense, **options: codec.encode(dense, **options))
    frame = encode(codec, dense, **options)
    assert bytes(encode(slow, dense, **options)) == bytes(frame)
    said = gcodec.inspect(frame)
    assert gcodec.inspect(frame, backend="reference") == said
    decoded = gcodec.decode(frame)
    assert decoded.shape == dense.shape
    assert same_bits(gcodec.decode(frame, backend="reference"), decoded)
    check_frame(codec, dense.reshape(-1), frame, shape=dense.shape)
    return said


class TestEveryCodec:
    """Data for each; that all are met is asserted, so that no test here is vain."""

    @pytest.mark.parametrize("keys", KEYS)
    def test_each_packing_is_used_where_it_is_asked_for(self, keys, encode_in_chunks):
        rng = np.random.default_rng(1)
        dense = matrix(rng, (128, 100), 9, 0.6).astype(np.float32)
        codec = gcodec.Codec(EVERYTHING, OCTAVES, keys)
        said = check(codec, dense, encode_in_chunks, chunk_log2=12)
        met = set(said.key_codecs)
        if keys in ("auto", "columns"):
            assert "columns" in met
        assert keys == "auto" or met <= {keys, "delta" if keys == "columns" else keys}

    def test_every_key_codec_is_the_smallest_somewhere(self, encode_in_chunks):
        rng = np.random.default_rng(2)
        walk = np.cumsum(rng.choice([1, 2, 3, 60, 400], 400, p=[0.3, 0.2, 0.2, 0.2, 0.1]))
        uneven = np.zeros(int(walk[-1]) + 1, np.float32)
        uneven[walk] = 1
        steps = np.zeros(2048, np.float32)
        steps[np.cumsum(np.where(np.arange(250) < 128, 1, rng.integers(1, 15, 250)))] = 1
        few = np.zeros(4096, np.float32)
        few[[63, 4000]] = 1
        data = {
            "all": np.ones(500, np.float32),
            "bitmap": (rng.random(500) < 0.5).astype(np.float32),
            "rice": (rng.random(4000) < 0.02).astype(np.float32),
            "delta": uneven,
            "columns": matrix(rng, (128, 100), 9, 0.6).astype(np.float32),
            "blocks": steps,
            "coo": few,
        }
        met = {}
        for name, dense in data.items():
            said = check(gcodec.Codec(EVERYTHING, OCTAVES), dense)
            met[name] = set(said.key_codecs)
        assert {codec for codecs in met.values() for codec in codecs} == KEY_CODECS, met

    @pytest.mark.parametrize("chunk_log2", [9, 11])
    def test_every_value_codec_is_the_smallest_somewhere(self, encode_in_chunks, chunk_log2):
        rng = np.random.default_rng(3)
        met = {}
        for name in LEVELS:
            exponents, magnitudes = of_levels(rng, name, 2048)
            for kind, signs in (
                ("own", own_sign(exponents)),
                ("any", rng.choice([-1, 1], exponents.size)),
            ):
                dense = (magnitudes * signs).astype(np.float32)
                codec = gcodec.Codec(EVERYTHING, OCTAVES)
                said = check(codec, dense, encode_in_chunks, chunk_log2=chunk_log2)
                met[name, kind] = set(said.value_codecs)
        said = check(gcodec.Codec(EVERYTHING), dense, encode_in_chunks, chunk_log2=chunk_log2)
        met["raw"] = set(said.value_codecs)
        assert met["uniform", "any"] == {"fixed"}
        assert met["uniform", "own"] == {"signed_fixed"}
        assert met["flat tail", "any"] == {"huffman"}
        assert met["flat tail", "own"] == {"signed_huffman"}
        if chunk_log2 == 9:
            assert "sign" in met["one in each part", "any"]
            assert {codec for codecs in met.values() for codec in codecs} == VALUE_CODECS, met

    def test_several_codecs_in_one_frame(self, encode_in_chunks):
        """Chunks of different density and histogram, so that the choice is made chunk by chunk."""
        rng = np.random.default_rng(4)
        parts = [
            (rng.random(1024) < density) * of_levels(rng, name, 1024)[1]
            for density in (1, 0.5, 0.02, 0.004)
            for name in LEVELS
        ]
        dense = np.concatenate(parts).astype(np.float32) * rng.choice([-1, 1], 1024 * len(parts))
        said = check(
            gcodec.Codec(EVERYTHING, OCTAVES), dense.astype(np.float32), encode_in_chunks,
            chunk_log2=10,
        )  # fmt: skip
        assert len(said.key_codecs) >= 3
        assert len(said.value_codecs) >= 3


SHAPES = st.sampled_from(
    [(2, 2), (3, 100), (64, 10), (40, 25), (10, 8, 6), (30, 3, 11), (2, 300), (200, 2), (1, 50)]
)


class TestMatrices:
    """Active columns."""

    @settings(max_examples=150)
    @given(
        shape=SHAPES,
        columns=st.integers(1, 12),
        density=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
        keys=st.sampled_from(["auto", "columns"]),
        quantize=st.sampled_from([gcodec.Raw(), OCTAVES]),
        chunk_log2=st.sampled_from([6, 7, 8, 9, 12]),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_any(self, encode_in_chunks, shape, columns, density, keys, quantize, chunk_log2, seed):
        """Chunks mostly start within a row."""
        rng = np.random.default_rng(seed)
        on = matrix(rng, shape, columns, density)
        dense = (on * rng.normal(size=shape)).astype(np.float32)
        codec = gcodec.Codec(EVERYTHING, quantize, keys)
        check(codec, dense, encode_in_chunks, chunk_log2=chunk_log2)

    @pytest.mark.parametrize(
        "shape", [(128, 100), (128, 20, 5), (131, 97), (300, 40), (90, 3, 41)], ids=str
    )
    @pytest.mark.parametrize("chunk_log2", [11, 12, 15])
    def test_columns_are_chosen_where_keys_share_them(self, shape, chunk_log2, encode_in_chunks):
        dense = matrix(np.random.default_rng(5), shape, 9, 0.7).astype(np.float32)
        said = check(gcodec.Codec(EVERYTHING), dense, encode_in_chunks, chunk_log2=chunk_log2)
        assert "columns" in said.key_codecs, said.key_codecs
        flat = encode_in_chunks(gcodec.Codec(EVERYTHING), dense.reshape(-1), chunk_log2=chunk_log2)
        assert "columns" not in gcodec.inspect(flat).key_codecs
        assert said.frame_bytes < len(flat)

    def test_rows_may_be_far_longer_than_chunks(self, encode_in_chunks):
        dense = make_gradient(6, 3000, density=0.2).reshape(3, 1000)
        said = check(gcodec.Codec(EVERYTHING), dense, encode_in_chunks, chunk_log2=7)
        assert "columns" not in said.key_codecs

    def test_a_bucket_of_several_tensors(self, encode_in_chunks):
        """Each part is a matrix of its own, wherever chunks end."""
        rng = np.random.default_rng(7)
        shapes = [(190, 40), (7,), (90, 3, 11), (), (150, 20)]
        dense = np.concatenate(
            [
                matrix(rng, shape, 5, 0.8).reshape(-1)
                if len(shape) > 1
                else np.ones(np.prod(shape, dtype=int))
                for shape in shapes
            ]
        ).astype(np.float32)
        tensors = [(f"w{i}", shape) for i, shape in enumerate(shapes)]
        for chunk_log2 in (10, 11, 13):
            said = check(
                gcodec.Codec(EVERYTHING), dense, encode_in_chunks,
                chunk_log2=chunk_log2, tensors=tensors,
            )  # fmt: skip
            assert "columns" in said.key_codecs
            assert said.shapes == shapes


class TestSizes:
    """What is chosen is no larger than what is not."""

    @settings(max_examples=100)
    @given(
        seed=st.integers(0, 2**32 - 1),
        shape=st.sampled_from([(4000,), (100, 40), (40, 10, 10), (700,), (8000,)]),
        density=st.sampled_from([0.005, 0.05, 0.3, 0.9, 1.0]),
        structure=st.sampled_from(["uniform", "clustered", "columns"]),
        chunk_log2=st.sampled_from([7, 9, 12, 16]),
    )
    def test_auto_is_the_smallest(
        self, encode_in_chunks, seed, shape, density, structure, chunk_log2
    ):
        """In words of key planes and bytes of KEYCODES, its row and its padding included.

        Planes are measured with the 8 or 16 bytes of zeros after them, which follow their parity.

        The codes are shared by DELTA and COLUMNS, and taken or left together, so next to either of
        these alone they may not pay.
        """
        size = int(np.prod(shape))
        dense = make_gradient(seed, size, density, structure == "clustered").reshape(shape)
        if structure == "columns" and len(shape) > 1:
            dense *= matrix(np.random.default_rng(seed), shape, 9, 1.0)

        def bits(keys):
            frame = encode_in_chunks(gcodec.Codec(EVERYTHING, OCTAVES, keys), dense, chunk_log2)
            said = gcodec.inspect(frame)
            codes = said.section_bytes.get("KEYCODES", 0)
            planes = round(said.bits_per_key * said.header["n_stored"])
            padding = 64 * said.header["n_chunks"]
            return planes + 8 * (16 * (codes > 0) + codes), 8 * codes, padding if codes else 0

        least, codes, padding = bits("auto")
        for keys in KEYS:
            shared = codes if keys in ("delta", "columns") else 0
            assert least <= bits(keys)[0] + shared + padding, keys

    @pytest.mark.parametrize("keys", KEYS)
    @pytest.mark.parametrize("count", [1, 127, 128, 129, 255, 256, 257, 384, 385])
    def test_blocks_of_every_size(self, keys, count, encode_in_chunks):
        rng = np.random.default_rng(count)
        dense = np.zeros(2048, np.float32)
        dense[np.sort(rng.permutation(2048)[:count])] = 2.0 ** -rng.geometric(0.4, count)
        for shape in ((2048,), (128, 16)):
            for quantize in (gcodec.Raw(), OCTAVES):
                codec = gcodec.Codec(EVERYTHING, quantize, keys)
                check(codec, dense.reshape(shape), encode_in_chunks, chunk_log2=11)

    @pytest.mark.parametrize("count", [128, 129, 256, 257])
    @pytest.mark.parametrize("signs", ["own", "any"])
    def test_blocks_of_coded_values(self, count, signs, encode_in_chunks):
        """In two chunks of as many values, so that each has blocks of its own."""
        rng = np.random.default_rng(count)
        exponents, magnitudes = of_levels(rng, "flat tail", 2 * count)
        sign = own_sign(exponents) if signs == "own" else rng.choice([-1, 1], 2 * count)
        dense = np.zeros((2, 512), np.float32)
        dense[:, :count] = (magnitudes * sign).reshape(2, -1)
        said = check(
            gcodec.Codec(EVERYTHING, OCTAVES), dense.reshape(-1), encode_in_chunks, chunk_log2=9
        )
        expected = "signed_huffman" if signs == "own" else "huffman"
        assert expected in said.value_codecs or count < 200
