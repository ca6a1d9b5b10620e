"""The DDP hook on 2 and 3 ranks over gloo, against what one process makes of the same data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

import gcodec

PROGRAMS = Path(__file__).parent / "programs"
DEADLINE_S = 200
DETERMINISTIC = ("plain", "momentum", "bfloat16", "float64", "accumulation")
SCENARIOS = {
    2: (*DETERMINISTIC, "policy", "failure", "disagreement", "strangers", "interrupted"),
    3: ("plain", "policy", "failure", "algorithms", "sums"),
}


@pytest.fixture
def torch(framework):
    return framework("torch", "torch")


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Function that runs scenarios on so many ranks; for each, what every rank told. Once only."""
    done = {}

    def run(world, *scenarios):
        if (world, scenarios) not in done:
            folder = done.setdefault(world, tmp_path_factory.mktemp(f"world{world}"))
            done[world, scenarios] = _run(world, folder, scenarios)
        return done[world, scenarios]

    return run


def _run(world, folder, scenarios, program="ddp.py"):
    loopback = {"GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "error", str(PROGRAMS / program), str(folder), *scenarios]
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **loopback, "RANK": str(rank), "WORLD_SIZE": str(world)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    deadline = monotonic() + DEADLINE_S
    try:
        ends = [rank.communicate(timeout=max(deadline - monotonic(), 1)) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0] * world, "\n".join(err for _, err in ends)
    told = [[json.loads(line) for line in out.splitlines()] for out, _ in ends]
    return {each[0]["scenario"]: list(each) for each in zip(*told, strict=True)}


@pytest.mark.parametrize(
    ("world", "scenario"), [*((2, scenario) for scenario in DETERMINISTIC), (3, "plain")]
)
def test_every_rank_ends_with_the_bits_of_one_process(torch, launch, world, scenario):
    told = launch(world, *SCENARIOS[world])[scenario]
    assert len({each["hash"] for each in told}) == 1
    assert [each["same"] for each in told] == [True] * world


@pytest.mark.parametrize("world", [2, 3])
def test_residuals_outlive_the_buckets(torch, launch, world):
    """DDP cuts them anew after the first step; the oracle knows no buckets."""
    first, *others = launch(world, *SCENARIOS[world])["plain"][0]["layouts"]
    assert len(others) == 29
    assert all(other != first for other in others)


def test_a_hook_per_exchange_not_per_backward(torch, launch):
    told = launch(2, *SCENARIOS[2])["accumulation"][0]
    assert told["statistics"]["steps"] == len(told["layouts"]) == 4


def test_dense_steps_then_a_falling_ratio(torch, launch):
    """Exactly the oracle's bits on two ranks, where a + b has one order; equal on three."""
    assert [each["same"] for each in launch(2, *SCENARIOS[2])["policy"]] == [True, True]
    for world in (2, 3):
        told = launch(world, *SCENARIOS[world])["policy"]
        assert len({each["hash"] for each in told}) == 1
        counted = told[0]["statistics"]
        parameters, messages = 72 + 8 + 576 + 8 + 8192 + 64 + 640 + 10, 2 * 9
        assert counted["bytes_uncompressed"] == 12 * 4 * parameters
        assert counted["bytes_dense"] == 3 * 4 * parameters + 9 * 4 * (parameters - 576 - 8192)
        ratios = [0.0625, *[0.015625] * 2, *[0.004] * 2, *[0.01] * 4]  # of steps 3 to 11
        assert counted["kept"] == sum(round(ratio * n) for ratio in ratios for n in (576, 8192))
        frames = counted["bytes_sent"] - counted["bytes_dense"] - 64 * messages
        assert 0 < frames < 4 * counted["kept"] + 512 * messages


def test_nothing_dense_without_a_policy(torch, launch):
    counted = launch(2, *SCENARIOS[2])["plain"][0]["statistics"]
    assert counted["bytes_dense"] == 0
    assert counted["compression_ratio"] == counted["bytes_uncompressed"] / counted["bytes_sent"]
    assert counted["compression_ratio"] > 9


@pytest.mark.parametrize("world", [2, 3])
def test_a_nan_on_one_rank_is_an_error_on_all(torch, launch, world):
    told = launch(world, *SCENARIOS[world])["failure"]
    assert len({each["said"][0] for each in told}) == 1
    assert f"failed on rank {world - 1}: NonFiniteError" in told[0]["said"][0]
    assert told[0]["said"][1].endswith(" at step 0")
    assert [each["step"] for each in told] == [0] * world


def test_ranks_that_disagree_hear_of_it_before_anything_is_sent(torch, launch):
    told = launch(2, *SCENARIOS[2])["disagreement"]
    assert ["disagree on codec, algorithm, dense_steps, step" in each["said"] for each in told] == [
        True
    ] * 2


def test_other_parameters_and_sparse_gradients_are_refused(torch, launch):
    unknown, sparse = launch(2, *SCENARIOS[2])["strangers"][0]["said"]
    assert "made for another model" in unknown
    assert "sparse=False" in sparse


@pytest.mark.parametrize("algorithm", ["allgather", "quantized"])
def test_resumed_equals_uninterrupted(torch, launch, algorithm):
    before = launch(2, *SCENARIOS[2])[f"interrupted {algorithm}"]
    after = launch(2, "resumed")[f"resumed {algorithm}"]
    assert [each["step"] for each in before + after] == [6] * 4
    assert len({each["hash"] for each in before + after}) == 1
    for rank, each in enumerate(after):
        assert (each["owed"] > 0) == (algorithm == "quantized" and rank == 1)
        other, absent, shape, *server = each["wrong"]
        assert other == f"the state is that of rank {1 - rank}, this is rank {rank}"
        assert "'no.such' has a residual of shape (8, 1, 3, 3); in the model it is not" in absent
        assert "'0.weight' has a residual of shape (8, 8, 3, 3); in the model it has" in shape
        assert all("of algorithm='quantized' with feedback" in said for said in server)
        assert len(server) == (algorithm == "allgather")


def test_every_algorithm_gives_all_replicas_the_same_bits(torch, launch):
    first, *others = launch(3, *SCENARIOS[3])["algorithms"]
    assert all(each["hashes"] == first["hashes"] for each in others)
    hashes = first["hashes"]
    same = {name for name, bits in hashes.items() if bits == hashes["allgather"]}
    assert same == {"allgather", "split", "dense", "auto"}
    assert len({each["hash"] for each in (first, *others)}) == 1  # of plain


def test_collectives_over_a_process_group_do_what_they_do_between_threads(torch, launch):
    told = launch(3, *SCENARIOS[3])["sums"]
    assert [each["wrong"] for each in told] == [[]] * 3


def test_ranks_of_a_host_are_a_node(torch, launch):
    """Two of three, and of a group whose two ranks are on two hosts: inside, then across."""
    told = [each["nodes"] for each in launch(3, *SCENARIOS[3])["sums"]]
    assert told[0] == [[0, 2], [0, 2]]
    assert told[1] == [[1, 2], None, [0, 1], [0, 2]]
    assert told[2] == [[0, 1], [1, 2], [0, 1], [1, 2]]


def test_over_nccl_only_what_it_takes_is_sent_and_the_bits_are_those_of_gloo(torch, tmp_path):
    """By stand-ins for device and group, which refuse what these would: `programs/nccl.py`."""
    told = _run(3, tmp_path, ("refusals", "buckets", "sums"), "device.py")
    said = told["refusals"][0]["said"]
    for text, each in zip(
        ("device type cpu", "unsupported dtype", "contiguous", "same device", "numpy"),
        said,
        strict=True,
    ):
        assert text in each
    for dtype in ("float32", "bfloat16"):
        for each in told[f"buckets of torch.{dtype}"]:
            assert each["same"]
            assert each["sent"] == ["allgather_", "allreduce_", "broadcast_"]
    assert [each["wrong"] for each in told["sums"]] == [[]] * 3


def test_mistakes(torch):
    from gcodec.integrations.torch import HookState

    model, codec = torch.nn.Linear(3, 2), gcodec.get_codec("topk")
    with pytest.raises(gcodec.UnknownRecipeError, match="valid recipes"):
        HookState(model, "nope")
    with pytest.raises(ValueError, match="feedback is for"):
        HookState(model, codec, feedback=gcodec.ErrorFeedback(gcodec.get_codec("topk:k=3")))
    with pytest.raises(ValueError, match="at least 0"):
        HookState(model, codec, dense_steps=-1)
    with pytest.raises(ValueError, match="begin at 1"):
        HookState(model, codec, feedback=gcodec.MomentumFeedback(codec), dense_steps=1)
    with pytest.raises(ValueError, match="algorithm is one of"):
        HookState(model, codec, algorithm="ring")
    with pytest.raises(ValueError, match="leaves no residual"):
        HookState(model, codec, algorithm="plain")
    with pytest.raises(TypeError, match="WarmUp or Exclude"):
        HookState(model, 3)


@pytest.fixture
def alone(torch, tmp_path):
    """The end of a world of one rank."""
    import torch.distributed as dist

    from gcodec.integrations.torchgroup import TorchCommunicator

    how = {"init_method": f"file://{tmp_path}/store", "rank": 0, "world_size": 1}
    dist.init_process_group("gloo", **how)
    try:
        yield TorchCommunicator()
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("sizes", [[5], [0], [8192, 3]])
def test_messages_of_any_size_in_a_world_of_one(alone, sizes):
    assert (alone.rank, alone.size) == (0, 1)
    for size in sizes:
        message = gcodec.Frame(bytes(range(256)) * 32)[:size]
        assert np.array_equal(alone.allgather(message), [message])
        (received,) = alone.allgatherv(message, np.array([size], np.int64))
        assert np.array_equal(received, message)
        ((head, rider),) = alone.announce(message, message)
        assert np.array_equal(head, message)
        assert not rider.size
