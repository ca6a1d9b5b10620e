"""SIDCo: fits on the laws they are made for, counts on all, the published adaptation."""

import json

import numpy as np
import pytest

import gcodec
from gcodec import arrays
from gcodec.kernels import load
from gcodec.select.sidco import LAWS, _gamma_above, _gamma_quantile, _Window
from gcodec.statistics import DenseStatistics

N = 1 << 18


def draw(law, seed=0):
    rng = np.random.default_rng(seed)
    sign = rng.choice([-1, 1], N)
    found = {
        "Laplace": lambda: rng.laplace(size=N),
        "Gaussian": lambda: rng.normal(size=N),
        "gamma": lambda: rng.gamma(0.4, size=N) * sign,
        "Pareto": lambda: (rng.random(N) ** -0.2 - 1) / 0.2 * sign,
        "heavy": lambda: (rng.random(N) ** -0.45 - 1) / 0.45 * sign,
        "t3": lambda: rng.standard_t(3, size=N),
        "layers": lambda: rng.normal(size=N) * np.repeat([1, 1e-2, 1e-4, 10], N // 4),
        "half zeros": lambda: rng.laplace(size=N) * (np.arange(N) % 2),
        "rounded": lambda: rng.laplace(size=N).round(2),
        "tiny": lambda: rng.laplace(size=N) * 1e-36,
        "huge": lambda: rng.laplace(size=N) * 1e36,
    }[law]()
    return found.astype(np.float32)


EVERY = ("Laplace", "Gaussian", "gamma", "Pareto", "heavy", "t3", "layers", "half zeros", "rounded",
         "tiny", "huge")  # fmt: skip


def statistics(grad):
    gradient = arrays.gradient(grad)
    return DenseStatistics(gradient.bits, gradient.element, 0, load("cpu"))


@pytest.mark.parametrize("ratio", [0.3, 0.01, 0.001])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("data", EVERY)
def test_verified_counts_are_within_a_fifth(data, law, ratio):
    decision = gcodec.SIDCo(ratio, law=law).decide(statistics(draw(data)))
    assert 0.8 * ratio * N <= decision.kept <= 1.2 * ratio * N
    assert not decision.fallback


@pytest.mark.parametrize(
    ("data", "law", "stages"),
    [("Laplace", "exponential", 1), ("Laplace", "exponential", 3), ("Pareto", "pareto", 1),
     ("Pareto", "pareto", 3), ("gamma", "gamma-pareto", 1), ("Laplace", "gamma-pareto", 2)],
)  # fmt: skip
def test_a_fit_is_right_on_its_own_law(data, law, stages):
    """Without counting anything: three standard deviations of the number kept are 6 %."""
    asked, select = statistics(draw(data)), gcodec.SIDCo(0.01, law=law, verified=False)
    threshold = select.fit(asked, round(0.01 * N), stages)
    kept = asked.count_above(asked.element.nearest(threshold))
    assert kept == pytest.approx(0.01 * N, rel=0.1)


def test_a_fit_is_wrong_on_another_law():
    """What verifying is for: one exponential stage keeps next to nothing of a normal law."""
    asked = statistics(draw("Gaussian"))
    threshold = gcodec.SIDCo(0.001, law="exponential").fit(asked, round(0.001 * N), 1)
    assert asked.count_above(asked.element.nearest(threshold)) < 0.1 * 0.001 * N
    select = gcodec.SIDCo(0.001, law="exponential", stages=1, verified=False)
    decision = select.decide(asked)
    assert decision.fallback
    assert decision.kept == round(0.001 * N)


def test_stages_adapt_as_published():
    window = _Window()
    for _ in range(4):
        window = _Window.of(window.after(0.5, 0.01))
    assert (window.stages, len(window.kept)) == (1, 4)
    assert window.after(0.5, 0.01) == [2, []]
    assert _Window(2, (1.5,) * 4).after(1.5, 0.01) == [1, []]
    assert _Window(1, (1.5,) * 4).after(1.5, 0.01) == [1, []]
    assert _Window(7, (0.1,) * 4).after(0.1, 0.01) == [7, []]
    assert _Window(3, (1.1,) * 4).after(0.9, 0.01) == [3, []]


def test_the_state_lives_in_the_memory_and_follows_commits():
    codec = gcodec.get_codec("sidco:ratio=0.001,law=exponential,stages=0,verified=0")
    memory = gcodec.ErrorFeedback(codec)
    seen = []
    for step in range(12):
        memory.encode("w", draw("Gaussian", step), step=step)
        if step == 3:
            memory.rollback("w")
            continue
        memory.commit("w")
        seen.append(memory.state_dict()["w"]["selector"][0])
    assert [stages for stages, _ in seen][:4] == [1, 1, 1, 1]
    assert seen[4] == [2, []]
    assert len(seen[3][1]) == 4
    state = memory.state_dict()
    twin = gcodec.ErrorFeedback(codec)
    copied = {"w": {**state["w"], "selector": json.loads(json.dumps(state["w"]["selector"]))}}
    twin.load_state_dict(copied)
    grad = draw("Gaussian", 99)
    assert bytes(memory.encode("w", grad)) == bytes(twin.encode("w", grad))


def test_another_layout_begins_anew():
    codec = gcodec.get_codec("sidco:ratio=0.01,law=exponential,stages=0,verified=0,per_tensor=1")
    memory, grad = gcodec.ErrorFeedback(codec), draw("Laplace")
    for tensors, parts in ((None, 1), ([("a", (N // 2,)), ("b", (N // 2,))], 2), (None, 1)):
        memory.encode("w", grad, tensors=tensors)
        memory.commit("w")
        assert [len(seen) for _, seen in memory.state_dict()["w"]["selector"]] == [1] * parts


@pytest.mark.parametrize("shape", [0.2, 0.4, 1.0, 3.0, 30.0])
def test_gamma_quantiles_against_a_sample(shape):
    sample = np.random.default_rng(0).gamma(shape, size=1 << 20)
    for share in (0.5, 0.1, 0.01):
        found = _gamma_quantile(sample.mean(), np.log(sample.mean()) - np.log(sample).mean(), share)
        assert (sample > found).mean() == pytest.approx(share, rel=0.05)
    assert _gamma_above(1.0, 2.0) == pytest.approx(np.exp(-2.0), rel=1e-12)
    assert _gamma_above(2.0, 3.0) == pytest.approx(4 * np.exp(-3.0), rel=1e-12)


@pytest.mark.parametrize(
    "parameters", [{"law": "normal"}, {"stages": -1}, {"stages": 1.5}, {"ratio": 0}, {"k": 3}]
)
def test_bad_parameters_are_refused(parameters):
    with pytest.raises(ValueError):
        gcodec.SIDCo(**{"ratio": 0.01, **parameters})
