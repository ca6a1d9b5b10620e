"""ReciprocalLog: the grid is what the paper says, and the bound holds at the edge of every bin."""

from fractions import Fraction
from functools import lru_cache
from math import log2, nextafter
from types import SimpleNamespace

import numpy as np
import pytest
from kinds import FLOAT32, KINDS, exact
from strategies import FLOAT_MAX, outside_bound

import gcodec
from gcodec.format.elements import ELEMENTS

STEPS = (1, 2, 4, 8, 16)
LAYOUTS = {element.name: element for element in ELEMENTS.values()}


def part(kind, per_octave, low, high):
    kept = SimpleNamespace(element=LAYOUTS[kind.name], low=low, high=high)
    return gcodec.ReciprocalLog(per_octave).grid(kept)


def whole(kind, per_octave):
    return part(kind, per_octave, 1, kind.infinity - 1)


@lru_cache
def edges(kind, per_octave):
    """First and last magnitude pattern of every bin that has any, and its level."""
    grid = whole(kind, per_octave)
    boundaries = grid.boundaries.astype(np.int64)
    first = np.concatenate(([1], boundaries))
    last = np.concatenate((boundaries, [kind.infinity])) - 1
    filled = first <= last
    return first[filled], last[filled], grid.levels[filled].astype(np.int64)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("per_octave", STEPS)
class TestGrid:
    """Over every magnitude of a type above zero."""

    def test_shape(self, kind, per_octave):
        grid = whole(kind, per_octave)
        assert grid.levels.dtype == grid.boundaries.dtype == kind.pattern
        assert grid.levels.size == grid.boundaries.size + 1
        assert (np.diff(grid.boundaries.astype(np.int64)) >= 0).all()
        assert (np.diff(grid.levels.astype(np.int64)) >= 0).all()
        assert 0 < grid.levels[0] <= grid.levels[-1] < kind.infinity

    def test_bound_at_every_edge_of_every_bin(self, kind, per_octave):
        bound = whole(kind, per_octave).bound
        *ends, levels = edges(kind, per_octave)
        for patterns in ends:
            assert not outside_bound(kind.of(patterns), kind.of(levels), bound, kind.lowest)

    def test_bound_is_attained(self, kind, per_octave):
        """Not a bound that is safely too large, nor one bit more than it takes."""
        first, last, levels = edges(kind, per_octave)
        unit = 1 << kind.precision
        around_one = (first >= kind.one - unit) & (last < kind.one + 2 * unit)
        worst = max(
            abs(Fraction(v) / Fraction(x) - 1)
            for patterns in (first, last)
            for x, v in zip(
                exact(kind.of(patterns[around_one])).tolist(),
                exact(kind.of(levels[around_one])).tolist(),
                strict=True,
            )
        )
        bound = whole(kind, per_octave).bound
        assert worst <= Fraction(bound) <= worst * (1 + Fraction(1, 2 * kind.precision))
        if kind.bits == 16:
            assert not outside_bound(*self.all_of_an_octave(kind, per_octave), bound, -(10**3))
            less = nextafter(nextafter(bound, 0), 0)
            assert outside_bound(*self.all_of_an_octave(kind, per_octave), less, -(10**3))

    def all_of_an_octave(self, kind, per_octave):
        grid = whole(kind, per_octave)
        x = np.arange(kind.one, kind.one + (1 << kind.precision))
        return kind.of(x), kind.of(grid.levels[np.searchsorted(grid.boundaries, x, side="right")])

    def test_bound_is_the_best_possible(self, kind, per_octave):
        """(b - 1) / (b + 1) with b = 2**(1/K), but for the rounding of levels to the type."""
        base = 2 ** (1 / per_octave)
        ideal = (base - 1) / (base + 1)
        assert abs(whole(kind, per_octave).bound - ideal) < 2.0 ** -(kind.precision + 1) + 1e-15

    def test_decoded_within_a_factor_of_two(self, kind, per_octave):
        """So that the residual is exact (Sterbenz)."""
        first, last, level = (exact(kind.of(p)) for p in edges(kind, per_octave))
        assert (level / 2 <= first).all()
        assert (last / 2 <= level).all()

    def test_levels_lie_in_their_own_bin(self, kind, per_octave):
        first, last, levels = edges(kind, per_octave)
        assert (first <= levels).all()
        assert (levels <= last).all()

    def test_code_is_the_rounded_logarithm(self, kind, per_octave):
        """round(K log2 x), as the paper has it, wherever that is clear of a tie."""
        grid = whole(kind, per_octave)
        rng = np.random.default_rng(per_octave)
        x = rng.integers(1 << kind.precision, kind.infinity, 5000).astype(kind.pattern)
        codes = np.searchsorted(grid.boundaries, x, side="right")
        for code, value in zip(codes.tolist(), exact(kind.of(x)).tolist(), strict=True):
            logarithm = per_octave * log2(value)
            if abs(logarithm % 1 - 0.5) > 1e-6:
                assert code == round(logarithm) - kind.lowest * per_octave

    @pytest.mark.parametrize("place", [0.0, 1e-4, 0.01, 0.4, 0.5, 0.6, 0.999])
    def test_a_part_of_the_grid_is_that_part(self, kind, per_octave, place):
        full, low = whole(kind, per_octave), max(int(kind.infinity * place), 1)
        high = min(low + (3 << kind.precision) + 5, kind.infinity - 1)
        small = part(kind, per_octave, low, high)
        patterns = np.linspace(low, high, 300).astype(kind.pattern)
        ours, theirs = (
            grid.levels[np.searchsorted(grid.boundaries, patterns, side="right")]
            for grid in (small, full)
        )
        assert (ours == theirs).all()
        zeros = part(kind, per_octave, 0, high)
        assert (zeros.levels[0], zeros.boundaries[0]) == (0, 1)
        assert (zeros.levels[1:] == part(kind, per_octave, 1, high).levels).all()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("per_octave", STEPS)
