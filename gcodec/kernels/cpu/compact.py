"""Matrices made compact to their active columns (spec sections 8 and 13).

The same decisions as `gcodec.packing.columns`, in two passes over the keys: the first cuts chunks
into pieces and lists columns, the second turns keys into gaps of places.
"""

import numpy as np

from ...format.directory import HEAD_BITS
from ..jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH
from .bits import bit_length
from .jit import helper, kernel

CLASSES = 32
MAX_WIDTH = MAX_COLUMNS = (1 << 16) - 1
MAX_PIECES = 255


@kernel
def cut_pieces(keys, directory, tensors, n, chunk_log2, marks, pieces, columns, chunks, jobs, rows):
    """Cut chunks where tensors start, and list the active columns of pieces where that pays.

    Parameters
    ----------
    directory : of which `nnz` is read
    tensors : int64[tensors, 2]
        First position and row length, or 0, of each that has elements.
    marks : uint8[largest row length], zeroed
    pieces : int64[chunks + tensors, 7]
        As jobs; neighbours that stay as they are become one.
    columns : uint32[keys + 1]
    chunks : int64[chunks, 7]
        FIRST and COUNT of the pieces of each.
    jobs : int64[chunks, 7]
        INDEX and COUNT of the gaps of each, of which the first SPLIT are those of columns.
    rows : int64[chunks, 2 + 2 * CLASSES], zeroed
        Numbers of columns and pieces of each, if there are not too many.

    Returns
    -------
    pieces, columns, gaps : int
    """
    done = listed = gaps = first = tensor = 0
    for chunk in range(directory.size):
        start = chunk << chunk_log2
        stop, size = min(start + (1 << chunk_log2), n), np.int64(directory[chunk].nnz)
        begin, j, last, before, own = start, first, first + size, listed, done
        while begin < stop:
            while tensor + 1 < tensors.shape[0] and tensors[tensor + 1, 0] <= begin:
                tensor += 1
            end = stop
            if tensor + 1 < tensors.shape[0]:
                end = min(end, tensors[tensor + 1, 0])
            length, width = end - begin, tensors[tensor, 1]
            if width < 2 or width > MAX_WIDTH or length < 2 * width:
                width = 0
            phase = (begin - tensors[tensor, 0]) % width if width else 0
            at, beyond, active = j, end - start, 0
            if width:
                shift, row_end = phase - (begin - start), width
                while j < last and np.int64(keys[j]) < beyond:
                    place = np.int64(keys[j]) + shift
                    if place >= row_end:
                        row_end += width
                        if place >= row_end:
                            row_end = (place // width + 1) * width
                    marks[place - row_end + width] = 1
                    j += 1
                for column in range(width if j > at else 0):  # no branch that a CPU could get wrong
                    columns[listed + active] = column
                    active += np.int64(marks[column])
                    marks[column] = 0
                if not _pays(j - at, length, width, phase, active):
                    width = phase = active = 0
            else:
                while j < last and np.int64(keys[j]) < beyond:
                    j += 1
            if width == 0 and done > own and pieces[done - 1, WIDTH] == 0:
                pieces[done - 1, END] += length
                pieces[done - 1, COUNT] += j - at
            else:
                pieces[done, START], pieces[done, END] = phase, length
                pieces[done, FIRST], pieces[done, COUNT] = at, j - at
                pieces[done, WIDTH], pieces[done, INDEX] = width, begin - start
                pieces[done, SPLIT] = active
                done += 1
            listed += active
            begin = end
        first = last
        chunks[chunk, FIRST], chunks[chunk, COUNT] = own, done - own
        split = listed - before
        jobs[chunk, INDEX], jobs[chunk, SPLIT] = gaps, split
        if 0 < split <= MAX_COLUMNS and done - own <= MAX_PIECES:
            rows[chunk, 0], rows[chunk, 1] = split, done - own
            jobs[chunk, COUNT] = split + size
            gaps += split + size
        else:
            jobs[chunk, COUNT] = 0
    return done, listed, gaps


@helper
def _pays(count, length, width, phase, active):
    """Whether listing the columns of a piece makes it smaller, by bit lengths of mean gaps."""
    if count == 0:
        return False
    rows = (phase + length - 1) // width + 1
    as_is = count * np.int64(bit_length(length // count))
    of_columns = active * (1 + np.int64(bit_length(width // active)))
    return of_columns + count * np.int64(bit_length(rows * active // count)) + HEAD_BITS < as_is


@kernel
def compact_keys(keys, pieces, columns, chunks, jobs, ranks, gaps, rows):
    """Gaps of columns, then of places among them, of chunks that `rows` has columns for.

    Adds to `rows` how often each class occurs, of keys, then of columns. `ranks` is scratch of the
    largest row length.
    """
    listed = 0
    for chunk in range(chunks.shape[0]):
        start, stop = chunks[chunk, FIRST], chunks[chunk, FIRST] + chunks[chunk, COUNT]
        if rows[chunk, 0] == 0:
            listed += jobs[chunk, SPLIT]
            continue
        out, at = jobs[chunk, INDEX], listed
        for piece in range(start, stop):
            previous = np.int64(-1)
            for _ in range(pieces[piece, SPLIT]):
                gap = np.int64(columns[at]) - previous
                previous += gap
                gaps[out] = gap
                rows[chunk, 2 + CLASSES + np.int64(bit_length(gap))] += 1
                out += 1
                at += 1
        base, previous = np.int64(0), np.int64(-1)
        for piece in range(start, stop):
            width, active = pieces[piece, WIDTH], pieces[piece, SPLIT]
            length, phase = pieces[piece, END], pieces[piece, START]
            for j in range(active):
                ranks[columns[listed + j]] = j
            listed += active
            shift, row_end, before = phase - pieces[piece, INDEX], width, np.int64(0)
            first = pieces[piece, FIRST]
            for j in range(first, first + pieces[piece, COUNT]):
                place = np.int64(keys[j]) + shift
                if width:
                    if place >= row_end:
                        row_end += width
                        before += active
                        if place >= row_end:
                            more = (place - row_end) // width + 1
                            row_end += more * width
                            before += more * active
                    place = before + np.int64(ranks[place - row_end + width])
                gap = base + place - previous
                previous += gap
                gaps[out] = gap
                rows[chunk, 2 + np.int64(bit_length(gap))] += 1
                out += 1
            base += ((phase + length - 1) // width + 1) * active if width else length
