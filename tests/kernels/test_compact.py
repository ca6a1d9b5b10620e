"""Pieces and active columns by the compiled kernels: what `packing.columns` makes of them."""

from math import prod

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gcodec.format.directory import CHUNK, chunk_lengths
from gcodec.format.sections import Tensor
from gcodec.kernels import cpu, reference
from gcodec.kernels.jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH
from gcodec.packing import compiled
from gcodec.packing.columns import find_columns

SHAPES = st.sampled_from(
    [(), (0,), (0, 5), (1,), (7,), (300,), (2, 2), (40, 3), (30, 50), (3, 1), (5, 4, 6), (2, 700)]
)
ACTIVE = st.sampled_from([0.02, 0.1, 0.5, 1.0])


def layout(shapes):
    starts = np.cumsum([0, *map(prod, shapes)]).tolist()
    return [Tensor(0, start, shape) for start, shape in zip(starts, shapes, strict=False)]


def draw(rng, shapes, active, density):
    """Positions of keys: `density` of what is in `active` of the columns of every tensor."""
    parts = []
    for shape in shapes:
        rows = shape[0] if shape else 1
        grid = rng.random((rows, prod(shape) // max(rows, 1))) < density
        parts.append((grid & (rng.random(grid.shape[1]) < active)).reshape(-1))
    return np.flatnonzero(np.concatenate(parts))


@given(
    seed=st.integers(0, 2**32 - 1),
    shapes=st.lists(SHAPES, min_size=1, max_size=6),
    active=ACTIVE,
    density=ACTIVE,
    chunk_log2=st.sampled_from([6, 7, 9, 12]),
)
@example(0, [(30, 50)] * 8, 0.1, 1.0, 6)
@example(0, [(2, 2)] * 300, 0.5, 1.0, 12)
@example(1, [(600, 2)] * 2, 0.5, 0.5, 12)
def test_same_pieces_columns_and_gaps(seed, shapes, active, density, chunk_log2):
    tensors, n = layout(shapes), sum(map(prod, shapes))
    at = draw(np.random.default_rng(seed), shapes, active, density)
    lengths = chunk_lengths(n, chunk_log2)
    counts = np.bincount(at >> chunk_log2, minlength=lengths.size).astype(np.int64)
    keys = (at % (1 << chunk_log2)).astype(np.uint32)
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = counts
    (jobs, gaps, chunks, pieces), rows = compiled._find_columns(
        keys, directory, lengths, tensors, cpu
    )
    expected = find_columns(keys, counts, lengths, tensors, reference)
    if expected is None:
        assert not rows.any()
        return
    assert (rows[:, 0] > 0).tolist() == expected.fits.tolist()
    for chunk in np.flatnonzero(expected.fits):
        assert rows[chunk, 0] == expected.jobs[chunk, SPLIT] == jobs[chunk, SPLIT]
        assert rows[chunk, 1] == expected.chunks[chunk, COUNT] == chunks[chunk, COUNT]
        assert np.array_equal(rows[chunk, 2:], expected.classes[chunk].reshape(-1))
        ours, theirs = (
            table[own[chunk, FIRST] :][: own[chunk, COUNT], [WIDTH, START, END, SPLIT]]
            for own, table in ((chunks, pieces), (expected.chunks, expected.pieces))
        )
        assert np.array_equal(ours, theirs)
        ours, theirs = (
            table[own[chunk, INDEX] :][: own[chunk, COUNT]]
            for own, table in ((jobs, gaps), (expected.jobs, expected.gaps))
        )
        assert np.array_equal(ours, theirs)