def test_every_subnormal_up_to_2000(kind, per_octave, backend):
    dense = kind.of(np.arange(1, 2001))
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(per_octave), backend=backend)
    frame = codec.encode(dense)
    decoded = gcodec.decode(frame)
    assert not outside_bound(dense, decoded, whole(kind, per_octave).bound, kind.lowest)
    assert bytes(codec.encode(decoded)) == bytes(frame)


@pytest.mark.parametrize("per_octave", STEPS)
def test_extremes(per_octave, backend):
    dense = np.array([FLOAT_MAX, -FLOAT_MAX, 1e-45, -1e-45, 2.0**-126, 2.0**127], np.float32)
    codec = gcodec.Codec(gcodec.TopK(k=6), gcodec.ReciprocalLog(per_octave), backend=backend)
    decoded = gcodec.decode(codec.encode(dense), backend=backend)
    assert np.isfinite(decoded).all()
    assert not outside_bound(dense, decoded, whole(FLOAT32, per_octave).bound)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_documented_bounds(name):
    documented = dict(zip(STEPS, (0.334, 0.172, 0.0865, 0.0434, 0.0217), strict=True))
    assert all(whole(KINDS[name], k).bound <= bound for k, bound in documented.items())


@pytest.mark.parametrize("per_octave", [0, 3, -1, 32, 1.5, "4"])
def test_bad_parameters(per_octave):
    with pytest.raises((ValueError, TypeError)):
        gcodec.ReciprocalLog(per_octave)


@pytest.mark.parametrize("per_octave", [2.0, True, np.int64(2)])
def test_what_is_accepted_also_encodes(per_octave):
    """A value that compares equal to a valid one is refused at once, or works."""
    try:
        quantize = gcodec.ReciprocalLog(per_octave)
    except (ValueError, TypeError):
        return
    from gcodec.quantize import reclog

    reclog._whole_grid.cache_clear()
    gcodec.Codec(quantize=quantize).encode(np.ones(3, np.float32))
