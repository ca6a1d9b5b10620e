"""ReciprocalLog: the grid is what the paper says, and the bound holds at the edge of every bin."""

import json
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import log2, nextafter, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import FLOAT32, KINDS, exact
from rationals import number, search
from strategies import FLOAT_MAX, outside_bound

import gcodec
from gcodec.format import logarithm
from gcodec.format.elements import ELEMENTS
from gcodec.format.ids import BoundKind
from gcodec.recipes import from_config, to_config

STEPS = (1, 2, 4, 8, 16)
JUST_BELOW_3 = nextafter(3.0, 0)
BASES = (1.03, 1.1, sqrt(2), 1.5625, 2.0, 2.25, JUST_BELOW_3, 3.0)
ALL = (
    *(gcodec.ReciprocalLog(per_octave) for per_octave in STEPS),
    *(gcodec.ReciprocalLog(base=base) for base in BASES),
)
LAYOUTS = {element.name: element for element in ELEMENTS.values()}
DIGITS = Context(prec=80, Emin=-(10**6), Emax=10**6)

EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
EVERY_STEP = pytest.mark.parametrize("per_octave", STEPS)
EVERY_BASE = pytest.mark.parametrize("base", BASES)
EVERY_GRID = pytest.mark.parametrize("quantize", ALL, ids=repr)


def part(kind, quantize, low, high):
    """The grid of elements that can have magnitude patterns from low to high."""
    kept = SimpleNamespace(
        element=LAYOUTS[kind.name],
        low=low,
        high=high,
        exponent=0,
        scaled=lambda patterns: exact(kind.of(patterns)),
    )
    return quantize.grid(kept)


def whole(kind, quantize):
    return part(kind, quantize, 1, kind.infinity - 1)


def code_of(grid, patterns):
    return np.searchsorted(grid.boundaries, np.asarray(patterns, grid.levels.dtype), side="right")


@lru_cache
def edges(kind, quantize):
    """First and last magnitude pattern of every bin that has any, and its level."""
    grid = whole(kind, quantize)
    boundaries = grid.boundaries.astype(np.int64)
    first = np.concatenate(([1], boundaries))
    last = np.concatenate((boundaries, [kind.infinity])) - 1
    filled = first <= last
    return first[filled], last[filled], grid.levels[filled].astype(np.int64)


@EVERY_KIND
@EVERY_GRID
class TestGrid:
    """Over every magnitude of a type above zero."""

    def test_shape(self, kind, quantize):
        grid = whole(kind, quantize)
        assert grid.levels.dtype == grid.boundaries.dtype == kind.pattern
        assert grid.levels.size == grid.boundaries.size + 1
        assert (np.diff(grid.boundaries.astype(np.int64)) >= 0).all()
        assert (np.diff(grid.levels.astype(np.int64)) >= 0).all()
        assert 0 < grid.levels[0] <= grid.levels[-1] < kind.infinity

    def test_bound_at_every_edge_of_every_bin(self, kind, quantize):
        grid = whole(kind, quantize)
        assert grid.bound_kind == BoundKind.RELATIVE
        *ends, levels = edges(kind, quantize)
        for patterns in ends:
            assert not outside_bound(kind.of(patterns), kind.of(levels), grid.bound, kind.lowest)

    def test_decoded_within_a_factor_of_two(self, kind, quantize):
        """So that the residual is exact (Sterbenz)."""
        first, last, level = (exact(kind.of(p)) for p in edges(kind, quantize))
        assert (level / 2 <= first).all()
        assert (last / 2 <= level).all()

    def test_levels_lie_in_their_own_bin(self, kind, quantize):
        """So that what was decoded is encoded to the same, but for a few subnormals."""
        first, last, levels = edges(kind, quantize)
        own = (first <= levels) & (levels <= last)
        assert own[(first > 4) | (quantize.base is None)].all()

    @pytest.mark.parametrize("place", [0.0, 1e-4, 0.01, 0.4, 0.5, 0.6, 0.999])
    def test_a_part_of_the_grid_is_that_part(self, kind, quantize, place):
        full, low = whole(kind, quantize), max(int(kind.infinity * place), 1)
        high = min(low + (3 << kind.precision) + 5, kind.infinity - 1)
        small = part(kind, quantize, low, high)
        patterns = np.linspace(low, high, 300).astype(kind.pattern)
        ours, theirs = (grid.levels[code_of(grid, patterns)] for grid in (small, full))
        assert (ours == theirs).all()
        zeros = part(kind, quantize, 0, high)
        assert (zeros.levels[0], zeros.boundaries[0]) == (0, 1)
        assert (zeros.levels[1:] == part(kind, quantize, 1, high).levels).all()

    def test_both_neighbours_are_within_the_bound_of_stochastic_rounding(self, kind, quantize):
        """What is next to one level may become the other."""
        grid = whole(kind, stochastic(quantize))
        assert grid.boundaries is None
        assert grid.bound_kind == BoundKind.RELATIVE
        levels = grid.levels.astype(np.int64)
        assert (levels[0], levels[-1]) == (0, kind.infinity - 1)
        low, high = levels[:-1], levels[1:]
        apart = high - low > 1
        for sent, decoded in ((low + 1, high), (high - 1, low)):
            sent, decoded = kind.of(sent[apart]), kind.of(decoded[apart])
            with np.errstate(over="ignore"):
                assert not outside_bound(sent, decoded, grid.bound, kind.lowest)


