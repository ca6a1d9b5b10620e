"""Every kernel of both backends on the same arguments: the same answer, the same bytes written."""

import numpy as np
import pytest
import xxhash
from backends import call_both, frozen, run_both
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, edges, exact, kind_of, make
from strategies import gradients, make_gradient, same_bits, vectors

from gcodec.kernels import cpu, reference
from gcodec.kernels.cpu.grid import FEW
from gcodec.kernels.cpu.selection import collect_sum_with, collect_with
from gcodec.kernels.cpu.vector import COMPRESS, LANES, LOCATE, MASK, SCALAR, best_tier
from gcodec.kernels.jobs import job_table

SMALL = (0, 1, 2, 63, 64, 65, 129, 300, 1025)


ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def patterns(dense):
    return frozen(dense.view(kind_of(dense).pattern).copy())


def magnitudes(dense):
    return kind_of(dense).magnitudes(dense)


def kept_in_chunks(dense, chunk_log2):
    """Keys within chunks, values and counts of the nonzeros, as the encoder hands them on."""
    at = np.flatnonzero(exact(dense))
    n_chunks = -(-dense.size >> chunk_log2) if dense.size else 0
    counts = np.bincount(at >> chunk_log2, minlength=n_chunks).astype(np.int64)
    return (at & ((1 << chunk_log2) - 1)).astype(np.uint32), dense[at], counts


GRADIENTS = gradients(SMALL)


SUMMED = vectors(SMALL, ("float32", "float64"))
CHUNK_LOG2 = st.sampled_from([6, 7, 9, 24])


def test_both_backends_offer_the_same_functions():
    """But for those that do whole chunks or frames, where the other has one for each plane.

    And for tables of codes and their reader, with which CUDA kernels are compared.
    """
    whole = {"measure_chunks", "measure_keys", "measure_values", "write_chunks"}
    whole |= {"cut_pieces", "compact_keys", "whole_encoder", "whole_finisher"}
    whole |= {"range_gatherer", "lay_out_gathered", "seal_gathered"}
    whole |= {"first_floor", "first_floor_of_sum", "prove_whole"}
    assert set(cpu.__all__) - set(reference.__all__) == whole
    small = {"classify", "rice_fit"} | {name for name in reference.__all__ if "write_" in name}
    small |= {"decode_table", "read_codes"}
    small |= {"to_gaps", "count_classes", "list_columns", "to_compact"}
    assert set(reference.__all__) - set(cpu.__all__) == small
    assert all(callable(getattr(b, name)) for b in (cpu, reference) for name in b.__all__)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 - 1])
def test_xxh64_is_xxh64(seed):
    data = np.random.default_rng(seed).integers(0, 256, 208).astype(np.uint8)
    for start in (0, 1, 3, 4, 7):
        for length in range(201):
            part = frozen(data[start : start + length])
            expected = xxhash.xxh64_intdigest(part.tobytes(), seed)
            assert int(cpu.xxh64(part, seed)) == expected
            assert reference.xxh64(part, seed) == expected


@given(vectors(SMALL))
def test_magnitude_max(dense):
    expected = max(magnitudes(dense).tolist(), default=0)
    assert run_both("magnitude_max", patterns(dense))[0] == expected


@ALL_KINDS
def test_magnitude_max_sees_what_is_not_finite(kind):
    for bad in (kind.infinity, kind.infinity + 1, kind.infinity | kind.infinity >> 1):
        for sign in (0, 1 << kind.bits - 1):
            bits = frozen(np.array([kind.infinity - 1, bad | sign, 0], kind.pattern))
            assert run_both("magnitude_max", bits)[0] == bad


@given(SUMMED, st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, -3.0]))
def test_compensate(dense, seed, gamma):
    other, kind = make(kind_of(dense), seed, dense.size, values="subnormal"), dense.dtype.type
    given = frozen(dense.copy()), frozen(other), kind(gamma), kind(0.25)
    _, (*_, total) = run_both("compensate", *given, np.empty_like(dense))
    with np.errstate(over="ignore", invalid="ignore"):
        assert same_bits(total, dense * kind(gamma) + other * kind(0.25))


