"""Hypothesis strategies over gradients and codecs, and the oracles that results are held to.

The oracles use none of gcodec: sorting for selection, exact rationals for error bounds.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from kinds import FLOAT32, KINDS, exact, kind_of, make
from kinds import VALUES as KINDS_OF_VALUES

import gcodec

FLOAT_MAX = float(np.finfo(np.float32).max)
SMALLEST = float(np.ldexp(np.float64(1), -149))
BACKENDS = ("cpu", "reference")
KEYS = ("auto", "bitmap", "blocks", "columns", "coo", "delta", "rice")
QUANTIZERS = (gcodec.Raw(), *(gcodec.ReciprocalLog(per_octave) for per_octave in (1, 2, 4, 8, 16)))
SELECTORS = ("topk-ratio", "topk-k", "threshold", "quantile", "dense")

SIZES = (
    0, 1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 300,
    1023, 1024, 1025,  # the chunk of a small tensor is 2**10 for ratio 1
    2047, 2048, 2049, 3073,
)  # fmt: skip
LARGE_SIZES = (8191, 8192, 8193, 16_383, 16_384, 16_385, 24_577, 40_001)


def _normal(rng, size):
    return rng.normal(size=size)


def _ties(rng, size):
    return rng.integers(-3, 4, size)


def _all_equal(rng, size):
    return np.full(size, rng.normal())


def _huge(rng, size):
    return rng.choice([-1, 1], size) * FLOAT_MAX * rng.choice([1.0, 1 - 2.0**-24, 0.5, 0.9], size)


def _subnormal(rng, size):
    return rng.integers(-40, 41, size) * SMALLEST


def _around_smallest_normal(rng, size):
    return rng.choice([-1, 1], size) * rng.integers(2**22, 2**25, size) * SMALLEST


def _any_pattern(rng, size):
    patterns = rng.integers(0, 0x7F80_0000, size) | rng.integers(0, 2, size) << 31
    return patterns.astype(np.uint32).view(np.float32)


def _huge_and_tiny(rng, size):
    return np.where(rng.random(size) < 0.5, _huge(rng, size), _subnormal(rng, size))


VALUES = {
    make.__name__.strip("_"): make
    for make in (
        _normal, _ties, _all_equal, _huge, _subnormal, _around_smallest_normal, _any_pattern,
        _huge_and_tiny,
    )
}  # fmt: skip


def _positions(rng, size, density, clustered):
    if not clustered:
        return rng.random(size) < density
    on = np.zeros(size, bool)
    while size and on.mean() < density:
        start = rng.integers(size)
        on[start : start + rng.integers(1, max(2, size // 8))] = True
    return on


def make_gradient(seed, size, density=1.0, clustered=False, values="normal", negative_zeros=False):
    """A float32 vector; `density` of it, at uniform or clustered positions, holds `values`."""
    rng = np.random.default_rng(seed)
    dense = np.asarray(VALUES[values](rng, size), np.float32)
    dense[~_positions(rng, size, density, clustered)] = 0
    if negative_zeros:
        dense[(dense == 0) & (rng.random(size) < 0.5)] = -0.0
    return dense


def gradients(sizes=SIZES, values=tuple(VALUES)):
    """Finite float32 vectors of every kind above."""
    return st.builds(
        make_gradient,
        seed=st.integers(0, 2**32 - 1),
        size=st.sampled_from(sizes) | st.integers(0, max(sizes)),
        density=st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]) | st.floats(0, 1),
        clustered=st.booleans(),
        values=st.sampled_from(values),
        negative_zeros=st.booleans(),
    )


def vectors(sizes=SIZES, kinds=tuple(KINDS)):
    """Finite vectors of every element type."""
    return st.builds(
        make,
        kind=st.sampled_from([KINDS[name] for name in kinds]),
        seed=st.integers(0, 2**32 - 1),
        size=st.sampled_from(sizes),
        density=st.sampled_from([0.0, 0.01, 0.3, 0.98, 1.0]),
        values=st.sampled_from(KINDS_OF_VALUES),
    )


RATIOS = st.sampled_from([1.0, 0.5, 0.1, 0.01, 0.001]) | st.floats(1e-6, 1.0)
_SELECT = {
    "topk-ratio": RATIOS.map(lambda ratio: gcodec.TopK(ratio=ratio)),
    "topk-k": st.integers(1, 4000).map(lambda k: gcodec.TopK(k=k)),
    "threshold": (
        st.sampled_from([0.0, -0.0, 0.5, 1.0, SMALLEST, 3 * SMALLEST, FLOAT_MAX, 1e38])
        | st.floats(0, 4)
    ).map(gcodec.Threshold),
    "quantile": st.builds(gcodec.SampledQuantile, RATIOS, st.integers(0, 2**64)),
    "dense": st.just(gcodec.Dense()),
}


def selectors(kind):
    """Selectors of one of `SELECTORS`."""
    return _SELECT[kind]


def codecs(quantizers=QUANTIZERS, keys=KEYS):
    """Every selector with every quantiser and every packing of keys."""
    return st.builds(
        gcodec.Codec,
        select=st.sampled_from(SELECTORS).flatmap(selectors),
        quantize=st.sampled_from(quantizers),
        keys=st.sampled_from(keys),
    )


class Pair(NamedTuple):
    """Ascending keys and the values at them."""

    keys: np.ndarray
    values: np.ndarray


def largest(dense, k):
    """Positions of the min(k, nonzeros) largest magnitudes, ties by ascending index."""
    magnitude = np.abs(exact(dense))
    order = np.lexsort((np.arange(dense.size), -magnitude))[:k]
    return np.sort(order[magnitude[order] > 0])


def wanted(select, n):
    """k of a TopK or SampledQuantile over n elements, from the documented rule."""
    k = getattr(select, "k", None) or max(1, round(select.ratio * n))
    return min(k, n)


def expected_keys(select, dense):
    """Positions of what is not zero that an exact selector must keep, None for a sampled one."""
    if isinstance(select, gcodec.TopK):
        return largest(dense, wanted(select, dense.size))
    if isinstance(select, gcodec.Threshold):
        threshold = exact(kind_of(dense).nearest(select.threshold).reshape(1))
        return np.flatnonzero(np.abs(exact(dense)) > threshold)
    return np.flatnonzero(exact(dense)) if isinstance(select, gcodec.Dense) else None


def outside_bound(sent, decoded, bound, lowest=FLOAT32.lowest):
    """Where |decoded - sent| <= bound * |sent| + 2**(lowest - 1) does not hold, decided exactly.

    float64 decides what is clear by a factor of 1 +- 1e-9; rationals decide the rest.
    """
    x, v = (exact(side) for side in (sent, decoded))
    limit = bound * np.abs(x) + 2.0 ** (lowest - 1)
    unclear = np.flatnonzero(np.abs(v - x) > limit * (1 - 1e-9))
    return [
        int(i)
        for i in unclear
        if abs(Fraction(v[i]) - Fraction(x[i]))
        > Fraction(bound) * abs(Fraction(x[i])) + Fraction(1, 2 ** (1 - lowest))
    ]


def same_bits(a, b):
    """Equality of shape, dtype and every bit, so that -0.0 differs from 0.0."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def check_zeros(codec, dense, keys, values, chunk_log2):
    """Zeros are stored where all elements are, or in chunks that are smaller whole, as +0."""
    zero = exact(values) == 0
    raw = codec.quantize == gcodec.Raw()
    if codec.select == gcodec.Dense():
        nonzero = np.count_nonzero(exact(dense))
        left_out = not raw and 2 * nonzero < dense.size  # what rounds to zero, where that is most
        assert keys.size == (nonzero if left_out else dense.size)
        expected = dense[keys[zero]] if raw else np.zeros_like(values[zero])
        assert same_bits(values[zero], expected)
    elif zero.any():
        assert raw, "zeros among levels"
        assert codec.keys == "auto", "keys that were not asked for"
        assert not values[zero].view(np.uint8).any(), "-0 for what was not kept"
        stored = np.bincount(keys >> chunk_log2)
        sizes = np.bincount(np.arange(dense.size) >> chunk_log2)
        whole = np.unique(keys[zero] >> chunk_log2)
        assert (stored[whole] == sizes[whole]).all(), "zeros in a chunk that is not whole"


