"""Every kernel of both backends on the same arguments: the same answer, the same bytes written."""

import numpy as np
import pytest
import xxhash
from backends import frozen, read_both, run_both
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import FLOAT_MAX, gradients, make_gradient, same_bits

from gcodec import kernels
from gcodec.kernels import cpu, reference
from gcodec.kernels.jobs import job_table

SMALL = (0, 1, 2, 63, 64, 65, 129, 300, 1025)


def patterns(dense):
    return frozen(dense.view(np.uint32).copy())


def kept_in_chunks(dense, chunk_log2):
    """Keys within chunks, bit patterns and counts of the nonzeros, as the encoder hands them on."""
    at = np.flatnonzero(dense)
    n_chunks = -(-dense.size >> chunk_log2) if dense.size else 0
    counts = np.bincount(at >> chunk_log2, minlength=n_chunks).astype(np.int64)
    return (at & ((1 << chunk_log2) - 1)).astype(np.uint32), dense[at], counts


GRADIENTS = gradients(SMALL)
CHUNK_LOG2 = st.sampled_from([6, 7, 9, 24])


def test_both_backends_offer_the_same_functions():
    assert sorted(cpu.__all__) == sorted(reference.__all__)
    assert all(callable(getattr(kernels.load(b), f)) for b in kernels.BACKENDS for f in cpu.__all__)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 - 1])
def test_xxh64_is_xxh64(seed):
    data = np.random.default_rng(seed).integers(0, 256, 208).astype(np.uint8)
    for start in (0, 1, 3, 4, 7):
        for length in range(201):
            part = frozen(data[start : start + length])
            expected = xxhash.xxh64_intdigest(part.tobytes(), seed)
            assert int(cpu.xxh64(part, seed)) == expected
            assert reference.xxh64(part, seed) == expected


@given(GRADIENTS)
def test_magnitude_max(dense):
    assert run_both("magnitude_max", patterns(dense))[0] == max(patterns(np.abs(dense)), default=0)


@pytest.mark.parametrize(
    "pattern", [0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 0xFFFF_FFFF, 0x7F80_0001]
)
def test_magnitude_max_sees_what_is_not_finite(pattern):
    bits = frozen(np.array([0x7F7F_FFFF, pattern, 0], np.uint32))
    assert run_both("magnitude_max", bits)[0] == pattern & 0x7FFF_FFFF


@given(GRADIENTS, st.integers(0, 2**32 - 1))
def test_compensate(dense, seed):
    other = make_gradient(seed, dense.size, values="around_smallest_normal")
    total = np.empty_like(dense)
    top, (_, _, total) = run_both("compensate", frozen(dense), frozen(other), total)
    assert same_bits(total, dense + other)
    assert top == max(patterns(np.abs(total)), default=0)


def test_compensate_reports_a_sum_past_float32():
    full = frozen(np.full(70, FLOAT_MAX, np.float32))
    assert run_both("compensate", full, full, np.empty(70, np.float32))[0] == 0x7F80_0000


@given(GRADIENTS, st.integers(0, 0x7F80_0000))
def test_count_above(dense, threshold):
    bits = patterns(dense)
    for limit in {threshold, 0, 0x7F7F_FFFF, *(bits[:3] & 0x7FFF_FFFF).tolist()}:
        expected = int(np.count_nonzero(patterns(np.abs(dense)) > limit))
        assert run_both("count_above", bits, limit)[0] == expected


@given(gradients((1, 2, 65, 1025)), st.floats(0, 1))
def test_kth_magnitude(dense, share):
    if not dense.size:
        return
    ordered = np.sort(patterns(np.abs(dense)))[::-1]
    for k in {1, dense.size, max(1, round(share * dense.size))}:
        scratch = np.full(2048, -1, np.int64)
        answers = [b.kth_magnitude(patterns(dense), k, scratch) for b in (cpu, reference)]
        threshold = int(ordered[k - 1])
        expected = (threshold, int(np.count_nonzero(ordered > threshold)))
        assert [tuple(map(int, a)) for a in answers] == [expected, expected]