@given(vectors(SMALL), st.floats(0, 1))
def test_count_above(dense, share):
    kind, sizes = kind_of(dense), magnitudes(dense)
    for limit in {int(share * kind.infinity), *edges(kind), *sizes[:3].tolist()}:
        expected = sum(size > limit for size in sizes.tolist())
        assert run_both("count_above", patterns(dense), limit)[0] == expected


@given(vectors((1, 2, 65, 1025)), st.floats(0, 1))
def test_kth_magnitude(dense, share):
    ordered = sorted(magnitudes(dense).tolist(), reverse=True)
    for k in {1, dense.size, max(1, round(share * dense.size))}:
        scratch = np.full(2048, -1, np.int64)
        answers = [b.kth_magnitude(patterns(dense), k, scratch) for b in (cpu, reference)]
        expected = (ordered[k - 1], sum(size > ordered[k - 1] for size in ordered))
        assert [tuple(map(int, a)) for a in answers] == [expected, expected]


@ALL_KINDS
def test_kth_magnitude_tells_every_bit_apart(kind):
    """The radix selection takes 11 bits at a time: differences in each digit count."""
    for bit in range(kind.precision + 3):
        dense = np.full(300, kind.one, kind.pattern)
        dense[[70, 210]] ^= kind.pattern.type(1 << bit)
        larger = bool(dense[70] > kind.one)
        for k in (1, 2, 3, 298, 299, 300):
            first = 2 if larger else 298
            expected = (int(max(dense)), 0) if k <= first else (int(min(dense)), first)
            scratch = np.empty(2048, np.int64)
            for backend in (cpu, reference):
                assert tuple(map(int, backend.kth_magnitude(dense, k, scratch))) == expected


