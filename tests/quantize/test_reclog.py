"""ReciprocalLog: the grid is what the paper says, and the bound holds at the edge of every bin."""

from fractions import Fraction
from math import log2

import numpy as np
import pytest
from strategies import FLOAT_MAX, outside_bound

import gcodec

STEPS = (1, 2, 4, 8, 16)
LAST = 0x7F7F_FFFF


def whole(per_octave):
    return gcodec.ReciprocalLog(per_octave).grid(1, LAST)


def edges(grid):
    """First and last magnitude pattern of every bin that has any."""
    first = np.concatenate(([1], grid.boundaries)).astype(np.int64)
    last = np.concatenate((grid.boundaries, [LAST + 1])).astype(np.int64) - 1
    filled = first <= last
    return first[filled], last[filled], grid.levels[filled]


def magnitudes(patterns):
    return patterns.astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("per_octave", STEPS)
class TestGrid:
    """Over every float32 magnitude above zero."""

    def test_shape(self, per_octave):
        grid = whole(per_octave)
        assert grid.levels.size == grid.boundaries.size + 1
        assert (np.diff(grid.boundaries.astype(np.int64)) >= 0).all()
        assert (np.diff(grid.levels) >= 0).all()
        assert grid.levels[0] > 0
        assert np.isfinite(grid.levels).all()

    def test_bound_at_every_edge_of_every_bin(self, per_octave):
        grid = whole(per_octave)
        for patterns in edges(grid)[:2]:
            assert not outside_bound(magnitudes(patterns), edges(grid)[2], grid.bound)

    def test_bound_is_attained(self, per_octave):
        """Not a bound that is safely too large."""
        first, last, levels = edges(whole(per_octave))
        normal = first >= 0x0100_0000
        worst = max(
            abs(Fraction(float(v)) / Fraction(float(x)) - 1)
            for patterns in (first, last)
            for x, v in zip(magnitudes(patterns[normal]), levels[normal], strict=True)
        )
        assert worst <= Fraction(whole(per_octave).bound) <= worst * (1 + Fraction(1, 10**6))

    def test_bound_is_the_best_possible(self, per_octave):
        """(b - 1) / (b + 1) with b = 2**(1/K), but for the rounding of levels to float32."""
        base = 2 ** (1 / per_octave)
        assert whole(per_octave).bound == pytest.approx((base - 1) / (base + 1), rel=1e-5)

    def test_decoded_within_a_factor_of_two(self, per_octave):
        """So that the residual is exact (Sterbenz)."""
        first, last, levels = edges(whole(per_octave))
        exact = levels.astype(np.float64)
        assert (exact <= 2 * magnitudes(first).astype(np.float64)).all()
        assert (magnitudes(last).astype(np.float64) <= 2 * exact).all()

    def test_levels_lie_in_their_own_bin(self, per_octave):
        first, last, levels = edges(whole(per_octave))
        patterns = levels.view(np.uint32).astype(np.int64)
        own = np.searchsorted(
            whole(per_octave).boundaries, patterns.astype(np.uint32), side="right"
        )
        reached = patterns[(patterns < first) | (patterns > last)]
        assert not reached.size, f"levels {reached} in bins {own}"

    def test_code_is_the_rounded_logarithm(self, per_octave):
        """round(K log2 x), as the paper has it, wherever that is clear of a tie."""
        grid = whole(per_octave)
        rng = np.random.default_rng(per_octave)
        x = rng.integers(0x0080_0000, LAST, 5000).astype(np.uint32)
        codes = np.searchsorted(grid.boundaries, x, side="right")
        for code, value in zip(codes.tolist(), magnitudes(x).tolist(), strict=True):
            logarithm = per_octave * log2(value)
            if abs(logarithm % 1 - 0.5) > 1e-6:
                assert code == round(logarithm) + 149 * per_octave

    @pytest.mark.parametrize("scale", [1e-45, 1e-41, 1e-38, 1e-20, 1, 1e20, 1e38])
    def test_a_part_of_the_grid_is_that_part(self, per_octave, scale):
        full = whole(per_octave)
        low, high = (int(np.float32(v).view(np.uint32)) for v in (scale, min(scale * 9, FLOAT_MAX)))
        part = gcodec.ReciprocalLog(per_octave).grid(low, high)
        for pattern in np.unique(np.linspace(low, high, 300).astype(np.uint32)):
            ours = np.searchsorted(part.boundaries, pattern, side="right")
            theirs = np.searchsorted(full.boundaries, pattern, side="right")
            assert part.levels[ours] == full.levels[theirs]


@pytest.mark.parametrize("per_octave", STEPS)
def test_every_subnormal_up_to_2000(per_octave, backend):
    dense = np.arange(1, 2001).astype(np.uint32).view(np.float32)
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(per_octave), backend=backend)
    frame = codec.encode(dense)
    assert not outside_bound(dense, gcodec.decode(frame), whole(per_octave).bound)
    assert bytes(codec.encode(gcodec.decode(frame))) == bytes(frame)


@pytest.mark.parametrize("per_octave", STEPS)
def test_extremes(per_octave, backend):
    dense = np.array([FLOAT_MAX, -FLOAT_MAX, 1e-45, -1e-45, 2.0**-126, 2.0**127], np.float32)
    codec = gcodec.Codec(gcodec.TopK(k=6), gcodec.ReciprocalLog(per_octave), backend=backend)
    decoded = gcodec.decode(codec.encode(dense), backend=backend)
    assert np.isfinite(decoded).all()
    assert not outside_bound(dense, decoded, whole(per_octave).bound)


def test_documented_bounds():
    documented = dict(zip(STEPS, (0.334, 0.172, 0.0865, 0.0434, 0.0217), strict=True))
    assert all(whole(k).bound <= bound for k, bound in documented.items())


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
