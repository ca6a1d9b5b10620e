"""Error feedback, merging and accumulation: float32 also for 16 bits, float64 for float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, exact, kind_of, make
from strategies import codecs, same_bits, vectors

import gcodec

RECIPES = ("topk:ratio=0.1", "reclog:ratio=0.1", "reclog:ratio=1,per_octave=1", "topk:ratio=0.99")
ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
MODERATE = ("normal", "ties", "subnormal")


def wide_frame(frame, kind):
    """Whether a frame holds what sums of a type are made in."""
    return gcodec.inspect(frame).header["elem_dtype"] == kind.wide.name


class TestFeedback:
    """Nothing is lost, to the last bit."""

    @settings(max_examples=60)
    @given(
        codec=codecs(),
        name=st.sampled_from([*KINDS]),
        size=st.sampled_from([0, 1, 65, 300]),
        seed=st.integers(0, 2**32 - 1),
        steps=st.lists(st.tuples(st.sampled_from(MODERATE), st.booleans()), min_size=1, max_size=5),
    )
    def test_exact_over_many_steps(self, codec, name, size, seed, steps):
        kind = KINDS[name]
        memory, residual = gcodec.ErrorFeedback(codec), np.zeros(size, kind.wide)
        for step, (values, delivered) in enumerate(steps):
            grad = make(kind, seed + step, size, 0.8, values)
            u = kind.widened(grad) + residual
            frame = memory.encode("w", grad, step=step)
            assert wide_frame(frame, kind)
            assert bytes(frame) == bytes(codec.encode(u, name="w", step=step))
            v = gcodec.decode(frame)
            after = u - v
            assert (after + v == u).all()
            if delivered:
                memory.commit("w")
                residual = after
            else:
                memory.rollback("w")
            assert same_bits(memory.residual("w"), residual)

    @ALL_KINDS
    def test_sum_of_messages_and_residual_is_the_sum_of_gradients(self, kind, backend):
        """On numbers whose sums are exact, over twenty steps."""
        codec = gcodec.Codec(gcodec.TopK(ratio=0.05), gcodec.Raw(), backend=backend)
        memory, total, sent = gcodec.ErrorFeedback(codec), 0, 0
        for step in range(20):
            grad = make(kind, step, 300, values="ties")
            sent = sent + gcodec.decode(memory.encode("w", grad, step=step)).astype(np.float64)
            memory.commit("w")
            total = total + exact(grad)
        assert (sent + memory.residual("w") == total).all()

    @ALL_KINDS
    def test_both_backends_leave_the_same_bits(self, kind):
        memories = [
            gcodec.ErrorFeedback(gcodec.get_codec("reclog:ratio=0.1", backend=backend))
            for backend in ("cpu", "reference")
        ]
        for step in range(3):
            grad = make(kind, step, 500).reshape(20, 25)
            frames = [memory.encode("w", grad, step=step) for memory in memories]
            assert bytes(frames[0]) == bytes(frames[1])
            for memory in memories:
                memory.commit("w")
            assert same_bits(*(memory.residual("w") for memory in memories))

    @ALL_KINDS
    def test_state_round_trip(self, kind):
        codec = gcodec.get_codec("reclog:ratio=0.1")
        memory, twin = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
        memory.encode("w", make(kind, 0, 60).reshape(6, 10))
        memory.commit("w")
        state = memory.state_dict()
        residual = state["w"]["residual"]
        assert (residual.dtype, residual.shape) == (kind.wide, (6, 10))
        twin.load_state_dict(state)
        frames = [m.encode("w", make(kind, 1, 60).reshape(6, 10)) for m in (memory, twin)]
        assert bytes(frames[0]) == bytes(frames[1])

    @ALL_KINDS
    def test_a_residual_of_16_bits_is_widened(self, kind):
        memory, state = gcodec.ErrorFeedback(gcodec.Codec()), make(kind, 0, 50)
        memory.load_state_dict({"w": {"residual": state}})
        assert same_bits(memory.residual("w"), kind.widened(state))

    @ALL_KINDS
    @pytest.mark.parametrize("other", KINDS.values(), ids=KINDS)
    def test_a_change_of_the_type_of_sums_is_refused(self, kind, other):
        memory = gcodec.ErrorFeedback(gcodec.Codec())
        memory.encode("w", make(kind, 0, 50))
        memory.commit("w")
        before = memory.residual("w").copy()
        if kind.wide == other.wide:
            memory.encode("w", make(other, 1, 50))
            memory.commit("w")
            return
        with pytest.raises(gcodec.StateError, match=f"{other.wide}, its residual .*{kind.wide}"):
            memory.encode("w", make(other, 1, 50))
        assert same_bits(memory.residual("w"), before)
        with pytest.raises(gcodec.StateError):
            memory.commit("w")
        memory.reset("w")
        memory.encode("w", make(other, 1, 50))

    @ALL_KINDS
    def test_failures_change_nothing(self, kind, backend):
        memory = gcodec.ErrorFeedback(gcodec.Codec(backend=backend))
        full = np.zeros(50, kind.wide)
        full[7] = np.finfo(kind.wide).max
        memory.load_state_dict({"w": {"residual": full}})
        bad = kind.of([kind.one] * 50)
        bad[9] = kind.of([kind.infinity])[0]
        with pytest.raises(gcodec.NonFiniteError, match=r"sum .*index 9\b"):
            memory.encode("w", bad)
        if kind.name != "float16":  # whose largest number is lost beside that of float32
            with pytest.raises(gcodec.NonFiniteError, match=r"sum .*index 7\b"):
                memory.encode("w", kind.of([kind.infinity - 1] * 50))
        assert same_bits(memory.residual("w"), full)

    def test_small_remainders_of_16_bits_are_kept(self):
        """In bfloat16 itself, 1 + 2**-8 would be 1 for ever."""
        kind = KINDS["bfloat16"]
        memory = gcodec.ErrorFeedback(gcodec.get_codec("topk:k=1"))
        grad, sent = kind.nearest([2.0**-8, 1.0]), np.zeros(2)
        for step in range(260):
            sent += gcodec.decode(memory.encode("w", grad, step=step))
            memory.commit("w")
        assert sent.tolist() == [1, 260]
        assert memory.residual("w").tolist() == [4 * 2.0**-8, 0]


class TestMerge:
    """The float32 sum of 16-bit frames, the float64 sum of float64 frames."""

    @settings(max_examples=60)
    @given(
        recipes=st.lists(st.sampled_from(RECIPES), min_size=1, max_size=4),
        dense=vectors((0, 1, 50, 1400)),
        seed=st.integers(0, 999),
    )
    def test_the_sum_in_the_order_given(self, recipes, dense, seed):
        kind = kind_of(dense)
        grads = [dense] + [make(kind, seed + i, dense.size) for i in range(len(recipes) - 1)]
        frames = [gcodec.get_codec(r).encode(g) for r, g in zip(recipes, grads, strict=True)]
        expected = np.zeros(dense.size, kind.wide)
        with np.errstate(over="ignore"):
            for frame in frames:
                expected += kind.widened(gcodec.decode(frame))
        if not np.isfinite(expected).all():
            with pytest.raises(gcodec.NonFiniteError):
                gcodec.merge(frames)
            return
        merged = gcodec.merge(frames)
        assert wide_frame(merged, kind)
        assert np.array_equal(gcodec.decode(merged), expected)
        slow = gcodec.Codec(gcodec.Threshold(0.0), backend="reference")
        assert bytes(gcodec.merge(frames, codec=slow)) == bytes(merged)
        again = gcodec.merge([merged])
        assert bytes(gcodec.merge([again])) == bytes(again) == bytes(merged)

    def test_all_types_but_float64_go_together(self):
        frames = [gcodec.Codec().encode(make(kind, 0, 500)) for kind in KINDS.values()]
        total = np.zeros(500, np.float32)
        for frame, kind in zip(frames[:3], KINDS.values(), strict=False):
            total += kind.widened(gcodec.decode(frame))
        assert same_bits(gcodec.decode(gcodec.merge(frames[:3])), total)
        with pytest.raises(gcodec.Mismatch, match="frame 3 holds float64, frame 0 float16"):
            gcodec.merge(frames)
        with pytest.raises(gcodec.Mismatch, match="frame 1 holds float32, frame 0 float64"):
            gcodec.merge(frames[:-3:-1])

    def test_a_lossless_frame_of_wide_numbers_is_its_own_merge(self):
        for name in ("float32", "float64"):
            codec = gcodec.Codec(gcodec.Threshold(0.0))
            frame = codec.encode(make(KINDS[name], 1, 3000, 0.2), name="w", step=5)
            assert bytes(gcodec.merge([frame])) == bytes(frame)

    def test_stored_zeros_do_not_matter(self):
        """Whole chunks and dense frames hold zeros; the sum drops them."""
        grads = [make(KINDS["float32"], seed, 3000, 0.98) for seed in range(2)]
        plain = gcodec.merge([gcodec.Codec(gcodec.Threshold(0.0)).encode(g) for g in grads])
        dense = gcodec.merge([gcodec.get_codec("dense").encode(g) for g in grads])
        assert bytes(dense) == bytes(plain)
        zeros = gcodec.get_codec("dense").encode(np.zeros(100, np.float32))
        assert gcodec.inspect(zeros).header["n_stored"] == 100
        assert gcodec.inspect(gcodec.merge([zeros, zeros])).header["n_stored"] == 0

    def test_cancelled_elements_are_dropped(self):
        grad = make(KINDS["float64"], 2, 500)
        frames = [gcodec.Codec(gcodec.TopK(k=50)).encode(g) for g in (grad, -grad)]
        assert gcodec.inspect(gcodec.merge(frames)).header["n_stored"] == 0
