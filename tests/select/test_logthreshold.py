"""LogThreshold: what is kept has an integer of at most tau, by exact arithmetic."""

import json
from fractions import Fraction
from math import nextafter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, edges, exact
from strategies import check_frame, vectors

import gcodec
from gcodec.recipes import from_config, to_config

STEPS = (1, 2, 4, 8, 16)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
BASES = st.fixed_dictionaries({"per_octave": st.sampled_from(STEPS)}) | st.fixed_dictionaries(
    {"base": st.sampled_from([1.25, 1.5625, 2.0, 2.25, 3.0]) | st.floats(1.2, 3.0)}
)


def reaches(x, tau, *, per_octave=None, base=None):
    """Whether round(-log_b x) <= tau, that is x >= b**-(tau + 1/2)."""
    power, exponent = (2, 2 * per_octave) if per_octave else (base, 2)
    return Fraction(x) ** exponent >= Fraction(power) ** -(2 * tau + 1)


def kept(select, dense, backend="cpu"):
    frame = gcodec.Codec(select, backend=backend).encode(dense)
    return np.flatnonzero(exact(gcodec.decode(frame))).tolist()


@settings(max_examples=150)
@given(dense=vectors(sizes=(0, 1, 3, 64, 130)), steps=BASES, tau=st.integers(-60, 60))
def test_keeps_exactly_the_integers_up_to_tau(dense, steps, tau):
    expected = [
        i for i, x in enumerate(np.abs(exact(dense)).tolist()) if x and reaches(x, tau, **steps)
    ]
    assert kept(gcodec.LogThreshold(tau, **steps), dense) == expected


@EVERY_KIND
@settings(max_examples=150)
@given(data=st.data(), steps=BASES)
def test_next_to_the_boundary(kind, data, steps):
    """The largest that stays behind and the smallest that goes, found by bisection."""
    tau = data.draw(st.integers(-9, 14))
    low, high = 0, kind.infinity - 1
    while high - low > 1:
        middle = (low + high) // 2
        number = float(exact(kind.of(np.array([middle], kind.pattern)))[0])
        low, high = (low, middle) if reaches(number, tau, **steps) else (middle, high)
    dense = kind.of(np.array([low, high, low | 1 << kind.bits - 1], kind.pattern))
    assert kept(gcodec.LogThreshold(tau, **steps), dense) == [1]


