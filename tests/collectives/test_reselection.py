"""Algorithms that change what goes: what they give, and that nothing is lost on the way."""

import numpy as np
import pytest
from fake import run_ranks

import gcodec
from gcodec.collectives import Allreduce

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 13, 16]
N, K = 20_000, 300


def whole_numbers(size, n=N, seed=0):
    """Gradients whose sums are exact in any order, with many ties and overlapping supports."""
    rng = np.random.default_rng(seed)
    shared = rng.integers(-40, 40, n)
    return [(shared + rng.integers(-20, 20, n)).astype(np.float32) for _ in range(size)]


def run(algorithm, codec, grads, steps=1, per_node=None, op="sum"):
    """Of each rank: the results of all steps, what it still owes, and the call itself."""

    def program(communicator):
        memory = gcodec.ErrorFeedback(codec)
        allreduce = Allreduce(communicator, codec, feedback=memory, op=op, algorithm=algorithm)
        grad = grads[communicator.rank]
        results = [allreduce("w", grad, step=step) for step in range(steps)]
        owed = np.zeros(grad.size)
        if "w" in memory.state_dict():
            owed += memory.residual("w")
        return results, owed, allreduce

    ranks = run_ranks(len(grads), program, per_node)
    for rank in ranks:
        if isinstance(rank, Exception):
            raise rank
    first = ranks[0][0]
    for results, *_ in ranks:
        assert [r.tobytes() for r in results] == [r.tobytes() for r in first]
    return ranks


def largest(numbers, k):
    """The k largest in magnitude, ties by ascending index; zero elsewhere."""
    order = np.argsort(-np.abs(numbers), kind="stable")[:k]
    out = np.zeros_like(numbers)
    out[order] = numbers[order]
    return out


def frames_sum(codec, grads):
    return sum(gcodec.decode(codec.encode(grad)) for grad in grads)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_oktopk_gives_the_k_largest_of_all_sums(size, dtype):
    codec = gcodec.Codec(gcodec.TopK(k=K))
    grads = [grad.astype(dtype) for grad in whole_numbers(size)]
    result = run("oktopk", codec, grads)[0][0][0]
    assert result.dtype == dtype
    assert (result == largest(frames_sum(codec, grads), K)).all()


@pytest.mark.parametrize("size", SIZES)
def test_gtopk_gives_k_sums(size):
    codec, grads = gcodec.Codec(gcodec.TopK(k=K)), whole_numbers(size)
    result = run("gtopk", codec, grads)[0][0][0]
    assert np.count_nonzero(result) == K
    if size <= 2:
        assert (result == largest(frames_sum(codec, grads), K)).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("algorithm", ["gtopk", "oktopk"])
def test_what_is_dropped_on_the_way_stays_with_whom_dropped_it(algorithm, size):
    codec, grads = gcodec.Codec(gcodec.TopK(k=K)), whole_numbers(size)
    ranks = run(algorithm, codec, grads, steps=5)
    given = 5 * np.sum(grads, axis=0)
    got = np.sum(ranks[0][0], axis=0) + sum(owed for _, owed, _ in ranks)
    assert (got == given).all()


@pytest.mark.parametrize("algorithm", ["gtopk", "oktopk"])
@pytest.mark.parametrize("k", [1, N])
def test_few_and_all(algorithm, k):
    codec, grads = gcodec.Codec(gcodec.TopK(k=k)), whole_numbers(5)
    result = run(algorithm, codec, grads)[0][0][0]
    assert np.count_nonzero(result) == (1 if k == 1 else np.count_nonzero(np.sum(grads, axis=0)))


