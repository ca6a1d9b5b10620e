"""Kernels of the count-sketch: both backends, and an oracle that knows the hash alone."""

import numpy as np
import pytest
from backends import frozen, run_both
from hypothesis import given, settings
from hypothesis import strategies as st

from gcodec.format.sketch import hash_tables
from gcodec.kernels import cpu

ROWS = st.integers(1, 7)
LOG2 = st.sampled_from([0, 1, 3, 6, 9])
COUNTS = st.sampled_from([0, 1, 2, 63, 64, 65, 255, 256, 257, 300, 700])
STARTS = st.sampled_from([0, 1, 255, 256, 5000, 2**16 - 3, 2**24 - 130, 2**32 - 700])
SEEDS = st.integers(0, 2**64 - 1)
KINDS = st.sampled_from([np.float32, np.float64, np.int64])


def place(key, row, tables, columns_log2):
    """Column and sign of a position, from the words of the specification."""
    h = 0
    for c in range(4):
        h ^= int(tables[row // 3][c][key // 256**c % 256])
    field = h // 2 ** (row % 3 * (columns_log2 + 1)) % 2 ** (columns_log2 + 1)
    return field % 2**columns_log2, -1 if field >= 2**columns_log2 else 1


def numbers(rng, kind, count):
    if kind is np.int64:
        return rng.integers(-(2**40), 2**40, count)
    values = rng.standard_normal(count).astype(kind)
    values[rng.random(count) < 0.1] = rng.choice([0.0, -0.0, 1.0, -1.0, 1e-40])
    return values


def table(rng, rows, columns_log2, kind, few=False):
    """Cells, with zeros of both signs and many equal ones if they are to be few."""
    cells = numbers(rng, kind, rows << columns_log2)
    if few:
        cells = rng.integers(-2, 3, cells.size).astype(kind) * kind(0.5)
        cells[rng.random(cells.size) < 0.2] = kind(-0.0)
    return cells.reshape(rows, -1)


@settings(max_examples=150)
@given(SEEDS, ROWS, LOG2, COUNTS, STARTS, KINDS, st.data())
def test_insert(seed, rows, columns_log2, count, start, kind, data):
    rng = np.random.default_rng(seed)
    tables = hash_tables(seed, rows)
    values, cells = frozen(numbers(rng, kind, count)), table(rng, rows, columns_log2, kind)
    begin = data.draw(st.integers(0, rows))
    end = data.draw(st.integers(begin, rows))
    _, ours = run_both("insert", values, start, tables, columns_log2, begin, end, cells)
    expected = cells.copy()
    for row in range(begin, end):
        for key, value in enumerate(values, start):
            column, sign = place(key, row, tables, columns_log2)
            expected[row, column] += kind(sign) * value
    assert ours[-1].tobytes() == expected.tobytes()


@given(SEEDS, ROWS, LOG2, COUNTS, KINDS)
def test_pairs_are_as_dense_and_in_the_order_given(seed, rows, columns_log2, count, kind):
    rng = np.random.default_rng(seed)
    tables, values = hash_tables(seed, rows), frozen(numbers(rng, kind, count))
    cells = table(rng, rows, columns_log2, kind)
    keys = frozen(np.arange(count) + 77)
    _, pairs = run_both("insert_pairs", keys, values, tables, columns_log2, 0, rows, cells)
    _, whole = run_both("insert", values, 77, tables, columns_log2, 0, rows, cells)
    assert pairs[-1].tobytes() == whole[-1].tobytes()
    again = frozen(rng.integers(0, 2**32, count))
    run_both("insert_pairs", again, values, tables, columns_log2, 0, rows, cells)
    _, cleared = run_both("clear_pairs", keys, tables, columns_log2, cells)
    gone = {(r, place(int(k), r, tables, columns_log2)[0]) for k in keys for r in range(rows)}
    for (row, column), cell in np.ndenumerate(cleared[-1]):
        assert cell == 0 if (row, column) in gone else cell == cells[row, column]


@settings(max_examples=150)
@given(SEEDS, ROWS, LOG2, COUNTS, STARTS, st.booleans(), st.booleans(), st.booleans())
def test_estimates(seed, rows, columns_log2, count, start, few, agree, double):
    agree = agree or rows % 2 == 0
    kind = np.float64 if double else np.float32
    rng = np.random.default_rng(seed)
    tables, cells = hash_tables(seed, rows), frozen(table(rng, rows, columns_log2, kind, few))
    out = np.full(count, 9, kind)
    _, ours = run_both("estimate", start, tables, columns_log2, cells, agree, out)
    estimates = ours[-1]
    keys = frozen(np.arange(start, start + count))
    _, pairs = run_both("estimate_pairs", keys, tables, columns_log2, cells, agree, out)
    assert pairs[-1].tobytes() == estimates.tobytes()
    for key, found in zip(keys, estimates, strict=True):
        said = []
        for row in range(rows):
            column, sign = place(int(key), row, tables, columns_log2)
            said.append(sign * float(cells[row, column]))
        if not agree:
            expected = float(np.median(said))
        else:
            alike = min(said) > 0 or max(said) < 0
            expected = min(said, key=abs) if alike else 0.0
        assert found == expected
        assert found != 0 or not np.signbit(found)


@settings(max_examples=100)
@given(SEEDS, ROWS, LOG2, COUNTS, STARTS, st.booleans(), st.booleans(), st.integers(0, 800))
def test_selecting_is_estimating_and_comparing(
    seed, rows, columns_log2, count, start, few, double, room
):
    agree, kind = rows % 2 == 0, np.float64 if double else np.float32
    bits = np.dtype(f"u{np.dtype(kind).itemsize}")
    rng = np.random.default_rng(seed)
    tables, cells = hash_tables(seed, rows), frozen(table(rng, rows, columns_log2, kind, few))
    _, (*_, estimates) = run_both(
        "estimate", start, tables, columns_log2, cells, agree, np.zeros(count, kind)
    )
    floor = np.abs(rng.choice(cells.reshape(-1))).view(bits) | bits.type(1)
    keys, values = np.zeros(room, np.int64), np.zeros(room, bits)
    what = start, start + count, tables, columns_log2, cells, agree, floor, keys, values
    found, ours = run_both("select_estimates", *what)
    wanted = np.flatnonzero(np.abs(estimates).view(bits) >= floor)
    assert found == wanted.size
    assert (ours[-2][:found] == (start + wanted)[:room]).all()
    assert (ours[-1][:found] == estimates.view(bits)[wanted][:room]).all()
    assert not ours[-2][found:].any()


@pytest.mark.parametrize("rows", [1, 3, 5, 7])
@pytest.mark.parametrize("start", [0, 300])
def test_selecting_more_than_is_looked_at_at_once(rows, start):
    """Most positions of many blocks are kept, or few; and the end is within a block, or at one."""
    rng = np.random.default_rng(rows)
    tables, cells = hash_tables(3, rows), rng.standard_normal((rows, 1 << 12)).astype(np.float32)
    for count in (4000, 4096 - start):
        estimates, keys = np.empty(count, np.float32), np.empty(count, np.int64)
        values = np.empty(count, np.uint32)
        cpu.estimate(start, tables, 12, cells, False, estimates)
        for quantile in (0.02, 0.5, 0.98):
            floor = np.quantile(np.abs(estimates), quantile).astype(np.float32).view(np.uint32)
            what = start, start + count, tables, 12, cells, False, floor, keys, values
            found = cpu.select_estimates(*what)
            wanted = np.flatnonzero(np.abs(estimates).view(np.uint32) >= floor)
            assert (keys[:found] == start + wanted).all()
            assert (values[:found] == estimates.view(np.uint32)[wanted]).all()


def test_the_tables_of_a_seed():
    """The first words are those of the draws of section 8, so that a seed means one hash."""
    assert hash_tables(0, 1)[0, 0, 1] == 0xE220A8397B1DCDAF
    assert hash_tables(7, 7).shape == (3, 4, 256)
    assert (hash_tables(7, 7)[:1] == hash_tables(7, 3)).all()
    assert len(set(hash_tables(5, 7).reshape(-1).tolist())) == 3 * 4 * 256


@pytest.mark.parametrize("columns_log2", [4, 8, 20])
def test_cells_and_signs_are_even(columns_log2):
    """Chi-squared of 16 groups of columns with signs, for consecutive and for strided positions."""
    tables, columns = hash_tables(11, 3), 1 << columns_log2
    for stride in (1, 768, 1024, 65_536):
        keys = np.arange(1 << 14) * stride
        h = np.zeros(keys.size, np.uint64)
        for c in range(4):
            h ^= tables[0, c, keys >> 8 * c & 255]
        for row in range(3):
            field = h >> np.uint64(row * (columns_log2 + 1)) & np.uint64(2 * columns - 1)
            counts = np.bincount((field >> np.uint64(columns_log2 - 3)).astype(int), minlength=16)
            expected = keys.size / 16
            chi = float((np.square(counts - expected) / expected).sum())
            assert chi < 45, f"row {row}, stride {stride}: far from even"  # 15 freedoms: p = 8e-5
