"""Keys to gaps, and pieces of chunks to their active columns."""

from itertools import pairwise

import numpy as np
from backends import call_both, run_both
from hypothesis import given
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
    def test_of_any_keys(self, parts):
        keys, jobs = flat(parts), gap_jobs(parts, 1 << 24)
        _, (*_, gaps) = run_both("to_gaps", jobs, keys, np.zeros_like(keys))
        expected = [b - a for part in parts for a, b in pairwise([-1, *part])]
        assert gaps.tolist() == expected

    def test_gaps_lie_where_the_job_says(self):
        keys, gaps = np.array([3, 9, 4], np.uint32), np.full(7, 77, np.uint32)
        jobs = job_table([0, 0], [0, 2], [2, 1], end=10, index=[5, 1])
        _, (*_, gaps) = run_both("to_gaps", jobs, keys, gaps)
        assert gaps.tolist() == [77, 5, 77, 77, 77, 4, 6]

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
    def test_of_any_pieces(self, seed, chunks):
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
        for result in self.compact(given_, pieces, columns):
            assert result.tolist() == compact

    def compact(self, given_, pieces, columns):
        """`to_compact` of both; its scratch of ranks is nobody's business."""
        ranks, empty = np.zeros(given_.widest, np.uint32), np.zeros_like(given_.keys)
        for _, written in call_both(
            "to_compact", given_.chunks, pieces, columns, given_.keys, ranks, empty
        ):
            yield written[-1]
