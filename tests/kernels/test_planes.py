"""Writers of planes, and the reader of codes: the bits that an oracle of integers has."""

import numpy as np
import pytest
from backends import as_integer, as_payload, flip, read_both, run_both
from hypothesis import given, settings
from hypothesis import strategies as st

from gcodec.kernels import reference
from gcodec.kernels.jobs import job_table

WORD = st.integers(0, 2**32 - 1)
COUNTS = st.sampled_from([0, 1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, 300])
SEEDS = st.integers(0, 2**32 - 1)
DAMAGE = st.lists(st.integers(0, 2**20), min_size=1, max_size=4)


def words_for(bits):
    """Words of a plane, and a spare one that readers may load."""
    return -(-bits // 64) + 1


def concatenated(parts, dtype=np.uint32):
    return np.array([x for part in parts for x in part], dtype)


def starts(sizes):
    return np.cumsum([0, *sizes])[:-1]


def aligned(bits):
    """Bit at which each plane of so many bits starts, each on a word of its own; the end of all."""
    words = [-(-b // 64) for b in bits]
    return starts(words) * 64, sum(words) * 64


FIELDS = st.lists(st.tuples(st.integers(0, 32), st.lists(WORD, max_size=70)), max_size=5)


class TestFields:
    """Fields of fixed width, back to back from any bit on."""

    @given(FIELDS, st.integers(0, 130))
    def test_write(self, parts, before):
        bits = [width * len(values) for width, values in parts]
        start = before + starts(bits)
        values = concatenated([values for _, values in parts])
        widths = [width for width, _ in parts]
        jobs = job_table(
            start, starts([len(v) for _, v in parts]), [len(v) for _, v in parts], width=widths
        ).reshape(-1, 7)
        payload = np.zeros(words_for(before + sum(bits)), np.uint64)
        _, (*_, payload) = run_both("write_fields", jobs, values, payload)
        expected = 0
        for (width, part), at in zip(parts, start.tolist(), strict=True):
            masked = [value & (1 << width) - 1 for value in part]
            expected |= sum(v << at + width * j for j, v in enumerate(masked))
        assert as_integer(payload) == expected

    @pytest.mark.parametrize("pattern", [np.uint16, np.uint32, np.uint64])
    def test_patterns_as_fields(self, pattern):
        """Written as encoders do it: 64 bits as two fields of 32."""
        rng = np.random.default_rng(1)
        values = rng.integers(0, np.iinfo(pattern).max, 130, pattern, endpoint=True)
        fields = values.view(np.uint32) if pattern is np.uint64 else values
        width = 8 * fields.itemsize
        jobs = job_table([64], [0], fields.size, width=width)
        payload = np.zeros(fields.size * width // 64 + 3, np.uint64)
        _, (_, _, payload) = run_both("write_fields", jobs, fields, payload)
        assert payload.tobytes()[8:].rstrip(b"\0") == values.tobytes().rstrip(b"\0")


NUMBERS = st.integers(0, 3) | st.integers(0, 100)
UNARY = st.lists(
    st.tuples(st.integers(0, 24), st.lists(NUMBERS, min_size=1, max_size=70)), max_size=4
)


class TestUnary:
    """Zeros, and a one for every number."""

    @given(UNARY, SEEDS)
    def test_write(self, parts, seed):
        rng = np.random.default_rng(seed)
        start, end = aligned([sum(part) + len(part) for _, part in parts])
        sizes = [len(part) for _, part in parts]
        values = concatenated(
            [[h << k | int(rng.integers(1 << k)) for h in part] for k, part in parts]
        )
        shifts = [k for k, _ in parts]
        jobs = job_table(start, starts(sizes), sizes, width=shifts).reshape(-1, 7)
        empty = np.zeros(end // 64 + 1, np.uint64)
        _, (*_, payload) = run_both("write_unary", jobs, values, empty)
        expected = 0
        for (_, part), at in zip(parts, start.tolist(), strict=True):
            for h in part:
                expected |= 1 << at + h
                at += h + 1
        assert as_integer(payload) == expected


GAPS = st.integers(0, 24).flatmap(lambda k: st.integers(1 << k, (2 << k) - 1))


class TestRests:
    """Gaps below their leading ones."""

    @given(st.lists(st.lists(GAPS, max_size=40), max_size=4))
    def test_write(self, parts):
        start, end = aligned([sum(gap.bit_length() - 1 for gap in part) for part in parts])
        sizes = [len(part) for part in parts]
        jobs = job_table(start, starts(sizes), sizes).reshape(-1, 7)
        empty = np.zeros(end // 64 + 1, np.uint64)
        _, (*_, payload) = run_both("write_rests", jobs, concatenated(parts), empty)
        expected = 0
        for part, at in zip(parts, start.tolist(), strict=True):
            for gap in part:
                width = gap.bit_length() - 1
                expected |= (gap - (1 << width)) << at
                at += width
        assert as_integer(payload) == expected


BITMAPS = st.lists(
    st.sampled_from([1, 63, 64, 65, 100, 128, 200]).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)).map(sorted))
    ),
    max_size=4,
)


class TestBitmap:
    """A bit for every position."""

    @given(BITMAPS)
    def test_write(self, parts):
        start, end = aligned([length for length, _ in parts])
        sizes = [len(keys) for _, keys in parts]
        jobs = job_table(start, starts(sizes), sizes).reshape(-1, 7)
        keys = concatenated([keys for _, keys in parts])
        empty = np.zeros(end // 64 + 1, np.uint64)
        _, (*_, payload) = run_both("write_bitmap", jobs, keys, empty)
        ones = (
            at + key for (_, keys), at in zip(parts, start.tolist(), strict=True) for key in keys
        )
        assert as_integer(payload) == sum(1 << one for one in ones)


def a_code(rng, n_symbols):
    """Lengths of a complete code over some of the symbols, of any shape up to 12 bits."""
    counts = np.zeros(n_symbols, np.int64)
    used = rng.permutation(n_symbols)[: rng.integers(1, n_symbols + 1)]
    counts[used] = 1 + (2.0 ** rng.uniform(0, 14, used.size)).astype(np.int64)
    lengths = np.zeros(n_symbols, np.uint8)
    reference.code_lengths(counts, lengths, np.empty((16, 2 * n_symbols), np.int64))
    return lengths


class Coded:
    """Planes of codes, the index of every plane before it; two codes to a job that has a split."""

    def __init__(self, seed, counts, n_symbols=26):
        rng = np.random.default_rng(seed)
        self.lengths = np.stack([a_code(rng, n_symbols) for _ in range(3)])
        self.codes = np.zeros(self.lengths.shape, np.uint16)
        self.tables = np.zeros((3, 4096), np.uint16)
        for row in range(3):
            reference.codes(self.lengths[row], self.codes[row])
            assert reference.decode_table(self.lengths[row], self.tables[row])
        symbols, rows, position = [], [], 0
        self.expected = 0
        for count in counts:
            row, split = int(rng.integers(2)), int(rng.integers(count + 1))
            tables = [row + (j < split) for j in range(count)]
            part = [int(rng.choice(np.flatnonzero(self.lengths[t]))) for t in tables]
            bits = [int(self.lengths[t, s]) for t, s in zip(tables, part, strict=True)]
            index, start = position, position + 64 * -(-11 * max(-(-count // 128) - 1, 0) // 64)
            for block in range(max(-(-count // 128) - 1, 0)):
                length = sum(bits[128 * block : 128 * block + 128])
                self.expected |= length << index + 11 * block
            at = start
            for table, symbol, width in zip(tables, part, bits, strict=True):
                self.expected |= int(self.codes[table, symbol]) << at
                at += width
            rows.append((start, at, len(symbols), count, row, index, split))
            symbols += part
            position = start + 64 * -(-sum(bits) // 64)
        self.symbols = np.array(symbols, np.uint32)
        self.jobs = np.array(rows, np.int64).reshape(-1, 7)
        self.payload = as_payload(self.expected, position // 64 + 1)

    def read(self, payload, jobs=None, tables=None):
        jobs = self.jobs if jobs is None else jobs
        tables = self.tables if tables is None else tables
        return read_both("read_codes", jobs, payload, tables, np.zeros_like(self.symbols))


class TestCodes:
    """Prefix codes in blocks of 128, with an index of block lengths."""

    @given(SEEDS, st.lists(COUNTS, max_size=3))
    def test_write_and_read(self, seed, counts):
        plane = Coded(seed, counts)
        _, (*_, payload) = run_both(
            "write_codes",
            plane.jobs, plane.symbols, plane.lengths, plane.codes, np.zeros_like(plane.payload),
        )  # fmt: skip
        assert as_integer(payload) == plane.expected
        fault, read = plane.read(payload)
        assert fault == -1
        assert read[-1].tolist() == plane.symbols.tolist()

    @settings(max_examples=300)
    @given(SEEDS, st.lists(COUNTS.filter(bool), min_size=1, max_size=3), DAMAGE)
    def test_damaged(self, seed, counts, damage):
        plane = Coded(seed, counts)
        bits = [bit % (64 * (plane.payload.size - 1)) for bit in damage if plane.payload.size > 1]
        fault, read = plane.read(flip(plane.payload, *bits))
        if fault == -1:
            for job, (_, _, first, count, row, _, split) in enumerate(plane.jobs.tolist()):
                for j, symbol in enumerate(read[-1][first : first + count].tolist()):
                    assert plane.lengths[row + (j < split), symbol], f"job {job}: no such code"

    @given(SEEDS, COUNTS.filter(bool))
    def test_noise(self, seed, count):
        rng = np.random.default_rng(seed)
        plane = Coded(seed, [count, count])
        noise = rng.integers(0, 2**64, plane.payload.size, np.uint64)
        plane.read(noise)
        plane.read(np.zeros_like(noise))

    @pytest.mark.parametrize("change", [-12, -1, 1, 12])
    @pytest.mark.parametrize("job", [0, 1])
    def test_an_end_that_is_not_the_end(self, job, change):
        plane = Coded(1, [200, 300])
        plane.jobs[job, 1] += change
        assert plane.read(plane.payload)[0] == job

    @pytest.mark.parametrize("block", [0, 1])
    @pytest.mark.parametrize("length", [0, 1, -1, 2047])
    def test_an_index_that_is_wrong(self, block, length):
        plane = Coded(2, [50, 300])
        at = int(plane.jobs[1, 5]) + 11 * block
        old = plane.expected >> at & 2047
        new = old + length if length in (1, -1) else length
        payload = as_payload(plane.expected ^ (old ^ new) << at, plane.payload.size)
        assert plane.read(payload)[0] == 1

    def test_blocks_that_only_the_index_tells_apart(self):
        """129 codes of one bit: the first block ends after 128, whatever else would fit."""
        lengths = np.array([1, 1], np.uint8)
        tables = np.zeros((1, 4096), np.uint16)
        assert reference.decode_table(lengths, tables[0])
        jobs = job_table([64], 0, 129, end=193, index=0)
        for length in range(120, 130):
            payload = as_payload(length, 5)
            fault, _ = read_both("read_codes", jobs, payload, tables, np.zeros(129, np.uint32))
            assert fault == (-1 if length == 128 else 0)

    def test_the_hole_of_a_lone_symbol(self):
        tables = np.zeros((1, 4096), np.uint16)
        assert reference.decode_table(np.array([0, 1], np.uint8), tables[0])
        jobs = job_table([0], 0, 100, end=100)
        symbols = np.zeros(100, np.uint32)
        fault, read = read_both("read_codes", jobs, np.zeros(3, np.uint64), tables, symbols)
        assert fault == -1
        assert (read[-1] == 1).all()
        for bit in (0, 50, 99):
            payload = flip(np.zeros(3, np.uint64), bit)
            assert read_both("read_codes", jobs, payload, tables, symbols)[0] == 0
