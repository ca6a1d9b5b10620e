"""The rules of public systems: what they choose, and the instances where they are not optimal."""

import pytest

from gcodec.fusion import RULES, Affine, Costs, Layers, optimal, simulate
from gcodec.fusion.greedy import MIB

UNIT = Affine(1.0, 1.0)


def end(layers, costs, model, ends):
    return simulate(layers, costs, model, ends)[-1].decompress[1]


def test_mg_wfbp_merges_a_layer_that_it_should_send():
    layers, costs = Layers("abc", (1, 1, 1), (0, 0.5, 1.6)), Costs(communicate=UNIT)
    chosen = RULES["MG-WFBP"](layers, costs, "free")
    assert chosen == (2, 3)
    assert end(layers, costs, "free", chosen) == pytest.approx(5.5)
    assert optimal(layers, costs, "free").ends == (1, 3)
    assert optimal(layers, costs, "free").seconds == pytest.approx(5.1)


def test_omgs_merges_all_where_nothing_should_be_merged():
    layers, costs = Layers("abc", (4, 4, 4), (0, 0, 0)), Costs(Affine(0.0, 1.0), UNIT)
    chosen = RULES["OMGS"](layers, costs, "inline")
    assert chosen == (3,)
    assert end(layers, costs, "inline", chosen) == 25
    assert optimal(layers, costs, "inline").ends == (1, 2, 3)
    assert optimal(layers, costs, "inline").seconds == 19


def test_the_smallest_end_of_a_prefix_is_no_part_of_the_best_plan():
    """A dynamic program that keeps only the smallest F is wrong where compression delays."""
    layers = Layers("abc", (1, 1, 8), (0, 0, 4))
    costs = Costs(Affine(4.0, 0.0), Affine(1.0, 1.0))
    best = optimal(layers, costs, "inline")
    assert best.seconds == min(
        end(layers, costs, "inline", ends) for ends in [(3,), (1, 3), (2, 3), (1, 2, 3)]
    )
    prefixes = {ends: end(layers, costs, "inline", (*ends, 3)) for ends in [(1,), (2,), (1, 2)]}
    assert prefixes[1, 2] > prefixes[2,]


def test_ready_at_once_all_go_together():
    layers, costs = Layers("abcd", (3, 1, 4, 1), (0, 0, 0, 0)), Costs(communicate=UNIT)
    assert RULES["MG-WFBP"](layers, costs, "free") == optimal(layers, costs, "free").ends == (4,)
    assert optimal(layers, costs, "free").seconds == 10


@pytest.mark.parametrize(
    ("rule", "sizes_in_mib", "ends"),
    [
        ("25 MiB (DDP)", [0.5, 0.5, 20, 5, 1, 30, 2], (2, 4, 6, 7)),
        ("25 MiB (DDP)", [100, 1], (1, 2)),
        ("25 MiB (DDP)", [0.25, 0.25], (2,)),
        ("64 MiB (Horovod)", [60, 4, 1, 64, 100, 1, 2], (2, 3, 4, 5, 7)),
        ("64 MiB (Horovod)", [1, 2, 3], (3,)),
        ("layer-wise", [1, 2, 3], (1, 2, 3)),
        ("one bucket", [1, 2, 3], (3,)),
    ],
)
def test_thresholds(rule, sizes_in_mib, ends):
    sizes = [int(size * MIB) // 4 for size in sizes_in_mib]
    layers = Layers([str(i) for i in range(len(sizes))], sizes, [0] * len(sizes))
    assert RULES[rule](layers, Costs(), "free") == ends


def test_thresholds_count_bytes_not_elements():
    layers = Layers("ab", (MIB // 2, 1), (0, 0), itemsize=2)
    assert RULES["25 MiB (DDP)"](layers, Costs(), "free") == (1, 2)
    small = Layers("ab", (MIB // 2 - 1, 0), (0, 0), itemsize=2)
    assert RULES["25 MiB (DDP)"](small, Costs(), "free") == (2,)


@pytest.mark.parametrize("rule", RULES)
def test_one_layer(rule):
    assert RULES[rule](Layers("a", (5,), (1,)), Costs(UNIT, UNIT, UNIT), "inline") == (1,)
