"""What a plan says and draws."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import plans
import pytest

from gcodec.errors import BackendUnavailableError
from gcodec.fusion import MODELS, RULES, Affine, Costs, Layers, plan, simulate
from gcodec.fusion.networks import RECORDED, recorded

COSTS = Costs(Affine(1e-4, 2e-9), Affine(5e-4, 1e-9), Affine(2e-4, 1e-9))


@pytest.fixture
def found():
    return plan(recorded("resnet50"), COSTS, "inline")


def test_words_say_what_was_chosen_why_and_what_it_gains(found):
    told = str(found)
    assert told.startswith("161 layers of 25,557,032 elements in ")
    assert f"all is there {1e3 * found.seconds:,.2f} ms after the backward pass starts" in told
    assert "no way to group these layers takes less" in told
    for name, seconds in found.others.items():
        assert f"{name:18} {1e3 * seconds:>7,.2f} ms" in told
        assert seconds >= found.seconds * (1 - 1e-12)
    assert f"{found.others['layer-wise'] / found.seconds:.2f}x as long" in told
    assert told.count("sent at") == min(len(found.groups), 24)


def test_a_plan_that_is_not_proven_says_by_how_much_it_may_be_too_long(found):
    doubtful = type(found)(found.layers, found.costs, found.model, found.ends, found.seconds / 1.25)
    assert "not proven optimal: at most 25.0% longer than the best possible" in str(doubtful)
    assert not doubtful.to_dict()["proven_optimal"]


@pytest.mark.parametrize("model", MODELS)
def test_json_holds_all_of_it(model):
    layers = recorded("transformer12")
    told = json.loads(json.dumps(plan(layers, COSTS, model).to_dict()))
    assert (told["layers"], told["elements"]) == (147, 54_213_632)
    assert told["model"] == model
    assert told["proven_optimal"]
    assert set(told["others_seconds"]) == set(RULES)
    assert [name for group in told["groups"] for name in group["names"]] == list(layers.names)
    assert sum(group["elements"] for group in told["groups"]) == told["elements"]
    assert told["groups"][-1]["decompress"][1] == told["seconds"]


def test_costs_of_nothing_and_no_time_at_all():
    found = plan(Layers("ab", (1, 2), (0, 0)), Costs(), "worker")
    assert found.seconds == 0
    assert "as long" in str(found)
    assert found.to_dict()["proven_optimal"]


@pytest.mark.parametrize("model", MODELS)
def test_intervals_follow_each_other_and_no_stage_does_two_things_at_once(model):
    rng = np.random.default_rng(0)
    for _ in range(50):
        layers, costs = plans.layers(rng, 10), plans.costs(rng, "measured")
        groups = simulate(layers, costs, model, sorted({*rng.integers(1, 11, 4).tolist(), 10}))
        for group in groups:
            parts = group.backward, group.compress, group.communicate, group.decompress
            for (start, end), (following, _) in pairwise(parts):
                assert start <= end <= following
        for field in ("backward", "compress", "communicate", "decompress"):
            spans = [getattr(group, field) for group in groups]
            assert all(a[1] <= b[0] for a, b in pairwise(spans))
        if model == "inline":  # one device, and one channel that also decompresses
            assert all(
                a.compress[1] <= b.backward[0] and a.decompress[1] <= b.communicate[0]
                for a, b in pairwise(groups)
            )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_chart(tmp_path, model, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"plan{suffix}"
    plan(recorded("resnet50"), COSTS, model).draw(path)
    start = {".png": b"\x89PNG", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(start)


def test_chart_without_matplotlib(tmp_path, found, monkeypatch):
    monkeypatch.setattr("gcodec.fusion.chart.find_spec", lambda name: None)
    with pytest.raises(BackendUnavailableError, match=r"pip install \"gcodec\[plots\]\""):
        found.draw(tmp_path / "plan.png")
    assert not list(tmp_path.iterdir())


def test_planning_needs_no_matplotlib_and_no_compiler():
    code = (
        "import sys; from gcodec.fusion import *;"
        "str(plan(Layers('ab', (1, 2), (1, 2)), Costs(communicate=Affine(1., 1.)), 'free'));"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numba", "matplotlib", "mpi4py"} & set(done.stdout.split())


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_lists(name):
    layers = recorded(name)
    assert 0.01 < sum(layers.seconds) < 10
    assert min(layers.sizes) > 0
    assert len(set(layers.names)) == len(layers)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Layers("ab", (1,), (1, 2)), "2 names, 1 sizes and 2 times"),
        (lambda: Layers((), (), ()), "no layer"),
        (lambda: Layers("a", (-1,), (1,)), "'a' has -1 elements"),
        (lambda: Layers("a", (1,), (float("nan"),)), "'a' takes nan s"),
        (lambda: Layers("a", (1,), (-1,)), "'a' takes -1.0 s"),
        (lambda: plan(Layers("a", (1,), (1,)), Costs(), "A"), "free, inline, worker, not 'A'"),
        (
            lambda: plan(Layers("a", (1,), (1,)), Costs(communicate=lambda x: -x), "free"),
            "communicating 1 elements is -1.0 s",
        ),
        (
            lambda: plan(Layers("a", (1,), (1,)), Costs(lambda x: 1.0), "inline"),
            r"times of shape \(\) for sizes of shape \(1,\)",
        ),
        (lambda: simulate(Layers("a", (1,), (1,)), Costs(), "free", (2,)), "ascends"),
        (lambda: simulate(Layers("ab", (1, 1), (1, 1)), Costs(), "free", (2, 2)), "ascends"),
    ],
)
def test_what_is_wrong_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
