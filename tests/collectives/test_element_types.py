"""The sparse allreduce in every element type, and with types that do not go together."""

import re

import numpy as np
import pytest
from fake import run_ranks
from kinds import KINDS, exact, make

import gcodec
from gcodec.collectives import Allreduce

ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@ALL_KINDS
@pytest.mark.parametrize("op", ["sum", "mean"])
@pytest.mark.parametrize("recipe", ["topk:ratio=0.2", "reclog:ratio=0.1", "dense"])
def test_every_rank_gets_the_rank_order_sum_bit_for_bit(kind, op, recipe):
    codec, grads = gcodec.get_codec(recipe), [make(kind, rank, 500) for rank in range(5)]

    def program(communicator):
        allreduce = Allreduce(communicator, codec, op=op)
        return allreduce("w", grads[communicator.rank].reshape(20, 25))

    expected = np.zeros((20, 25), kind.wide)
    for grad in grads:
        expected += kind.widened(gcodec.decode(codec.encode(grad))).reshape(20, 25)
    if op == "mean":
        expected /= kind.wide.type(5)
    for result in run_ranks(5, program):
        assert (result.dtype, result.shape) == (kind.wide, (20, 25))
        assert result.tobytes() == expected.tobytes()


@ALL_KINDS
def test_feedback_loses_nothing(kind):
    """On numbers whose sums are exact."""
    codec = gcodec.get_codec("topk:k=20")
    grads = [make(kind, rank, 200, values="ties") for rank in range(3)]
    memories = [gcodec.ErrorFeedback(codec) for _ in grads]

    def program(communicator):
        allreduce = Allreduce(communicator, codec, feedback=memories[communicator.rank], op="sum")
        return sum(allreduce("w", grads[communicator.rank], step=step) for step in range(4))

    sent = run_ranks(3, program)[0]
    left = sum(memory.residual("w") for memory in memories)
    assert left.dtype == kind.wide
    assert left.any()
    assert (sent + left == 4 * sum(map(exact, grads))).all()


@ALL_KINDS
def test_out_is_of_the_type_of_sums(kind):
    codec, grad = gcodec.Codec(gcodec.TopK(k=3)), make(kind, 0, 30)

    def program(communicator):
        allreduce = Allreduce(communicator, codec)
        out = np.full(30, 7, kind.wide)
        assert allreduce("w", grad, out=out) is out
        other = np.full(30, 7, np.float32 if kind.wide == np.float64 else np.float64)
        own = np.full(30, 7, kind.dtype)
        for wrong in (other, *([own] if kind.dtype != kind.wide else [])):
            with pytest.raises(gcodec.RankMismatchError, match="rank 0: Mismatch, rank 1: Mism"):
                allreduce("w", grad, out=wrong)
            assert (wrong == 7).all()
        return out.tobytes()

    first, second = run_ranks(2, program)
    assert first == second == np.asarray(kind.widened(gcodec.decode(codec.encode(grad)))).tobytes()


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("types", "fault", "says"),
    [
        (("float32", "float64", "float32"), None, "float32 on rank 0, 2 against float64 on rank 1"),
        (
            ("float64", "float16", "bfloat16"),
            None,
            "float16 on rank 1 against bfloat16 on rank 2",
        ),
        (("bfloat16", "bfloat16", "bfloat16"), "nan", "failed on rank 2: NonFiniteError"),
        (("float16", "float16", "float16"), "integers", "on rank 2: UnsupportedDtypeError"),
        (("float64", "float64", "float32"), "nan", "failed on rank 2: NonFiniteError"),
        (("float64", "float64", "float64"), "out", "failed on rank 2: Mismatch"),
    ],
)
def test_what_does_not_fit_is_the_same_error_on_every_rank(types, fault, says, backend, feedback):
    """A failure comes before a disagreement, which may only be its consequence."""
    codec = gcodec.get_codec("topk:k=3", backend=backend)
    memories = [gcodec.ErrorFeedback(codec) for _ in types]

    def program(communicator):
        rank = communicator.rank
        kind, memory = KINDS[types[rank]], memories[rank]
        grad, out = make(kind, rank, 40), None
        if rank == 2:
            match fault:
                case "nan":
                    grad = kind.of([kind.infinity + 1] * 40)
                case "integers":
                    grad = np.ones(40, np.int32)
                case "out":
                    out = np.ones(39)
        allreduce = Allreduce(communicator, codec, feedback=memory if feedback else None)
        allreduce("w", grad, out=out)

    errors = run_ranks(3, program)
    assert [type(error) for error in errors] == [gcodec.RankMismatchError] * 3
    assert len({str(error) for error in errors}) == 1
    assert re.search(says, str(errors[0])), errors[0]
    for memory in memories:
        assert not any(state["residual"].any() for state in memory.state_dict().values())
        with pytest.raises(gcodec.StateError, match="no open message"):
            memory.rollback("w")
