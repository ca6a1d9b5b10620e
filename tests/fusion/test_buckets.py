"""Fused buckets over ranks that are threads: the same sums, all or nothing."""

import numpy as np
import pytest
from fake import run_ranks
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec.collectives import Allreduce
from gcodec.fusion import Buckets
from gcodec.fusion.buckets import Prepared

LAYOUT = [("head", (7, 9)), ("bias", (9,)), ("mid", (40,)), ("scalar", ()), ("first", (3, 4, 5))]
RECIPES = ["topk:ratio=0.1", "reclog:ratio=0.2", "qsgd", "topk:ratio=0.3,per_tensor=1"]


def gradients(rank, step, dtype=np.float32):
    rng = np.random.default_rng([rank, step])
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in LAYOUT}


def put_all(buckets, grads, step=0, order=None):
    for name in order or grads:
        buckets.put(name, grads[name], step=step)
    return {name: part.copy() for name, part in buckets.finish().items()}


def groups(ends):
    return [LAYOUT[first:last] for first, last in zip((0, *ends), ends, strict=False)]


@given(
    size=st.integers(1, 5),
    cuts=st.sets(st.integers(1, 4)),
    recipe=st.sampled_from(RECIPES),
    op=st.sampled_from(["sum", "mean"]),
    shuffle=st.permutations([name for name, _ in LAYOUT]),
)
@settings(max_examples=30, deadline=None)
def test_every_rank_gets_what_an_allreduce_of_each_bucket_gives(size, cuts, recipe, op, shuffle):
    codec, ends = gcodec.get_codec(recipe), (*sorted(cuts), 5)

    def fused(communicator):
        buckets = Buckets(communicator, codec, LAYOUT, ends, op=op)
        return [
            put_all(buckets, gradients(communicator.rank, step), step, shuffle) for step in (3, 4)
        ]

    def apart(communicator):
        allreduce, found = Allreduce(communicator, codec, op=op), []
        for step in (3, 4):
            grads, means = gradients(communicator.rank, step), {}
            for group in groups(ends):
                if len(group) == 1:
                    name = group[0][0]
                    means[name] = allreduce(name, grads[name], step=step)
                    continue
                flat = np.concatenate([grads[name].reshape(-1) for name, _ in group])
                name = f"{group[0][0]}..{group[-1][0]}"
                mean = allreduce(name, flat, step=step, tensors=group)
                for name, shape in group:
                    own, mean = np.split(mean, [int(np.prod(shape, dtype=int))])
                    means[name] = own.reshape(shape)
            found.append(means)
        return found

    expected, results = run_ranks(size, apart), run_ranks(size, fused)
    for result in results:
        for step in range(2):
            assert {n: a.tobytes() for n, a in result[step].items()} == {
                n: a.tobytes() for n, a in expected[0][step].items()
            }
            assert {n: a.shape for n, a in result[step].items()} == dict(LAYOUT)


def test_what_is_not_sent_stays_in_the_residual_of_its_bucket():
    codec = gcodec.get_codec("topk:ratio=0.1")
    memories = [gcodec.ErrorFeedback(codec) for _ in range(3)]

    def program(communicator):
        memory = memories[communicator.rank]
        buckets = Buckets(communicator, codec, LAYOUT, (2, 5), feedback=memory, op="sum")
        steps = [put_all(buckets, gradients(communicator.rank, s), s) for s in range(4)]
        return {name: sum(step[name] for step in steps) for name, _ in LAYOUT}

    sent = run_ranks(3, program)[0]
    left = [np.concatenate([m.residual("head..bias"), m.residual("mid..first")]) for m in memories]
    total = np.concatenate([sent[name].reshape(-1) for name, _ in LAYOUT]) + np.sum(left, axis=0)
    wanted = sum(
        np.concatenate([gradients(rank, step)[name].reshape(-1) for name, _ in LAYOUT])
        for rank in range(3)
        for step in range(4)
    )
    np.testing.assert_allclose(total, wanted, rtol=1e-5, atol=1e-5)


def test_sums_that_are_dropped_stay_where_a_prepared_frame_was_encoded():
    """As if the memory itself were the feedback, with an algorithm that drops some on the way."""
    codec = gcodec.get_codec("topk:ratio=0.1")

    def program(communicator):
        rank, name = communicator.rank, "mid"
        own, memory = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
        prepared = Prepared(codec, memory)
        direct = Allreduce(communicator, codec, feedback=own, algorithm="gtopk")
        ahead = Allreduce(communicator, codec, feedback=prepared, algorithm="gtopk")
        grad = gradients(rank, 0)[name]
        expected = direct(name, grad)
        prepared.put(name, memory.encode(name, grad, sender=(rank, communicator.size)))
        found = ahead(name, grad)
        memory.commit(name)
        assert found.tobytes() == expected.tobytes()
        assert memory.residual(name).tobytes() == own.residual(name).tobytes()
        return np.count_nonzero(own.residual(name)) > grad.size - 4  # not only what was not sent

    assert any(run_ranks(3, program))


def test_a_bucket_goes_while_the_next_tensors_are_not_there_yet():
    codec, began = gcodec.get_codec("topk:ratio=0.1"), []

    def program(communicator):
        exchange = communicator.announce

        def noted(head, rider):
            began.append(communicator.rank)
            return exchange(head, rider)

        communicator.announce = noted
        buckets, grads = Buckets(communicator, codec, LAYOUT, (2, 5)), gradients(0, 0)
        buckets.put("bias", grads["bias"])
        buckets.put("head", grads["head"])
        buckets._exchanges[0].result(timeout=30)
        early = len(began)
        for name in ("mid", "scalar", "first"):
            buckets.put(name, grads[name])
        buckets.finish()
        return early

    assert min(run_ranks(2, program)) >= 1


