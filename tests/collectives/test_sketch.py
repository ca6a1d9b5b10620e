"""Allreduce through count-sketches, on ranks that are threads."""

import re

import numpy as np
import pytest
from fake import run_ranks
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec import collectives
from gcodec.collectives import FetchSGD, SketchAllreduce
from gcodec.sketching import CountSketch

BOTH = pytest.mark.parametrize("kind", [SketchAllreduce, FetchSGD])


def gradients(seed, size, n, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return [rng.standard_t(2, n).astype(dtype) for _ in range(size)]


@given(
    size=st.sampled_from([1, 2, 3]),
    n=st.sampled_from([0, 1, 3, 64, 1000]),
    k=st.sampled_from([1, 7, 2000]),
    double=st.booleans(),
    op=st.sampled_from(["mean", "sum"]),
    momentum=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=20)
def test_kept_elements_are_exact_and_nothing_is_lost(size, n, k, double, op, momentum, seed):
    """What was kept and what ranks still owe is what there was, step after step."""
    dtype = np.float64 if double else np.float32
    steps = [gradients(seed + step, size, n, dtype) for step in range(3)]
    owed = np.zeros((size, n), dtype)
    velocity = np.zeros((size, n), dtype)

    def program(communicator):
        allreduce = SketchAllreduce(communicator, k=k, op=op, momentum=momentum)
        found = []
        for step, grads in enumerate(steps):
            mean = allreduce("w", grads[communicator.rank], step=step)
            found.append((mean, allreduce.residual("w").copy()))
        return found

    everyone = run_ranks(size, program)
    for step, grads in enumerate(steps):
        means = [found[step][0] for found in everyone]
        assert len({mean.tobytes() for mean in means}) == 1
        kept = np.flatnonzero(means[0])
        assert kept.size <= min(k, n)
        if momentum:
            velocity = dtype(momentum) * velocity + grads
            owed = velocity + owed
        else:
            owed = grads + owed
        expected = np.zeros(n, dtype)
        for row in owed:
            expected += row
        if op == "mean":
            expected /= dtype(size)
        assert means[0][kept].tobytes() == expected[kept].tobytes()
        if k >= n:
            assert kept.tolist() == np.flatnonzero(expected).tolist()
        owed[:, kept] = velocity[:, kept] = 0
        for rank in range(size):
            assert (everyone[rank][step][1] == owed[rank]).all()


def test_the_largest_of_the_sum_are_found():
    """Not those that are largest on a rank and cancel, but those that add up."""
    n, size = 20_000, 4
    rng = np.random.default_rng(1)
    grads = [rng.normal(0, 0.01, n).astype(np.float32) for _ in range(size)]
    for rank, grad in enumerate(grads):
        grad[5000:5010] = 3
        grad[:10] = 50 if rank % 2 else -50
    program = lambda c: SketchAllreduce(c, k=10, rows=5, how="median")("w", grads[c.rank])  # noqa: E731
    for mean in run_ranks(size, program):
        assert np.flatnonzero(mean).tolist() == list(range(5000, 5010))


def test_every_call_has_another_hash_and_every_rank_the_same(monkeypatch):
    seeds = []
    init = CountSketch.__init__

    def spied(self, shape, *, seed=0, **options):
        if shape != 1:
            seeds.append(seed)
        init(self, shape, seed=seed, **options)

    monkeypatch.setattr(CountSketch, "__init__", spied)

    def program(communicator):
        allreduce = SketchAllreduce(communicator, k=2)
        for name in ("v", "w", "w"):
            allreduce(name, np.arange(9, dtype=np.float32))

    run_ranks(3, program)
    assert len(seeds) == 9
    assert len(set(seeds)) == 3
    seeds.clear()

    def fixed(communicator):
        allreduce = FetchSGD(communicator, k=2)
        for _ in range(3):
            allreduce("w", np.arange(9, dtype=np.float32))

    run_ranks(2, fixed)
    assert len(seeds) == 6
    assert len(set(seeds)) == 1


def test_candidates_are_compared(monkeypatch):
    """Ranks that found different lists would add values of unrelated elements."""
    heavy = CountSketch.heavy_hitters
    calls = []

    def differing(self, k, *, how=None):
        keys, values = heavy(self, k, how=how)
        calls.append(1)
        return (keys[1:] if len(calls) == 2 else keys), values

    monkeypatch.setattr(CountSketch, "heavy_hitters", differing)

    def program(communicator):
        allreduce = SketchAllreduce(communicator, k=5)
        try:
            return allreduce("w", np.arange(1, 50, dtype=np.float32))
        finally:
            with pytest.raises(gcodec.StateError):
                allreduce.residual("w")

    errors = run_ranks(3, program)
    assert {type(error) for error in errors} == {gcodec.RankMismatchError}
    assert len({str(error) for error in errors}) == 1
    assert "other candidates" in str(errors[0])


@pytest.mark.parametrize("where", ["total", "heavy_hitters"])
def test_a_rank_that_fails_between_the_exchanges_leaves_nobody_waiting(where, monkeypatch):
    def program(communicator):
        allreduce = SketchAllreduce(communicator, k=5)
        if communicator.rank == 1:

            def fails(frames):
                raise gcodec.Corrupt("a bit was lost")

            allreduce.total = fails
        return allreduce("w", np.arange(1, 50, dtype=np.float32))

    errors = run_ranks(3, program)
    assert {type(error) for error in errors} == {gcodec.RankMismatchError}
    assert len({str(error) for error in errors}) == 1
    assert "ranks [1]" in str(errors[0])
    assert isinstance(errors[1].__cause__, gcodec.Corrupt)


FAULTS = {
    "parameters": "the codec, the operation",
    "shape": "the shape of the tensor",
    "length": "50 on rank 0, 2 against 51 on rank 1",
    "name": "the tensor's name",
    "step": "the step: 1 on rank 0, 2 against 2 on rank 1",
    "nan": "rank 1: NonFiniteError",
    "dtype": "the element type: float32 on rank 0, 2 against float64 on rank 1",
    "integers": "rank 1: UnsupportedDtypeError",
    "out": "rank 1: Mismatch",
    "a name that is none": "rank 1: an unexpected error",
    "state": "rank 1: StateError",
}


@BOTH
@pytest.mark.parametrize("fault", FAULTS)
def test_a_mismatch_raises_the_same_error_on_every_rank_and_changes_nothing(fault, kind):
    def program(communicator):
        other = communicator.rank == 1
        k = 4 if other and fault == "parameters" else 3
        allreduce = kind(communicator, k=k)
        grad, name, step, out = np.ones(50, np.float32), "w", 1, None
        if other:
            match fault:
                case "shape":
                    grad = np.ones((5, 10), np.float32)
                case "length":
                    grad = np.ones(51, np.float32)
                case "name":
                    name = "v"
                case "step":
                    step = 2
                case "nan":
                    grad = np.full(50, np.nan, np.float32)
                case "dtype":
                    grad = np.ones(50)
                case "integers":
                    grad = np.ones(50, int)
                case "out":
                    out = np.zeros(3, np.float32)
                case "a name that is none":
                    name = 3
                case "state":
                    lone = kind(run_alone(communicator), k=k)
                    lone("w", np.ones(7, np.float32))
                    for state in ("_memory", "_state"):
                        if hasattr(lone, state):
                            setattr(allreduce, state, getattr(lone, state))
        before = dict(getattr(allreduce, "_memory", None) or getattr(allreduce, "_state", {}))
        try:
            allreduce(name, grad, step=step, out=out)
        finally:
            assert before == dict(
                getattr(allreduce, "_memory", None) or getattr(allreduce, "_state", {})
            )

    errors = run_ranks(3, program)
    assert [type(error) for error in errors] == [gcodec.RankMismatchError] * 3
    assert len({str(error) for error in errors}) == 1
    assert re.search(FAULTS[fault], str(errors[0]))


def run_alone(communicator):
    """A communicator of this rank alone."""

    class Alone:
        rank, size = 0, 1

        def announce(self, head, rider):
            return [(head.copy(), rider.copy())]

        def allgather(self, message):
            return message.reshape(1, -1).copy()

        def allgatherv(self, message, sizes):
            return [message.copy()]

    return Alone()


@BOTH
def test_out_counters_and_names(kind):
    def program(communicator):
        allreduce = kind(communicator, k=3, columns=64, rows=3, op="sum")
        out = np.full((3, 3), 9, np.float32)
        assert allreduce("w", np.eye(3, dtype=np.float32), out=out) is out
        sketch = CountSketch((3, 3), columns=64, rows=3).insert(np.eye(3, dtype=np.float32))
        values = 24 + 4 * 9 if kind is SketchAllreduce else 0
        assert allreduce.bytes_sent == 64 + len(sketch.encode()) + values
        assert allreduce.codec_seconds > 0
        return out.tolist()

    assert run_ranks(2, program) == [[[2, 0, 0], [0, 2, 0], [0, 0, 2]]] * 2
    assert collectives.SketchAllreduce is SketchAllreduce


def test_fetchsgd_zeroes_cells_of_what_it_sends():
    grads = gradients(3, 2, 400)

    def program(communicator):
        allreduce = FetchSGD(communicator, k=5, columns=1024, momentum=0.5)
        found = [allreduce("w", grads[communicator.rank], step=step) for step in range(3)]
        velocity, error = allreduce._state["w"]
        kept = np.flatnonzero(found[-1])
        assert not error.estimate(kept).any()
        assert not velocity.estimate(kept).any()
        return [mean.tobytes() for mean in found], found

    (first, means), (second, _) = run_ranks(2, program)
    assert first == second
    mean = (grads[0] + grads[1]) / 2
    for found in means:
        assert np.count_nonzero(found) == 5
    kept = np.flatnonzero(means[0])
    np.testing.assert_allclose(means[0][kept], mean[kept], rtol=0.2, atol=0.5)


@BOTH
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "ratio or k"), ({"k": 3, "ratio": 0.1}, "not both"), ({"k": 0}, "at least 1"),
        ({"ratio": 0.0}, "above 0"), ({"ratio": 1.5}, "at most 1"),
        ({"k": 3, "columns": 100}, "power of two"), ({"k": 3, "rows": 8}, "rows"),
        ({"k": 3, "op": "max"}, "op is"), ({"k": 3, "momentum": 1.0}, "below 1"),
        ({"k": 3, "seed": -1}, "seed"),
    ],
)  # fmt: skip
def test_wrong_construction(kind, options, says):
    with pytest.raises(ValueError, match=says):
        kind(None, **options)


