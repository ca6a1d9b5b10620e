"""Matrices made compact to their active columns: few inputs are active, for most outputs.

A chunk is cut where tensors end. A piece that is a matrix, and whose keys share columns, lists its
active columns and counts positions over those alone; other pieces stay as they are. The compact
pieces lie one after another, and their keys are coded as gaps.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..format.directory import HEAD_BITS
from ..format.sections import Tensor
from ..kernels.jobs import COUNT, END, FIRST, INDEX, SPLIT, START, WIDTH, job_table
from .layout import Ints, bit_length, pieces_of, starts_of

CLASSES: Final = 32
MAX_PIECES: Final = 255
MAX_COLUMNS: Final = (1 << 16) - 1


class Columns(NamedTuple):
    """All chunks by their active columns.

    jobs : a job for each chunk's gaps, of which the first SPLIT are those of its columns
    chunks : FIRST and COUNT of each chunk's pieces
    classes : how often each class occurs among the gaps of keys [:, 0] and columns [:, 1]
    fits : chunks that have an active column, and not too many
    """

    jobs: Ints
    gaps: NDArray[np.uint32]
    chunks: Ints
    pieces: Ints
    classes: Ints
    fits: NDArray[np.bool_]


def find_columns(
    keys: NDArray[np.uint32],
    counts: Ints,
    lengths: Ints,
    tensors: Sequence[Tensor],
    kernels: ModuleType,
) -> Columns | None:
    """Choose the pieces that list their columns; None if no piece does."""
    n = int(lengths.sum())
    chunk_log2 = (
        int(lengths[0] - 1).bit_length() if lengths.size > 1 else max(n - 1, 1).bit_length()
    )
    pieces, chunk = pieces_of(tensors, n, chunk_log2)
    if not pieces[:, WIDTH].any() or not keys.size:
        return None
    positions = (np.repeat(np.arange(counts.size), counts) << chunk_log2) + keys
    edges = np.append((chunk << chunk_log2) + pieces[:, INDEX], n)
    at = np.searchsorted(positions, edges)
    pieces[:, FIRST], pieces[:, COUNT] = at[:-1], np.diff(at)
    widest = int(pieces[:, WIDTH].max())
    marks, columns = np.zeros(widest, np.uint32), np.empty(keys.size, np.uint32)
    kernels.list_columns(pieces, keys, marks, columns)
    pieces, chunk = _keep_useful(pieces, chunk)
    columns = columns[: kernels.list_columns(pieces, keys, marks, columns)]
    if not columns.size:
        return None
    number = np.bincount(chunk, minlength=counts.size)
    chunks = job_table(0, starts_of(number), number)
    listed = np.bincount(chunk, pieces[:, SPLIT], counts.size).astype(np.int64)
    compact = np.empty(keys.size, np.uint32)
    kernels.to_compact(chunks, pieces, columns, keys, marks, compact)
    start = starts_of(listed + counts)
    gaps = np.empty(columns.size + keys.size, np.uint32)
    place = starts_of(pieces[:, SPLIT])
    lists = job_table(0, place, pieces[:, SPLIT], index=place + starts_of(counts)[chunk])
    kernels.to_gaps(lists, columns, gaps)
    kernels.to_gaps(job_table(0, starts_of(counts), counts, index=start + listed), compact, gaps)
    classes = np.zeros((2, counts.size, CLASSES), np.int64)
    kernels.count_classes(job_table(0, 0, counts, index=start + listed), gaps, classes[0])
    kernels.count_classes(job_table(0, 0, listed, index=start), gaps, classes[1])
    return Columns(
        job_table(0, 0, listed + counts, index=start, split=listed),
        gaps,
        chunks,
        pieces,
        classes.swapaxes(0, 1),
        (listed > 0) & (listed <= MAX_COLUMNS) & (number <= MAX_PIECES),
    )


def _keep_useful(pieces: Ints, chunk: Ints) -> tuple[Ints, Ints]:
    """Leave as they are the pieces that listing columns would not make smaller; join neighbours.

    The estimate counts bit lengths of mean gaps: of the keys in a plain piece; of the columns, of
    the keys over them, and of a head.
    """
    count, width, active = pieces[:, COUNT], pieces[:, WIDTH], pieces[:, SPLIT]
    rows = (pieces[:, START] + pieces[:, END] - 1) // np.maximum(width, 1) + 1
    keys, listed = np.maximum(count, 1), np.maximum(active, 1)
    as_is = count * bit_length(pieces[:, END] // keys)
    by_column = active * (1 + bit_length(width // listed)) + count * bit_length(
        rows * active // keys
    )
    plain = (width == 0) | (count == 0) | (by_column + HEAD_BITS >= as_is)
    pieces[plain, WIDTH] = pieces[plain, START] = pieces[plain, SPLIT] = 0
    joined = np.append(False, plain[1:] & plain[:-1] & (chunk[1:] == chunk[:-1]))
    kept = np.flatnonzero(~joined)
    result = pieces[kept]
    for column in (END, COUNT):
        result[:, column] = np.add.reduceat(pieces[:, column], kept)
    return result, chunk[kept]


def write_heads(
    found: Columns, at: NDArray[np.intp], words: Ints, payload: NDArray[np.uint64]
) -> None:
    """Write two words for every piece: width and phase, length and number of columns."""
    number = found.chunks[at, COUNT]
    within = np.arange(number.sum()) - np.repeat(starts_of(number), number)
    pieces = found.pieces[np.repeat(found.chunks[at, FIRST], number) + within]
    place = np.repeat(words, number) + 2 * within
    payload[place] = (pieces[:, WIDTH] | pieces[:, START] << 32).astype(np.uint64)
    payload[place + 1] = (pieces[:, END] | pieces[:, SPLIT] << 32).astype(np.uint64)
