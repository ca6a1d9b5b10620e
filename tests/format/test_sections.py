"""Where sections lie, how wide levels and values are in each element type, and dense frames."""

from itertools import pairwise

import anatomy
import numpy as np
import pytest
from frames import FRAMES, SIZES, same_outcome, used_bytes

import gcodec
from gcodec.format import ids
from gcodec.format.sections import place, section_bits

CODEBOOK, CHUNKDIR, PAYLOAD = 3, 5, 6
WIDTHS = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}
PRECISION = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
EVERY = pytest.mark.parametrize("element", WIDTHS)


def gradient_of(patterns, element):
    """The array of these patterns that a caller passes."""
    bits = np.asarray(patterns).astype(f"u{WIDTHS[element] // 8}")
    return bits if element == "bfloat16" else bits.view(element)


def infinity(element):
    return (1 << WIDTHS[element] - 1) - (1 << PRECISION[element])


def one(element):
    return (infinity(element) >> PRECISION[element] + 1) << PRECISION[element]


def some_patterns(element, size, seed=0):
    """Finite numbers of any size and sign, none of them zero."""
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size).astype(np.uint64) << np.uint64(WIDTHS[element] - 1)
    return rng.integers(1, infinity(element), size).astype(np.uint64) | signs


class TestPlaces:
    """Sections at multiples of 8, the payload at one of 64, and zeros in between."""

    @pytest.mark.parametrize("name", FRAMES)
    def test_frames_are_as_short_as_the_rule_allows(self, name, compose):
        assert compose(FRAMES[name]) == FRAMES[name]

    def test_there_is_padding_of_both_kinds(self, section_table):
        gaps = set()
        for frame in FRAMES.values():
            spans = sorted(section_table(frame).values(), key=lambda span: span[1])
            for (_, start, size), (_, following, _) in pairwise(spans):
                gaps.add((following - start - size, following == spans[-1][1]))
        assert {gap for gap, last in gaps if not last} >= {0, 4}
        assert max(gap for gap, last in gaps if last) > 8

    @pytest.mark.parametrize("size", range(17))
    def test_padding_after_a_section_of_any_length(self, size, compose, decode_between_canaries):
        frame, n = FRAMES["codes"], SIZES["codes"]
        sections = {0x8001: (7, b"?" * size), 0x8002: (0, b"")}
        sound = compose(frame, sections=sections)
        assert same_outcome(decode_between_canaries, sound, n) is None
        assert anatomy.section_table(sound)[0x8002][1] % 8 == 0
        filled = compose(frame, sections=sections, fill=b"\1")
        assert filled != sound, "there is padding before the payload at least"
        assert same_outcome(decode_between_canaries, filled, n) is gcodec.Malformed

    def test_every_bit_of_padding(self, compose, reseal, decode_between_canaries):
        frame = compose(FRAMES["codes"], sections={0x8001: (1, b"?")})
        spare = sorted(set(range(len(frame))) - set(used_bytes(frame, anatomy.section_table)))
        assert len(spare) > 7
        for at in spare:
            for bit in range(8):
                broken = reseal(frame[:at] + bytes([1 << bit]) + frame[at + 1 :])
                found = same_outcome(decode_between_canaries, broken, SIZES["codes"])
                assert found is gcodec.Malformed

    @pytest.mark.parametrize("step", [1, 2, 4, 16, 32, 64])
    def test_sections_at_other_multiples(self, step, compose, decode_between_canaries):
        frame, n = FRAMES["codes"], SIZES["codes"]

        def elsewhere(offset, kind):
            return anatomy.align(offset, kind) if kind == PAYLOAD else -(-offset // step) * step

        changed = compose(frame, align=elsewhere)
        assert changed != frame
        found = same_outcome(decode_between_canaries, changed, n)
        assert found in (gcodec.Malformed, gcodec.LimitExceeded, gcodec.UnsupportedFeature)

    @pytest.mark.parametrize("step", [8, 16, 256])
    def test_payloads_at_other_multiples(self, step, compose, decode_between_canaries):
        """What is not at a multiple of 64, and what is at one too many."""
        frame, n = FRAMES["codes"], SIZES["codes"]

        def elsewhere(offset, kind):
            return -(-offset // step) * step if kind == PAYLOAD else anatomy.align(offset, kind)

        changed = compose(frame, align=elsewhere)
        assert anatomy.section_table(changed)[PAYLOAD][1] != int.from_bytes(
            changed[112:120], "little"
        )
        assert same_outcome(decode_between_canaries, changed, n) is gcodec.Malformed

    @pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 16, 2048])
    def test_what_a_section_costs(self, length):
        """Codes are written only if they pay for this."""
        parts = [(ids.Section.TENSORS, 1, 16), (ids.Section.CHUNKDIR, 1, 32)]
        more = [*parts, (ids.Section.VALUECODE, 2 * length, length)] if length else parts
        ends = []
        for lengths in (parts, more):
            table, spans = place(lengths, 128)
            last = max(span.stop for span in spans.values())
            ends.append(8 * (-(-last // 8) * 8))
            assert len(table) == 16 * len(lengths)
        assert ends[1] - ends[0] == section_bits(length)


def quantised(element, levels=5, size=300):
    """A frame of so many levels, with signs beside them."""
    rng = np.random.default_rng(1)
    exponents = np.resize(np.arange(levels), size).astype(np.uint64)
    signs = rng.integers(0, 2, size).astype(np.uint64) << np.uint64(WIDTHS[element] - 1)
    patterns = one(element) + (exponents << np.uint64(PRECISION[element])) | signs
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1), "rice")
    return codec.encode(gradient_of(patterns, element)).tobytes()


class TestLevels:
    """CODEBOOK holds patterns of the element type."""

    @EVERY
    @pytest.mark.parametrize("levels", [1, 4, 5])
    def test_as_wide_as_the_elements(self, element, levels, backend):
        frame = quantised(element, levels)
        count, start, size = anatomy.section_table(frame)[CODEBOOK]
        assert (count, size) == (levels, levels * WIDTHS[element] // 8)
        held = np.frombuffer(frame[start : start + size], f"u{WIDTHS[element] // 8}")
        _, values = gcodec.decode_sparse(frame, backend=backend)
        sign = 1 << WIDTHS[element] - 1
        bits = values.view(held.dtype)
        assert set((bits & held.dtype.type(sign - 1)).tolist()) == set(held.tolist())
        assert (bits & held.dtype.type(sign)).any()

    @EVERY
    def test_no_other_width(self, element, compose, backend):
        frame = quantised(element)
        count, start, size = anatomy.section_table(frame)[CODEBOOK]
        for width in {2, 4, 8} - {WIDTHS[element] // 8}:
            levels = (frame[start : start + size] * 4)[: count * width]
            with pytest.raises(gcodec.Malformed, match="CODEBOOK"):
                gcodec.decode(compose(frame, sections={CODEBOOK: (count, levels)}), backend=backend)

    @EVERY
    def test_every_kind_of_level(self, element, reseal, backend):
        frame = quantised(element)
        count, start, size = anatomy.section_table(frame)[CODEBOOK]
        width, sign = size // count, 1 << WIDTHS[element] - 1
        top = infinity(element)
        for at in range(start, start + size, width):
            for level in (0, 1, 1 << PRECISION[element], top - 1):
                changed = reseal(frame[:at] + level.to_bytes(width, "little") + frame[at + width :])
                values = gcodec.decode_sparse(changed, backend=backend)[1].view(f"u{width}")
                assert level in values.tolist()
                assert level | sign in values.tolist(), "a level of +0 makes -0"
            refused = (top, top + 1, sign - 1, sign, sign | 1, sign | top, 2 * sign - 1)
            for level in refused:
                changed = reseal(frame[:at] + level.to_bytes(width, "little") + frame[at + width :])
                with pytest.raises(gcodec.Malformed, match="level"):
                    gcodec.decode(changed, backend=backend)

    @EVERY
    def test_levels_with_signs_of_their_own(self, element, backend):
        """All values negative: no plane of signs."""
        patterns = np.full(300, one(element) | 1 << WIDTHS[element] - 1, np.uint64)
        patterns[::3] += np.uint64(3 << PRECISION[element])
        codec = gcodec.get_codec("reclog:ratio=1,per_octave=1")
        frame = codec.encode(gradient_of(patterns, element))
        assert list(gcodec.inspect(frame).value_codecs) == ["signed_fixed"]
        values = gcodec.decode(frame, backend=backend).view(f"u{WIDTHS[element] // 8}")
        assert (values >> (WIDTHS[element] - 1) == 1).all()


class TestRawValues:
    """Patterns as they are, each of as many bits as the type has."""

    @EVERY
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63, 64, 65, 1023, 1400])
    def test_planes_hold_the_elements(self, element, size, section_table):
        """All keys, so a chunk starts with its values; then zeros up to half a unit and a unit."""
        gradient = gradient_of(some_patterns(element, size, size), element)
        frame = gcodec.Codec(gcodec.Dense()).encode(gradient).tobytes()
        assert gcodec.inspect(frame).value_codecs == {"raw": -(-size // 1024)}
        _, start, length = section_table(frame)[PAYLOAD]
        payload = frame[start : start + length]
        for chunk in range(0, size, 1024):
            held = gradient[chunk : chunk + 1024].tobytes()
            words = -(-len(held) // 8)
            room = 16 * (words // 2 + 1)
            assert payload[:room] == held.ljust(room, b"\0")
            payload = payload[room:]
        assert payload == b""

    @EVERY
    def test_every_key_packing(self, element, backend):
        patterns = some_patterns(element, 900)
        patterns[np.random.default_rng(2).random(900) < 0.8] = 0
        gradient = gradient_of(patterns, element)
        for keys in ("auto", "bitmap", "blocks", "columns", "coo", "delta", "rice"):
            frame = gcodec.Codec(gcodec.Threshold(0.0), keys=keys).encode(gradient)
            said = gcodec.inspect(frame, backend=backend)
            decoded = gcodec.decode(frame, backend=backend)
            assert decoded.dtype == gradient.dtype
            assert decoded.tobytes() == gradient.tobytes()
            kept = np.count_nonzero(patterns)
            assert kept * WIDTHS[element] <= round(said.bits_per_value * kept)
            assert round(said.bits_per_value * kept) < kept * WIDTHS[element] + 64 * 2

    @pytest.mark.parametrize("element", ["float16", "bfloat16"])
    def test_every_pattern_of_16_bits(self, element, reseal, section_table, backend):
        """NaNs and infinities too, which no encoder writes."""
        codec = gcodec.Codec(gcodec.Dense())
        ones = gradient_of(np.full(1 << 16, one(element)), element)
        frame = bytearray(codec.encode(ones).tobytes())
        log2 = gcodec.inspect(frame).header["chunk_log2"]
        _, at, _ = section_table(frame)[PAYLOAD]
        patterns = np.random.default_rng(0).permutation(1 << 16).astype(np.uint16)
        for chunk in patterns.reshape(-1, 1 << log2):
            frame[at : at + chunk.nbytes] = chunk.tobytes()
            at += chunk.nbytes + 16
        sealed = reseal(bytes(frame))
        assert (gcodec.decode(sealed, backend=backend).view(np.uint16) == patterns).all()
        _, values = gcodec.decode_sparse(sealed, backend=backend)
        assert (values.view(np.uint16) == patterns).all()

    @pytest.mark.parametrize("element", ["float32", "float64"])
    def test_what_is_not_a_number(self, element, reseal, section_table, backend):
        gradient = gradient_of(some_patterns(element, 64), element)
        frame = bytearray(gcodec.Codec(gcodec.Dense()).encode(gradient).tobytes())
        top, sign = infinity(element), 1 << WIDTHS[element] - 1
        odd = [0, sign, top, top | sign, top + 1, sign - 1, 2 * sign - 1, top | 1 << 5]
        patterns = np.resize(np.array(odd, np.uint64), 64).astype(f"u{WIDTHS[element] // 8}")
        at = section_table(frame)[PAYLOAD][1]
        frame[at : at + patterns.nbytes] = patterns.tobytes()
        decoded = gcodec.decode(reseal(bytes(frame)), backend=backend)
        assert decoded.view(patterns.dtype).tolist() == patterns.tolist()


class TestDenseFrames:
    """Every element is stored, and no chunk has other keys than ALL."""

    KIND = 51

    def kind(self, frame):
        return ids.FrameKind(frame[self.KIND])

    @EVERY
    @pytest.mark.parametrize(
        "recipe", ["dense", "topk:ratio=1", "reclog:ratio=1", "threshold:threshold=0"]
    )
    def test_when_everything_is_stored(self, element, recipe):
        gradient = gradient_of(some_patterns(element, 3000), element)
        frame = gcodec.get_codec(recipe).encode(gradient)
        assert self.kind(frame) is ids.FrameKind.DENSE
        said = gcodec.inspect(frame)
        assert said.header["frame_kind"] == "dense"
        assert said.header["n_stored"] == said.header["n_elements"] == 3000
        assert list(said.key_codecs) == ["all"]

    def test_zeros_among_what_is_stored(self, backend):
        gradient = (np.arange(2000) % 2).astype(np.float32)
        frame = gcodec.Codec(gcodec.Dense()).encode(gradient)
        assert self.kind(frame) is ids.FrameKind.DENSE
        keys, values = gcodec.decode_sparse(frame, backend=backend)
        assert keys.tolist() == list(range(2000))
        assert values.tolist() == gradient.tolist()

    @pytest.mark.parametrize("keys", ["bitmap", "blocks", "coo", "delta", "rice"])
    def test_not_with_other_keys(self, keys):
        frame = gcodec.Codec(gcodec.Dense(), keys=keys).encode(np.ones(100, np.float32))
        assert self.kind(frame) is ids.FrameKind.SPARSE

    def test_not_if_one_chunk_has_less(self):
        gradient = np.ones(4000, np.float32)
        assert self.kind(gcodec.get_codec("topk:k=4000").encode(gradient)) is ids.FrameKind.DENSE
        frame = gcodec.get_codec("topk:k=3200").encode(gradient)
        assert gcodec.inspect(frame).key_codecs["all"] == 3
        assert self.kind(frame) is ids.FrameKind.SPARSE

    def test_not_without_elements(self):
        frame = gcodec.Codec(gcodec.Dense()).encode(np.zeros(0, np.float32))
        assert self.kind(frame) is ids.FrameKind.SPARSE

    @EVERY
    def test_chunks_that_are_smaller_whole(self, element, backend):
        """A few zeros: less than what a bit for each position would take."""
        patterns = some_patterns(element, 4000)
        patterns[[3, 1400, 3999]] = 1 << WIDTHS[element] - 1
        gradient = gradient_of(patterns, element)
        frame = gcodec.get_codec("threshold:threshold=0").encode(gradient)
        assert self.kind(frame) is ids.FrameKind.DENSE
        patterns[[3, 1400, 3999]] = 0
        expected = gradient_of(patterns, element).tobytes()
        assert gcodec.decode(frame, backend=backend).tobytes() == expected
        assert len(frame) <= len(gcodec.get_codec("dense").encode(gradient))

    def test_a_dense_frame_is_a_sparse_one_but_for_its_name(self, compose, backend):
        gradient = np.arange(1, 1401, dtype=np.float32)
        frame = gcodec.Codec(gcodec.Dense()).encode(gradient)
        renamed = compose(frame, header=[(self.KIND, "B", ids.FrameKind.SPARSE)])
        assert gcodec.decode(renamed, backend=backend).tobytes() == gradient.tobytes()
        for kind, error in ((3, gcodec.Malformed), (4, gcodec.UnsupportedFeature)):
            with pytest.raises(error, match=r"count-sketch|control"):
                gcodec.decode(compose(frame, header=[(self.KIND, "B", kind)]), backend=backend)