def stochastic(quantize, **more):
    return gcodec.ReciprocalLog(quantize.per_octave, quantize.base, stochastic=True, **more)


@EVERY_KIND
@EVERY_STEP
class TestStepsPerOctave:
    """What holds because b is 2**(1/K)."""

    def test_bound_is_attained(self, kind, per_octave):
        """Not a bound that is safely too large, nor one bit more than it takes."""
        quantize = gcodec.ReciprocalLog(per_octave)
        first, last, levels = edges(kind, quantize)
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
        bound = whole(kind, quantize).bound
        assert worst <= Fraction(bound) <= worst * (1 + Fraction(1, 2 * kind.precision))
        if kind.bits == 16:
            assert not outside_bound(*self.all_of_an_octave(kind, quantize), bound, -(10**3))
            less = nextafter(nextafter(bound, 0), 0)
            assert outside_bound(*self.all_of_an_octave(kind, quantize), less, -(10**3))

    def all_of_an_octave(self, kind, quantize):
        grid = whole(kind, quantize)
        x = np.arange(kind.one, kind.one + (1 << kind.precision))
        return kind.of(x), kind.of(grid.levels[code_of(grid, x)])

    def test_bound_is_the_best_possible(self, kind, per_octave):
        """(b - 1) / (b + 1) with b = 2**(1/K), but for the rounding of levels to the type."""
        base = 2 ** (1 / per_octave)
        ideal = (base - 1) / (base + 1)
        bound = whole(kind, gcodec.ReciprocalLog(per_octave)).bound
        assert abs(bound - ideal) < 2.0 ** -(kind.precision + 1) + 1e-15

    def test_code_is_the_rounded_logarithm(self, kind, per_octave):
        """round(K log2 x), as the paper has it, wherever that is clear of a tie."""
        grid = whole(kind, gcodec.ReciprocalLog(per_octave))
        rng = np.random.default_rng(per_octave)
        x = rng.integers(1 << kind.precision, kind.infinity, 5000).astype(kind.pattern)
        for code, value in zip(code_of(grid, x).tolist(), exact(kind.of(x)).tolist(), strict=True):
            logarithm = per_octave * log2(value)
            if abs(logarithm % 1 - 0.5) > 1e-6:
                assert code == round(logarithm) - kind.lowest * per_octave


