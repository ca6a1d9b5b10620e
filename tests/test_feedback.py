"""Error feedback: nothing is lost, to the last bit, and a failure changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FLOAT_MAX, QUANTIZERS, SELECTORS, codecs, make_gradient, same_bits, selectors

import gcodec

CODEC = gcodec.Codec(gcodec.TopK(ratio=0.2), gcodec.ReciprocalLog(2))
MODERATE = ("normal", "ties", "all_equal", "subnormal", "around_smallest_normal")


def bits(array):
    return array.view(np.uint32)


def check_step(codec, memory, name, grad, residual, step):
    """Encode one gradient over `residual`; the frame and the residual that a commit must leave.

    What holds, with u = grad + residual in float32 and v the decoded frame:

    * the new residual is u - v in float32, every bit;
    * residual + v is u, every bit, but where u is -0.0, which comes back as 0.0;
    * u is -0.0 only where gradient and residual both are, so never after a start from nothing.
    """
    u = grad + residual
    frame = memory.encode(name, grad, step=step)
    assert bytes(frame) == bytes(codec.encode(u, name=name, step=step))
    v = gcodec.decode(frame)
    after = u - v
    negative_zero = (u == 0) & np.signbit(u)
    back = after + v
    assert same_bits(back[~negative_zero], u[~negative_zero])
    assert (bits(back)[negative_zero] == 0).all()
    assert ((bits(grad) == bits(residual)) | ~negative_zero).all()
    assert same_bits(memory.residual(name), residual), "encode alone must not change the residual"
    return frame, after


@pytest.mark.parametrize("quantize", QUANTIZERS, ids=str)
@pytest.mark.parametrize("select", SELECTORS)
@settings(max_examples=8)
@given(
    data=st.data(),
    size=st.sampled_from([0, 1, 64, 65, 300, 2049]),
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(
        st.tuples(st.sampled_from(MODERATE), st.booleans(), st.booleans()), min_size=1, max_size=8
    ),
)
def test_exact_over_many_steps(select, quantize, data, size, seed, steps):
    codec = gcodec.Codec(data.draw(selectors(select)), quantize)
    memory = gcodec.ErrorFeedback(codec)
    residual = np.zeros(size, np.float32)
    for step, (values, negative_zeros, delivered) in enumerate(steps):
        grad = make_gradient(seed + step, size, 0.8, values=values, negative_zeros=negative_zeros)
        _, after = check_step(codec, memory, "w", grad, residual, step)
        if delivered:
            memory.commit("w")
            residual = after
        else:
            memory.rollback("w")
        assert same_bits(memory.residual("w"), residual)
        assert not ((residual == 0) & np.signbit(residual)).any(), "-0.0 from a start of nothing"


@settings(max_examples=30)
@given(codec=codecs(), seed=st.integers(0, 2**32 - 1))
def test_negative_zeros_in_a_loaded_residual(codec, seed):
    residual = make_gradient(seed, 300, 0.5, negative_zeros=True)
    grad = make_gradient(seed + 1, 300, 0.5, negative_zeros=True)
    memory = gcodec.ErrorFeedback(codec)
    memory.load_state_dict({"w": {"residual": residual}})
    _, after = check_step(codec, memory, "w", grad, residual, 0)
    memory.commit("w")
    assert same_bits(memory.residual("w"), after)


def test_sum_of_messages_and_residual_is_the_sum_of_gradients():
    """On numbers whose sums are exact, over fifty steps."""
    memory = gcodec.ErrorFeedback(gcodec.Codec(gcodec.TopK(ratio=0.05), gcodec.Raw()))
    total = sent = np.zeros(500)
    for step in range(50):
        grad = make_gradient(step, 500, values="ties")
        sent = sent + gcodec.decode(memory.encode("w", grad, step=step))
        memory.commit("w")
        total = total + grad
    assert (sent + memory.residual("w") == total).all()


@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4), (2, 1, 2, 2, 2)], ids=str)
def test_shapes(shape, backend):
    codec = gcodec.Codec(gcodec.TopK(k=2), gcodec.ReciprocalLog(4), backend=backend)
    memory = gcodec.ErrorFeedback(codec)
    grad = make_gradient(1, int(np.prod(shape, dtype=int))).reshape(shape)
    residual = np.zeros(shape, np.float32)
    for step in range(3):
        u = grad + residual
        frame = memory.encode("w", grad, step=step)
        memory.commit("w")
        residual = u - gcodec.decode(frame)
        assert same_bits(memory.residual("w"), np.asarray(residual))


def test_both_backends_leave_the_same_bits():
    memories = [
        gcodec.ErrorFeedback(gcodec.Codec(CODEC.select, CODEC.quantize, backend=backend))
        for backend in ("cpu", "reference")
    ]
    for step in range(5):
        grad = make_gradient(step, 700, 0.6, clustered=True)
        frames = [memory.encode("w", grad, step=step) for memory in memories]
        assert bytes(frames[0]) == bytes(frames[1])
        for memory in memories:
            memory.commit("w")
        assert same_bits(memories[0].residual("w"), memories[1].residual("w"))


def _with(value, size=130):
    grad = make_gradient(3, size)
    grad[size // 2] = value
    return grad


FAILURES = {
    "NaN": (lambda: _with(np.nan), {}, gcodec.NonFiniteError),
    "infinity": (lambda: _with(-np.inf), {}, gcodec.NonFiniteError),
    "the sum overflows": (lambda: _with(FLOAT_MAX), {}, gcodec.NonFiniteError),
    "another size": (lambda: make_gradient(3, 131), {}, gcodec.StateError),
    "another shape": (lambda: make_gradient(3, 130).reshape(13, 10), {}, gcodec.StateError),
    "integers": (lambda: np.ones(130, np.int32), {}, gcodec.UnsupportedDtypeError),
    "a negative step": (lambda: make_gradient(3, 130), {"step": -1}, gcodec.LimitExceeded),
    "a step too far": (lambda: make_gradient(3, 130), {"step": 2**64}, gcodec.LimitExceeded),
}


def _with_large_residual(backend):
    """A memory whose residual holds something everywhere, and nearly the largest float32 at 65."""
    codec = gcodec.Codec(gcodec.TopK(k=3), gcodec.Raw(), backend=backend)
    memory = gcodec.ErrorFeedback(codec)
    state = make_gradient(9, 130)
    state[65] = FLOAT_MAX
    memory.load_state_dict({"w": {"residual": state}})
    return memory, state


@pytest.mark.parametrize("why", FAILURES)
def test_a_failed_encode_changes_nothing(why, backend):
    make, keywords, error = FAILURES[why]
    memory, state = _with_large_residual(backend)
    undisturbed, _ = _with_large_residual(backend)
    with pytest.raises(error):
        memory.encode("w", make(), **keywords)
    assert same_bits(memory.residual("w"), state)
    with pytest.raises(gcodec.StateError):
        memory.commit("w")
    with pytest.raises(gcodec.StateError):
        memory.rollback("w")

    grad = -make_gradient(4, 130)
    frames = [m.encode("w", grad) for m in (memory, undisturbed)]
    assert bytes(frames[0]) == bytes(frames[1])
    for m in (memory, undisturbed):
        m.commit("w")
    assert same_bits(memory.residual("w"), undisturbed.residual("w"))


@pytest.mark.parametrize("why", ["NaN", "integers", "a negative step"])
def test_a_failed_first_encode_leaves_no_trace(why, backend):
    make, keywords, error = FAILURES[why]
    memory = gcodec.ErrorFeedback(gcodec.Codec(backend=backend))
    with pytest.raises(error):
        memory.encode("w", make(), **keywords)
    assert memory.state_dict() == {}
    with pytest.raises(gcodec.StateError):
        memory.residual("w")
    memory.encode("w", np.ones((2, 3), np.float32))
    memory.commit("w")
    assert memory.residual("w").shape == (2, 3)


def test_the_place_of_an_overflow_is_told(backend):
    memory, _ = _with_large_residual(backend)
    with pytest.raises(gcodec.NonFiniteError, match=r"sum .*'w'.* index 65\b"):
        memory.encode("w", _with(FLOAT_MAX))


class TestOrder:
    """encode, then commit or rollback, then encode."""

    @pytest.fixture
    def memory(self):
        memory = gcodec.ErrorFeedback(CODEC)
        memory.encode("w", make_gradient(0, 50))
        return memory

    @pytest.mark.parametrize("close", ["commit", "rollback"])
    def test_nothing_to_close(self, close):
        memory = gcodec.ErrorFeedback(CODEC)
        with pytest.raises(gcodec.StateError, match="'w'"):
            getattr(memory, close)("w")

    @pytest.mark.parametrize("first", ["commit", "rollback"])
    @pytest.mark.parametrize("second", ["commit", "rollback"])
    def test_closing_twice(self, memory, first, second):
        getattr(memory, first)("w")
        before = memory.residual("w").copy()
        with pytest.raises(gcodec.StateError):
            getattr(memory, second)("w")
        assert same_bits(memory.residual("w"), before)

    def test_encoding_over_an_open_message(self, memory):
        with pytest.raises(gcodec.StateError, match="commit or rollback"):
            memory.encode("w", make_gradient(1, 50))
        memory.commit("w")
        expected = gcodec.ErrorFeedback(CODEC)
        expected.encode("w", make_gradient(0, 50))
        expected.commit("w")
        assert same_bits(memory.residual("w"), expected.residual("w"))

    def test_names_are_independent(self, memory):
        memory.encode("b", make_gradient(1, 20))
        memory.rollback("b")
        assert not memory.residual("b").any()
        memory.commit("w")
        assert memory.residual("w").any()

    def test_reset_forgets_residual_and_open_message(self, memory):
        memory.reset("w")
        with pytest.raises(gcodec.StateError):
            memory.commit("w")
        memory.encode("w", make_gradient(0, 20))
        memory.commit("w")
        memory.reset("never seen")


class TestState:
    """The committed residuals as a value."""

    def trained(self, codec=CODEC):
        memory = gcodec.ErrorFeedback(codec)
        for step in range(3):
            memory.encode("a", make_gradient(step, 60).reshape(6, 10), step=step)
            memory.commit("a")
        memory.encode("b", make_gradient(5, 20))
        memory.commit("b")
        return memory

    def test_round_trip(self):
        memory, twin = self.trained(), gcodec.ErrorFeedback(CODEC)
        twin.load_state_dict(memory.state_dict())
        assert twin.state_dict().keys() == {"a", "b"}
        grad = make_gradient(9, 60).reshape(6, 10)
        frames = [m.encode("a", grad) for m in (memory, twin)]
        assert bytes(frames[0]) == bytes(frames[1])
        for m in (memory, twin):
            m.commit("a")
        assert same_bits(memory.residual("a"), twin.residual("a"))

    def test_is_a_copy_both_ways(self):
        memory = self.trained()
        state = memory.state_dict()
        before = state["a"]["residual"].copy()
        memory.encode("a", np.ones((6, 10), np.float32))
        memory.commit("a")
        memory.encode("a", np.ones((6, 10), np.float32))
        assert same_bits(state["a"]["residual"], before)
        memory.load_state_dict(state)
        state["a"]["residual"][:] = 7
        assert same_bits(memory.residual("a"), before)

    def test_holds_no_open_message(self):
        memory = self.trained()
        before = memory.state_dict()
        memory.encode("a", np.ones((6, 10), np.float32))
        assert same_bits(memory.state_dict()["a"]["residual"], before["a"]["residual"])
        memory.load_state_dict(before)
        with pytest.raises(gcodec.StateError):
            memory.commit("a")

    def test_loading_what_does_not_fit_changes_nothing(self):
        memory = self.trained()
        before = memory.state_dict()
        memory.encode("a", np.ones((6, 10), np.float32))
        with pytest.raises(gcodec.UnsupportedDtypeError):
            memory.load_state_dict({"b": before["b"], "a": {"residual": np.ones(3, int)}})
        assert same_bits(memory.state_dict()["a"]["residual"], before["a"]["residual"])
        memory.commit("a")

    def test_residual_cannot_be_written(self):
        with pytest.raises(ValueError):
            self.trained().residual("a")[0, 0] = 1

    def test_residual_as_the_next_gradient(self):
        memory = self.trained()
        residual = memory.residual("a").copy()
        frame = memory.encode("a", memory.residual("a"))
        assert bytes(frame) == bytes(CODEC.encode(residual + residual, name="a"))
        assert same_bits(memory.residual("a"), residual)


def test_what_a_collective_drops_is_retained_until_rollback():
    memory = gcodec.ErrorFeedback(gcodec.get_codec("topk:k=2"))
    grad = np.array([[4, 1], [3, 2]], np.float32)
    for keep in (False, True):
        memory.encode("w", grad)
        memory.retain("w", np.array([0, 3]), np.array([4, 0.5], np.float32))
        memory.commit("w") if keep else memory.rollback("w")
    assert memory.residual("w").tolist() == [[4, 1], [0, 2.5]]
    with pytest.raises(gcodec.StateError, match="no open message of 'w'"):
        memory.retain("w", np.array([0]), np.array([1], np.float32))


def states_equal(state, other):
    same = [same_bits(state[key], other[key]) for key in state if key != "selector"]
    return all(same) and state["selector"] == other["selector"]


@pytest.mark.parametrize("recipe", ["topk:k=9", "sidco:ratio=0.1"])
@pytest.mark.parametrize("kind", [gcodec.ErrorFeedback, gcodec.MomentumFeedback])
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.sampled_from(["commit", "may revoke", "rollback", "NaN"])),
        max_size=8,
    )
)
@settings(max_examples=40)
def test_a_commit_that_is_not_final_can_be_revoked(kind, recipe, steps):
    """Before or after the next message is encoded; as if the message had never been."""
    codec, rng = gcodec.get_codec(recipe), np.random.default_rng(0)
    memory = kind(codec)
    memory.encode("w", rng.standard_normal(200, np.float32))
    memory.commit("w")
    now = before = memory.state_dict()["w"]
    for revoked, then in steps:
        grad = rng.standard_normal(200, np.float32)
        if then == "NaN":
            with pytest.raises(gcodec.NonFiniteError):
                memory.encode("w", np.full(200, np.nan, np.float32))
        else:
            like = kind(codec)
            like.load_state_dict({"w": now})
            assert bytes(memory.encode("w", grad)) == bytes(like.encode("w", grad))
            like.commit("w")
        if revoked:
            memory.revoke("w")
            memory.revoke("w")
            now = before
        else:
            memory.settle("w")
        if then == "rollback" or (then != "NaN" and revoked):
            memory.rollback("w")
        elif then != "NaN":
            memory.commit("w", final=then == "commit")
            before = now if then == "may revoke" else like.state_dict()["w"]
            now = like.state_dict()["w"]
        if then in ("rollback", "NaN") or revoked:
            before = now
        assert states_equal(memory.state_dict()["w"], now)
    memory.revoke("w")
    assert states_equal(memory.state_dict()["w"], before)
    memory.revoke("no such name")
    memory.settle("no such name")


@pytest.mark.parametrize(("settled", "buffers"), [(True, 2), (False, 3)])
def test_buffers_take_turns(settled, buffers):
    memory, grad = gcodec.ErrorFeedback(CODEC), np.ones(50, np.float32)
    places = set()
    for _ in range(12):
        memory.encode("w", grad)
        if not settled:
            memory.settle("w")
        memory.commit("w", final=False)
        if settled:
            memory.settle("w")
        places.add(memory.residual("w").ctypes.data)
    assert len(places) == buffers
