"""Keys to gaps, and matrices to their active columns (spec section 8).

A job for gaps is a chunk, or a list of columns: FIRST and COUNT are its range of keys, INDEX the
place of its gaps.

A job for columns is a piece of a chunk: positions INDEX to INDEX + END of the chunk, of which FIRST
and COUNT are the keys. WIDTH is 0 if it stays as it is; else position - INDEX + START = row * WIDTH
+ column, and the piece is made compact to its SPLIT active columns, those that hold a key.
"""

import numpy as np

from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH
from .bits import bit_length
from .jit import kernel


@kernel
def to_gaps(jobs, keys, gaps):
    """Distances to the key before, at least 1."""
    for job in range(jobs.shape[0]):
        first, index = jobs[job, FIRST], jobs[job, INDEX]
        previous = np.int64(-1)
        for j in range(jobs[job, COUNT]):
            gaps[index + j] = np.int64(keys[first + j]) - previous
            previous = np.int64(keys[first + j])


@kernel
def count_classes(jobs, gaps, histograms):
    """How often each bit length occurs among each job's gaps: int64[jobs, 32]."""
    histograms[:] = 0
    for job in range(jobs.shape[0]):
        index = jobs[job, INDEX]
        for j in range(index, index + jobs[job, COUNT]):
            histograms[job, bit_length(gaps[j])] += 1


@kernel
def list_columns(pieces, keys, marks, columns):
    """Active columns of every piece with a WIDTH, ascending; fills SPLIT, returns their number.

    `marks` is zeroed scratch of the largest WIDTH, and is zeroed again.
    """
    done = 0
    for piece in range(pieces.shape[0]):
        first, width = pieces[piece, FIRST], pieces[piece, WIDTH]
        before = done
        shift = pieces[piece, START] - pieces[piece, INDEX]
        if width and pieces[piece, COUNT]:
            for j in range(first, first + pieces[piece, COUNT]):
                marks[(np.int64(keys[j]) + shift) % width] = 1
            for column in range(width):
                if marks[column]:
                    columns[done] = column
                    done += 1
                    marks[column] = 0
        pieces[piece, SPLIT] = done - before
    return done


@kernel
def to_compact(chunks, pieces, columns, keys, ranks, compact):
    """Keys by the active columns of their pieces; a chunk's pieces are FIRST to FIRST + COUNT.

    `ranks` is scratch of the largest WIDTH.
    """
    listed = 0
    for chunk in range(chunks.shape[0]):
        base = np.int64(0)
        start = chunks[chunk, FIRST]
        for piece in range(start, start + chunks[chunk, COUNT]):
            width, active = pieces[piece, WIDTH], pieces[piece, SPLIT]
            begin, phase = pieces[piece, INDEX], pieces[piece, START]
            for j in range(active):
                ranks[columns[listed + j]] = j
            listed += active
            first = pieces[piece, FIRST]
            for j in range(first, first + pieces[piece, COUNT]):
                local = np.int64(keys[j]) - begin
                if width:
                    row = (local + phase) // width
                    local = row * active + np.int64(ranks[local + phase - row * width])
                compact[j] = base + local
            base += _compact_size(pieces[piece])


@kernel
def _compact_size(piece):
    if piece[WIDTH] == 0:
        return piece[END]
    return ((piece[START] + piece[END] - 1) // piece[WIDTH] + 1) * piece[SPLIT]