def power(base, exponent):
    """base**exponent: exact where half powers and levels can be numbers, else to 79 digits."""
    if base == 2 or abs(exponent) <= 81:
        return Fraction(base) ** exponent
    return Fraction(DIGITS.power(Decimal(base), exponent))


@EVERY_KIND
@EVERY_BASE
class TestBase:
    """Boundaries and levels of a base, from rationals and decimals."""

    def some(self, kind, base):
        """The grid, some of its indices, those at the ends too, and the integer of index 0."""
        grid = whole(kind, gcodec.ReciprocalLog(base=base))
        indices = np.linspace(0, grid.boundaries.size - 1, 400).astype(int).tolist()
        zero = int(code_of(grid, kind.pattern.type(kind.one)))
        near = range(max(zero - 50, 0), min(zero + 50, grid.boundaries.size))
        return grid, sorted({*indices, *near}), -zero

    def test_boundaries_are_the_least_numbers_of_at_least_half_powers(self, kind, base):
        grid, indices, first = self.some(kind, base)
        element = LAYOUTS[kind.name]
        for i in indices:
            pattern, square = int(grid.boundaries[i]), power(base, 2 * (first + i) + 1)
            assert number(element, pattern) ** 2 >= square > number(element, pattern - 1) ** 2

    def test_there_are_no_others(self, kind, base):
        """The next one down is at or below the smallest number, the next one up above all."""
        grid, _, first = self.some(kind, base)
        smallest, largest = (number(LAYOUTS[kind.name], p) for p in (1, kind.infinity - 1))
        assert power(base, 2 * first - 1) <= smallest**2
        assert power(base, 2 * (first + grid.boundaries.size) + 1) > largest**2
        assert 1 < grid.boundaries[0] <= grid.boundaries[-1] < kind.infinity

    def test_levels_are_the_nearest_to_multiples_of_powers(self, kind, base):
        grid, indices, first = self.some(kind, base)
        centre = Fraction(2 / (sqrt(base) + 1 / sqrt(base)))
        for i in (*indices, grid.levels.size - 1):
            nearest = search(LAYOUTS[kind.name], centre * power(base, first + i))
            assert grid.levels[i] == min(nearest, kind.infinity - 1)

    def test_bound_is_little_more_than_the_best_possible(self, kind, base):
        ideal, room = (base - 1) / (base + 1), 2.0**-kind.precision + 2.0**-50
        bound = whole(kind, gcodec.ReciprocalLog(base=base)).bound
        assert ideal < bound <= ideal + room

    def test_any_precision_gives_the_same(self, kind, base):
        """What it starts with is only a guess of how many bits it takes."""
        element = LAYOUTS[kind.name]
        if base > 1.03 or kind.bits < 64:
            assert logarithm._of_base(element, base, 8) == logarithm.scale(element, None, base)

    def test_worked_out_once(self, kind, base):
        element = LAYOUTS[kind.name]
        assert logarithm.scale(element, None, base) is logarithm.scale(element, None, base)


@EVERY_KIND
@settings(max_examples=60)
@given(data=st.data(), base=st.floats(1.25, 3.0))
def test_code_is_the_rounded_logarithm_to_any_base(kind, data, base):
    grid = whole(kind, gcodec.ReciprocalLog(base=base))
    zero = int(code_of(grid, kind.pattern.type(kind.one)))
    for pattern in data.draw(st.lists(st.integers(1, kind.infinity - 1), min_size=5)):
        x = Decimal(float(exact(kind.of([pattern]))[0]))
        exponent = DIGITS.divide(DIGITS.ln(x), DIGITS.ln(Decimal(base)))
        if abs(exponent % 1 - Decimal("0.5")) > Decimal("1e-60"):
            code = int(code_of(grid, kind.pattern.type(pattern)))
            assert code - zero == round(exponent)