@pytest.mark.parametrize("steps", [{"per_octave": k} for k in STEPS] + [{"base": 1.1}], ids=str)
@EVERY_KIND
def test_the_integers_are_those_of_the_quantiser(kind, steps, backend):
    """Each step of tau lets one more level through, and no part of one."""
    dense = kind.of(np.arange(1, kind.infinity, kind.infinity // 500, kind.pattern))
    quantize = gcodec.ReciprocalLog(**steps)
    codec = gcodec.Codec(gcodec.Threshold(0.0), quantize, backend=backend)
    levels = kind.magnitudes(gcodec.decode(codec.encode(dense), backend=backend))
    for tau in range(-40, 40, 7):
        fewer, more = (
            set(kept(gcodec.LogThreshold(limit, **steps), dense, backend))
            for limit in (tau, tau + 1)
        )
        assert fewer <= more
        assert len({int(levels[i]) for i in more - fewer}) <= 1
        assert not set(levels[[*fewer]].tolist()) & set(np.delete(levels, [*fewer]).tolist())


def test_small_tau_and_powers_of_two(backend):
    """The root of 1/2 is no float32: what is next below it has the integer 1, next above it 0."""
    below = np.float32(np.sqrt(0.5))
    above = np.nextafter(below, np.float32(1))
    assert float(below) ** 2 < 0.5 < float(above) ** 2
    dense = np.array([1.5, 1, 0.75, 0.5, above, below, -0.8, 0], np.float32)
    assert kept(gcodec.LogThreshold(0, 1), dense, backend) == [0, 1, 2, 4, 6]
    assert kept(gcodec.LogThreshold(1, 1), dense, backend) == [0, 1, 2, 3, 4, 5, 6]
    assert kept(gcodec.LogThreshold(-1, 1), dense, backend) == [0]


@EVERY_KIND
@pytest.mark.parametrize("steps", [{"per_octave": 16}, {"base": 1.1}, {"base": 3}], ids=str)
def test_the_ends(kind, steps, backend):
    """So large that everything goes, so small that nothing does; zeros never go."""
    dense = kind.of(np.array(edges(kind), kind.pattern))
    everything = list(range(1, dense.size))
    for tau in (10**5, 10**30):
        assert kept(gcodec.LogThreshold(tau, **steps), dense, backend) == everything
    for tau in (-(10**5), -(10**30)):
        assert kept(gcodec.LogThreshold(tau, **steps), dense, backend) == []


@EVERY_KIND
@pytest.mark.parametrize("per_octave", STEPS)
def test_the_largest_and_the_smallest_number(kind, per_octave):
    """2**(lowest) has the integer -K * lowest; the largest number is next to 2**(bias + 1)."""
    dense = kind.of(np.array([1, kind.infinity - 1], kind.pattern))
    bias = kind.one >> kind.precision
    smallest, largest = -kind.lowest * per_octave, -(bias + 1) * per_octave
    assert kept(gcodec.LogThreshold(smallest, per_octave), dense) == [0, 1]
    assert kept(gcodec.LogThreshold(smallest - 1, per_octave), dense) == [1]
    assert kept(gcodec.LogThreshold(largest, per_octave), dense) == [1]
    assert kept(gcodec.LogThreshold(largest - 1, per_octave), dense) == []


@settings(max_examples=60)
@given(
    dense=vectors(sizes=(1, 65, 1025, 3073)),
    steps=BASES,
    tau=st.integers(-10, 40),
    rounds=st.booleans(),
)
def test_whole_frames(dense, steps, tau, rounds):
    quantize = gcodec.ReciprocalLog(**steps) if rounds else gcodec.Raw()
    codec = gcodec.Codec(gcodec.LogThreshold(tau, **steps), quantize)
    check_frame(codec, dense, codec.encode(dense))


@settings(max_examples=60)
@given(dense=vectors(sizes=(1, 65, 1025)), steps=BASES, tau=st.integers(-10, 40))
def test_pairs_and_the_dense_vector_give_the_same_bytes(dense, steps, tau):
    codec = gcodec.Codec(gcodec.LogThreshold(tau, **steps), gcodec.ReciprocalLog(**steps))
    keys = np.flatnonzero(exact(dense))
    pairs = codec.encode_sparse(keys, dense[keys], dense.size)
    assert bytes(pairs) == bytes(codec.encode(dense))


def test_backends_write_the_same_bytes():
    dense = np.random.default_rng(0).laplace(size=3000).astype(np.float32)
    frames = [
        bytes(gcodec.get_codec("reclog:tau=3,base=1.2,bits=4", backend=backend).encode(dense))
        for backend in ("cpu", "reference")
    ]
    assert frames[0] == frames[1]


def test_each_tensor_alone():
    dense = np.array([1, 4, 0.1, 8, 0.2, 16], np.float32)
    codec = gcodec.Codec(gcodec.LogThreshold(-2, 1), per_tensor=True)
    frame = codec.encode(dense, tensors=[("a", (3,)), ("b", (3,))])
    assert gcodec.decode_sparse(frame)[0].tolist() == [1, 3, 5]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_found(wrong, backend):
    for tau in (-(10**9), 0, 10**9):
        with pytest.raises(gcodec.NonFiniteError):
            kept(gcodec.LogThreshold(tau), np.array([1, wrong], np.float32), backend)


@pytest.mark.parametrize(
    "select",
    [
        gcodec.LogThreshold(12),
        gcodec.LogThreshold(np.int64(-3), 16),
        gcodec.LogThreshold(0, base=np.float64(1.1)),
        gcodec.LogThreshold(10**30, base=2),
    ],
    ids=repr,
)
def test_configurations_come_back(select):
    codec = gcodec.Codec(select)
    assert from_config(json.loads(json.dumps(to_config(codec)))) == codec
    assert eval(repr(select), {"LogThreshold": gcodec.LogThreshold}) == select
    assert select.density(100) == gcodec.Threshold(0.5).density(100)


def test_four_steps_per_octave_if_nothing_is_said():
    assert gcodec.LogThreshold(5) == gcodec.LogThreshold(5, 4)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tau": 1.5}, "tau"),
        ({"tau": "3"}, "tau"),
        ({"tau": None}, "tau"),
        ({"tau": float("nan")}, "tau"),
        ({"tau": 1, "per_octave": 3}, "per_octave"),
        ({"tau": 1, "per_octave": 4.0}, "per_octave"),
        ({"tau": 1, "base": 1.0}, "base"),
        ({"tau": 1, "base": nextafter(3, 4)}, "base"),
        ({"tau": 1, "base": float("nan")}, "base"),
        ({"tau": 1, "per_octave": 4, "base": 2.0}, "one of"),
    ],
    ids=str,
)
def test_bad_parameters(wrong, told):
    with pytest.raises(ValueError, match=told):
        gcodec.LogThreshold(**wrong)
