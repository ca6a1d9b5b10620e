"""Optimal plans: equal to brute force, and what must hold of them whatever the costs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import plans
import pytest

from gcodec.fusion import MODELS, RULES, Affine, Costs, Layers, Table, exact, optimal, simulate
from gcodec.fusion.problem import State


def end(layers, costs, model, ends):
    return simulate(layers, costs, model, ends)[-1].decompress[1]


@pytest.mark.parametrize("family", plans.FAMILIES)
@pytest.mark.parametrize("model", MODELS)
def test_no_plan_is_better(model, family):
    """1,000 instances of up to 5 layers, and 28 of 6 to 12; sums are exact, so ends are equal."""
    rng = np.random.default_rng([MODELS.index(model), plans.FAMILIES.index(family)])
    for number in [*(1 + i % 5 for i in range(1000)), *(6 + i % 7 for i in range(28))]:
        layers, costs = plans.layers(rng, number), plans.costs(rng, family)
        found = optimal(layers, costs, model)
        assert found.seconds == plans.best_end(layers, costs, model)
        assert found.seconds == end(layers, costs, model, found.ends)
        assert found.bound == found.seconds


def test_a_search_that_is_cut_short_says_what_it_may_have_missed(monkeypatch):
    monkeypatch.setattr(exact, "FEW", 1)
    monkeypatch.setattr(exact, "LABELS", 1)
    rng, missed = np.random.default_rng(5), 0
    for _ in range(60):
        layers, costs = plans.layers(rng, 12), plans.costs(rng, "measured")
        found, best = optimal(layers, costs, "worker"), plans.best_end(layers, costs, "worker")
        assert found.bound <= best <= found.seconds
        missed += best < found.seconds
    assert missed > 0


@pytest.mark.parametrize("model", MODELS)
def test_no_rule_beats_the_plan_and_each_is_beaten(model):
    rng, beaten = np.random.default_rng(6), dict.fromkeys(RULES, 0)
    for number in range(2, 60):
        layers, costs = plans.layers(rng, number), plans.costs(rng, "affine")
        best = optimal(layers, costs, model).seconds
        for name, rule in RULES.items():
            other = end(layers, costs, model, rule(layers, costs, model))
            assert best <= other * (1 + exact.SAME)
            beaten[name] += best < other
    assert min(beaten.values()) > 0


@pytest.mark.parametrize("model", MODELS)
def test_the_end_grows_with_every_cost_time_and_size(model):
    rng = np.random.default_rng(7)
    for _ in range(50):
        layers = plans.layers(rng, 8)
        lines = [Affine(*rng.integers(0, 64, 2).astype(float)) for _ in Costs._fields]
        before = optimal(layers, Costs(*lines), model).seconds
        for i, line in enumerate(lines):
            for more in (Affine(line.start + 1, line.each), Affine(line.start, line.each + 1)):
                assert optimal(layers, Costs(*lines[:i], more, *lines[i + 1 :]), model).seconds >= (
                    before
                )
        at = rng.integers(8)
        slower = [seconds + (i == at) for i, seconds in enumerate(layers.seconds)]
        larger = [size + (i == at) for i, size in enumerate(layers.sizes)]
        for changed in (replace(layers, seconds=slower), replace(layers, sizes=larger)):
            assert optimal(changed, Costs(*lines), model).seconds >= before


def test_without_start_up_costs_layer_wise_is_optimal_and_with_large_ones_one_bucket():
    rng = np.random.default_rng(8)
    for model in MODELS:
        layers = plans.layers(rng, 10)
        lines = Costs(*(Affine(0.0, float(each)) for each in rng.integers(1, 9, 3)))
        each = end(layers, lines, model, range(1, 11))
        assert optimal(layers, lines, model).seconds == each
        costs = lines._replace(communicate=Affine(1e9, 1.0))
        assert optimal(layers, costs, model).ends == (10,)


def test_lower_bounds_of_the_free_model():
    rng = np.random.default_rng(9)
    for _ in range(50):
        layers = plans.layers(rng, 9)
        line = Affine(*rng.integers(0, 64, 2).astype(float))
        found = optimal(layers, Costs(communicate=line), "free").seconds
        assert found >= sum(layers.seconds) + line(layers.sizes[-1])
        assert found >= layers.seconds[0] + line(sum(layers.sizes))


@pytest.mark.parametrize("model", MODELS)
def test_one_layer_and_layers_of_nothing(model):
    costs = Costs(Affine(1, 1), Affine(2, 1), Affine(4, 1))
    assert optimal(Layers(("a",), (3,), (5.0,)), costs, model).ends == (1,)
    empty = Layers("ab", (0, 0), (0.0, 0.0))
    assert optimal(empty, costs, model).ends == (2,)
    assert optimal(empty, Costs(), model).seconds == 0


def realistic(rng, number, scale, family):
    """Costs of the size of the backward pass; tables as a quiet machine measures them."""
    sizes, seconds = np.ceil(rng.lognormal(8, 2, number)), 1e-3 * rng.exponential(size=number)
    layers = Layers(range(number), sizes.astype(int), seconds)
    total, passed = sum(layers.sizes), sum(layers.seconds)

    def cost(part):
        start, each = rng.uniform(0.2, 2, 2) * part * scale * passed / (number, total)
        if family == "affine":
            return Affine(start, each)
        at = np.unique(np.geomspace(1, total, 30).astype(int))
        return Table(at, (start + each * at) * rng.lognormal(0, 0.05, len(at)))

    return layers, Costs(cost(0.5), cost(1), cost(0.5))


@pytest.mark.parametrize("family", ["affine", "measured"])
@pytest.mark.parametrize("model", MODELS)
def test_plans_of_400_layers_are_proven(model, family):
    for scale in (0.3, 1, 3):
        layers, costs = realistic(np.random.default_rng(10), 400, scale, family)
        found = optimal(layers, costs, model)
        assert found.bound == found.seconds


def test_front_keeps_exactly_what_is_nowhere_beaten():
    rng = np.random.default_rng(11)
    for number in (0, 1, 5, 40, 300):
        for same in (False, True):
            parts = rng.integers(0, 12, (3, number)).astype(float)
            if same:
                parts[2] = parts[1]
            bound = np.floor(parts.sum(axis=0) / 4)
            found = exact.front(State(*parts), bound, 1000)
            kept = {tuple(state) for state in parts[:, found].T}
            every = {tuple(state) for state in parts.T}
            expected = {
                one
                for one in every
                if not any(
                    other != one and all(a <= b for a, b in zip(other, one, strict=True))
                    for other in every
                )
            }
            assert kept == expected
            assert len(found) == len(expected)
            assert (np.diff(bound[found]) >= 0).all()
            for most in (0, 1, 7):
                assert exact.front(State(*parts), bound, most).tolist() == found[:most].tolist()


def test_a_plan_is_ascending_ends():
    rng = np.random.default_rng(12)
    layers, costs = plans.layers(rng, 30), plans.costs(rng, "step")
    ends = optimal(layers, costs, "worker").ends
    assert all(a < b for a, b in pairwise((0, *ends)))
    assert ends[-1] == 30