@EVERY_KIND
@pytest.mark.parametrize("root", [1.25, 1.5])
def test_a_number_at_a_half_power_has_the_integer_above(kind, root):
    grid = whole(kind, gcodec.ReciprocalLog(base=root**2))
    one, tie = (int(kind.magnitudes(kind.nearest([x]))[0]) for x in (1.0, root))
    assert code_of(grid, [tie - 1, tie]).tolist() == [code_of(grid, one), code_of(grid, one) + 1]


@EVERY_KIND
@pytest.mark.parametrize("random", [False, True])
def test_base_2_is_one_step_per_octave(kind, random):
    ours, theirs = (
        whole(kind, gcodec.ReciprocalLog(stochastic=random, **steps))
        for steps in ({"base": 2}, {"per_octave": 1})
    )
    assert (ours.levels == theirs.levels).all()
    if not random:
        assert (ours.boundaries == theirs.boundaries).all()
        assert abs(ours.bound - theirs.bound) < 2.0**-kind.precision + 2.0**-50


@EVERY_KIND
def test_the_root_of_two_as_base_is_nearly_two_steps_per_octave(kind):
    """It is rounded to float64, and so off by a part in 2**42 after a thousand octaves."""
    ours, theirs = (
        whole(kind, gcodec.ReciprocalLog(**steps))
        for steps in ({"base": sqrt(2)}, {"per_octave": 2})
    )
    room = 1 << max(kind.precision - 41, 0)
    for mine, other in ((ours.levels, theirs.levels), (ours.boundaries, theirs.boundaries)):
        assert np.abs(mine.astype(np.int64) - other.astype(np.int64)).max() <= room


@EVERY_KIND
@EVERY_GRID
@pytest.mark.parametrize("bits", [2, 3, 5, 12])
class TestBits:
    """At most 2**(bits - 1) levels, the highest."""

    def cut(self, quantize, bits, **more):
        return gcodec.ReciprocalLog(quantize.per_octave, quantize.base, bits, **more)

    @pytest.mark.parametrize("low", [0, 1e-9, 0.3, 0.9, 0.99, 1.0])
    def test_the_highest_levels_stay(self, kind, quantize, bits, low):
        low, high = int(np.ceil(low * kind.one)), kind.one + 26
        full, cut = (part(kind, q, low, high) for q in (quantize, self.cut(quantize, bits)))
        most = (1 << bits - 1) - 1
        above = np.count_nonzero(full.levels)
        assert np.count_nonzero(cut.levels) == min(above, most)
        assert cut.boundaries.size == cut.levels.size - 1
        assert (cut.bound_kind, cut.bound) == (full.bound_kind, full.bound)
        patterns = np.unique(np.linspace(low, high, 2000).astype(kind.pattern))
        before, after = (grid.levels[code_of(grid, patterns)] for grid in (full, cut))
        if above <= most:
            assert (before == after).all()
        else:
            goes = code_of(full, patterns) < full.levels.size - most
            assert (after[goes] == 0).all()
            assert (after[~goes] == before[~goes]).all()
            assert after[-1] == before[-1] == full.levels[-1] > 0

    def test_the_bound_of_stochastic_rounding(self, kind, quantize, bits):
        """Every level below which something can be: the farthest that it moves."""
        high = kind.one + 26
        grid = part(kind, self.cut(quantize, bits, stochastic=True), 0, high)
        levels, element = grid.levels.tolist(), LAYOUTS[kind.name]
        assert len(levels) <= 1 << bits - 1
        assert levels[0] == 0 < levels[1]
        assert levels[-1] >= high
        if grid.bound_kind == BoundKind.RELATIVE:
            assert levels == part(kind, stochastic(quantize), 0, high).levels.tolist()
            return
        assert grid.bound_kind == BoundKind.ABSOLUTE
        worst = 0
        for low, above in pairwise(levels):
            if above - low > 1:
                ends = (low + 1, above), (above - 1, low or above - 1)
                for sent, decoded in ends:
                    error = abs(number(element, sent) - number(element, decoded))
                    worst = max(worst, error)
        assert worst <= Fraction(grid.bound) <= worst + Fraction(2, 1 << kind.precision)