def test_gradients_may_change_once_they_are_put():
    codec, grads = gcodec.get_codec("topk:ratio=1"), gradients(0, 0)

    def program(communicator):
        buckets = Buckets(communicator, codec, LAYOUT, (1, 5))
        for name, grad in grads.items():
            mine = grad.copy()
            buckets.put(name, mine)
            mine.fill(77)
        return buckets.finish()

    for result in run_ranks(2, program):
        assert all(np.array_equal(result[name], grads[name]) for name in grads)


@pytest.mark.parametrize("dtype", ["float16", "uint16", "float64"])
def test_element_types(dtype):
    codec = gcodec.get_codec("dense")
    grads = gradients(0, 0)
    if dtype == "uint16":
        given = {n: (g.view(np.uint32) >> 16).astype(np.uint16) for n, g in grads.items()}
        exact = {n: (g.astype(np.uint32) << 16).view(np.float32) for n, g in given.items()}
    else:
        given = exact = {n: g.astype(dtype) for n, g in grads.items()}

    def program(communicator):
        return put_all(Buckets(communicator, codec, LAYOUT, (3, 5), dtype=dtype), given)

    for result in run_ranks(2, program):
        for name, mean in result.items():
            assert mean.dtype == (np.float64 if dtype == "float64" else np.float32)
            assert np.array_equal(mean, exact[name])


def failing(fault, memories, codec):
    """A program in which rank 1 does something wrong in its second step, and goes on after it."""

    def program(communicator):
        memory, other = memories[communicator.rank], communicator.rank == 1
        buckets = Buckets(communicator, codec, LAYOUT, (2, 3, 5), feedback=memory)
        put_all(buckets, gradients(communicator.rank, 0))
        before = memory.state_dict()
        grads, step = gradients(communicator.rank, 1), 1
        if other:
            match fault:
                case "nan":
                    grads["mid"][3] = np.nan
                case "shape":
                    grads["mid"] = grads["mid"][:-1]
                case "dtype":
                    grads["bias"] = grads["bias"].astype(np.float64)
                case "integers":
                    grads["first"] = np.ones((3, 4, 5), int)
                case "missing":
                    del grads["bias"]
                case "step":
                    step = 2
        with pytest.raises(gcodec.RankMismatchError) as caught:
            put_all(buckets, grads, step)
        after = memory.state_dict()
        for name, state in before.items():
            assert np.array_equal(state["residual"], after[name]["residual"])
        again = put_all(buckets, gradients(communicator.rank, 3), 3)
        return caught.value, again["mid"].tobytes()

    return program


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("nan", gcodec.NonFiniteError),
        ("shape", gcodec.Mismatch),
        ("dtype", gcodec.Mismatch),
        ("integers", gcodec.UnsupportedDtypeError),
        ("missing", gcodec.StateError),
        ("step", None),
    ],
)
def test_what_is_wrong_on_one_rank_raises_on_all_and_changes_no_residual(fault, cause):
    codec = gcodec.get_codec("topk:ratio=0.1")
    memories = [gcodec.ErrorFeedback(codec) for _ in range(3)]
    found = run_ranks(3, failing(fault, memories, codec))
    assert all(isinstance(each, tuple) for each in found), found
    assert len({str(error) for error, _ in found}) == 1
    assert len({mean for _, mean in found}) == 1
    if cause:
        assert isinstance(found[1][0].__cause__, cause)
        assert found[0][0].__cause__ is None


def test_puts_that_cannot_be_meant_are_refused_at_once():
    codec = gcodec.get_codec("topk:ratio=0.1")

    def program(communicator):
        buckets, grads = Buckets(communicator, codec, LAYOUT, (1, 5)), gradients(0, 0)
        with pytest.raises(gcodec.StateError, match="no tensor 'tail'"):
            buckets.put("tail", grads["head"])
        buckets.put("head", grads["head"])
        with pytest.raises(gcodec.StateError, match="'head' was put before"):
            buckets.put("head", grads["head"])
        del grads["head"]
        return put_all(buckets, grads)

    assert all(set(result) == {name for name, _ in LAYOUT} for result in run_ranks(2, program))


def test_counters():
    codec = gcodec.get_codec("topk:ratio=0.1")

    def program(communicator):
        buckets = Buckets(communicator, codec, LAYOUT, (2, 5))
        put_all(buckets, gradients(0, 0))
        return buckets.bytes_sent

    frames = [
        codec.encode(
            np.concatenate([gradients(0, 0)[name].reshape(-1) for name, _ in group]),
            tensors=group,
        )
        for group in groups((2, 5))
    ]
    assert run_ranks(2, program) == [3 * 64 + sum(map(len, frames))] * 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ends": (2, 2, 5)}, "ascends"),
        ({"ends": (4,)}, "ascends from above 0 to 5"),
        ({"layout": [("a", (1,)), ("a", (2,))], "ends": (2,)}, "same name"),
        ({"dtype": np.int32}, "int32"),
        ({"op": "max"}, "mean"),
        ({"feedback": gcodec.ErrorFeedback(gcodec.get_codec("topk:k=4"))}, "feedback is for"),
    ],
)
def test_wrong_construction(options, says):
    codec = gcodec.get_codec("topk:k=3")
    wanted = {"layout": LAYOUT, "ends": (5,), **options}
    (error,) = run_ranks(1, lambda c: Buckets(c, codec, wanted.pop("layout"), **wanted))
    assert isinstance(error, ValueError)
    assert says in str(error)