def _periodic(rng, n):
    """A sample by strides sees only the largest."""
    numbers = rng.random(n)
    numbers[:: n // 1024] += 1
    return numbers


@ALL_KINDS
@pytest.mark.parametrize(
    "law",
    [
        lambda rng, n: rng.laplace(size=n),
        lambda rng, n: np.sort(rng.standard_normal(n)),
        lambda rng, n: rng.integers(-3, 4, n),
        lambda rng, n: np.where(rng.random(n) < 0.999, 0, rng.random(n)),
        lambda rng, n: np.zeros(n),
        _periodic,
    ],
)
def test_kth_magnitude_of_many(kind, law):
    """Also where a sample misleads, and with most elements alike."""
    rng = np.random.default_rng(0)
    for n in (1 << 14, (1 << 16) + 37):
        dense = kind.nearest(law(rng, n))
        ordered = np.sort(magnitudes(dense))[::-1]
        for k in (1, 2, 40, n // 100, n // 3, 4 * n // 5, n - 3, n):
            limit = int(ordered[k - 1])
            expected = (limit, int(np.count_nonzero(ordered > limit)))
            scratch = np.empty(2048, np.int64)
            found = cpu.kth_magnitude(patterns(dense), k, scratch)
            assert tuple(map(int, found)) == expected


TIERS = pytest.mark.parametrize("tier", [SCALAR, MASK, COMPRESS, LOCATE])


def collected(tier, bits, offset, floor, chunk_log2, room):
    """Keys, values and counts by one tier, or by the reference, in arrays of so much room.

    Every call goes on where the last one stopped, after which there is twice as much room.
    """
    n_chunks = -(-(offset + bits.size) >> chunk_log2)
    counts = np.full(n_chunks, 7, np.int64)
    at = kept = calls = top = 0
    keys, values = np.full(0, 7, np.uint32), np.full(0, 7, bits.dtype)
    while True:
        calls += 1
        keys, values = (np.append(a[:kept], np.full(room, 7, a.dtype)) for a in (keys, values))
        where = bits, offset, bits.dtype.type(floor), chunk_log2, at, kept, keys, values, counts
        before = at
        if tier is None:
            at, kept, more = reference.collect(*where)
        else:
            at, kept, more = collect_with(tier, *where)
            assert at == bits.size or kept > keys.size - LANES
        assert before <= at <= bits.size
        assert kept <= keys.size
        top = max(top, more)
        if at == bits.size:
            assert top == reference.magnitude_max(values[:kept])
            return keys[:kept], values[:kept], counts - 7, calls


@given(vectors((*SMALL, 4095, 4096, 4113, 9000), ("float32", "float64")), st.floats(0, 1))
@settings(max_examples=60)
def test_tail_sums(dense, share):
    """The same sums, to the last bit, in both backends, and of the same elements as pairs."""
    sizes = np.sort(np.abs(dense[np.isfinite(dense)]))
    threshold = sizes[int(share * (sizes.size - 1))] if sizes.size else dense.dtype.type(0)
    with np.errstate(over="ignore", invalid="ignore"):
        _, (*_, sums) = run_both("tail_sums", frozen(dense.copy()), threshold, np.zeros((3, 16)))
        keys = np.flatnonzero(exact(dense))
        pairs = keys, frozen(dense[keys])
        _, (*_, same) = run_both("tail_sums_of_pairs", *pairs, threshold, np.zeros((3, 16)))
    assert same_bits(sums[2, :3], same[2, :3])
    assert sums[2, 0] == np.count_nonzero(np.abs(dense) > threshold)


@TIERS
@given(vectors(SMALL), CHUNK_LOG2, st.floats(0, 1), st.integers(0, 3000), st.integers(64, 500))
def test_collect(tier, dense, chunk_log2, share, offset, room):
    """From inside a chunk on, into counts that hold something, in as many calls as it takes."""
    sizes = np.sort(magnitudes(dense))
    floor = int(sizes[int(share * (dense.size - 1))]) if dense.size else 0
    keys, values, counts, _ = collected(tier, patterns(dense), offset, floor, chunk_log2, room)
    expected = collected(None, patterns(dense), offset, floor, chunk_log2, room)
    for ours, theirs in zip((keys, values, counts), expected, strict=False):
        assert same_bits(ours, theirs)
    at = (np.repeat(np.arange(counts.size), counts) << chunk_log2) + keys - offset
    assert at.tolist() == np.flatnonzero(magnitudes(dense) >= floor).tolist()
    assert (patterns(dense)[at] == values).all()


@ALL_KINDS
@TIERS
@pytest.mark.parametrize("offset", [0, 37])
def test_collect_goes_on_where_there_was_no_room(kind, tier, offset):
    bits = patterns(kind.of(np.arange(1, 1001)))
    for room in (64, 65, 127, 300):
        keys, values, counts, calls = collected(tier, bits, offset, 1, 6, room)
        assert calls > 3
        assert (values == bits).all()
        assert counts.sum() == keys.size == bits.size


@TIERS
@given(SUMMED, CHUNK_LOG2, st.floats(0, 1), st.integers(0, 3000), st.integers(64, 500))
def test_collect_sum(tier, dense, chunk_log2, share, offset, room):
    """The sum, and what is collected of it, wherever the array starts."""
    rng, kind = np.random.default_rng(dense.size), kind_of(dense)
    other = rng.permutation(dense).astype(dense.dtype)
    gamma, beta = dense.dtype.type(0.5), dense.dtype.type(2)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = frozen(dense * gamma + other * beta)
    sizes = np.sort(kind.magnitudes(expected))
    floor = sizes.dtype.type(sizes[int(share * (sizes.size - 1))]) if sizes.size else 0
    wanted = collected(None, patterns(expected), offset, int(floor), chunk_log2, room)
    raw = np.zeros(dense.size + 64, dense.dtype)
    aligned = -raw.ctypes.data % 64 // dense.itemsize
    for start in (aligned, aligned + 1):
        out = raw[start : start + dense.size]
        keys, values = np.zeros(0, np.uint32), np.zeros(0, sizes.dtype)
        counts, at, kept, top = np.zeros_like(wanted[2]), 0, 0, 0
        while at < dense.size:
            keys, values = (np.append(a[:kept], np.zeros(room, a.dtype)) for a in (keys, values))
            at, kept, more = collect_sum_with(
                tier, frozen(dense.copy()), frozen(other), gamma, beta, out, out.ctypes.data,
                out.view(sizes.dtype), offset, floor, chunk_log2, at, kept, keys, values, counts,
            )  # fmt: skip
            top = max(top, more)
        assert same_bits(out, expected)
        assert top == reference.magnitude_max(wanted[1])
        assert same_bits(keys[:kept], wanted[0])
        assert same_bits(values[:kept], wanted[1])
        assert same_bits(counts, wanted[2])


def test_collect_takes_the_tier_that_was_found():
    bits, room = patterns(np.arange(1, 300, dtype=np.float32)), 400
    keys, values = np.zeros(room, np.uint32), np.zeros(room, np.uint32)
    found = cpu.collect(bits, 0, 1, 24, 0, 0, keys, values, np.zeros(1, np.int64))
    assert found == (299, 299, bits[-1])
    assert best_tier() in (MASK, COMPRESS, LOCATE)


@given(vectors(SMALL), CHUNK_LOG2, st.floats(0, 1), st.integers(0, 5))
def test_pick(dense, chunk_log2, share, ties):
    """In place: what goes of all nonzeros."""
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    bits = values.view(kind_of(dense).pattern)
    sizes = np.sort(magnitudes(values))
    threshold = int(sizes[int(share * (sizes.size - 1))]) if sizes.size else 0
    equal = np.flatnonzero(magnitudes(values) == threshold)[:ties]
    stays = np.sort(np.append(np.flatnonzero(magnitudes(values) > threshold), equal))
    chunks = np.repeat(np.arange(counts.size), counts)[stays]
    results = call_both("pick", keys, bits, counts, threshold, ties)
    for kept, (picked, chosen, left, *_) in results:
        assert kept == stays.size
        assert (picked[:kept] == keys[stays]).all()
        assert (chosen[:kept] == bits[stays]).all()
        assert (left == np.bincount(chunks, minlength=counts.size)).all()


@given(vectors(SMALL), CHUNK_LOG2, st.integers(0, 2**32 - 1))
def test_leave_out(dense, chunk_log2, seed):
    """In place: elements of some levels."""
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    rng = np.random.default_rng(seed)
    stays, joint = rng.random(12) < rng.random(), rng.integers(0, 12, keys.size).astype(np.uint32)
    bits, wanted = values.view(kind_of(dense).pattern), stays[joint]
    chunks = np.repeat(np.arange(counts.size), counts)[wanted]
    for size, written in call_both("leave_out", keys, bits, joint, counts, stays):
        assert size == np.count_nonzero(wanted)
        for before, after in zip((keys, bits, joint), written, strict=False):
            assert (after[:size] == before[wanted]).all()
        assert (written[3] == np.bincount(chunks, minlength=counts.size)).all()


@given(GRADIENTS, GRADIENTS, st.sampled_from([np.float32, np.float64]))
def test_add_pairs(dense, other, kind):
    dense, other = dense.astype(kind), other.astype(kind)
    keys, more = np.flatnonzero(dense), np.flatnonzero(other)
    values, more_values = dense[keys], other[more]
    room = keys.size + more.size
    merged, total = np.full(room, -7, np.int64), np.full(room, 7, kind)
    size, (*_, merged, total) = run_both(
        "add_pairs", keys, values, more, more_values, merged, total
    )
    assert merged[:size].tolist() == np.union1d(keys, more).tolist()
    assert (merged[size:] == -7).all()
    n = max(dense.size, other.size)
    with np.errstate(over="ignore"):
        expected = np.pad(dense, (0, n - dense.size)) + np.pad(other, (0, n - other.size))
    assert (total[:size] == expected[merged[:size]]).all()


@given(vectors(SMALL), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_quantize(dense, n_boundaries, seed):
    kind, rng = kind_of(dense), np.random.default_rng(seed)
    others = rng.integers(0, kind.infinity, 200).astype(kind.pattern)
    pool = np.concatenate((magnitudes(dense), others))
    boundaries = np.sort(rng.choice(pool, n_boundaries))
    joint = np.zeros(dense.size, np.uint32)
    _, (*_, joint) = run_both("quantize", patterns(dense), boundaries, joint)
    expected = [sum(b <= m for b in boundaries.tolist()) for m in magnitudes(dense)[:20].tolist()]
    assert (joint[:20] >> 1).tolist() == expected
    assert ((joint & 1).astype(bool) == np.signbit(exact(dense))).all()


@ALL_KINDS
@given(st.integers(0, 300), st.integers(0, 16), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_quantize_many(kind, n_boundaries, spread, seed):
    """Enough for a table of cells: boundaries near each other, equal, or all over the range."""
    rng = np.random.default_rng(seed)
    middle = int(rng.integers(kind.infinity))
    near = rng.integers(-(2**spread), 2**spread, FEW + n_boundaries) + middle
    sizes = np.clip(near, 0, kind.infinity).astype(kind.pattern)
    sizes[::3] = rng.integers(0, kind.infinity, sizes[::3].size)
    boundaries = np.sort(sizes[FEW:])
    bits = sizes[:FEW] | (rng.integers(0, 2, FEW).astype(kind.pattern) << (kind.bits - 1))
    joint = np.zeros(FEW, np.uint32)
    run_both("quantize", frozen(bits), boundaries, joint)


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


@given(vectors(SMALL), CHUNK_LOG2)
def test_scatter(dense, chunk_log2):
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    bits, out = values.view(kind_of(dense).pattern), np.zeros_like(patterns(dense))
    _, (*_, out) = run_both("scatter", keys, counts, chunk_log2, bits, out)
    assert (out[exact(dense) == 0] == 0).all()
    assert (out == np.where(exact(dense) == 0, 0, patterns(dense))).all()


SCALES = st.sampled_from([1.0, 1 / 3, -0.5, 0.0, 1e-30, 1 / 7]) | st.floats(-2, 2)


@given(
    gradients(SMALL, ("normal", "ties", "subnormal", "around_smallest_normal")), CHUNK_LOG2, SCALES
)
def test_accumulate_rounds_twice(dense, chunk_log2, scale):
    """Shown in float32 by way of float64, whose products and sums of two float32 are exact."""
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    start, factor = make_gradient(7, dense.size), np.float32(scale)
    _, (*_, out) = run_both("accumulate", keys, counts, chunk_log2, values, factor, start)
    at = np.flatnonzero(dense)
    product = (values.astype(np.float64) * np.float64(factor)).astype(np.float32)
    expected = start.copy()
    expected[at] = (start[at].astype(np.float64) + product.astype(np.float64)).astype(np.float32)
    assert same_bits(out, expected)


@given(vectors(SMALL, ("float64",)), CHUNK_LOG2, SCALES)
def test_accumulate_in_float64(dense, chunk_log2, scale):
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    start, at = make(KINDS["float64"], 7, dense.size), np.flatnonzero(dense)
    _, (*_, out) = run_both("accumulate", keys, counts, chunk_log2, values, scale, start)
    expected = start.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        expected[at] = start[at] + values * scale
    assert same_bits(out, expected)


@pytest.mark.parametrize("scale", [np.float32(3e38), np.float32("inf"), 1e308, float("inf")])
def test_accumulate_past_the_type_is_infinite(scale):
    kind = np.dtype(type(scale))
    keys, counts = np.array([3], np.uint32), np.array([1], np.int64)
    values, out = np.array([2], kind), np.zeros(5, kind)
    _, (*_, out) = run_both("accumulate", keys, counts, 6, values, scale, out)
    assert out.tolist() == [0, 0, 0, np.inf, 0]


@given(SUMMED, CHUNK_LOG2)
def test_settle(dense, chunk_log2):
    keys, values, counts = kept_in_chunks(dense, chunk_log2)
    _, (residual, *_) = run_both("settle", dense.copy(), keys, counts, chunk_log2, values)
    assert not residual.any()
    half = values / 2
    _, (residual, *_) = run_both("settle", dense.copy(), keys, counts, chunk_log2, half)
    assert same_bits(residual[np.flatnonzero(dense)], values - half)
    table, joint = np.unique(half, return_inverse=True)
    what = keys, counts, chunk_log2, joint.astype(np.uint32), table
    _, (again, *_) = run_both("settle_levels", dense.copy(), *what)
    assert same_bits(again, residual)


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