@EVERY_KIND
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 12])
@settings(max_examples=25)
@given(
    data=st.data(),
    steps=st.fixed_dictionaries({"per_octave": st.sampled_from(STEPS)})
    | st.fixed_dictionaries({"base": st.floats(1.25, 3)}),
    dense=st.booleans(),
)
def test_frames_of_few_bits(kind, random, bits, data, steps, dense):
    patterns = st.integers(0, kind.infinity - 1)
    signed = st.tuples(patterns, st.booleans())
    bunch = data.draw(st.lists(signed, min_size=1, max_size=40))
    grad = kind.of(np.array([p | sign << kind.bits - 1 for p, sign in bunch], kind.pattern))
    quantize = gcodec.ReciprocalLog(**steps, bits=bits, stochastic=random)
    codec = gcodec.Codec(gcodec.Dense() if dense else gcodec.Threshold(0.0), quantize)
    frame = codec.encode(grad)
    decoded = gcodec.decode(frame)
    assert gcodec.verify(frame, grad).bound_met
    assert np.unique(kind.magnitudes(decoded)).size <= 1 << bits - 1
    x, v = exact(grad), exact(decoded)
    assert (np.signbit(v) == np.signbit(x))[v != 0].all()
    header = gcodec.inspect(frame).header
    for one, other in zip(x.tolist(), v.tolist(), strict=True):
        if other and header["bound_kind"] == "absolute":
            assert abs(Fraction(other) - Fraction(one)) <= Fraction(header["bound"])
        if other and not random:
            assert abs(one) / 2 <= abs(other) <= 2 * abs(one)


@pytest.mark.parametrize("bits", [2, 3, 6])
@pytest.mark.parametrize("steps", [{"per_octave": 1}, {"base": 1.5}], ids=str)
def test_few_bits_are_right_on_average(bits, steps):
    """Means over steps, in standard errors: of all elements, and of what is below the levels."""
    quantize = gcodec.ReciprocalLog(**steps, bits=bits, stochastic=True)
    codec = gcodec.Codec(gcodec.Dense(), quantize)
    grad = np.random.default_rng(0).laplace(size=500).astype(np.float32)
    rounds = 600
    decoded = np.stack([gcodec.decode(codec.encode(grad, step=t)) for t in range(rounds)])
    errors = decoded.astype(np.float64) - grad
    moves = errors.std(axis=0) > 0
    assert moves.mean() > 0.9
    means = errors.mean(axis=0) / (errors.std(axis=0) + 1e-300) * np.sqrt(rounds)
    small = np.abs(grad) < np.abs(grad).max() / 10
    for share in (moves, moves & small):
        assert 0.7 < np.sqrt(np.mean(means[share] ** 2)) < 1.3


@pytest.mark.parametrize(
    "quantize",
    [gcodec.ReciprocalLog(base=3), gcodec.ReciprocalLog(base=1.7, bits=3)],
    ids=repr,
)
def test_residual_and_message_make_up_what_was_to_be_sent(quantize):
    for select in (gcodec.TopK(0.3), gcodec.Dense()):
        memory = gcodec.ErrorFeedback(gcodec.Codec(select, quantize))
        grad = np.random.default_rng(1).laplace(size=4000).astype(np.float32)
        before = np.zeros_like(grad)
        for step in range(3):
            total = grad + before
            decoded = gcodec.decode(memory.encode("w", grad, step=step))
            memory.commit("w")
            before = memory.residual("w").copy()
            assert (before + decoded == total).all()


