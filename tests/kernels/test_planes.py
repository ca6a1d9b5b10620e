"""Writers and readers of planes: equal bits from both backends, as an oracle of integers has them.

Damaged planes: both readers name the same job, or read the same elements.
"""

import numpy as np
import pytest
from backends import as_integer, as_payload, flip, frozen, read_both, run_both
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
    def test_write_and_read(self, parts, before):
        bits = [width * len(values) for width, values in parts]
        start = before + starts(bits)
        values = concatenated([values for _, values in parts])
        widths = [width for width, _ in parts]
        jobs = job_table(
            start, starts([len(v) for _, v in parts]), [len(v) for _, v in parts], width=widths
        ).reshape(-1, 7)
        payload = np.zeros(words_for(before + sum(bits)), np.uint64)
        _, (*_, payload) = run_both("write_fields", jobs, values, payload)
        expected, masked = 0, []
        for (width, part), at in zip(parts, start.tolist(), strict=True):
            masked.append([value & (1 << width) - 1 for value in part])
            expected |= sum(v << at + width * j for j, v in enumerate(masked[-1]))
        assert as_integer(payload) == expected
        fault, read = read_both("read_fields", jobs, frozen(payload), np.zeros_like(values))
        assert fault == -1
        assert read[-1].tolist() == concatenated(masked).tolist()

    @given(SEEDS, COUNTS, st.integers(0, 32), st.integers(0, 64))
    def test_any_bits_are_fields(self, seed, count, width, before):
        payload = np.random.default_rng(seed).integers(
            0, 2**64, words_for(before + width * count), np.uint64
        )
        jobs = job_table([before], 0, count, width=width)
        fault, read = read_both("read_fields", jobs, payload, np.zeros(count, np.uint32))
        whole = as_integer(payload) >> before
        assert fault == -1
        assert read[-1].tolist() == [whole >> width * j & (1 << width) - 1 for j in range(count)]


