"""What algorithms share: any number of ranks, the same bits, failures that all ranks hear of."""

import re

import numpy as np
import pytest
from fake import raised, run_ranks
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec.collectives import Allreduce

SUMS = ["allgather", "split", "dense"]
"""Algorithms that give the sum in rank order of what each rank's frame holds."""
FRAMED = [*SUMS, "gtopk", "oktopk", "quantized"]
"""Those that send frames between all ranks."""
PADDING = 3
"""So many bytes before the end of a frame there is nothing else."""
MESSAGES = {
    "gtopk": ("alltoallv",),
    "hierarchical": ("alltoallv",),
    **dict.fromkeys(["split", "dense", "oktopk", "quantized"], ("allgatherv", "alltoallv")),
}
"""How they send gradients and sums, but for `allgather`, whose short frames are announced."""
CODECS = [
    "topk:ratio=0.05",
    "reclog:ratio=0.02",
    "threshold:threshold=1",
    "randomk:ratio=0.1",
    "qsgd:values=fixed",
    "dense",
    "efsignsgd:scales=512",
]


def gradients(seed, size, n):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(np.float32) for _ in range(size)]


def run(algorithm, codec, grads, op="sum", step=3, memories=None, per_node=None):
    """Results of one call on as many ranks as there are gradients."""

    def program(communicator):
        feedback = memories and memories[communicator.rank]
        allreduce = Allreduce(communicator, codec, feedback=feedback, op=op, algorithm=algorithm)
        return allreduce("w", grads[communicator.rank], step=step)

    return run_ranks(len(grads), program, per_node)


