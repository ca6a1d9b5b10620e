"""Whatever fails on whichever rank, at whatever point: all ranks raise the same, and can go on."""

import numpy as np
import pytest
from fake import raised, run_ranks

import gcodec
from gcodec.collectives import ALGORITHMS, Allreduce
from gcodec.collectives.exchange import Exchange

SIZE, PER_NODE, N = 5, 2, 9000
CODEC = gcodec.get_codec("topk:ratio=0.05")
NO_PLACE = 40


@pytest.fixture
def failing(monkeypatch):
    """Function that makes the n-th piece of work fail on one rank of five, once; what failed."""

    def fail(rank, number):
        done, attempt = {"work": 0, "failed": False}, Exchange.attempt

        def attempt_or_not(self, work, *arguments):
            here = [(rank, SIZE), (rank // PER_NODE, -(-SIZE // PER_NODE))][
                : 1 + (not rank % PER_NODE)
            ]
            if (self.rank, self.size) in here and self.failure is None:
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


@pytest.mark.parametrize("rank", [0, 2, 3])
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
            grad = grads[communicator.rank]
            error = raised(allreduce, "w", grad)
            error = raised(allreduce.finish) or error
            if error is not None:
                states = memory, allreduce.server
                kept = [s["residual"] for m in states if m for s in m.state_dict().values()]
                assert not any(map(np.any, kept))
            done["work"] = NO_PLACE
            return error, allreduce("w", grad, step=1).tobytes()

        ranks = run_ranks(SIZE, program, per_node=PER_NODE)
        assert len({result for _, result in ranks}) == 1
        errors = [error for error, _ in ranks]
        if not done["failed"]:
            assert errors == [None] * SIZE
            break
        assert {str(error) for error in errors} == {str(errors[0])}
        assert f"rank {rank}: " in str(errors[0])
    assert 1 < number < NO_PLACE or (algorithm, rank) == ("hierarchical", 3)