def check_frame(codec, dense, frame, shape=None):
    """Everything that a frame of flat `dense` promises, by oracles of our own."""
    said, kind = gcodec.inspect(frame), kind_of(dense)
    keys, values = gcodec.decode_sparse(frame)
    decoded = gcodec.decode(frame)

    assert (keys.dtype, values.dtype) == (np.int64, dense.dtype)
    assert (np.diff(keys) > 0).all()
    assert keys.size == values.size == said.header["n_stored"]
    assert said.header["elem_dtype"] == kind.name
    every = dense.size > 0 and set(said.key_codecs) == {"all"} and keys.size == dense.size
    assert said.header["frame_kind"] == ("dense" if every else "sparse")
    rebuilt = np.zeros_like(dense)
    rebuilt[keys] = values
    assert same_bits(decoded, rebuilt if shape is None else rebuilt.reshape(shape))

    check_zeros(codec, dense, keys, values, said.header["chunk_log2"])
    held = exact(values) != 0
    keys, values = keys[held], values[held]
    expected = expected_keys(codec.select, dense)
    if expected is not None:
        assert keys.tolist() == expected.tolist()
    sent = dense[keys]
    x, v = np.abs(exact(sent)), np.abs(exact(values))
    assert (x != 0).all(), "something was made of a zero"
    if keys.size < np.count_nonzero(exact(dense)):
        rest = np.delete(np.abs(exact(dense)), keys)
        assert rest.max(initial=0) <= x.min(initial=np.inf), "a larger one stayed behind"

    assert not outside_bound(sent, values, said.header["bound"], kind.lowest)
    assert (np.signbit(exact(values)) == np.signbit(exact(sent))).all()
    if codec.quantize == gcodec.Raw():
        assert said.header["bound_kind"] == "exact"
        assert same_bits(values, sent)
    elif keys.size:
        assert said.header["bound_kind"] == "relative"
        assert (x / 2 <= v).all()
        assert (v / 2 <= x).all()
