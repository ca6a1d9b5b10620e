"""The model behind `auto`: it decides alike on all ranks, sensibly, and never changes the bits."""

import time

import numpy as np
import pytest
from fake import run_ranks

import gcodec
from gcodec.collectives import Allreduce
from gcodec.collectives.costs import Costs, Load, choose

FAST = Costs(latency=20e-6, byte=1e-10, kept=1e-8, number=2e-10)
SLOW = FAST._replace(byte=8e-8)


def load(n, ranks, density, bytes_per_kept=1.4, chunk_log2=16):
    stored = round(density * n)
    return Load(n, 4, chunk_log2, [int(stored * bytes_per_kept)] * ranks, [stored] * ranks)


@pytest.mark.parametrize(
    ("what", "costs", "best"),
    [
        (load(1 << 22, 4, 0.01), SLOW, "allgather"),
        (load(1 << 22, 4, 0.01), FAST, "allgather"),
        (load(1000, 4, 1, 4, 10), SLOW, "dense"),
        (load(1 << 24, 64, 0.3, 5), SLOW, "split"),
        (load(1 << 24, 16, 0.05, 6), SLOW, "split"),
        (load(1 << 24, 8, 1, 4), FAST, "split"),
        (load(1 << 16, 8, 1, 4, 14), FAST, "dense"),
        (load(1 << 24, 2, 1, 4), SLOW, "allgather"),
    ],
)
def test_what_is_chosen(what, costs, best):
    plan = choose(costs, what)
    assert plan.algorithm == best, str(plan)
    assert plan.seconds[best] == min(plan.seconds.values())
    assert list(plan.seconds) == ["allgather", "split", "dense"]


def test_the_longest_frame_counts():
    even, odd = load(1 << 20, 4, 0.01), load(1 << 20, 4, 0.01)
    odd.bytes[3] *= 4
    assert choose(SLOW, odd).seconds["allgather"] > 3 * choose(SLOW, even).seconds["allgather"]


def test_nothing_to_send():
    for n, ranks in ((0, 3), (1000, 3)):
        assert choose(SLOW, load(n, ranks, 0)).algorithm == "allgather"


@pytest.mark.parametrize("recipe", ["topk:ratio=0.01", "dense"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_auto_gives_the_same_bits_by_the_same_algorithm_on_every_rank(recipe, size):
    codec = gcodec.get_codec(recipe)
    grads = [np.random.default_rng(i).standard_normal(50_000, np.float32) for i in range(size)]

    def program(communicator, algorithm):
        allreduce = Allreduce(communicator, codec, algorithm=algorithm)
        results = [allreduce("w", grads[communicator.rank], step=step) for step in range(3)]
        return [r.tobytes() for r in results], allreduce.plan()

    ranks = run_ranks(size, lambda communicator: program(communicator, "auto"))
    expected = run_ranks(size, lambda communicator: program(communicator, "allgather"))
    assert [rank[0] for rank in ranks] == [rank[0] for rank in expected]
    plans = [rank[1] for rank in ranks]
    assert all(plan == plans[0] for plan in plans)
    assert plans[0].algorithm in ("allgather", "split", "dense")
    assert expected[0][1] == ("allgather", {}, "as asked")
    if size > 1:
        assert "ms" in str(plans[0])
        assert "50,000" in str(plans[0])


def measured(seconds_of):
    """What ranks measure of a network on which messages of a size take so long."""
    codec = gcodec.get_codec("topk:ratio=0.01")

    def program(communicator):
        exchange = communicator.allgatherv

        def slow(message, sizes):
            time.sleep(seconds_of((communicator.size - 1) * message.size))
            return exchange(message, sizes)

        communicator.allgatherv = slow
        allreduce = Allreduce(communicator, codec, algorithm="auto")
        allreduce("w", np.ones(1000, np.float32))
        return allreduce._costs

    first, *others = run_ranks(3, program)
    assert all(other == first for other in others)
    return first


def test_what_is_measured_is_the_network():
    """Of a network with 2 ms a message and 1 MB/s, on all ranks alike."""
    found = measured(lambda size: 2e-3 + 1e-6 * size)
    assert found.latency > 2e-3
    assert 0.9e-6 < found.byte < 5e-6


def test_what_any_longer_message_takes_is_not_put_down_to_bytes():
    """0.3 s from 1 KB on, and 1 MB/s."""
    found = measured(lambda size: 1e-6 * size + 0.3 * (size > 1000))
    assert 0.7e-6 < found.byte < 3e-6


def test_no_plan_before_a_call():
    with pytest.raises(gcodec.StateError, match="nothing was chosen"):
        Allreduce(None, gcodec.get_codec("topk:k=3"), algorithm="auto").plan()
