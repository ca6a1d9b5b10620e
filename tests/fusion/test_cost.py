"""Costs by size: lines, steps, tables."""

import numpy as np
import pytest

from gcodec.fusion import Affine, PowerOfTwo, Table


def test_affine():
    assert Affine(1.0, 2.0)(np.array([0, 3])).tolist() == [1, 7]


def test_the_line_of_least_squares():
    line = Affine.fit(Affine(3.0, 0.5), [1, 8, 8, 100])
    assert (line.start, line.each) == pytest.approx((3, 0.5))
    assert Affine.fit(Affine(3.0, 0.5), [4]) == Affine(5.0, 0.0)
    assert Affine.fit(lambda x: x * x, [0, 1, 2, 3]).start == 0, "no start-up time below 0"
    assert Affine.fit(lambda x: 10.0 - x, [1, 2, 3]).each == 0


def test_power_of_two():
    cost = PowerOfTwo(1.0, 2.0, share=0.5)
    assert cost(np.array([0, 1, 2, 3, 16, 17])).tolist() == [3, 3, 3, 5, 17, 33]


def test_table():
    table = Table((2, 4, 8), (1.0, 3.0, 5.0))
    assert table(np.array([0, 2, 3, 4, 6, 8, 12])).tolist() == [1, 1, 2, 3, 4, 5, 7]
    assert Table((2, 4), (3.0, 1.0))(np.array([100])).tolist() == [1]
    assert Table((5,), (2.0,))(np.array([1, 50])).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Affine(-1.0, 0.0), "0 or more"),
        (lambda: Affine(0.0, float("inf")), "finite"),
        (lambda: PowerOfTwo(0.0, -1.0), "0 or more"),
        (lambda: Table((1, 1), (1.0, 1.0)), "ascend"),
        (lambda: Table((1, 2), (1.0,)), "as many"),
        (lambda: Table((), ()), "one at least"),
        (lambda: Table((1,), (-1.0,)), "0 or more"),
    ],
)
def test_what_is_no_cost_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
