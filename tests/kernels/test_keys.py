"""Keys to gaps and back, and pieces of chunks to their active columns and back."""

from itertools import pairwise

import numpy as np
import pytest
from backends import call_both, read_both, run_both
from hypothesis import given, settings
from hypothesis import strategies as st

from gcodec.kernels.jobs import SPLIT, job_table

SEEDS = st.integers(0, 2**32 - 1)
SETS = st.lists(
    st.sets(st.integers(0, 200) | st.integers(0, 2**24 - 1), max_size=70).map(sorted), max_size=4
)


def starts(sizes):
    return np.cumsum([0, *sizes])[:-1]


def flat(parts):
    return np.array([key for part in parts for key in part], np.uint32)


def gap_jobs(parts, end):
    sizes = [len(part) for part in parts]
    at = starts(sizes)
    return job_table(at * 0, at, sizes, end=end, index=at[::-1] * 0 + at).reshape(-1, 7)


class TestGaps:
    """Distances, at least 1, from -1 on."""

    @given(SETS)
    def test_there_and_back(self, parts):
        keys, jobs = flat(parts), gap_jobs(parts, 1 << 24)
        _, (*_, gaps) = run_both("to_gaps", jobs, keys, np.zeros_like(keys))
        expected = [b - a for part in parts for a, b in pairwise([-1, *part])]
        assert gaps.tolist() == expected
        fault, read = read_both("from_gaps", jobs, gaps, np.zeros_like(keys))
        assert fault == -1
        assert read[-1].tolist() == keys.tolist()

    def test_gaps_lie_where_the_job_says(self):
        keys, gaps = np.array([3, 9, 4], np.uint32), np.full(7, 77, np.uint32)
        jobs = job_table([0, 0], [0, 2], [2, 1], end=10, index=[5, 1])
        _, (*_, gaps) = run_both("to_gaps", jobs, keys, gaps)
        assert gaps.tolist() == [77, 5, 77, 77, 77, 4, 6]
        fault, read = read_both("from_gaps", jobs, gaps, np.zeros_like(keys))
        assert fault == -1
        assert read[-1].tolist() == keys.tolist()

    @given(SETS.filter(any), SEEDS)
    def test_a_key_at_the_end_of_a_job(self, parts, seed):
        job = int(np.random.default_rng(seed).choice([j for j, part in enumerate(parts) if part]))
        keys, jobs = flat(parts), gap_jobs(parts, 1 << 24)
        _, (*_, gaps) = run_both("to_gaps", jobs, keys, np.zeros_like(keys))
        jobs[job, 1] = parts[job][-1]
        assert read_both("from_gaps", jobs, gaps, np.zeros_like(keys))[0] == job

    @pytest.mark.parametrize("count", [1, 129, 4000])
    def test_gaps_that_add_up_past_32_bits(self, count):
        """The largest gap that classes can say: sums do not wrap around."""
        gaps = np.full(count, 2**25 - 1, np.uint32)
        keys = np.zeros(count, np.uint32)
        for end in (2**24, 2**32):
            fault, read = read_both("from_gaps", job_table([0], 0, count, end=end), gaps, keys)
            last = count * (2**25 - 1) - 1
            assert fault == (-1 if last < end else 0)
            assert fault or read is None or int(read[-1][-1]) == last

    @given(SETS)
    def test_classes(self, parts):
        keys, jobs = flat(parts), gap_jobs(parts, 1 << 24)
        _, (*_, gaps) = run_both("to_gaps", jobs, keys, np.zeros_like(keys))
        _, (_, classes) = run_both("classify", gaps, np.zeros_like(gaps))
        lengths = [gap.bit_length() for gap in gaps.tolist()]
        assert classes.tolist() == lengths
        found = np.full((len(parts), 32), 9, np.int64)
        _, (*_, found) = run_both("count_classes", jobs, gaps, found)
        for histogram, part, at in zip(found, parts, jobs[:, 2], strict=True):
            own = lengths[at : at + len(part)]
            assert histogram.tolist() == [own.count(length) for length in range(32)]

    def test_classes_of_every_size(self):
        gaps = np.array([1 << k for k in range(32)] + [(2 << k) - 1 for k in range(32)], np.uint32)
        _, (_, classes) = run_both("classify", gaps, np.zeros_like(gaps))
        assert classes.tolist() == 2 * [*range(1, 33)]


class TestCheckKeys:
    """Strictly ascending, below the end."""

    @given(
        st.lists(
            st.lists(st.integers(0, 130), max_size=4) | st.sets(st.integers(0, 100)).map(sorted),
            max_size=4,
        )
    )
    def test_any(self, parts):
        wrong = [
            any(b <= a for a, b in pairwise(part)) or max(part, default=0) >= 100 for part in parts
        ]
        expected = wrong.index(True) if True in wrong else -1
        assert read_both("check_keys", gap_jobs(parts, 100), flat(parts))[0] == expected

    def test_keys_of_32_bits(self):
        keys = np.array([0, 2**31, 2**32 - 1], np.uint32)
        for end, expected in ((2**32, -1), (2**32 - 1, 0)):
            assert read_both("check_keys", job_table([0], 0, 3, end=end), keys)[0] == expected


PIECE = st.tuples(
    st.integers(1, 80),
    st.sampled_from([0, 1, 2, 7, 10, 64, 1000]),
    st.integers(0, 999),
    st.sampled_from([0.0, 0.05, 0.4, 1.0]),
)
CHUNKS = st.lists(st.lists(PIECE, min_size=1, max_size=4), max_size=3)