def test_more_wrong_construction():
    with pytest.raises(ValueError, match="candidates"):
        SketchAllreduce(None, k=1, candidates=0)
    with pytest.raises(ValueError, match="one-sided"):
        SketchAllreduce(None, k=1, rows=2, how="median")
    with pytest.raises(ValueError, match="one-sided"):
        FetchSGD(None, k=1, rows=2)
    with pytest.raises(gcodec.StateError, match="no residual"):
        SketchAllreduce(run_alone(None), k=1).residual("w")


def dense_allreduce(communicator):
    def allreduce(name, grad, *, step):
        everyone = communicator.allgather(grad.view(np.uint8))
        return np.mean([row.copy().view(np.float32) for row in everyone], axis=0)

    return allreduce


def converged(make, steps=300):
    """Loss of a quadratic with curvatures i^-0.7 and noise, over its start."""
    n, size = 1 << 11, 4
    curvature = np.arange(1, n + 1) ** -0.7
    start = np.random.default_rng(0).standard_normal(n)

    def program(communicator):
        rng = np.random.default_rng(communicator.rank)
        allreduce, x = make(communicator), start.copy()
        for step in range(steps):
            grad = curvature * x + rng.normal(0, 0.02, n)
            x -= 0.3 * allreduce("x", grad.astype(np.float32), step=step)
        return float(curvature @ np.square(x) / (curvature @ np.square(start)))

    losses = run_ranks(size, program)
    assert len(set(losses)) == 1
    return losses[0]


class ReadOff(SketchAllreduce):
    """Values read off the sketch, of one hash for ever, with the same residual."""

    def total(self, frames):
        self._sequence = 0
        self.sketch_of_sum = super().total(frames)
        return self.sketch_of_sum

    def _exact(self, keys, mine, room, failure):
        super()._exact(keys, mine, room, failure)
        return self.sketch_of_sum.estimate(keys)


def test_it_converges_where_what_is_not_offered_diverges():
    """From the same sketches and residuals: exact values, and values read off."""
    few = {"k": 16, "columns": 128, "rows": 5, "how": "median"}
    assert converged(lambda c: SketchAllreduce(c, **few)) < 1.3 * converged(dense_allreduce)
    with np.errstate(all="ignore"):
        assert not converged(lambda c: ReadOff(c, **few)) < 1
