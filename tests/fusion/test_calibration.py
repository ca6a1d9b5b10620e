"""Measuring: the same tables on all ranks, of what really runs."""

from itertools import pairwise

import numpy as np
import pytest
from fake import run_ranks

import gcodec
from gcodec.fusion import Link, calibrate
from gcodec.fusion.calibration import rising, sizes

CODEC = gcodec.get_codec("topk:ratio=0.01")


def test_all_ranks_have_the_table_of_rank_0():
    tables = run_ranks(3, lambda communicator: calibrate(communicator, CODEC, 3000))
    assert tables[0] == tables[1] == tables[2]
    for cost in tables[0]:
        assert cost.sizes == (256, 512, 1024, 2048, 3000)
        assert all(0 < a <= b for a, b in pairwise(cost.seconds))


def test_a_link_takes_what_its_formula_says():
    link = Link(4, bits_per_second=1e6, latency=1e-3)
    assert link.seconds([100] * 4) == pytest.approx(2e-3 + 300 * 8 / 1e6)
    assert link.seconds([0, 10, 20, 30]) == pytest.approx(2e-3 + 60 * 8 / 1e6)
    assert Link(1).seconds([5]) == 0
    shortest = link.seconds([64 + len(CODEC.encode(np.ones(1, np.float32)))] * 4)
    assert min(calibrate(link, CODEC, 1000).communicate.seconds) >= shortest


def test_ranks_of_a_link_all_say_the_same():
    grad = np.arange(1, 301, dtype=np.float32)
    total = gcodec.collectives.Allreduce(Link(3, 1e9, 0.0), CODEC, op="sum")("w", grad)
    assert np.array_equal(total, 3 * gcodec.decode(CODEC.encode(grad)))


def test_sizes_are_announced_before_they_are_measured():
    told = []
    costs = calibrate(Link(2), CODEC, 1000, begin=told.append)
    assert tuple(told) == costs.compress.sizes == sizes(1000)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_element_types(dtype):
    assert calibrate(Link(2), CODEC, 300, dtype=dtype).compress.sizes == (256, 300)


def test_small_and_wrong():
    assert calibrate(Link(2), CODEC, 1).compress.sizes == (1,)
    with pytest.raises(ValueError, match="1 or more elements, not 0"):
        calibrate(Link(2), CODEC, 0)
    with pytest.raises(ValueError, match="ranks, not 0"):
        Link(0)
    with pytest.raises(ValueError, match="bits_per_second is above 0"):
        Link(2, 0)
    with pytest.raises(ValueError, match="latency is 0 or more"):
        Link(2, 1e9, -1)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([3, 1], [2, 2]),
        ([1, 5, 3, 4, 9], [1, 4, 4, 4, 9]),
        ([6, 4, 2], [4, 4, 4]),
        ([7], [7]),
    ],
)
def test_rising(seconds, expected):
    assert rising(seconds).tolist() == expected
