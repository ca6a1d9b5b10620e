"""Count-sketches on a device: the CPU's cells and estimates, bit for bit."""

from itertools import product

import numpy as np
import pytest
from ptx.compiled import SCHEDULES, launch
from ptx.host import OnDevice, host_device

import gcodec
from gcodec.format.sketch import hash_tables
from gcodec.kernels import load
from gcodec.kernels.cuda import sketch

pytestmark = pytest.mark.cuda

cpu = load("cpu")
NUMBERS = (np.float32, np.float64)
SIZES = (0, 1, 31, 32, 33, 255, 256, 257, 5_000)
COLUMNS = (1, 4, 64, 1024, 2048, 4096)
"""Powers of two below, at and above what a block owns."""


def inserted(values, start, rows, columns, **how):
    tables, log2 = hash_tables(5, rows), columns.bit_length() - 1
    cells = np.random.default_rng(1).normal(size=(rows, columns)).astype(values.dtype)
    expected = cells.copy()
    cpu.insert(values, start, tables, log2, 0, rows, expected)
    grid = rows * -(-columns // sketch.slice_of(values.itemsize))
    launch(f"insert_{values.dtype}", grid, values, start, tables, log2, cells, **how)
    return cells, expected


@pytest.mark.parametrize("number", NUMBERS)
def test_insert(number):
    """Few columns make every lane of a warp wait for the others."""
    for n, columns in product(SIZES, COLUMNS):
        values = np.random.default_rng(n).standard_t(2, n).astype(number)
        seed, resident = SCHEDULES[(n + columns) % 3]
        how = {"seed": seed, "resident": resident}
        found, expected = inserted(values, 1000 + n, 1 + n % 7, columns, **how)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("seed", "resident"), SCHEDULES)
def test_insert_of_every_number_of_rows(seed, resident):
    values = np.random.default_rng(3).standard_t(2, 700).astype(np.float32)
    for rows, start in product(range(1, 8), (0, 255, (1 << 32) - 700)):
        found, expected = inserted(values, start, rows, 128, seed=seed, resident=resident)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("rows", range(1, 8))
def test_estimate(rows, number):
    log2, tables = 5, hash_tables(9, rows)
    cells = np.random.default_rng(rows).normal(size=(rows, 1 << log2)).astype(number)
    cells[:, ::5], cells[:, 1::7] = 0.0, -0.0
    cells[:, 2::9] = 1.5
    for n, agree in product(SIZES, (False, True)):
        if not agree and rows % 2 == 0:
            continue
        out, expected = np.full(n, 7, number), np.empty(n, number)
        cpu.estimate(77, tables, log2, cells, agree, expected)
        where = 77, tables, log2, cells, agree, out
        launch(f"estimate_{out.dtype}", max(-(-n // sketch.THREADS), 1), *where, seed=1)
        assert out.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["median", "agree"])
def test_sketches_of_gradients_on_a_device(dtype, how):
    array = np.random.default_rng(0).standard_t(2, (20, 500)).astype(dtype)
    ours, theirs = (gcodec.CountSketch((20, 500), columns=512, dtype=dtype) for _ in range(2))
    ours.insert(array).insert(array[5:7], start=2_500)
    out = np.empty_like(array)
    with host_device() as device:
        theirs.insert(OnDevice(array)).insert(OnDevice(array[5:7]), start=2_500)
        there = OnDevice(out)
        assert theirs.estimate(how=how, out=there) is there
    assert [launched for each in device for launched in each.launched] == [
        f"insert_{dtype}", f"insert_{dtype}", f"estimate_{dtype}",
    ]  # fmt: skip
    assert theirs.encode().tobytes() == ours.encode().tobytes()
    assert out.tobytes() == ours.estimate(how=how).tobytes()


def test_what_is_refused_adds_nothing():
    array = np.ones(100, np.float32)
    made = gcodec.CountSketch(100, columns=16)
    with host_device():
        array[3] = np.nan
        with pytest.raises(gcodec.NonFiniteError, match="flat index 3"):
            made.insert(OnDevice(array))
        array[3] = 1
        with pytest.raises(gcodec.BackendUnavailableError, match="unit"):
            gcodec.CountSketch(100, columns=16, unit=0.5).insert(OnDevice(array))
        wide = gcodec.CountSketch(100, columns=16, dtype="float64")
        with pytest.raises(gcodec.BackendUnavailableError, match="copy the gradient to the host"):
            wide.insert(OnDevice(array))
        with pytest.raises(gcodec.Mismatch, match="99 elements"):
            made.estimate(out=OnDevice(array[1:]))
    assert not made.cells.any()
