"""The sum of what several frames hold."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import same_bits

from gcodec.kernels import cpu, reference
from gcodec.kernels.cpu import sums
from gcodec.kernels.cpu.sums import STREAMED, TILE

ROOM = 40


def summands(rng, n, chunk_log2, densities, kind):
    """What frames of n elements might hold, and as many dense arrays."""
    keys, counts, values, dense = [], [], [], []
    for density in densities:
        at = np.flatnonzero(rng.random(n) < density)
        keys.append((at & ((1 << chunk_log2) - 1)).astype(np.uint32))
        counts.append(np.bincount(at >> chunk_log2, minlength=-(-n >> chunk_log2)))
        values.append(rng.standard_normal(at.size).astype(kind))
        dense.append(np.zeros(n, kind))
        dense[-1][at] = values[-1]
    return (keys, np.array(counts, np.int64), values), dense


def rank_order_sum(dense, divisor, kind):
    total = np.zeros_like(dense[0])
    for each in dense:
        total += each
    return total / kind(divisor)


def guarded(n, kind):
    """An array between canaries."""
    room = np.full(n + 2 * ROOM, np.nan, kind)
    return room, room[ROOM : ROOM + n]


@given(
    n=st.sampled_from([1, 63, 64, 65, 1000, TILE, TILE + 1, 3 * TILE - 5]),
    chunk_log2=st.sampled_from([6, 9, 14, 15, 24]),
    densities=st.lists(st.sampled_from([0.0, 0.01, 0.3, 1.0]), min_size=1, max_size=5),
    divisor=st.sampled_from([1, 2, 3, 7]),
    kind=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_both_backends_give_the_sum_in_order(n, chunk_log2, densities, divisor, kind, seed):
    (keys, counts, values), dense = summands(
        np.random.default_rng(seed), n, chunk_log2, densities, kind
    )
    expected = rank_order_sum(dense, divisor, kind)
    for kernels in (cpu, reference):
        room, out = guarded(n, kind)
        what = keys, counts, values, chunk_log2, 0, counts.shape[1], kind(divisor), out
        kernels.put_sums(*what)
        assert same_bits(out, expected)
        assert np.isnan(room).sum() == 2 * ROOM


@given(
    n=st.sampled_from([1, 15, 16, 17, 100, STREAMED, STREAMED + 1, 3 * STREAMED - 5]),
    start=st.integers(0, 17),
    chunk_log2=st.sampled_from([6, 11, 12, 24]),
    densities=st.lists(st.sampled_from([0.0, 0.01, 1.0]), min_size=1, max_size=3),
    divisor=st.sampled_from([1, 3]),
    kind=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_long_sums_go_past_the_caches(n, start, chunk_log2, densities, divisor, kind, seed):
    """Wherever their lines start; an array that is not aligned to its elements does not."""
    (keys, counts, values), dense = summands(
        np.random.default_rng(seed), n, chunk_log2, densities, kind
    )
    expected, where = rank_order_sum(dense, divisor, kind), sums.LEAST_STREAMED
    what = keys, counts, values, chunk_log2, 0, counts.shape[1], kind(divisor)
    sums.LEAST_STREAMED = 0
    try:
        room = np.full(n + 2 * ROOM, np.nan, kind)
        cpu.put_sums(*what, room[ROOM + start : ROOM + start + n])
        assert same_bits(room[ROOM + start : ROOM + start + n], expected)
        assert np.isnan(room).sum() == 2 * ROOM
        odd = np.zeros(room.nbytes, np.uint8)[start : start + expected.nbytes].view(kind)
        cpu.put_sums(*what, odd)
        assert same_bits(odd, expected)
    finally:
        sums.LEAST_STREAMED = where


def test_ranges_of_chunks_make_the_whole():
    (keys, counts, values), dense = summands(
        np.random.default_rng(1), 1000, 6, [0.1, 0.5, 0.0], np.float32
    )
    for kernels in (cpu, reference):
        out = np.full(1000, np.nan, np.float32)
        for begin, end in ((3, 9), (9, 16), (0, 3)):
            kernels.put_sums(keys, counts, values, 6, begin, end, np.float32(1), out)
        assert same_bits(out, rank_order_sum(dense, 1, np.float32))


def test_keys_that_do_not_ascend_write_nothing_outside():
    """They cannot come out of a frame; the kernel holds itself to its bounds all the same."""
    keys, counts = [np.array([60, 2**32 - 1, 3], np.uint32)], np.array([[3]])
    room, out = guarded(64, np.float32)
    values = [np.ones(3, np.float32)]
    cpu.put_sums(keys, counts, values, 6, 0, 1, np.float32(1), out)
    assert np.flatnonzero(out).tolist() == [60]
    assert np.isnan(room).sum() == 2 * ROOM