class TestSigns:
    """A bit for the sign of each value."""

    @given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=70), max_size=4), SEEDS)
    def test_read(self, parts, seed):
        first, end = aligned([len(part) for part in parts])
        payload = np.random.default_rng(seed).integers(0, 2**64, end // 64 + 1, np.uint64)
        values = concatenated(parts)
        sizes = [len(part) for part in parts]
        jobs = job_table(first, starts(sizes), sizes).reshape(-1, 7)
        fault, read = read_both("read_signs", jobs, payload, values)
        assert fault == -1
        whole = as_integer(payload)
        expected = [
            value | (whole >> at + j & 1) << 31
            for part, at in zip(parts, first.tolist(), strict=True)
            for j, value in enumerate(part)
        ]
        assert read[-1].tolist() == expected

    @pytest.mark.parametrize("pattern", [np.uint16, np.uint64])
    def test_signs_of_other_widths(self, pattern):
        width, rng = 8 * np.dtype(pattern).itemsize, np.random.default_rng(0)
        payload = rng.integers(0, 2**64 - 1, 5, np.uint64)
        values = rng.integers(0, 1 << width - 1, 200).astype(pattern)
        jobs = job_table([0, 128], [0, 100], 100)
        fault, read = read_both("read_signs", jobs, payload, values)
        bits, at = as_integer(payload), [*range(100), *range(128, 228)]
        expected = [
            v | (bits >> i & 1) << width - 1 for v, i in zip(values.tolist(), at, strict=True)
        ]
        assert (fault, read[-1].tolist()) == (-1, expected)

    @pytest.mark.parametrize("pattern", [np.uint16, np.uint32, np.uint64])
    @pytest.mark.parametrize("at", [0, 99, 100, 199])
    def test_a_value_with_a_sign_of_its_own(self, at, pattern):
        width = 8 * np.dtype(pattern).itemsize
        values = np.full(200, (1 << width - 1) - 1, pattern)
        values[at] |= pattern(1 << width - 1)
        jobs = job_table([0, 128], [0, 100], 100)
        for payload in (np.zeros(5, np.uint64), ~np.zeros(5, np.uint64)):
            assert read_both("read_signs", jobs, payload, values)[0] == at // 100

    @pytest.mark.parametrize("pattern", [np.uint16, np.uint32, np.uint64])
    def test_patterns_as_fields(self, pattern):
        """Written and read as encoder and decoder do it: 64 bits as two fields of 32."""
        rng = np.random.default_rng(1)
        values = rng.integers(0, np.iinfo(pattern).max, 130, pattern, endpoint=True)
        fields = values.view(np.uint32) if pattern is np.uint64 else values
        width = 8 * fields.itemsize
        jobs = job_table([64], [0], fields.size, width=width)
        payload = np.zeros(fields.size * width // 64 + 3, np.uint64)
        _, (_, _, payload) = run_both("write_fields", jobs, fields, payload)
        assert payload.tobytes()[8:].rstrip(b"\0") == values.tobytes().rstrip(b"\0")
        _, (_, _, back) = run_both("read_fields", jobs, payload, np.zeros_like(fields))
        assert (back == fields).all()


NUMBERS = st.integers(0, 3) | st.integers(0, 100)
UNARY = st.lists(
    st.tuples(st.integers(0, 24), st.lists(NUMBERS, min_size=1, max_size=70)), max_size=4
)


class Unary:
    """Unary planes of values of which the low bits are known."""

    def __init__(self, parts, seed=0):
        rng = np.random.default_rng(seed)
        bits = [sum(part) + len(part) for _, part in parts]
        start, end = aligned(bits)
        sizes = [len(part) for _, part in parts]
        self.values = concatenated(
            [[h << k | int(rng.integers(1 << k)) for h in part] for k, part in parts]
        )
        self.low = concatenated(
            [[v & (1 << k) - 1] for (k, _), v in zip(self._each(parts), self.values, strict=True)]
        )
        shifts = [k for k, _ in parts]
        self.jobs = job_table(
            start, starts(sizes), sizes, end=start + np.array(bits, int), width=shifts
        ).reshape(-1, 7)
        self.empty = np.zeros(end // 64 + 1, np.uint64)
        self.expected = 0
        for (_, part), at in zip(parts, start.tolist(), strict=True):
            for h in part:
                self.expected |= 1 << at + h
                at += h + 1

    @staticmethod
    def _each(parts):
        return [(k, h) for k, part in parts for h in part]


class TestUnary:
    """Zeros, and a one for every number."""

    @given(UNARY, SEEDS)
    def test_write_and_read(self, parts, seed):
        plane = Unary(parts, seed)
        _, (*_, payload) = run_both("write_unary", plane.jobs, plane.values, plane.empty)
        assert as_integer(payload) == plane.expected
        fault, read = read_both("read_unary", plane.jobs, payload, plane.low)
        assert fault == -1
        assert read[-1].tolist() == plane.values.tolist()

    @given(UNARY.filter(len), DAMAGE)
    def test_damaged(self, parts, damage):
        plane = Unary(parts)
        payload = as_payload(plane.expected, plane.empty.size)
        bits = {bit % (64 * (plane.empty.size - 1)) for bit in damage}
        changed = flip(payload, *bits)
        wrong = []
        for start, end, _, count in plane.jobs[:, :4].tolist():
            whole = as_integer(changed) >> start & (1 << (-(-end // 64) * 64 - start)) - 1
            wrong.append(whole.bit_count() != count or whole.bit_length() != end - start)
        expected = wrong.index(True) if True in wrong else -1
        assert read_both("read_unary", plane.jobs, changed, plane.low)[0] == expected

    @pytest.mark.parametrize("job", [0, 1])
    @pytest.mark.parametrize("defect", ["few", "many", "late", "early"])
    def test_each_defect(self, job, defect):
        plane = Unary([(0, [3, 0, 5, 90]), (2, [1, 70, 2])])
        start, end = plane.jobs[job, :2].tolist()
        bits = {
            "few": [end - 1],
            "many": [start],
            "late": [end - 1, end],
            "early": [end - 1, end - 2],
        }[defect]
        payload = flip(as_payload(plane.expected, plane.empty.size), *bits)
        assert read_both("read_unary", plane.jobs, payload, plane.low)[0] == job

    @pytest.mark.parametrize("job", [0, 1])
    @pytest.mark.parametrize(("number", "shift"), [(1 << 16, 16), (256, 24), (65_535, 16)])
    def test_values_that_do_not_fit_32_bits(self, job, number, shift):
        """They must not wrap around to small ones."""
        ends = [number + 1, number + 1]
        payload = as_payload(1 << number, -(-ends[0] // 64) + 1)
        jobs = job_table([0, 0], [0, 1], 1, end=ends, width=[0, 0])
        jobs[job, 4] = shift
        fits = number << shift < 1 << 32
        values = np.full(2, (1 << 8) - 1, np.uint32)
        fault, read = read_both("read_unary", jobs, payload, values)
        assert fault == (-1 if fits else job)
        assert not fits or int(read[-1][job]) == (number << shift) + 255


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
