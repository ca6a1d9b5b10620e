"""Sums that are started and waited for later, and the forms they come in."""

import numpy as np
import pytest
from fake import run_ranks

import gcodec
from gcodec.collectives import ALGORITHMS, Allreduce

CODEC = gcodec.get_codec("topk:ratio=0.05")
N = 20_000


def gradients(size, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(-99, 99, (N // 10, 10)).astype(np.float32) for _ in range(size)]


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "auto"])
def test_buckets_in_flight_at_once_give_what_one_after_another_give(algorithm):
    grads = gradients(4)

    def program(communicator, ahead):
        memory = None if algorithm == "plain" else gcodec.ErrorFeedback(CODEC)
        allreduce = Allreduce(communicator, CODEC, feedback=memory, algorithm=algorithm)
        results, out = [], [np.empty((N // 10, 10), np.float32) for _ in range(3)]
        for step in range(2):
            pending = []
            for bucket in range(3):
                grad = grads[communicator.rank] * np.float32(bucket + 1)
                pending.append(allreduce.start(str(bucket), grad, step=step, out=out[bucket]))
                if not ahead:
                    results.append(pending.pop().wait().tobytes())
            results += [each.wait().tobytes() for each in pending]
        return results, allreduce.bytes_sent

    together = run_ranks(4, lambda communicator: program(communicator, True), per_node=2)
    apart = run_ranks(4, lambda communicator: program(communicator, False), per_node=2)
    assert [rank[0] for rank in together] == [apart[0][0]] * 4
    if algorithm != "auto":
        agreed = 2 * 2 * 8 if algorithm == "allgather" else 0  # while others are on their way
        assert [rank[1] for rank in together] == [rank[1] + agreed for rank in apart]


def test_until_a_wait_the_message_is_open():
    def program(communicator):
        memory = gcodec.ErrorFeedback(CODEC)
        allreduce = Allreduce(communicator, CODEC, feedback=memory)
        grad = np.ones(100, np.float32)
        pending = allreduce.start("w", grad)
        with pytest.raises(gcodec.RankMismatchError, match="StateError"):
            allreduce.start("w", grad)
        assert not memory.residual("w").any()
        pending.wait()
        assert memory.residual("w").any()
        with pytest.raises(gcodec.StateError, match="waited for already"):
            pending.wait()
        return True

    assert run_ranks(2, program) == [True, True]


@pytest.mark.parametrize("op", ["sum", "mean"])
@pytest.mark.parametrize("recipe", ["topk:ratio=0.05", "dense", "qsgd:values=fixed"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_sum_as_pairs_and_as_a_frame(algorithm, recipe, op):
    codec, grads = gcodec.get_codec(recipe), gradients(3)

    def program(communicator):
        allreduce = Allreduce(communicator, codec, op=op, algorithm=algorithm)
        grad = grads[communicator.rank]
        return [allreduce("w", grad, step=7, form=form) for form in ("dense", "sparse", "frame")]

    for dense, (keys, values), frame in run_ranks(3, program, per_node=2):
        assert (keys == np.flatnonzero(dense)).all()
        assert values.tobytes() == dense.reshape(-1)[keys].tobytes()
        assert gcodec.decode(frame).tobytes() == dense.tobytes()
        said = gcodec.inspect(frame)
        assert said.shapes == [dense.shape]
        assert (said.header["contributions"], said.header["step"]) == (3, 7)


def test_the_form_is_agreed_on_and_has_no_out():
    def program(communicator, forms, out=None):
        allreduce = Allreduce(communicator, CODEC)
        allreduce("w", np.ones(9, np.float32), form=forms[communicator.rank], out=out)

    for error in run_ranks(2, lambda c: program(c, ["dense", "sparse"])):
        assert "the form: rank 0 against rank 1" in str(error)
    for error in run_ranks(2, lambda c: program(c, ["sparse"] * 2, np.ones(9, np.float32))):
        assert "rank 0: Mismatch, rank 1: Mismatch" in str(error)
        assert "out for dense" in str(error.__cause__)
    for error in run_ranks(2, lambda c: program(c, ["text"] * 2)):
        assert "one of dense, sparse, frame" in str(error.__cause__)


def test_an_infinite_sum_is_no_frame_and_changes_no_residual():
    grad = np.full(50, 3e38, np.float32)
    memories = [gcodec.ErrorFeedback(CODEC) for _ in range(2)]

    def program(communicator):
        allreduce = Allreduce(communicator, CODEC, feedback=memories[communicator.rank], op="sum")
        allreduce("w", grad, form="frame")

    errors = run_ranks(2, program)
    assert [type(error) for error in errors] == [gcodec.NonFiniteError] * 2
    assert not any(memory.residual("w").any() for memory in memories)
