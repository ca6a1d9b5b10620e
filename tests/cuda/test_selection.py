"""Selection and statistics on CUDA: their PTX, run on the CPU, does what the CPU kernels do."""

from itertools import product

import numpy as np
import pytest
from ptx.compiled import CAPABILITIES, SCHEDULES, launch

from gcodec.arrays import aligned
from gcodec.kernels import load, reference
from gcodec.kernels.cuda import selection

pytestmark = pytest.mark.cuda

cpu = load("cpu")
KINDS = (np.uint16, np.uint32, np.uint64)
NUMBERS = {np.uint16: np.float16, np.uint32: np.float32, np.uint64: np.float64}
TIE = {kind: number(2.5).view(kind) for kind, number in NUMBERS.items()}
"""A magnitude that many elements have."""

EDGES = tuple(1024 * part + 36 + last for part in range(4) for last in range(4))
"""Ends in each element of a vector, and in each vector of a thread."""

SIZES = (0, 1, 31, 32, 33, 255, 1023, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 8193, *EDGES)


def schedules(sizes):
    """Sizes, each with the seed of a schedule and a number of blocks."""
    for n in sizes:
        for seed, resident in SCHEDULES:
            yield n, {"seed": seed, "resident": resident}


def patterns(kind, n, seed=0, shift=0):
    """Elements with ties, zeros, subnormals, infinities and NaNs, `shift` elements off a line."""
    rng = np.random.default_rng(seed)
    bits = aligned((n + shift,), kind)[shift:]
    bits[:] = rng.standard_t(2, n).astype(NUMBERS[kind]).view(kind)
    top = kind(np.iinfo(kind).max)
    for special in (0, 1, 1 << np.dtype(kind).itemsize * 8 - 1, top, top >> kind(1)):
        bits[rng.random(n) < 0.01] = special
    bits[rng.random(n) < 0.02] = NUMBERS[kind](np.inf).view(kind)
    for tie in (5, 5 + 2047, int(TIE[kind])):
        bits[rng.random(n) < 0.08] = tie
    return bits


def is_aligned(*arrays):
    return all(array.ctypes.data % 16 == 0 for array in arrays)


