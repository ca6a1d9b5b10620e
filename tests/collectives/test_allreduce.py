"""The contract of the sparse allreduce, on ranks that are threads."""

import re
from functools import partial

import numpy as np
import pytest
from fake import raised, run_ranks
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec.collectives import Allreduce

CODECS = ["topk:ratio=0.1", "reclog:ratio=0.05", "threshold:threshold=0.5", "topk:ratio=1"]


def gradients(seed, size, n):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(np.float32) for _ in range(size)]


def rank_order_sum(frames, shape):
    total = np.zeros(shape, np.float32)
    for frame in frames:
        total += gcodec.decode(frame)
    return total


@given(
    size=st.integers(1, 9),
    n=st.sampled_from([0, 1, 2, 3, 64, 65, 2000]),
    recipe=st.sampled_from(CODECS),
    op=st.sampled_from(["sum", "mean"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_every_rank_gets_the_rank_order_sum_bit_for_bit(size, n, recipe, op, seed):
    codec, grads = gcodec.get_codec(recipe), gradients(seed, size, n)
    results = run_ranks(size, lambda c: Allreduce(c, codec, op=op)("w", grads[c.rank], step=7))
    expected = rank_order_sum([codec.encode(g, name="w", step=7) for g in grads], n)
    if op == "mean":
        expected /= np.float32(size)
    for result in results:
        assert result.tobytes() == expected.tobytes()


def test_feedback_is_committed_on_success():
    codec, grads = gcodec.get_codec("topk:k=3"), gradients(1, 3, 100)
    memories = [gcodec.ErrorFeedback(codec) for _ in grads]

    def program(communicator):
        allreduce = Allreduce(communicator, codec, feedback=memories[communicator.rank], op="sum")
        return [allreduce("w", grads[communicator.rank], step=step) for step in range(4)]

    sent = np.sum([np.sum(r, axis=0) for r in run_ranks(3, program)[:1]], axis=0)
    left = np.sum([memory.residual("w") for memory in memories], axis=0)
    np.testing.assert_allclose(sent + left, 4 * np.sum(grads, axis=0), rtol=1e-5, atol=1e-5)


def failing(fault, codec, memories):
    """A program in which rank 1 does something else than the others on its second call."""

    def program(communicator):
        mine = codec
        other = communicator.rank == 1
        if other and fault == "codec":
            mine = gcodec.get_codec("topk:k=4")
            memories[1] = gcodec.ErrorFeedback(mine)
        allreduce = Allreduce(communicator, mine, feedback=memories[communicator.rank])
        grad, name, step, out = np.ones(50, np.float32), "w", 1, None
        if other:
            match fault:
                case "shape":
                    grad = np.ones((5, 10), np.float32)
                case "length":
                    grad = np.ones(51, np.float32)
                case "name":
                    name = "v"
                case "step":
                    step = 2
                case "nan":
                    grad = np.full(50, np.nan, np.float32)
                case "dtype":
                    grad = np.ones(50)
                case "integers":
                    grad = np.ones(50, int)
                case "out":
                    out = np.zeros(3, np.float32)
                case "object":
                    grad = object()
                case "ragged":
                    grad = [[1.0], [2.0, 3.0]]
                case "a name that is none":
                    name = 3
                case "a step that is none":
                    step = "1"
        try:
            allreduce(name, grad, step=step, out=out)
        finally:
            with pytest.raises(gcodec.StateError, match="no open message"):
                memories[communicator.rank].commit(name)

    return program


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("codec", "the algorithm or the form: rank 0, 2 against rank 1"),
        ("shape", "the shape of the tensor"),
        ("length", "50 on rank 0, 2 against 51 on rank 1"),
        ("name", "the tensor's name"),
        ("step", "the step: 1 on rank 0, 2 against 2 on rank 1"),
        ("nan", "rank 1: NonFiniteError"),
        ("dtype", "element type: float32 on rank 0, 2 against float64 on rank 1"),
        ("integers", "rank 1: UnsupportedDtypeError"),
        ("out", "rank 1: Mismatch"),
        ("object", "rank 1: UnsupportedDtypeError"),
        ("ragged", "rank 1: an unexpected error"),
        ("a name that is none", "rank 1: an unexpected error"),
        ("a step that is none", "rank 1: an unexpected error"),
    ],
)
def test_a_mismatch_raises_the_same_error_on_every_rank_and_changes_no_residual(fault, says):
    codec = gcodec.get_codec("topk:k=3")
    memories = [gcodec.ErrorFeedback(codec) for _ in range(3)]
    errors = run_ranks(3, failing(fault, codec, memories))
    assert [type(error) for error in errors] == [gcodec.RankMismatchError] * 3
    assert len({str(error) for error in errors}) == 1
    assert re.search(says, str(errors[0]))
    for memory in memories:
        assert not any(state["residual"].any() for state in memory.state_dict().values())


def test_the_failing_rank_sees_its_own_cause():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        grad = np.full(9, np.inf if communicator.rank else 1, np.float32)
        return Allreduce(communicator, codec)("w", grad)

    healthy, failed = run_ranks(2, program)
    assert isinstance(failed.__cause__, gcodec.NonFiniteError)
    assert healthy.__cause__ is None


def test_ranks_go_on_after_a_mismatch():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        allreduce = Allreduce(communicator, codec, feedback=gcodec.ErrorFeedback(codec))
        with pytest.raises(gcodec.RankMismatchError):
            allreduce("w", np.ones(9, np.float32), step=communicator.rank)
        return allreduce("w", np.ones(9, np.float32), step=5)

    first, second = run_ranks(2, program)
    assert first.tobytes() == second.tobytes()
    assert np.count_nonzero(first) == 3


def test_call_counts_that_differ_are_found():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        allreduce = Allreduce(communicator, codec)
        allreduce._sequence = communicator.rank
        return allreduce("w", np.ones(9, np.float32))

    for error in run_ranks(2, program):
        assert isinstance(error, gcodec.RankMismatchError)
        assert "number of allreduce calls" in str(error)


@pytest.mark.parametrize("ends", ["finish", "the same name", "another name", "a NaN"])
@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("ahead", [False, True])
def test_all_hear_with_the_next_call_that_one_could_not_decode(ahead, before, ends):
    """And have the residuals from before, to the last bit."""
    codec, says = gcodec.get_codec("topk:k=3"), "on rank 1: Corrupt, rank 2: Corrupt; no residual"

    def program(communicator):
        rank, memory = communicator.rank, gcodec.ErrorFeedback(codec)
        allreduce = Allreduce(communicator, codec, feedback=memory)
        grads = gradients(rank, before + 2, 9)
        for grad in grads[:before]:
            allreduce("w", grad)
        state = memory.residual("w").copy() if before else np.zeros(9, np.float32)
        out = np.full(9, 5, np.float32)
        if rank:
            damage(communicator, 0)
        call = (lambda *a, **k: allreduce.start(*a, **k).wait()) if ahead else allreduce
        error = raised(call, "w", grads[-2], out=out)
        if rank:
            assert f"decoding failed on rank {rank}: Corrupt; no residual" in str(error)
            assert isinstance(error.__cause__, gcodec.Corrupt)
            assert (out == 5).all()
        mend(communicator)
        work = {
            "finish": allreduce.finish,
            "the same name": partial(allreduce, "w", grads[-1]),
            "another name": partial(allreduce, "v", grads[-1]),
            "a NaN": partial(allreduce, "w", np.full(9, np.nan, np.float32)),
        }
        with pytest.raises(gcodec.RankMismatchError, match=says) as caught:
            work[ends]()
        assert type(caught.value.__cause__) is (gcodec.Corrupt if rank else type(None))
        assert memory.residual("w").tobytes() == state.tobytes()
        allreduce.finish()
        return str(caught.value), allreduce("w", grads[-1]).tobytes()

    assert len(set(run_ranks(3, program))) == 1


def damage(communicator, rank):
    """Have this rank receive frames of a rank with a bit that is another."""

    def damaged(receive, *arguments):
        received = [np.array(each) for each in receive(*arguments)]
        if received[rank].size:
            received[rank][-70] ^= 1
        return received

    def announce(head, rider):
        heads, riders = zip(*type(communicator).announce(communicator, head, rider), strict=True)
        return zip(heads, damaged(list, riders), strict=True)

    communicator.announce = announce
    communicator.allgatherv = partial(damaged, communicator.allgatherv)


def mend(communicator):
    for method in ("announce", "allgatherv"):
        communicator.__dict__.pop(method, None)


def test_finish_has_nothing_to_do_without_calls_and_after_itself():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        link = Counted(communicator)
        allreduce = Allreduce(link, codec, feedback=gcodec.ErrorFeedback(codec))
        allreduce.finish()
        assert link.calls == []
        allreduce("w", np.ones(9, np.float32))
        allreduce.finish()
        allreduce.finish()
        assert link.calls == ["announce", "announce"]

    assert run_ranks(2, program) == [None, None]


def test_a_rank_that_finishes_while_another_makes_a_call():
    def program(communicator):
        allreduce = Allreduce(communicator, gcodec.get_codec("topk:k=3"))
        allreduce("w", np.ones(9, np.float32))
        if communicator.rank:
            allreduce.finish()
        else:
            allreduce("w", np.ones(9, np.float32))

    errors = run_ranks(2, program)
    assert [type(error) for error in errors] == [gcodec.RankMismatchError] * 2
    assert len({str(error) for error in errors}) == 1


def test_a_rank_that_begins_anew_waits_for_nobody():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        memory, grad = gcodec.ErrorFeedback(codec), np.ones(9, np.float32)
        allreduce = Allreduce(communicator, codec, feedback=memory)
        allreduce("w", grad)
        if communicator.rank:
            allreduce = Allreduce(communicator, codec, feedback=memory)
        with pytest.raises(gcodec.RankMismatchError, match="number of allreduce calls"):
            allreduce("w", grad)
        allreduce.finish()
        return np.count_nonzero(memory.residual("w"))

    assert run_ranks(2, program) == [6, 6]


class Counted:
    """A communicator that notes which of its methods are called."""

    def __init__(self, inner):
        self.inner, self.rank, self.size, self.calls = inner, inner.rank, inner.size, []

    def __getattr__(self, name):
        def call(*arguments):
            self.calls.append(name)
            return getattr(self.inner, name)(*arguments)

        return call


@pytest.mark.parametrize(("n", "exchanges"), [(1000, 1), (100_000, 2)])
def test_exchanges_of_an_allgather(n, exchanges):
    """Descriptors and frames: together where frames are short, unless started ahead."""
    codec, grads = gcodec.get_codec("topk:ratio=0.5"), gradients(0, 3, n)

    def program(communicator):
        link = Counted(communicator)
        allreduce = Allreduce(link, codec, feedback=gcodec.ErrorFeedback(codec))
        for step in range(3):
            allreduce("w", grads[communicator.rank], step=step)
        assert link.calls == ["announce", "allgatherv"][:exchanges] * 3
        link.calls.clear()
        allreduce.start("w", grads[communicator.rank]).wait()
        assert link.calls == ["announce", "allgatherv"]
        if exchanges == 1 and communicator.rank:  # whoever likes to wait at once may
            allreduce("w", grads[communicator.rank])
        else:
            allreduce.start("w", grads[communicator.rank]).wait()
        return allreduce.bytes_sent

    assert all(isinstance(sent, int) for sent in run_ranks(3, program))


def test_out_and_counters():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        allreduce = Allreduce(communicator, codec, op="sum")
        out = np.full((3, 3), 9, np.float32)
        assert allreduce("w", np.ones((3, 3), np.float32), out=out) is out
        frame = codec.encode(np.ones((3, 3), np.float32), name="w")
        assert allreduce.bytes_sent == 64 + len(frame)
        assert allreduce.codec_seconds > 0
        return out.tolist()

    assert run_ranks(2, program) == [[[2, 2, 2], [0, 0, 0], [0, 0, 0]]] * 2


def test_wrong_construction():
    codec = gcodec.get_codec("topk:k=3")
    with pytest.raises(ValueError, match="op is 'mean' or 'sum'"):
        Allreduce(None, codec, op="max")
    with pytest.raises(TypeError, match="codec is a Codec, WarmUp or Exclude, not 'topk:k=3'"):
        Allreduce(None, "topk:k=3")
    with pytest.raises(ValueError, match="feedback is for"):
        Allreduce(None, codec, feedback=gcodec.ErrorFeedback(gcodec.get_codec("topk:k=4")))