class Compact:
    """Random keys in chunks cut into pieces of (length, width, phase, density)."""

    def __init__(self, seed, chunks):
        rng = np.random.default_rng(seed)
        pieces, ranges, self.keys, self.counts = [], [], [], []
        for chunk in chunks:
            ranges.append((len(pieces), len(chunk)))
            begin, before = 0, len(self.keys)
            for length, width, phase, density in chunk:
                found = np.flatnonzero(rng.random(length) < density) + begin
                phase %= max(width, 1)
                pieces.append((phase, length, len(self.keys), found.size, width, begin, 0))
                self.keys += found.tolist()
                begin += length
            self.counts.append(len(self.keys) - before)
        self.keys = np.array(self.keys, np.uint32)
        self.pieces = np.array(pieces, np.int64).reshape(-1, 7)
        self.chunks = job_table(
            0, [at for at, _ in ranges], [number for _, number in ranges],
            index=starts(self.counts), split=self.counts,
        ).reshape(-1, 7)  # fmt: skip
        self.widest = int(self.pieces[:, 4].max(initial=0))

    def model(self):
        """Columns of every piece, and compact keys of every chunk."""
        columns, compact = [], []
        for _, _, at, number, *_ in self.chunks.tolist():
            base = 0
            for phase, length, first, count, width, begin, _ in self.pieces[
                at : at + number
            ].tolist():
                local = self.keys[first : first + count].astype(int) - begin
                active = np.unique((local + phase) % width) if width else np.zeros(0, int)
                columns.append(active.tolist())
                if width:
                    row, column = np.divmod(local + phase, width)
                    local = row * active.size + np.searchsorted(active, column)
                    base_after = base + active.size * ((phase + length - 1) // width + 1)
                else:
                    base_after = base + length
                compact += (base + local).tolist()
                base = base_after
        return columns, compact


class TestColumns:
    """Pieces made compact to the columns that hold a key."""

    @given(SEEDS, CHUNKS)
    def test_there_and_back(self, seed, chunks):
        given_ = Compact(seed, chunks)
        listed, compact = given_.model()
        marks = np.zeros(given_.widest, np.uint32)
        room = np.full(given_.keys.size + 1, 77, np.uint32)
        answer, (pieces, _, marks, columns) = run_both(
            "list_columns", given_.pieces, given_.keys, marks, room
        )
        assert not marks.any(), "the scratch is zeroed again"
        assert pieces[:, SPLIT].tolist() == [len(active) for active in listed]
        assert columns[:answer].tolist() == [column for active in listed for column in active]
        assert (columns[answer:] == 77).all()
        columns = columns[:answer]
        for result, _ in self.compact(given_, pieces, columns):
            assert result.tolist() == compact
        fault, read = read_both("from_compact", given_.chunks, pieces, columns, result)
        assert fault == -1
        assert read[-1].tolist() == given_.keys.tolist()

    def compact(self, given_, pieces, columns):
        """`to_compact` of both; its scratch of ranks is nobody's business."""
        ranks, empty = np.zeros(given_.widest, np.uint32), np.zeros_like(given_.keys)
        for _, written in call_both(
            "to_compact", given_.chunks, pieces, columns, given_.keys, ranks, empty
        ):
            yield written[-1], written[-2]

    @settings(max_examples=200)
    @given(SEEDS, CHUNKS.filter(len), st.lists(st.integers(0, 2**32 - 1), max_size=3), st.data())
    def test_any_keys_over_any_pieces(self, seed, chunks, values, data):
        """What a hostile frame may say: the first chunk with a key outside its piece."""
        given_ = Compact(seed, chunks)
        listed, compact = given_.model()
        pieces = given_.pieces.copy()
        pieces[:, SPLIT] = [len(active) for active in listed]
        columns = np.array([c for active in listed for c in active], np.uint32)
        keys = np.array(compact, np.uint32)
        for value in values if keys.size else ():
            keys[data.draw(st.integers(0, keys.size - 1))] = value
        parts = [keys[at : at + n] for at, n in zip(*given_.chunks[:, 5:].T, strict=True)]
        keys = np.concatenate([np.sort(part) for part in parts])
        for piece in data.draw(st.lists(st.integers(0, len(pieces) - 1), max_size=2)):
            if pieces[piece, 4]:
                wide = data.draw(st.sampled_from([1, 2**24, 2**31, 2**32 - 1]))
                old = columns.max(initial=0)
                pieces[piece, 4] = max(wide, int(old) + 1)
                pieces[piece, 0] = int(pieces[piece, 4] * data.draw(st.floats(0, 0.99)))
        expected = [self.undone(given_, pieces, columns, keys, c) for c in range(len(chunks))]
        fault, read = read_both("from_compact", given_.chunks, pieces, columns, keys)
        assert fault == (expected.index(None) if None in expected else -1)
        if fault == -1:
            assert read[-1].tolist() == [key for part in expected for key in part]

    def undone(self, given_, pieces, columns, keys, chunk):
        """Keys of one chunk by unbounded integers, None if one lies outside its piece."""
        _, _, at, number, _, first, count = given_.chunks[chunk].tolist()
        listed, base, result = int(pieces[:at, SPLIT].sum()), 0, []
        left = keys[first : first + count].tolist()
        for phase, length, _, _, width, begin, split in pieces[at : at + number].tolist():
            size = split * ((phase + length - 1) // width + 1) if width else length
            while left and left[0] < base + size:
                local = left.pop(0) - base
                if width:
                    row, rank = divmod(local, split)
                    local = row * width + int(columns[listed + rank]) - phase
                if not 0 <= local < length:
                    return None
                result.append(begin + local)
            listed, base = listed + split, base + size
        return None if left else result