def collected(kind, n, floor, log2, room, given, name, **how):
    """What `collect` or `collect_sum` finds: keys, values, starts and the largest."""
    itemsize = np.dtype(kind).itemsize
    tiles = max(-(-n // selection.tile_of(itemsize)), 1)
    keys, values = np.full(room, 7, np.uint32), np.full(room, 7, kind)
    starts = np.zeros(-(-n >> log2) + 1, np.uint64)
    top = np.zeros(1, selection.top_of(kind))
    arrays = [array for array in given if isinstance(array, np.ndarray)]
    launch(
        f"{name}_{np.dtype(kind).name}", tiles, *given, floor, is_aligned(*arrays), log2,
        np.zeros(tiles + 1, np.uint64), keys, values, starts, top, **how,
    )  # fmt: skip
    return keys, values, starts, int(top[0])


def expected(kernels, bits, floor, log2):
    n = bits.size
    keys, values = np.empty(n + 128, np.uint32), np.empty(n + 128, bits.dtype)
    counts = np.zeros(-(-n >> log2), np.int64)
    _, kept, _ = kernels.collect(bits, 0, floor, log2, 0, 0, keys, values, counts)
    return keys[:kept], values[:kept], np.append(0, np.cumsum(counts))


def check_collected(found, wanted, bits):
    keys, values, starts, top = found
    kept = int(starts[-1])
    assert starts.tolist() == wanted[2].tolist()
    assert keys[:kept].tobytes() == wanted[0].tobytes()
    assert values[:kept].tobytes() == wanted[1].tobytes()
    assert (keys[kept:] == 7).all()
    assert top == reference.magnitude_max(bits)


@pytest.mark.parametrize("kind", KINDS)
def test_collect(kind):
    floor = int(TIE[kind])
    for n, how in schedules((*SIZES, 70_001)):
        bits = patterns(kind, n, seed=n)
        wanted = expected(cpu, bits, floor, 10)
        check_collected(collected(kind, n, floor, 10, n, [bits], "collect", **how), wanted, bits)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_collect_all_or_little_by_chunks(kind, capability):
    for log2, floor in product((6, 9, 12, 20), (0, 1, 2.5, np.inf)):
        bits = patterns(kind, 9_999, seed=log2)
        pattern = floor if floor in (0, 1) else int(NUMBERS[kind](floor).view(kind))
        wanted, how = expected(reference, bits, pattern, log2), {"capability": capability}
        found = collected(kind, bits.size, pattern, log2, bits.size, [bits], "collect", **how)
        check_collected(found, wanted, bits)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_that_end_with_the_array(kind):
    for n in (8_192 + 1_024 * part + 256 for part in range(4)):
        bits, floor = patterns(kind, n, seed=n), int(TIE[kind])
        wanted = expected(cpu, bits, floor, 6)
        check_collected(collected(kind, n, floor, 6, n, [bits], "collect", seed=1), wanted, bits)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_that_start_anywhere(kind):
    floor = int(TIE[kind])
    for shift, how in schedules((1, 2, 3)):
        bits = patterns(kind, 8_300, shift=shift)
        assert bits.ctypes.data % 16 or kind == np.uint64
        wanted = expected(reference, bits, floor, 10)
        found = collected(kind, bits.size, floor, 10, bits.size, [bits], "collect", **how)
        check_collected(found, wanted, bits)


def test_what_there_is_no_room_for_is_counted():
    bits = patterns(np.uint32, 9_000)
    floor = int(np.float32(1).view(np.uint32))
    keys, values, starts = expected(reference, bits, floor, 10)
    assert keys.size > 1500
    for room, how in schedules((0, 1, *range(500, 508), *range(1200, 1500, 23))):
        found = collected(np.uint32, bits.size, floor, 10, room, [bits], "collect", **how)
        assert found[2].tolist() == starts.tolist()
        assert found[0].tobytes() == keys[:room].tobytes()
        assert found[1].tobytes() == values[:room].tobytes()


SOME = (0, 1, 33, 2048, 4097, 8192, 12_345, *EDGES)


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_sums_that_end_with_a_chunk_or_have_no_room(kind):
    number, rng = NUMBERS[kind], np.random.default_rng(0)
    for n in (8_192 + 1_024 * part + 256 for part in range(4)):
        numbers, floor = rng.standard_t(2, n).astype(number), int(number(1).view(kind))
        bits, nothing = numbers.view(kind), np.zeros(n, kind)
        keys, values, starts = expected(cpu, bits, floor, 6)
        for room in (n, 0, *range(500, 508), *range(1_000, keys.size, 97)):
            given = [bits, nothing, number(1), number(1), np.empty(n, kind)]
            found = collected(kind, n, floor, 6, room, given, "collect_sum", seed=1)
            assert found[2].tolist() == starts.tolist()
            assert found[0][: keys.size].tobytes() == keys[:room].tobytes()
            assert found[1][: keys.size].tobytes() == values[:room].tobytes()


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_collect_sum(kind, shift):
    number = NUMBERS[kind]
    gamma, beta, tie = number(0.7), number(-1.3), number(2.5)
    floor = int(abs(tie * gamma + -tie * beta).view(kind))
    for n, how in schedules(SOME):
        grad, residual = (patterns(kind, n, seed=n + i, shift=shift) for i in range(2))
        same = np.random.default_rng(n).random(n) < 0.1
        grad[same], residual[same] = tie.view(kind), (-tie).view(kind)
        total, out = np.empty(n, number), aligned((n + shift,), kind)[shift:]
        cpu.compensate(grad.view(number), residual.view(number), gamma, beta, total)
        wanted = expected(reference, total.view(kind), floor, 10)
        given = [grad, residual, gamma, beta, out]
        found = collected(kind, n, floor, 10, n, given, "collect_sum", **how)
        numbers = ~np.isnan(total)  # the payload of a NaN is the machine's choice
        assert out[numbers].tobytes() == total[numbers].tobytes()
        assert np.isnan(out.view(number)[~numbers]).all()
        assert found[2].tolist() == wanted[2].tolist()
        assert found[0][: wanted[0].size].tobytes() == wanted[0].tobytes()


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_count_above(kind, shift):
    count, top = np.zeros(1, np.uint64), np.zeros(1, selection.top_of(kind))
    for n, how in schedules(SOME):
        bits = patterns(kind, n, seed=n, shift=shift)
        tiles = max(-(-n // selection.tile_of(bits.itemsize)), 1)
        for threshold in (0, int(TIE[kind])):
            count[:] = top[:] = 0
            given = bits, threshold, is_aligned(bits), count, top
            launch(f"count_above_{bits.dtype}", tiles, *given, **how)
            assert count[0] == cpu.count_above(bits, threshold)
            assert top[0] == cpu.magnitude_max(bits)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_histogram(kind, shift):
    for n, how in schedules(SOME):
        bits = patterns(kind, n, seed=n, shift=shift)
        magnitudes = reference.selection.magnitudes(bits)
        width = bits.itemsize * 8 - 1
        for low, high, down in ((0, (1 << width) - 1, width - 11), (5, 5 + 2047, 0)):
            bins = np.zeros(selection.BINS, np.uint64)
            grid = min(max(-(-n // selection.tile_of(bits.itemsize)), 1), 2)
            given = bits, low, high, down, is_aligned(bits), bins
            launch(f"histogram_{bits.dtype}", grid, *given, **how)
            inside = magnitudes[(magnitudes >= low) & (magnitudes <= high)]
            places = ((inside - kind(low)) >> kind(down)).astype(np.int64)
            assert bins.tolist() == np.bincount(places, minlength=selection.BINS).tolist()


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_tail_sums(number):
    for n, how in schedules((0, 1, 15, 16, 17, 4095, 4096, 4097, 20_000, 70_000)):
        numbers = np.random.default_rng(n).standard_t(2, n).astype(number)
        for threshold in (0, 1.5):
            sums = np.zeros((3, 16))
            cpu.tail_sums(numbers, number(threshold), sums)
            tiles, count = -(-n // selection.SUMMED), np.zeros(1, np.uint64)
            parts = np.full((tiles, 2, selection.SUMS), np.nan)
            grid = max(-(-tiles // (selection.THREADS // selection.SUMS)), 1)
            given = numbers, threshold, parts, count
            launch(f"tail_sums_{np.dtype(number).name}", grid, *given, **how)
            assert count[0] == sums[2, 0]
            for which in range(2):
                in_order = np.append(0.0, parts[:, which].reshape(-1)).cumsum()
                assert in_order[-1] == sums[2, 1 + which]


@pytest.mark.parametrize("kind", KINDS)
def test_take(kind):
    bits = patterns(kind, 5_000)
    for count in (0, 1, 255, 256, 257, 1000):
        positions = np.random.default_rng(1).integers(0, 5_000, count)
        out = np.zeros(count, kind)
        grid = max(-(-count // selection.THREADS), 1)
        launch(f"take_{bits.dtype}", grid, bits, positions, out, seed=1)
        assert out.tobytes() == bits[positions].tobytes()
