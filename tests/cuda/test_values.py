"""Codes, planes, checks and sums on CUDA: their PTX, run on the CPU, writes the same bytes."""

from itertools import product

import numpy as np
import pytest
from ptx.compiled import CAPABILITIES, SCHEDULES, launch

from gcodec.format.directory import BLOCK, CHUNK, WIDTH_BITS
from gcodec.kernels import load, reference
from gcodec.kernels.cuda import checksum, quantize
from gcodec.kernels.jobs import job_table

pytestmark = pytest.mark.cuda

cpu = load("cpu")
COUNTS = ((0,), (1,), (31, 0, 33), (127, 128, 129), (1023, 1, 1024), (1025, 2047), (9_000,))
schedules = [{"seed": seed, "resident": resident} for seed, resident in SCHEDULES]


@pytest.mark.parametrize("joint", [np.uint8, np.uint32])
@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.uint64])
def test_quantize(kind, joint):
    rng = np.random.default_rng(1)
    for n, levels in ((0, 3), (1, 0), (255, 1), (256, 7), (257, 100), (1000, 13)):
        bits = rng.integers(0, np.iinfo(kind).max, n, kind, endpoint=True)
        boundaries = np.sort(rng.integers(0, np.iinfo(kind).max >> 1, levels, kind))
        bits[: min(n, levels)] = boundaries[: min(n, levels)]
        codes, expected = np.full(n, 99, joint), np.empty(n, joint)
        cpu.quantize(bits, boundaries, expected)
        name = f"quantize_{np.dtype(kind)}_{np.dtype(joint)}"
        launch(name, max(-(-n // quantize.THREADS), 1), bits, boundaries, codes, seed=1)
        assert codes.tobytes() == expected.tobytes()


def planes_of(counts, width):
    """Jobs of so many fields, one after the other, and the words that they take."""
    words = np.array([-(-count * width // 64) for count in counts])
    ends = np.cumsum(words)
    first = np.cumsum(counts) - counts
    jobs = job_table((ends - words) * 64, first, np.array(counts), width=width)
    return jobs, int(ends[-1])


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_write_fields(counts):
    """Words are written whole: what was there does not matter."""
    for width, how in product((0, 1, 2, 5, 7, 8, 11, 16, 17, 24, 31, 32), schedules):
        jobs, words = planes_of(counts, width)
        for kind in (np.uint8, np.uint16, np.uint32):
            if np.dtype(kind).itemsize * 8 < width:
                continue
            rng, most = np.random.default_rng(width), np.iinfo(kind).max
            values = rng.integers(0, most, sum(counts), kind, endpoint=True)
            payload, expected = np.full(words, 2**64 - 1, np.uint64), np.zeros(words, np.uint64)
            reference.write_fields(jobs, values, expected)
            launch(f"write_fields_{np.dtype(kind)}", len(jobs), jobs, values, payload, **how)
            assert payload.tobytes() == expected.tobytes()


def keys_of(counts, length, seed=0):
    rng = np.random.default_rng(seed)
    gaps = [rng.integers(1, max(length // (count + 1), 1) + 1, count) for count in counts]
    return np.concatenate([np.cumsum(part) - 1 for part in gaps]).astype(np.uint32)


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_write_bitmap(counts):
    keys, length = keys_of(counts, 9_001), 9_001
    words = -(-length // 64)
    first = np.cumsum(counts) - counts
    jobs = job_table(np.arange(len(counts)) * 64 * words, first, np.array(counts))
    expected = np.zeros(words * len(counts), np.uint64)
    reference.write_bitmap(jobs, keys, expected)
    for how in schedules:
        payload = np.zeros_like(expected)
        launch("write_bitmap", len(jobs), jobs, keys, payload, **how)
        assert payload.tobytes() == expected.tobytes()


def blocks_expected(counts, keys):
    """Widths of blocks, and both planes, by the reference."""
    gaps = np.empty_like(keys)
    first = np.cumsum(counts) - counts
    reference.to_gaps(job_table(0, first, np.array(counts), index=first), keys, gaps)
    skips, widths, blocks = gaps - np.uint32(1), [], []
    for start, count in zip(first, counts, strict=True):
        own = skips[start : start + count]
        blocks.append([own[j : j + BLOCK] for j in range(0, count, BLOCK)])
        widths.append([int(block.max()).bit_length() for block in blocks[-1]])
    return blocks, widths


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_blocks(counts):
    for length, capability, how in product((9_000, 1 << 22), CAPABILITIES, schedules):
        check_blocks(counts, keys_of(counts, length), capability=capability, **how)


def check_blocks(counts, keys, **how):
    blocks, widths = blocks_expected(counts, keys)
    starts = np.append(0, np.cumsum(counts)).astype(np.uint64)
    first = starts[:-1].astype(np.int64)
    found = np.full(keys.size // BLOCK + len(counts), 99, np.uint32)
    bits = np.full(len(counts), 99, np.uint64)
    launch("measure_blocks", len(counts), keys, starts, found, bits, **how)
    places = first // BLOCK + np.arange(len(counts))
    for place, own in zip(places, widths, strict=True):
        assert found[place : place + len(own)].tolist() == own
    sizes = [
        sum(width * block.size for width, block in zip(own, part, strict=True))
        for own, part in zip(widths, blocks, strict=True)
    ]
    assert bits.tolist() == sizes
    index_words = np.array([-(-len(own) * WIDTH_BITS // 64) for own in widths])
    words = np.array([-(-size // 64) for size in sizes])
    ends = np.cumsum(index_words + words)
    index = ends - words - index_words
    jobs = job_table((index + index_words) * 64, first, np.array(counts), index=index * 64,
                     split=places)  # fmt: skip
    payload, expected = np.full(ends[-1], 2**64 - 1, np.uint64), np.zeros(ends[-1], np.uint64)
    for at, own, part in zip(index, widths, blocks, strict=True):
        table = job_table([int(at) * 64], 0, len(own), width=WIDTH_BITS)
        reference.write_fields(table, np.array(own, np.uint32), expected)
        bit = int(at + -(-len(own) * WIDTH_BITS // 64)) * 64
        for width, block in zip(own, part, strict=True):
            reference.write_fields(job_table([bit], 0, block.size, width=width), block, expected)
            bit += width * block.size
    launch("write_blocks", len(counts), jobs, keys, found, payload, **how)
    assert payload.tobytes() == expected.tobytes()


UNITS = ([0], [1], [2, 3, 0, 4], [*range(31)], [*range(32)], [*range(40)], [500, 1, 77])


def test_chunk_checks():
    for units, first, how in product(UNITS, (0, 5), schedules):
        check_chunks(units, first, **how)
    offsets = [CHUNK.fields[name][1] // 4 for name in ("off16", "len16")]
    assert offsets == [checksum.OFF16, checksum.LEN16]


def check_chunks(units, first, **how):
    directory = np.zeros(len(units), CHUNK)
    directory["len16"] = units
    directory["off16"] = np.cumsum(units) - units
    payload = np.random.default_rng(1).integers(0, 2**64, sum(units) * 2, np.uint64)
    expected, checks = np.zeros(len(units), np.uint32), np.zeros(len(units), np.uint32)
    cpu.chunk_checks(payload.view(np.uint8), directory, first, expected)
    grid = -(-len(units) // checksum.CHUNKS)
    entries = directory.view(np.uint32).reshape(-1, CHUNK.itemsize // 4)
    launch("chunk_checks", grid, payload, entries, first, checks, **how)
    assert checks.tolist() == expected.tolist()


@pytest.mark.parametrize("number", [np.float16, np.float32, np.float64])
def test_scatter_and_accumulate(number):
    for counts, how in product(COUNTS, schedules):
        check_sums(counts, number, **how)


def check_sums(counts, number, **how):
    keys, log2 = keys_of(counts, 9_001), 14
    rng = np.random.default_rng(3)
    values = rng.standard_t(2, keys.size).astype(number)
    values[rng.random(keys.size) < 0.05] = number(6e-8)
    n = (len(counts) - 1 << log2) + 9_001
    out = rng.standard_t(2, n).astype(number)
    starts, table = np.append(0, np.cumsum(counts)).astype(np.uint64), np.array(counts)
    kind = np.dtype(f"u{values.itemsize}")
    expected, found = out.copy(), out.copy()
    cpu.scatter(keys, table, log2, values.view(kind), expected.view(kind))
    where = keys, starts, log2
    launch(f"scatter_{kind}", len(counts), *where, values.view(kind), found.view(kind), **how)
    assert found.tobytes() == expected.tobytes()
    if number is np.float16:
        return
    for scale in (number(1 / 3), number(-1)):
        expected, found = out.copy(), out.copy()
        cpu.accumulate(keys, table, log2, values, scale, expected)
        launch(f"accumulate_{np.dtype(number)}", len(counts), *where, values, scale, found, **how)
        assert found.tobytes() == expected.tobytes()
    cpu.settle(out, keys, table, log2, values)
    assert found.tobytes() == out.tobytes()