@EVERY_KIND
@EVERY_GRID
def test_every_subnormal_up_to_2000(kind, quantize, backend):
    dense = kind.of(np.arange(1, 2001))
    codec = gcodec.Codec(gcodec.Threshold(0.0), quantize, backend=backend)
    frame = codec.encode(dense)
    decoded = gcodec.decode(frame)
    assert not outside_bound(dense, decoded, whole(kind, quantize).bound, kind.lowest)
    assert quantize.base is not None or bytes(codec.encode(decoded)) == bytes(frame)


@EVERY_GRID
def test_extremes(quantize, backend):
    dense = np.array([FLOAT_MAX, -FLOAT_MAX, 1e-45, -1e-45, 2.0**-126, 2.0**127], np.float32)
    codec = gcodec.Codec(gcodec.TopK(k=6), quantize, backend=backend)
    decoded = gcodec.decode(codec.encode(dense), backend=backend)
    assert np.isfinite(decoded).all()
    assert not outside_bound(dense, decoded, whole(FLOAT32, quantize).bound)


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("bits", [2, 12])
def test_extremes_in_few_bits(bits, random, backend):
    """A bound that would overflow, or vanish, if it were not of the largest magnitude."""
    for dense in (
        np.array([1.7976931348623157e308, -1e300, 5e-324]),
        np.array([5e-324, -1e-323, 1.5e-323]),
    ):
        quantize = gcodec.ReciprocalLog(16, bits=bits, stochastic=random)
        codec = gcodec.Codec(gcodec.Dense(), quantize, backend=backend)
        assert gcodec.verify(codec.encode(dense), dense, backend=backend).bound_met


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_documented_bounds(name):
    documented = dict(zip(STEPS, (0.334, 0.172, 0.0865, 0.0434, 0.0217), strict=True))
    for k, bound in documented.items():
        assert whole(KINDS[name], gcodec.ReciprocalLog(k)).bound <= bound


def test_four_steps_per_octave_if_nothing_is_said():
    quantize = gcodec.ReciprocalLog()
    assert quantize == gcodec.ReciprocalLog(4)
    assert (quantize.per_octave, quantize.base) == (4, None)


@pytest.mark.parametrize(
    "quantize",
    [
        *ALL,
        gcodec.ReciprocalLog(),
        gcodec.ReciprocalLog(base=np.float64(1.5), bits=np.int64(5)),
        gcodec.ReciprocalLog(base=2, stochastic=1, seed=3),
    ],
    ids=repr,
)
def test_configurations_come_back(quantize):
    codec = gcodec.Codec(quantize=quantize)
    assert from_config(json.loads(json.dumps(to_config(codec)))) == codec
    assert eval(repr(quantize), {"ReciprocalLog": gcodec.ReciprocalLog}) == quantize


@pytest.mark.parametrize("per_octave", [0, 3, -1, 32, 1.5, "4"])
def test_bad_parameters(per_octave):
    with pytest.raises((ValueError, TypeError)):
        gcodec.ReciprocalLog(per_octave)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": 1.0},
        {"base": nextafter(1.03, 1)},
        {"base": nextafter(3.0, 4)},
        {"base": float("nan")},
        {"base": float("inf")},
        {"base": -2.0},
        {"base": 0},
        {"per_octave": 4, "base": 2.0},
        {"bits": 1},
        {"bits": 13},
        {"bits": 4.0},
        {"bits": "4"},
        {"seed": 0.5},
    ],
    ids=str,
)
def test_more_bad_parameters(wrong):
    with pytest.raises(ValueError, match="|".join(wrong)):
        gcodec.ReciprocalLog(**wrong)


@pytest.mark.parametrize("per_octave", [2.0, True, np.int64(2)])
def test_what_is_accepted_also_encodes(per_octave):
    """A value that compares equal to a valid one is refused at once, or works."""
    try:
        quantize = gcodec.ReciprocalLog(per_octave)
    except (ValueError, TypeError):
        return
    logarithm.scale.cache_clear()
    gcodec.Codec(quantize=quantize).encode(np.ones(3, np.float32))
