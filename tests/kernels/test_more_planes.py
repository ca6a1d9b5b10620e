"""Rests of gaps, bitmaps and spare bits: as `test_planes`."""

import numpy as np
import pytest
from backends import as_integer, as_payload, flip, read_both, run_both
from hypothesis import given
from hypothesis import strategies as st

from gcodec.kernels.jobs import job_table

GAPS = st.integers(0, 24).flatmap(lambda k: st.integers(1 << k, (2 << k) - 1))
DAMAGE = st.lists(st.integers(0, 2**20), min_size=1, max_size=4)


def starts(sizes):
    return np.cumsum([0, *sizes])[:-1]


class Rests:
    """Planes of the bits below the leading one of each gap, and the room that each has."""

    def __init__(self, parts, room=64):
        self.gaps = np.array([gap for part in parts for gap in part], np.uint32)
        self.classes = np.array([int(gap).bit_length() for gap in self.gaps], np.uint32)
        bits = [sum(gap.bit_length() - 1 for gap in part) for part in parts]
        words = [-(-b // 64) for b in bits]
        sizes = [len(part) for part in parts]
        start = starts(words) * 64
        self.ends = start + np.array(bits, int)
        self.jobs = job_table(start, starts(sizes), sizes, end=-(-self.ends // 64) * 64).reshape(
            -1, 7
        )
        self.words = sum(words) + room // 64
        self.expected = 0
        for part, at in zip(parts, start.tolist(), strict=True):
            for gap in part:
                width = gap.bit_length() - 1
                self.expected |= (gap - (1 << width)) << at
                at += width

    def read(self, payload, jobs=None):
        jobs = self.jobs if jobs is None else jobs
        return read_both("read_rests", jobs, payload, self.classes, np.zeros(len(jobs), np.int64))


class TestRests:
    """Gaps below their leading ones."""

    @given(st.lists(st.lists(GAPS, max_size=40), max_size=4))
    def test_write_and_read(self, parts):
        plane = Rests(parts)
        empty = np.zeros(plane.words + 1, np.uint64)
        _, (*_, payload) = run_both("write_rests", plane.jobs, plane.gaps, empty)
        assert as_integer(payload) == plane.expected
        fault, read = plane.read(payload)
        assert fault == -1
        assert read[2].tolist() == plane.gaps.tolist()
        assert read[3].tolist() == plane.ends.tolist()

    @given(st.lists(st.lists(GAPS, min_size=1, max_size=40), min_size=1, max_size=3), DAMAGE)
    def test_any_bits_are_rests(self, parts, damage):
        plane = Rests(parts)
        payload = flip(
            as_payload(plane.expected, plane.words + 1), *(b % (64 * plane.words) for b in damage)
        )
        fault, read = plane.read(payload)
        assert fault == -1
        assert [int(gap).bit_length() for gap in read[2]] == plane.classes.tolist()

    @pytest.mark.parametrize("job", [0, 1])
    def test_more_bits_than_there_are(self, job):
        plane = Rests([[5, 1000, 1], [77, 2**25 - 1, 3]])
        payload = as_payload(plane.expected, plane.words + 1)
        plane.jobs[job, 1] = plane.ends[job]
        assert plane.read(payload)[0] == -1
        plane.jobs[job, 1] -= 1
        assert plane.read(payload)[0] == job

    @pytest.mark.parametrize("at", range(4))
    def test_a_class_of_zero(self, at):
        """Also where the bits that it lacks would make the others fit."""
        plane = Rests([[5, 9], [6, 2**20]])
        plane.classes[at] = 0
        assert plane.read(as_payload(plane.expected, plane.words + 1))[0] == at // 2


class Bitmaps:
    """Bitmaps of sets of keys."""

    def __init__(self, parts):
        self.keys = np.array([key for _, keys in parts for key in keys], np.uint32)
        words = [-(-length // 64) for length, _ in parts]
        start, sizes = starts(words) * 64, [len(keys) for _, keys in parts]
        self.end = start + np.array([length for length, _ in parts], int)
        self.jobs = job_table(start, starts(sizes), sizes, end=self.end).reshape(-1, 7)
        self.words = sum(words) + 1
        self.expected = sum(
            1 << at + key
            for (_, keys), at in zip(parts, start.tolist(), strict=True)
            for key in keys
        )

    def read(self, payload):
        return read_both("read_bitmap", self.jobs, payload, np.zeros_like(self.keys))


BITMAPS = st.lists(
    st.sampled_from([1, 63, 64, 65, 100, 128, 200]).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)).map(sorted))
    ),
    max_size=4,
)


class TestBitmap:
    """A bit for every position."""

    @given(BITMAPS)
    def test_write_and_read(self, parts):
        plane = Bitmaps(parts)
        empty = np.zeros(plane.words, np.uint64)
        _, (*_, payload) = run_both("write_bitmap", plane.jobs, plane.keys, empty)
        assert as_integer(payload) == plane.expected
        fault, read = plane.read(payload)
        assert fault == -1
        assert read[-1].tolist() == plane.keys.tolist()

    @given(BITMAPS.filter(len), DAMAGE)
    def test_damaged(self, parts, damage):
        plane = Bitmaps(parts)
        bits = {bit % (64 * (plane.words - 1)) for bit in damage}
        payload = flip(as_payload(plane.expected, plane.words), *bits)
        wrong = [
            int(bits_between(payload, start, end).bit_count() != count)
            for start, end, _, count in plane.jobs[:, :4].tolist()
        ]
        assert plane.read(payload)[0] == (wrong.index(1) if 1 in wrong else -1)

    @pytest.mark.parametrize("past", [100, 127])
    @pytest.mark.parametrize("instead", [True, False])
    def test_a_one_past_the_end_is_no_key(self, past, instead):
        """It is a spare bit: not this reader's to judge, and not to be taken for a key."""
        plane = Bitmaps([(64, [5]), (100, [7, 99])])
        payload = flip(as_payload(plane.expected, plane.words), 64 + past)
        if instead:
            payload = flip(payload, 64 + 7)
        fault, read = plane.read(payload)
        assert fault == (1 if instead else -1)
        assert instead or read[-1].tolist() == [5, 7, 99]


def bits_between(payload, start, end):
    return (as_integer(payload) >> start) & ((1 << end - start) - 1)


class TestSpareBits:
    """Ranges that must be zero."""

    @given(
        st.lists(st.tuples(st.integers(0, 320), st.integers(0, 320)), min_size=1, max_size=5),
        st.lists(st.integers(0, 319), max_size=3),
    )
    def test_any_range(self, ranges, ones):
        payload = np.zeros(6, np.uint64)
        payload = flip(payload, *set(ones))
        jobs = job_table([start for start, _ in ranges], 0, 0, end=[end for _, end in ranges])
        wrong = [any(start <= one < end for one in ones) for start, end in ranges]
        expected = wrong.index(True) if True in wrong else -1
        assert run_both("spare_bits", jobs, payload)[0] == expected

    def test_every_bit_at_every_edge(self):
        edges = (0, 1, 63, 64, 65, 127, 128, 129, 191, 192)
        for start in edges:
            for end in edges:
                jobs = job_table([start], 0, 0, end=end)
                for bit in {max(start - 1, 0), start, end, max(end - 1, 0)}:
                    payload = flip(np.zeros(4, np.uint64), bit)
                    expected = 0 if start <= bit < end else -1
                    assert run_both("spare_bits", jobs, payload)[0] == expected

    def test_no_jobs(self):
        assert run_both("spare_bits", np.zeros((0, 7), np.int64), np.zeros(1, np.uint64))[0] == -1
