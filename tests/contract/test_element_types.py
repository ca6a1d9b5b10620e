"""float16, bfloat16, float32 and float64 through everything that encodes and decodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, VALUES, edges, exact, kind_of, make
from strategies import BACKENDS, check_frame, codecs, same_bits, vectors

import gcodec

RECIPES = (
    "topk:ratio=0.05",
    "topk:k=7,keys=rice",
    "topk:ratio=0.99",
    "reclog:ratio=0.1",
    "reclog:ratio=1,per_octave=16",
    "reclog:threshold=0.5,per_octave=1",
    "threshold:threshold=0.3",
    "quantile:ratio=0.1",
    "dense",
)
ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
OTHERS = tuple(name for name in KINDS if name != "float32")
"""float32 has the rest of this folder."""


def check(recipe, dense):
    """What a frame promises, by both backends, both ways in and all ways out; the frame."""
    codec, kind = gcodec.get_codec(recipe), kind_of(dense)
    slow = gcodec.get_codec(recipe, backend="reference")
    frame = codec.encode(dense, name="w")
    check_frame(codec, dense, frame)
    assert bytes(slow.encode(dense, name="w")) == bytes(frame)
    at = np.flatnonzero(exact(dense))
    assert bytes(codec.encode_sparse(at, dense[at], dense.size, name="w")) == bytes(frame)

    decoded = gcodec.decode(frame)
    assert same_bits(gcodec.decode(frame, backend="reference"), decoded)
    wide = kind.widened(decoded)
    for backend in BACKENDS:
        out = np.full(dense.size, 7, kind.wide)
        assert same_bits(gcodec.decode(frame, out=out, backend=backend), wide)
        total = gcodec.accumulate(frame, np.ones(dense.size, kind.wide), scale=2, backend=backend)
        with np.errstate(over="ignore"):
            assert same_bits(total, 1 + wide * total.dtype.type(2))
    return frame


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", OTHERS)
def test_recipes(name, recipe):
    dense = make(KINDS[name], 1, 10_000)
    frame = check(recipe, dense)
    found = gcodec.verify(frame, dense)
    assert found.bound_met
    assert (found.kept_error > 0) == recipe.startswith("reclog")
    flipped = dense ^ np.uint16(0x8000) if name == "bfloat16" else -dense
    assert not gcodec.verify(frame, flipped).bound_met


@settings(max_examples=120)
@given(
    codec=codecs(),
    dense=vectors((0, 1, 65, 300, 2049, 4000), OTHERS),
)
def test_every_combination(codec, dense):
    frame = codec.encode(dense)
    check_frame(codec, dense, frame)
    slow = gcodec.Codec(codec.select, codec.quantize, codec.keys, backend="reference")
    assert bytes(slow.encode(dense)) == bytes(frame)
    assert same_bits(gcodec.decode(frame, backend="reference"), gcodec.decode(frame))


@settings(max_examples=40)
@given(
    name=st.sampled_from(OTHERS),
    seed=st.integers(0, 2**32 - 1),
    values=st.sampled_from(VALUES),
    per_octave=st.sampled_from([1, 4, 16]),
)
def test_decoded_values_encode_to_the_same_frame(name, seed, values, per_octave):
    dense = make(KINDS[name], seed, 700, 0.4, values)
    for quantize in (gcodec.Raw(), gcodec.ReciprocalLog(per_octave)):
        codec = gcodec.Codec(gcodec.Threshold(0.0), quantize)
        frame = codec.encode(dense)
        assert bytes(codec.encode(gcodec.decode(frame))) == bytes(frame)


@ALL_KINDS
@pytest.mark.parametrize("per_octave", [1, 2, 4, 8, 16])
def test_bounds_hold_at_the_ends_of_a_type(kind, per_octave, backend):
    """Where levels are clamped to the largest number, and where they are subnormal."""
    top = np.arange(kind.infinity - 600, kind.infinity)
    low = np.arange(1, 600)
    turn = np.arange((1 << kind.precision) - 60, (1 << kind.precision) + 600)
    dense = kind.of(np.concatenate((top, low, turn, edges(kind))))
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(per_octave), backend=backend)
    frame = codec.encode(dense)
    check_frame(codec, dense, frame)
    decoded = gcodec.decode(frame)
    assert np.isfinite(exact(decoded)).all()
    assert (exact(decoded)[exact(dense) != 0] != 0).all()


def test_every_bfloat16_with_the_finest_levels():
    kind = KINDS["bfloat16"]
    finite = np.arange(kind.infinity)
    dense = kind.of(np.concatenate((finite, finite | 0x8000)))
    frame = gcodec.get_codec("reclog:threshold=0,per_octave=16").encode(dense)
    check_frame(gcodec.get_codec("reclog:threshold=0,per_octave=16"), dense, frame)
    assert gcodec.verify(frame, dense).bound_met


class TestOutputs:
    """Own type or that of sums; all others are refused and stay as they were."""

    @ALL_KINDS
    def test_own_type(self, kind, backend):
        dense = make(kind, 2, 600).reshape(20, 30)
        frame = gcodec.get_codec("reclog:ratio=0.3").encode(dense)
        decoded = gcodec.decode(frame, backend=backend)
        assert (decoded.dtype, decoded.shape) == (dense.dtype, dense.shape)
        out = kind.of([1] * 600).reshape(20, 30)
        assert gcodec.decode(frame, out=out, backend=backend) is out
        assert same_bits(out, decoded)
        assert same_bits(gcodec.decode_tensor(frame, 0, backend=backend), decoded)
        keys, values = gcodec.decode_sparse(frame, start=100, stop=300, backend=backend)
        assert same_bits(values, decoded.reshape(-1)[keys])
        assert values.size == np.count_nonzero(decoded.reshape(-1)[100:300])

    @ALL_KINDS
    @pytest.mark.parametrize("dtype", ["f2", "u2", "f4", "f8", "i2", "u4", "u8", "g", "c8", ">f4"])
    def test_other_types_are_refused_and_untouched(self, kind, dtype, backend):
        frame = gcodec.get_codec("topk:ratio=0.5").encode(make(kind, 3, 50))
        own, wide = (np.dtype(dtype) == other for other in (kind.dtype, kind.wide))
        out = np.ones(50, dtype)
        if not (own or wide):
            with pytest.raises(gcodec.Mismatch, match=kind.name):
                gcodec.decode(frame, out=out, backend=backend)
        if not wide:
            with pytest.raises(gcodec.Mismatch):
                gcodec.accumulate(frame, out, backend=backend)
            assert (out == 1).all()

    def test_unaligned_and_shared_memory(self):
        for kind in KINDS.values():
            dense = make(kind, 4, 700)
            frame = gcodec.get_codec("topk:ratio=0.2").encode(dense)
            for size in {kind.dtype.itemsize, kind.wide.itemsize}:
                dtype = kind.dtype if size == kind.dtype.itemsize else kind.wide
                out = np.zeros(size * 700 + 1, np.uint8)[1:].view(dtype)
                gcodec.decode(frame, out=out)
                assert same_bits(kind.widened(out.copy()) if dtype == kind.dtype else out.copy(),
                                 kind.widened(gcodec.decode(frame)))  # fmt: skip


class TestBfloat16Arrays:
    """NumPy has none: other packages add them, and their bits do as well."""

    @pytest.fixture
    def bfloat16(self):
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)

    def test_the_same_frame_as_their_bits(self, bfloat16, backend):
        bits = make(KINDS["bfloat16"], 5, 900).reshape(30, 30)
        codec = gcodec.get_codec("reclog:ratio=0.2", backend=backend)
        frame = codec.encode(bits.view(bfloat16))
        assert bytes(frame) == bytes(codec.encode(bits))
        for view in (bits.T, bits[::2], bits[:, ::-1]):
            assert bytes(codec.encode(view.view(bfloat16))) == bytes(codec.encode(view))
        at = np.flatnonzero(bits)
        flat = bits.reshape(-1)
        sparse = codec.encode_sparse(at, flat.view(bfloat16)[at], 900)
        assert bytes(sparse) == bytes(codec.encode(flat))

    def test_as_output(self, bfloat16, backend):
        frame = gcodec.get_codec("topk:ratio=0.2").encode(make(KINDS["bfloat16"], 6, 900))
        out = np.full(900, 3, bfloat16)
        assert gcodec.decode(frame, out=out, backend=backend) is out
        assert same_bits(out.view(np.uint16), gcodec.decode(frame))
        assert (out.astype(np.float32) == gcodec.decode(frame, out=np.empty(900, "f4"))).all()
        with pytest.raises(gcodec.Mismatch):
            gcodec.accumulate(frame, out, backend=backend)

    def test_numbers_agree_with_theirs(self, bfloat16):
        numbers = np.random.default_rng(0).normal(size=5000).astype(np.float32)
        assert (KINDS["bfloat16"].nearest(numbers) == numbers.astype(bfloat16).view("u2")).all()

    def test_another_byte_order_is_refused(self, bfloat16):
        swapped = np.ones(5, bfloat16).view("u2").byteswap().view(bfloat16.newbyteorder(">"))
        with pytest.raises(gcodec.UnsupportedDtypeError):
            gcodec.Codec().encode(swapped)

    def test_other_small_types_are_refused(self):
        ml_dtypes = pytest.importorskip("ml_dtypes")
        for name in ("float8_e4m3fn", "float8_e5m2", "int4"):
            with pytest.raises(gcodec.UnsupportedDtypeError, match="gcodec encodes"):
                gcodec.Codec().encode(np.ones(5, getattr(ml_dtypes, name)))


@ALL_KINDS
class TestInputs:
    """Memory of any layout; nothing that is not finite."""

    @pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read-only", "unaligned"])
    def test_memory_layout_changes_nothing(self, kind, layout, backend):
        dense = make(kind, 7, 3000).reshape(50, 60)
        given = {
            "fortran": lambda: np.asfortranarray(dense),
            "strided": lambda: np.repeat(dense, 2, axis=1)[:, ::2],
            "reversed": lambda: dense[::-1].copy()[::-1],
            "read-only": lambda: np.frombuffer(dense.tobytes(), kind.dtype).reshape(50, 60),
            "unaligned": lambda: (
                np.frombuffer(b"?" + dense.tobytes(), np.uint8)[1:].view(kind.dtype)
            ).reshape(50, 60),
        }[layout]()
        before = np.array(given)
        for recipe in ("topk:ratio=0.1", "reclog:ratio=0.1"):
            codec = gcodec.get_codec(recipe, backend=backend)
            assert bytes(codec.encode(given)) == bytes(codec.encode(dense))
        assert same_bits(np.array(given), before)

    @pytest.mark.parametrize("recipe", ["topk", "reclog", "dense", "threshold:threshold=1e30"])
    def test_what_is_not_finite_is_refused_with_its_place(self, kind, recipe, backend):
        codec = gcodec.get_codec(recipe, backend=backend)
        for bad in (kind.infinity, kind.infinity + 1, (1 << kind.bits - 1) - 1):
            for sign in (0, 1 << kind.bits - 1):
                patterns = np.zeros(100, kind.pattern)
                patterns[[71, 93]] = bad | sign
                dense = kind.of(patterns)
                with pytest.raises(gcodec.NonFiniteError, match=r"2 NaN.* index 71\b"):
                    codec.encode(dense)
                with pytest.raises(gcodec.NonFiniteError, match=r"2 NaN.* index 142\b"):
                    codec.encode_sparse(np.arange(0, 200, 2), dense, 300)

    def test_inspection_counts_in_their_size(self, kind):
        said = gcodec.inspect(gcodec.get_codec("topk:k=10").encode(make(kind, 8, 1000)))
        size = kind.dtype.itemsize
        assert said.header["elem_dtype"] == kind.name
        assert said.ratio_to_dense == pytest.approx(1000 * size / said.frame_bytes)
        assert said.ratio_to_pairs == pytest.approx(10 * (4 + size) / said.frame_bytes)
        assert said.bits_per_value == pytest.approx(-(-10 * 8 * size // 64) * 6.4)
