"""Whatever fails on whichever rank, at whatever point: all ranks raise the same, and can go on."""

import numpy as np
import pytest
from fake import run_ranks

import gcodec
from gcodec.collectives import ALGORITHMS, Allreduce
from gcodec.collectives.exchange import Exchange

SIZE, N = 5, 9000
CODEC = gcodec.get_codec("topk:ratio=0.05")
NO_PLACE = 40


@pytest.fixture
def failing(monkeypatch):
    """Function that makes the n-th piece of work fail on one rank of five, once; what failed."""

    def fail(rank, number):
        done, attempt = {"work": 0, "failed": False}, Exchange.attempt

        def attempt_or_not(self, work, *arguments):
            if self.rank == rank and self.size == SIZE and self.failure is None:
                done["work"] += 1
                if done["work"] == number:
                    done["failed"] = True
                    work, arguments = broken, ()
            return attempt(self, work, *arguments)

        monkeypatch.setattr(Exchange, "attempt", attempt_or_not)
        return done

    return fail


def broken():
    raise OSError("the disk is full")


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "plain"])
def test_work_that_fails(algorithm, rank, failing, monkeypatch):
    rng = np.random.default_rng(rank)
    grads = [rng.standard_normal(N).astype(np.float32) for _ in range(SIZE)]
    number, attempt = 0, Exchange.attempt
    while number < NO_PLACE:
        number += 1
        monkeypatch.setattr(Exchange, "attempt", attempt)
        done = failing(rank, number)
        memories = [gcodec.ErrorFeedback(CODEC) for _ in range(SIZE)]

        def program(communicator, memories=memories, done=done, number=number):
            memory = memories[communicator.rank]
            allreduce = Allreduce(communicator, CODEC, feedback=memory, algorithm=algorithm)
            grad, error = grads[communicator.rank], None
            try:
                allreduce("w", grad)
            except gcodec.RankMismatchError as raised:
                error = raised
                states = memory, allreduce.server
                kept = [s["residual"] for m in states if m for s in m.state_dict().values()]
                # a node's sum was delivered between nodes before a failure within one
                assert algorithm == "hierarchical" or not any(map(np.any, kept))
            done["work"] = NO_PLACE
            return error, allreduce("w", grad, step=1).tobytes()

        ranks = run_ranks(SIZE, program, per_node=2)
        assert len({result for _, result in ranks}) == 1
        errors = [error for error, _ in ranks]
        if not done["failed"]:
            assert errors == [None] * SIZE
            break
        assert {str(error) for error in errors} == {str(errors[0])}
        assert f"rank {rank}: " in str(errors[0])
    assert 1 < number < NO_PLACE or (algorithm, rank) == ("hierarchical", 3)