@pytest.mark.parametrize("algorithm", ["gtopk", "oktopk", "quantized"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_less_than_a_rank_each(algorithm, n):
    codec, grads = gcodec.get_codec("topk:ratio=1"), whole_numbers(8, n)
    assert (run(algorithm, codec, grads)[0][0][0] == np.sum(grads, axis=0)).all()


@pytest.mark.parametrize("algorithm", ["gtopk", "oktopk", "quantized"])
def test_nothing_at_all(algorithm):
    codec = gcodec.get_codec("threshold:threshold=1000")
    assert not run(algorithm, codec, whole_numbers(5))[0][0][0].any()


def test_oktopk_cuts_where_elements_are():
    """All elements in a twentieth of the range: the owners' shares are equal all the same."""
    n, size = 1 << 20, 4
    grads = []
    for seed in range(size):
        grad = np.zeros(n, np.float32)
        grad[n // 2 : n // 2 + n // 20] = np.random.default_rng(seed).normal(size=n // 20)
        grads.append(grad)
    codec = gcodec.Codec(gcodec.TopK(ratio=0.03))
    sent = {}
    for algorithm in ("oktopk", "split"):
        sent[algorithm] = [rank[2].bytes_sent for rank in run(algorithm, codec, grads)]
    assert max(sent["oktopk"]) < 0.75 * max(sent["split"])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("recipe", ["onebit", "topk:ratio=0.05", "reclog:ratio=0.05", "u8bit"])
def test_quantized_rounds_twice_and_keeps_both_losses(size, recipe):
    codec, grads = gcodec.get_codec(recipe), whole_numbers(size)
    ranks = run("quantized", codec, grads, steps=4)
    states = [rank[2].server.state_dict() for rank in ranks]  # none where a rank owns nothing
    assert [len(state) for state in states].count(1) >= 1
    servers = [only["residual"] for state in states for only in state.values()]
    owed = sum(rank[1] for rank in ranks) + np.concatenate(servers)
    got = np.sum(ranks[0][0], axis=0) + owed
    np.testing.assert_allclose(got, 4 * np.sum(grads, axis=0), atol=0.05)
    if recipe == "onebit":
        assert len(np.unique(ranks[0][0][0])) <= 2 * size


def test_quantized_while_the_ratio_comes_down():
    """Chunks grow, so owners' ranges move: what is owed for the old ones moves, too."""
    codec = gcodec.WarmUp(gcodec.get_codec("reclog:ratio=0.002"), every=2, ratios=(0.5, 0.02))
    grads = whole_numbers(4, 1 << 17)
    ranks = run("quantized", codec, grads, steps=6)
    states = [rank[2].server.state_dict() for rank in ranks]
    assert max(len(state) for state in states) == 1, "old ranges are forgotten"
    owed = sum(rank[1] for rank in ranks)
    for state in states:
        for name, saved in state.items():
            start, stop = map(int, name.split(" ")[1].split(":"))
            owed[start:stop] += saved["residual"]
    got = np.sum(ranks[0][0], axis=0) + owed
    np.testing.assert_allclose(got, 6 * np.sum(grads, axis=0), rtol=1e-5, atol=0.05)


def test_a_range_that_moves_in_vain_is_still_owed():
    """A failure after the old range was handed over leaves both memories as they were."""
    codec = gcodec.WarmUp(gcodec.get_codec("topk:ratio=0.002"), every=1, ratios=(0.5,))
    grads = whole_numbers(3, 1 << 16)

    def program(communicator):
        memory = gcodec.ErrorFeedback(codec)
        allreduce = Allreduce(communicator, codec, feedback=memory, algorithm="quantized")
        allreduce("w", grads[communicator.rank], step=0)
        before = memory.state_dict(), allreduce.server.state_dict()
        exchange = communicator.allgatherv

        def damaged(message, sizes):
            received = list(exchange(message, sizes))
            max(received, key=len)[-70] ^= 1
            return received

        communicator.allgatherv = damaged
        with pytest.raises(gcodec.RankMismatchError, match="Corrupt"):
            allreduce("w", grads[communicator.rank], step=1)
        after = memory.state_dict(), allreduce.server.state_dict()
        for old, new in zip(before, after, strict=True):
            for name in old:
                assert old[name]["residual"].tobytes() == new[name]["residual"].tobytes()
        return True

    assert run_ranks(3, program) == [True] * 3


def test_quantized_without_feedback():
    codec, grads = gcodec.get_codec("qsgd"), whole_numbers(4)

    def program(communicator):
        allreduce = Allreduce(communicator, codec, op="sum", algorithm="quantized")
        assert allreduce.server is None
        return allreduce("w", grads[communicator.rank])

    first, *others = run_ranks(4, program)
    assert all(other.tobytes() == first.tobytes() for other in others)
    true = np.sum(grads, axis=0)
    assert np.linalg.norm(first - true) < 0.2 * np.linalg.norm(true)


@pytest.mark.parametrize(("size", "per_node"), [(1, 1), (4, 2), (5, 2), (6, 4), (4, 1), (3, 3)])
@pytest.mark.parametrize("op", ["sum", "mean"])
def test_hierarchical_sends_one_frame_a_node(size, per_node, op):
    codec, grads = gcodec.Codec(gcodec.TopK(k=K)), whole_numbers(size)
    ranks = run("hierarchical", codec, grads, per_node=per_node, op=op)
    sums = [np.sum(grads[i : i + per_node], axis=0) for i in range(0, size, per_node)]
    expected = frames_sum(codec, sums) / np.float32(size if op == "mean" else 1)
    assert (ranks[0][0][0] == expected).all()
    owed = sum(rank[1] for rank in ranks)
    assert (frames_sum(codec, sums) + owed == np.sum(grads, axis=0)).all()
    assert [rank[1].any() for rank in ranks] == [i % per_node == 0 for i in range(size)]


def test_a_nan_in_one_node_is_heard_of_in_all():
    codec, grads = gcodec.Codec(gcodec.TopK(k=K)), whole_numbers(6)
    grads[3][5] = np.nan

    def program(communicator):
        memory = gcodec.ErrorFeedback(codec)
        Allreduce(communicator, codec, feedback=memory, algorithm="hierarchical")(
            "w", grads[communicator.rank]
        )

    errors = run_ranks(6, program, per_node=2)
    assert {str(error) for error in errors} == {str(errors[0])}
    assert "failed on rank 0: RankMismatchError, rank 2: RankMismatchError, rank 4" in str(
        errors[0]
    )
    assert isinstance(errors[2].__cause__.__cause__, gcodec.NonFiniteError)


def test_plain_is_the_networks_sum():
    codec, grads = gcodec.get_codec("topk:k=3"), whole_numbers(5)

    def program(communicator):
        out = np.empty((N, 1), np.float32)
        grad = grads[communicator.rank].reshape(N, 1)
        return Allreduce(communicator, codec, op="sum", algorithm="plain")("w", grad, out=out)

    for result in run_ranks(5, program):
        assert (result[:, 0] == np.sum(grads, axis=0)).all()
    with pytest.raises(ValueError, match="leave feedback out"):
        Allreduce(None, codec, feedback=gcodec.ErrorFeedback(codec), algorithm="plain")


@pytest.mark.parametrize("algorithm", ["hierarchical", "plain"])
@pytest.mark.parametrize("fault", ["name", "step", "shape", "type"])
def test_disagreement_where_no_frame_is_made(algorithm, fault):
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        grad, name, step = np.ones(50, np.float32), "w", 1
        if communicator.rank == 1:
            match fault:
                case "name":
                    name = 3
                case "step":
                    step = -1
                case "shape":
                    grad = grad.reshape(5, 10)
                case "type":
                    grad = grad.astype(int)
        Allreduce(communicator, codec, algorithm=algorithm)(name, grad, step=step)

    errors = run_ranks(3, program, per_node=2)
    assert [type(error) for error in errors] == [gcodec.RankMismatchError] * 3
    assert len({str(error) for error in errors}) == 1


def test_overflow_of_a_sum_that_must_be_sent_is_an_error_everywhere():
    codec, grads = gcodec.Codec(gcodec.TopK(k=K)), whole_numbers(4)
    for grad in grads:
        grad[17] = np.float32(3e38)
    for algorithm in ("gtopk", "oktopk"):
        with pytest.raises(gcodec.RankMismatchError, match="NonFiniteError"):
            run(algorithm, codec, grads)