@given(
    size=st.integers(1, 16),
    n=st.sampled_from([0, 1, 3, 1000, 5000, 40_000]),
    recipe=st.sampled_from(CODECS),
    algorithm=st.sampled_from(SUMS[1:]),
    op=st.sampled_from(["sum", "mean"]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60)
def test_the_same_bits_as_an_allgather(size, n, recipe, algorithm, op, seed):
    codec, grads = gcodec.get_codec(recipe), gradients(seed, size, n)
    expected = run("allgather", codec, grads, op)[0]
    for result in run(algorithm, codec, grads, op):
        assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("algorithm", SUMS)
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_sums_of_other_element_types(algorithm, dtype):
    codec = gcodec.get_codec("topk:ratio=0.1")
    grads = [grad.astype(dtype) for grad in gradients(4, 5, 7000)]
    expected = sum((gcodec.decode(codec.encode(g)).astype(np.float64) for g in grads), 0.0)
    wide = np.float64 if dtype == np.float64 else np.float32
    for result in run(algorithm, codec, grads):
        assert result.dtype == wide
        np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("algorithm", SUMS)
def test_sums_that_cancel_and_sums_past_the_largest_number(algorithm):
    """What is zero after all is zero, and what is too large is infinite, on all ranks alike."""
    grads = gradients(1, 3, 9000)
    grads[1], grads[2] = -grads[0], np.zeros(9000, np.float32)
    grads[1][7::1000] = grads[2][7::1000] = np.float32(3e38)
    grads[0][7::1000] = 0
    first, *others = run(algorithm, gcodec.get_codec("dense"), grads)
    expected = np.zeros(9000, np.float32)
    expected[7::1000] = np.inf
    for result in (first, *others):
        assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("algorithm", SUMS)
def test_all_kept_in_one_range(algorithm):
    grads = gradients(2, 5, 50_000)
    for grad in grads:
        grad[3000:] *= np.float32(1e-6)
    codec = gcodec.get_codec("topk:ratio=0.05")
    expected = run("allgather", codec, grads)[0]
    assert all(r.tobytes() == expected.tobytes() for r in run(algorithm, codec, grads))


@pytest.mark.parametrize("algorithm", SUMS)
def test_a_rank_that_sends_nothing(algorithm):
    codec, grads = gcodec.get_codec("threshold:threshold=100"), gradients(3, 4, 5000)
    grads[2] *= 1000
    expected = gcodec.decode(codec.encode(grads[2]))
    assert all(r.tobytes() == expected.tobytes() for r in run(algorithm, codec, grads))
    nothing = run(algorithm, codec, gradients(3, 4, 5000))
    assert not any(result.any() for result in nothing)


@pytest.mark.parametrize("algorithm", [*FRAMED, "hierarchical"])
@pytest.mark.parametrize("method", ["announce", "allgatherv", "alltoallv"])
@pytest.mark.parametrize("where", [PADDING, 70])
@pytest.mark.parametrize("recipe", ["topk:ratio=0.05", "topk:ratio=0.9"])
def test_a_damaged_message_is_the_same_error_on_every_rank(algorithm, method, where, recipe):
    """Frames and plain numbers, between ranks and within a node."""
    codec = gcodec.get_codec(recipe)
    grads, memories = gradients(5, 3, 40_000), [gcodec.ErrorFeedback(codec) for _ in range(3)]
    hit = []

    def program(communicator):
        inside = algorithm == "hierarchical" and method == "alltoallv"
        link = communicator.nodes()[0] if inside else communicator
        exchange = getattr(link, method)

        def damaged(message, sizes):
            received = list(exchange(message, sizes))
            for each in received:
                message = each[1] if method == "announce" else each
                if communicator.rank == 1 and message.size > where and not hit:
                    message[-where] ^= 1
                    hit.append(method)
            return received

        setattr(link, method, damaged)
        memory, out = memories[communicator.rank], np.full(40_000, 5, np.float32)
        allreduce = Allreduce(communicator, codec, feedback=memory, algorithm=algorithm)
        error = raised(allreduce, "w", grads[communicator.rank], out=out)
        assert error is None or (out == 5).all()
        if algorithm == "allgather":
            assert (error is not None) == (communicator.rank == 1 and bool(hit))
            error = raised(allreduce.finish)
        if error is not None:
            assert not any(state["residual"].any() for state in memory.state_dict().values())
            raise error

    errors = run_ranks(3, program, per_node=2)
    rides = "announce" if recipe == "topk:ratio=0.05" else "allgatherv"
    assert bool(hit) == (method in MESSAGES.get(algorithm, rides))
    if not hit:
        assert errors == [None] * 3
        return
    assert [type(error) for error in errors] == [gcodec.RankMismatchError] * 3
    assert len({str(error) for error in errors}) == 1
    kinds = "Corrupt", "Malformed"  # in the padding of a frame, a bit that is not zero
    found = re.search("decoding.* failed on rank 1: (.*); no residual", str(errors[0]))
    assert found[1] in kinds[: 1 + (where == PADDING)]
    assert type(errors[1].__cause__).__name__ == found[1]


def test_ranks_that_use_different_algorithms():
    codec = gcodec.get_codec("topk:k=3")

    def program(communicator):
        algorithm = "split" if communicator.rank else "allgather"
        return Allreduce(communicator, codec, algorithm=algorithm)("w", np.ones(9, np.float32))

    for error in run_ranks(3, program):
        assert "the algorithm or the form: rank 0 against rank 1, 2" in str(error)


def test_what_ranks_send_in_a_split():
    """Shards of frames go once to their owners, and sums as whichever is smaller."""
    n, size = 1 << 18, 4
    grads = gradients(6, size, n)
    sent = {}
    for recipe in ("topk:ratio=0.002", "topk:ratio=0.9"):
        codec = gcodec.get_codec(recipe)

        def program(communicator, codec=codec):
            allreduce = Allreduce(communicator, codec, algorithm="split")
            allreduce("w", grads[communicator.rank])
            return allreduce.bytes_sent

        frame = codec.encode(grads[0])
        sent[recipe] = run_ranks(size, program)[0] - len(frame) * (size - 1) / size
    assert sent["topk:ratio=0.002"] < 0.9 * 0.008 * n / size * 8
    assert 4 * n / size < sent["topk:ratio=0.9"] < 4.2 * n / size


def test_an_unknown_algorithm():
    with pytest.raises(ValueError, match="algorithm is one of allgather, split"):
        Allreduce(None, gcodec.get_codec("topk:k=3"), algorithm="ring")


@pytest.mark.parametrize("algorithm", ["allgather", "split", "hierarchical", "plain"])
def test_arrays_of_any_layout(algorithm):
    """Views, scalars, lists and read-only arrays count as what they hold."""
    codec = gcodec.get_codec("topk:ratio=1")
    base = np.arange(1, 49, dtype=np.float32).reshape(6, 8)
    frozen = base.copy()
    frozen.setflags(write=False)
    for grad in (base[::2, ::-1], base.T, np.float32(5), frozen, base[:0]):
        for result in run(algorithm, codec, [grad] * 3, per_node=2):
            assert result.shape == np.shape(grad)
            assert (result == 3 * np.asarray(grad)).all()
    for wrong in (base.astype(">f4"), base.astype(complex), "text"):
        errors = run(algorithm, codec, [base, wrong, base], per_node=2)
        assert {type(error) for error in errors} == {gcodec.RankMismatchError}
        assert len({str(error) for error in errors}) == 1
        assert "rank 1: UnsupportedDtypeError" in str(errors[0])
