"""Decoded elements on CUDA: their PTX, run on the CPU, writes the same bytes."""

from itertools import product

import numpy as np
import pytest
from ptx.compiled import SCHEDULES, launch

from gcodec.arrays import widen
from gcodec.format.elements import ELEMENTS
from gcodec.kernels import load

pytestmark = pytest.mark.cuda

cpu = load("cpu")
COUNTS = ((0,), (1,), (31, 0, 33), (127, 128, 129), (1023, 1, 1024), (1025, 2047), (9_000,))
schedules = [{"seed": seed, "resident": resident} for seed, resident in SCHEDULES]


def keys_of(counts, length, seed=0):
    rng = np.random.default_rng(seed)
    gaps = [rng.integers(1, max(length // (count + 1), 1) + 1, count) for count in counts]
    return np.concatenate([np.cumsum(part) - 1 for part in gaps]).astype(np.uint32)


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


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_pattern_of_16_bits_is_widened(name):
    """NaN stays one."""
    (element,) = (each for each in ELEMENTS.values() if each.name == name)
    bits, out = np.arange(1 << 16, dtype=np.uint16), np.empty(1 << 16, np.uint32)
    launch(f"widen_{name}", (1 << 16) // 256, bits, out, **schedules[1])
    expected = widen(bits, element)
    numbers = ~np.isnan(expected)
    assert (
        out.view(np.float32)[numbers].view(np.uint32) == expected[numbers].view(np.uint32)
    ).all()
    assert np.isnan(out.view(np.float32)[~numbers]).all()
    few = np.full(300, 7, np.uint32)
    launch(f"widen_{name}", 2, bits[1 : 1 + 299], few[:299], **schedules[1])
    assert (few[:299] == out[1:300]).all()
    assert few[299] == 7


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("nesterov", [False, True])
def test_correct(number, nesterov):
    """Sizes about that of a block; products that a fused operation would round otherwise."""
    rng = np.random.default_rng(0)
    for size, how in product((1, 255, 256, 257, 1_000), schedules):
        given = [rng.standard_normal(size).astype(number) for _ in range(3)]
        expected = np.empty((2, size), number)
        cpu.correct(*given, number(0.9), nesterov, *expected)
        out = np.empty((2, size), number)
        name = f"correct_{np.dtype(number).name}"
        launch(name, -(-size // 256), *given, 0.9, nesterov, *out, **how)
        assert out.tobytes() == expected.tobytes()