@given(GRADIENTS, CHUNK_LOG2, st.floats(0, 1), st.integers(0, 5))
def test_gather(dense, chunk_log2, share, ties):
    magnitudes = np.sort(patterns(np.abs(dense)))
    threshold = int(magnitudes[int(share * (dense.size - 1))]) if dense.size else 0
    ties = min(ties, int(np.count_nonzero(magnitudes == threshold))) if threshold else 0
    kept = int(np.count_nonzero(magnitudes > threshold)) + ties
    n_chunks = -(-dense.size >> chunk_log2) if dense.size else 0
    keys, values = np.zeros((2, kept), np.uint32)
    counts = np.full(n_chunks, -1, np.int64)
    answer, written = run_both(
        "gather", patterns(dense), threshold, ties, chunk_log2, keys, values, counts
    )
    assert answer == kept == written[-1].sum()
    at = (np.repeat(np.arange(n_chunks), written[-1]) << chunk_log2) + written[-3]
    assert (np.diff(at) > 0).all()
    assert (patterns(dense)[at] == written[-2]).all()


@pytest.mark.parametrize("room", [0, 1, 63, 64, 65, 99])
def test_gather_says_that_there_is_no_room(room):
    bits = patterns(make_gradient(3, 100))
    keys, values = np.full((2, room), 7, np.uint32)
    for backend in (cpu, reference):
        counts = np.zeros(2, np.int64)
        assert backend.gather(bits, 0, 0, 6, keys, values, counts) == room + 1
        assert (values == bits[:room]).all()


@given(GRADIENTS, GRADIENTS)
def test_add_pairs(dense, other):
    keys, more = np.flatnonzero(dense), np.flatnonzero(other)
    values, more_values = dense[keys], other[more]
    room = keys.size + more.size
    merged, total = np.full(room, -7, np.int64), np.full(room, 7, np.float32)
    size, (*_, merged, total) = run_both(
        "add_pairs", keys, values, more, more_values, merged, total
    )
    assert merged[:size].tolist() == np.union1d(keys, more).tolist()
    assert (merged[size:] == -7).all()
    n = max(dense.size, other.size)
    with np.errstate(over="ignore"):
        expected = np.pad(dense, (0, n - dense.size)) + np.pad(other, (0, n - other.size))
    assert (total[:size] == expected[merged[:size]]).all()


@given(GRADIENTS, st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_quantize(dense, n_boundaries, seed):
    rng = np.random.default_rng(seed)
    pool = np.concatenate((patterns(np.abs(dense)), rng.integers(0, 0x7F80_0000, 200)))
    boundaries = np.sort(rng.choice(pool, n_boundaries)).astype(np.uint32)
    codes = np.zeros(dense.size, np.uint32)
    _, (*_, codes) = run_both("quantize", patterns(dense), boundaries, codes)
    expected = [
        sum(b <= m for b in boundaries.tolist()) for m in patterns(np.abs(dense))[:20].tolist()
    ]
    assert codes[:20].tolist() == expected
    assert codes.max(initial=0) <= n_boundaries


@given(
    st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(0, 40), max_size=9)), max_size=4),
    st.integers(0, 60),
)
def test_look_up(jobs, n_levels):
    levels = np.random.default_rng(n_levels).integers(0, 2**32, n_levels).astype(np.uint32)
    indices = [i for _, part in jobs for i in part]
    sizes = [len(part) for _, part in jobs]
    table = job_table([base for base, _ in jobs], np.cumsum([0, *sizes])[:-1], sizes).reshape(-1, 7)
    wrong = [any(base + i >= n_levels for i in part) for base, part in jobs]
    fault, read = read_both("look_up", table, frozen(levels), np.array(indices, np.uint32))
    assert fault == (wrong.index(True) if True in wrong else -1)
    if fault == -1:
        expected = [int(levels[base + i]) for base, part in jobs for i in part]
        assert read[-1].tolist() == expected


