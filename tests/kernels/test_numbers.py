"""Elements as numbers: sums in order, extents, and levels that are drawn."""

import numpy as np
import pytest
from backends import BACKENDS, frozen, run_both
from hypothesis import given
from hypothesis import strategies as st
from kinds import KINDS, exact, kind_of
from strategies import vectors

SIZES = (1, 2, 63, 1023, 1024, 1025, 2500)
VECTORS = vectors(SIZES)


def units_of(kind, octaves=0):
    """Those of numbers times 2**octaves."""
    octaves += 1024 - (1 << kind.bits - 2 - kind.precision)
    first = min(octaves, 1023)
    return np.uint64(52 - kind.precision), 2.0**first, 2.0 ** (octaves - first)


def drawn(seed, position):
    """The number of [0, 1) of a position: SplitMix64's upper 53 bits."""
    x = (seed + position * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return ((x ^ x >> 31) >> 11) / 2**53


def patterns(dense):
    return frozen(dense.view(kind_of(dense).pattern).copy())


@given(VECTORS, st.sampled_from([0.0, 0.25]))
def test_sums_are_in_order(dense, center):
    kind, numbers = kind_of(dense), exact(dense)
    scale = float(np.abs(numbers).max()) or 1.0
    terms = numbers / scale
    expected = terms.cumsum()[-1], np.square(terms - center).cumsum()[-1]
    for backend in BACKENDS:
        assert backend.sum_in_order(patterns(dense), units_of(kind), scale, center) == expected


@pytest.mark.parametrize("octaves", [-1024, -500, 500, 1074])
def test_units_round_once(octaves):
    """Numbers of the largest type that are brought near 1 or far below it."""
    rng = np.random.default_rng(0)
    numbers = np.ldexp(rng.normal(size=3000), rng.integers(-1070, 1020, 3000))
    numbers = numbers[np.abs(numbers) < np.ldexp(1.0, 1020 - octaves)] if octaves > 0 else numbers
    expected = np.ldexp(numbers, octaves).cumsum()[-1]
    for backend in BACKENDS:
        units = units_of(KINDS["float64"], octaves)
        assert backend.sum_in_order(patterns(numbers), units, 1.0, 0.0)[0] == expected


@given(VECTORS, st.integers(0, 2**32 - 1))
def test_extent(dense, seed):
    kind = kind_of(dense)
    sizes = kind.magnitudes(dense).tolist()
    first = int(np.random.default_rng(seed).choice([1, *sizes]))
    (least, above, most), _ = run_both("extent", patterns(dense), first)
    assert (least, most) == (min(sizes), max(sizes))
    if most >= first:
        assert above == min(size for size in sizes if size >= first)
    else:
        assert above < first


@given(VECTORS, st.sampled_from([1, 2, 9, 300]), st.sampled_from(["even", "octaves", "any"]),
       st.sampled_from([3, 11, 24]), st.integers(0, 2**32 - 1))  # fmt: skip
def test_levels_are_drawn(dense, n_levels, how, chunk_log2, seed):
    rng, kind = np.random.default_rng(seed), kind_of(dense)
    numbers, signs = np.abs(exact(dense)), np.signbit(exact(dense))
    high = float(numbers.max())
    levels = {
        "even": np.sort(np.linspace(0, high, n_levels)),  # steps of subnormal numbers are rounded
        "octaves": np.ldexp(high, -np.arange(n_levels)[::-1]),
        "any": np.sort(rng.choice(numbers, n_levels)),
    }[how]
    positions = np.sort(rng.choice(3 * dense.size, dense.size, replace=False))
    first = int(positions[0] >> chunk_log2)
    counts = np.bincount((positions >> chunk_log2) - first).astype(np.int64)
    keys = frozen((positions & (1 << chunk_log2) - 1).astype(np.uint32))
    zeros = int(rng.integers(0, 2))
    what = keys, counts, first, chunk_log2
    staying, (*_, joint) = run_both(
        "round_randomly", patterns(dense), units_of(kind), levels, zeros, np.uint64(seed), *what,
        np.empty(dense.size, np.uint32),
    )  # fmt: skip
    below = np.maximum(np.searchsorted(levels, numbers, side="right") - 1, 0)
    above = np.minimum(below + 1, n_levels - 1)
    gap = np.where(above > below, levels[above] - levels[below], 1.0)
    with np.errstate(divide="ignore"):  # of levels that are equal, and all larger
        part = (numbers - levels[below]) / gap
    up = [drawn(seed, int(at)) for at in positions] < part
    found = np.where(up, above, below)
    assert joint.tolist() == (2 * found + (signs & (found >= zeros))).tolist()
    assert staying == np.count_nonzero(found >= zeros)
