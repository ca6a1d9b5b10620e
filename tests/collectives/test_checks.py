"""What changes on its way is not taken for what was sent, however short it is."""

import numpy as np
import pytest
from fake import raised, run_ranks

import gcodec
from gcodec.collectives import Allreduce
from gcodec.collectives.descriptor import DESCRIPTOR

CODEC = gcodec.get_codec("topk:k=5")
GRAD = np.random.default_rng(0).standard_normal(300).astype(np.float32)


def damaged(communicator, method, place):
    """The communicator, of which rank 1 receives a byte of rank 0's messages otherwise."""
    exchange = getattr(communicator, method)

    def with_damage(*arguments):
        received = exchange(*arguments)
        if method == "announce":
            received = list(received)
            received[0][0][place] ^= 16
        else:
            received[0, place] ^= 16
        return received

    if communicator.rank == 1:
        setattr(communicator, method, with_damage)
    return communicator


def others_have_a_sum(errors):
    assert [type(error) for error in errors] == [type(None), gcodec.Corrupt, type(None)]
    return str(errors[1])


@pytest.mark.parametrize("place", range(DESCRIPTOR.itemsize))
def test_descriptors(place):
    def program(communicator):
        allreduce = Allreduce(damaged(communicator, "announce", place), CODEC)
        return raised(allreduce, "w", GRAD)

    assert "the descriptor of rank 0" in others_have_a_sum(run_ranks(3, program))


@pytest.mark.parametrize("place", range(8))
def test_what_ranks_tell_when_they_agree(place):
    def program(communicator):
        allreduce = Allreduce(
            damaged(communicator, "allgather", place), CODEC, algorithm="plain"
        )  # which agrees once, at its end
        return raised(allreduce, "w", GRAD)

    assert "what rank 0 told" in others_have_a_sum(run_ranks(3, program))


def test_numbers_that_ranks_agree_on():
    """Here the lengths of shards: the others are not asked, as they would wait for rank 1."""

    def program(communicator):
        if communicator.rank == 1:
            damaged(communicator, "allgather", 8)
        else:
            communicator.alltoallv = broken_off
        return raised(Allreduce(communicator, CODEC, algorithm="split"), "w", GRAD)

    def broken_off(*arguments):
        raise ConnectionError

    errors = run_ranks(2, program)
    assert [type(error) for error in errors] == [ConnectionError, gcodec.Corrupt]