def test_indices_that_would_wrap_around_are_past_the_levels():
    values, levels = np.array([0, 2**32 - 1], np.uint32), np.arange(70_000, dtype=np.uint32)
    for base in (0, 1, 65_535):
        jobs = job_table([0, base], [0, 1], 1)
        assert read_both("look_up", jobs, levels, values)[0] == 1


@given(
    st.lists(st.lists(st.integers(0, 20) | st.integers(0, 2**32 - 1), max_size=70), max_size=5),
    st.sampled_from([0, 1, 16, 24]),
)
def test_rice_fit(chunks, limit):
    symbols = np.array([s for chunk in chunks for s in chunk], np.uint32)
    counts = np.array([len(chunk) for chunk in chunks], np.int64)
    jobs = job_table(0, np.cumsum(counts) - counts, counts)
    parameters, high = np.zeros((2, counts.size), np.int64)
    _, (*_, parameters, high) = run_both("rice_fit", jobs, symbols, limit, parameters, high)
    for chunk, parameter, bits in zip(chunks, parameters.tolist(), high.tolist(), strict=True):
        costs = [len(chunk) * (k + 1) + sum(s >> k for s in chunk) for k in range(limit + 1)]
        assert parameter == costs.index(min(costs))
        assert bits == costs[parameter] - len(chunk) * parameter


@given(GRADIENTS, CHUNK_LOG2)
def test_scatter(dense, chunk_log2):
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    out = np.zeros_like(dense)
    _, (*_, out) = run_both("scatter", keys, counts, chunk_log2, values, out)
    assert (out == dense).all()


SCALES = st.sampled_from([1.0, 1 / 3, -0.5, 0.0, 1e-30, 1 / 7]) | st.floats(-2, 2)


@given(
    gradients(SMALL, ("normal", "ties", "subnormal", "around_smallest_normal")), CHUNK_LOG2, SCALES
)
def test_accumulate_rounds_twice(dense, chunk_log2, scale):
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    start = make_gradient(7, dense.size)
    _, (*_, out) = run_both("accumulate", keys, counts, chunk_log2, values, scale, start)
    at = np.flatnonzero(dense)
    product = (values.astype(np.float64) * np.float64(np.float32(scale))).astype(np.float32)
    expected = start.copy()
    expected[at] = (start[at].astype(np.float64) + product.astype(np.float64)).astype(np.float32)
    assert same_bits(out, expected)


@pytest.mark.parametrize("scale", [1e300, float("inf")])
def test_accumulate_past_float32_is_infinite(scale):
    keys, counts = np.array([3], np.uint32), np.array([1], np.int64)
    values, out = np.array([2], np.float32), np.zeros(5, np.float32)
    _, (*_, out) = run_both("accumulate", keys, counts, 6, values, scale, out)
    assert out.tolist() == [0, 0, 0, np.inf, 0]


@given(GRADIENTS, CHUNK_LOG2)
def test_settle(dense, chunk_log2):
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    residual = dense.copy()
    _, (residual, *_) = run_both("settle", residual, keys, counts, chunk_log2, values)
    assert not residual.any()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(0, 2**32 - 1), st.integers(0, 9))
def test_chunk_checks(lengths16, seed, first):
    directory = np.zeros(len(lengths16), [("off16", "<u4"), ("len16", "<u4"), ("check", "<u4")])
    directory["len16"] = lengths16
    directory["off16"] = np.cumsum(lengths16) - lengths16
    payload = np.random.default_rng(seed).integers(0, 256, sum(lengths16) * 16).astype(np.uint8)
    checks = np.zeros(len(lengths16), np.uint32)
    _, (*_, checks) = run_both("chunk_checks", frozen(payload), frozen(directory), first, checks)
    for i, entry in enumerate(directory):
        part = payload[entry["off16"] * 16 :][: entry["len16"] * 16]
        assert checks[i] == xxhash.xxh64_intdigest(part.tobytes(), first + i) & 0xFFFF_FFFF
