"""Prefix codes on CUDA: their PTX, run on the CPU, does what the reference does."""

import re

import numpy as np
import pytest
from backends import flip
from ptx import DeviceError
from ptx.compiled import CAPABILITIES, SCHEDULES, launch, ptx

from gcodec.kernels import reference
from gcodec.kernels.cuda import planes
from gcodec.kernels.jobs import COUNT, job_table

pytestmark = pytest.mark.cuda

NONE = np.iinfo(np.int64).max


class Coded:
    """Symbols of several jobs, and the payload that the CPU kernel makes of them."""

    def __init__(self, seed, counts, n_symbols=26):
        rng = np.random.default_rng(seed)
        self.lengths = np.zeros((3, n_symbols), np.uint8)
        self.codes = np.zeros(self.lengths.shape, np.uint16)
        self.tables = np.zeros((3, 4096), np.uint16)
        parts, rows, at = [], [], 0
        for lengths, codes, table in zip(self.lengths, self.codes, self.tables, strict=True):
            often = (2.0 ** rng.uniform(0, 16, n_symbols)).astype(np.int64)
            often[rng.permutation(n_symbols)[: rng.integers(n_symbols)]] = 0
            reference.code_lengths(often, lengths, np.empty((16, 2 * n_symbols), np.int64))
            reference.codes(lengths, codes)
            assert reference.decode_table(lengths, table)
        for count in counts:
            row, split = int(rng.integers(2)), int(rng.integers(count + 1))
            of_code = [rng.choice(np.flatnonzero(code), count) for code in self.lengths]
            code = row + (np.arange(count) < split)
            symbols = np.choose(code, of_code)
            start = at + 64 * -(-11 * max(-(-count // 128) - 1, 0) // 64)
            end = start + int(self.lengths[code, symbols].sum())
            rows.append((start, end, sum(map(len, parts)), count, row, at, split))
            parts.append(symbols)
            at = -(-end // 64) * 64
        self.symbols = np.concatenate(parts).astype(np.uint32)
        self.jobs = np.array(rows, np.int64)
        self.payload = np.zeros(at // 64 + 1, np.uint64)
        reference.write_codes(self.jobs, self.symbols, self.lengths, self.codes, self.payload)

    def write(self, **how):
        payload = np.zeros_like(self.payload)
        arguments = self.jobs, self.symbols, self.lengths, self.codes, payload
        launch("write_codes", len(self.jobs), *arguments, **how)
        return payload

    def read(self, payload=None, **how):
        payload = self.payload if payload is None else payload
        return read(self.jobs, payload, self.tables, self.symbols.size, **how)


def read(jobs, payload, tables, size, **how):
    """Symbols, and the first job at fault or -1."""
    symbols, fault = np.full(size, 2**32 - 1, np.uint32), np.full(1, NONE)
    grid = -(-len(jobs) // planes.READERS)
    launch("read_codes", grid, jobs, payload, tables, symbols, fault, **how)
    return symbols, -1 if fault[0] == NONE else int(fault[0])


COUNTS = (
    (0, 1, 2, 3, 4, 5),
    (127, 128, 129),
    (255, 257, 31, 1000, 1),
    (1023,),
    (1024, 1025),
    (2896, 1448),
    (4095,),
    (4097, 0, 3),
    (8193,),
)


@pytest.mark.parametrize(("seed", "resident"), SCHEDULES)
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_same_bytes_and_symbols_as_the_cpu(counts, seed, resident):
    plane = Coded(len(counts), counts)
    assert plane.write(seed=seed, resident=resident).tobytes() == plane.payload.tobytes()
    symbols, fault = plane.read(seed=seed, resident=resident)
    assert fault == -1
    assert symbols.tolist() == plane.symbols.tolist()


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: f"sm_{c[0]}{c[1]}")
@pytest.mark.parametrize("n_symbols", [1, 2, 26, 4096])
def test_every_architecture_and_alphabet(capability, n_symbols):
    plane = Coded(n_symbols, (1, 700, 1300), n_symbols)
    written = plane.write(capability=capability)
    assert written.tobytes() == plane.payload.tobytes()
    symbols, fault = plane.read(capability=capability)
    assert fault == -1
    assert symbols.tolist() == plane.symbols.tolist()


@pytest.mark.parametrize(("seed", "resident"), SCHEDULES)
def test_damage_is_found_as_by_the_cpu(seed, resident):
    """Without a load outside of the payload, which the interpreter would refuse."""
    rng = np.random.default_rng(7)
    found = []
    for trial in range(8):
        plane = Coded(trial, rng.choice([1, 100, 129, 300, 900], 3))
        payload = flip(plane.payload, *rng.integers(0, 64 * plane.payload.size - 64, 2))
        if trial % 4 == 0:
            payload = rng.integers(0, 2**64, payload.size, np.uint64)
        expected = np.zeros_like(plane.symbols)
        fault = reference.read_codes(plane.jobs, payload, plane.tables, expected)
        symbols, ours = plane.read(payload, seed=seed, resident=resident)
        assert ours == fault
        assert fault >= 0 or symbols.tolist() == expected.tolist()
        found.append(fault)
    assert set(found) >= {0, 1}


WIDE = (np.arange(4096) << 4 | 12).astype(np.uint16)
LONE = (np.arange(4096) % 2 == 0).astype(np.uint16)


@pytest.mark.parametrize(
    ("job", "payload"),
    [
        pytest.param(
            job_table(64, 0, 257, end=64 + 257 * 12), [2047 | 1536 << 11] + [0] * 50,
            id="a block that the index puts at the end, and one past it",
        ),
        pytest.param(job_table(0, 0, 128, end=200), [0] * 5, id="more codes than bits"),
        pytest.param(job_table(0, 0, 2, end=12, split=1), [1, 0], id="no code, but all bits used"),
    ],
)  # fmt: skip
def test_hostile(job, payload):
    """Found without a load past the padding, which the interpreter would refuse."""
    tables, words = np.stack((WIDE, LONE)), np.array(payload, np.uint64)
    size = int(job[0, COUNT])
    assert reference.read_codes(job, words, tables, np.zeros(size, np.uint32)) == 0
    assert read(job, words, tables, size)[1] == 0


@pytest.mark.parametrize(
    ("name", "barrier", "which"),
    [
        ("write_codes", "bar.sync", 0),
        ("read_codes", "bar.warp.sync", 0),
        ("read_codes", "bar.warp.sync", 1),
    ],
)
def test_no_barrier_can_go(name, barrier, which):
    text = ptx(name)
    place = [match.start() for match in re.finditer(re.escape(barrier), text)][which]
    broken = text[:place] + text[text.index(";", place) + 1 :]
    plane = Coded(3, (2896,))
    run = plane.write if name == "write_codes" else plane.read
    with pytest.raises(DeviceError, match="race"):
        run(text=broken)
