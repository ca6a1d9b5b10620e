"""Packing by the kernels that measure and write whole chunks at once: the same bytes as `plain`."""

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import scratch
from ..format import frame as wire
from ..format import ids
from ..format.elements import Element
from ..format.ids import KeyCodec
from ..format.sections import Tensor
from ..kernels.jobs import COLUMNS as JOB_COLUMNS
from ..parallel import LEAST_KEPT, run, split
from .content import Content
from .keys import CLASSES, KEY_PACKINGS, seeded
from .layout import MAX_WIDTH, Ints
from .values import fix_values

N_CODECS: Final = KeyCodec.COLUMNS + 1
MOST_COUNTS: Final = 1 << 20
"""Counts of levels are kept for all chunks at once if they are not more."""

ALLOWED: Final = {
    name: np.array([codec in codecs for codec in range(N_CODECS)])
    for name, codecs in KEY_PACKINGS.items()
}
NO_COLUMNS: Final = np.zeros((0, 2 + 2 * CLASSES), np.int64)
NO_JOBS: Final = np.zeros((0, JOB_COLUMNS), np.int64)
NO_NUMBERS: Final = np.zeros(0, np.uint32)
NO_LEVELS: Final = np.zeros(0, np.uint8)
WrittenColumns = tuple[Ints, NDArray[np.uint32], Ints, Ints]
NOTHING: Final[WrittenColumns] = (NO_JOBS, NO_NUMBERS, NO_JOBS, NO_JOBS)
"""Jobs, gaps, chunks and pieces, as `kernels.cpu.compact` has them."""


class Compiled(NamedTuple):
    """How keys and values will be written."""

    directory: NDArray[np.void]
    tables: wire.Tables
    rests: Ints
    content: Content
    columns: WrittenColumns
    coded: NDArray[np.uint32]
    symbols: NDArray[np.uint32]
    kernels: ModuleType

    def write(self, work: wire.Draft) -> None:
        """Write planes and checks into a draft of the same directory."""
        content = self.content
        what = (
            work.directory,
            self.rests,
            content.element.bits,
            content.keys,
            self.columns,
            self.coded,
            NO_LEVELS if content.joint is None else content.joint,
            self.symbols,
            content.bits,
            work.payload,
        )

        def write_part(begin: int, end: int) -> None:
            self.kernels.write_chunks(begin, end, *what)

        n = work.directory.size
        least = max(LEAST_KEPT * n // max(content.keys.size, 1), 1)
        run(write_part, split(n, least))


def pack(
    directory: NDArray[np.void],
    content: Content,
    lengths: Ints,
    tensors: Sequence[Tensor],
    packing: str,
    kernels: ModuleType,
) -> Compiled:
    """Choose the smallest packing of what chunks hold; sets the fields of a directory with nnz."""
    n = directory.size
    trials = np.empty((5 + N_CODECS, n), np.int64)
    seeds = np.empty(0, np.uint64)
    codes = np.zeros((2 * CLASSES, CLASSES), np.uint8)
    coded = np.zeros((2 * CLASSES, CLASSES), np.uint32)
    columns, rows, n_codes = NOTHING, NO_COLUMNS, 0
    if content.seed is not None and packing == "auto":
        seeds, trials[0] = seeded(directory, lengths, content.seed), 0
    else:
        if ALLOWED[packing][KeyCodec.COLUMNS]:
            columns, rows = _find_columns(content.keys, directory, lengths, tensors, kernels)
        n_codes = kernels.measure_keys(
            content.keys,
            lengths,
            ALLOWED[packing],
            rows,
            np.empty((n, CLASSES), np.int64),
            trials,
            codes,
            coded,
            directory,
        )
    levels, value_code, symbols = _measure_values(directory, content, kernels)
    kernels.measure_chunks(directory, trials[0], content.element.bits)
    tables = wire.Tables(levels, codes[:n_codes], value_code, seeds)
    return Compiled(
        directory, tables, trials[0], content, columns, coded[:n_codes], symbols, kernels
    )


def rows_of(tensors: Sequence[Tensor]) -> tuple[list[tuple[int, int]], int]:
    """Where each tensor with elements starts and the length of its rows, or 0 if it has none; and
    the longest that columns are looked for in."""
    shapes = [(tensor.start, prod(tensor.shape), tensor.shape) for tensor in tensors]
    table = [
        (start, size // shape[0] if len(shape) > 1 else 0) for start, size, shape in shapes if size
    ]
    return table, max((width for _, width in table if width <= MAX_WIDTH), default=0)


def _find_columns(
    keys: NDArray[np.uint32],
    directory: NDArray[np.void],
    lengths: Ints,
    tensors: Sequence[Tensor],
    kernels: ModuleType,
) -> tuple[WrittenColumns, Ints]:
    """How keys are written by active columns, and what `measure_keys` has to know of that."""
    table, widest = rows_of(tensors)
    if widest < 2 or not keys.size:
        return NOTHING, NO_COLUMNS
    n, size = int(lengths.sum()), directory.size
    chunk_log2 = int(lengths[0] - 1).bit_length()
    pieces = np.zeros((size + len(table), JOB_COLUMNS), np.int64)
    chunks, jobs = np.zeros((2, size, JOB_COLUMNS), np.int64)
    rows = np.zeros((size, 2 + 2 * CLASSES), np.int64)
    listed, marks = scratch.empty(keys.size + 1, np.uint32), np.zeros(widest, np.uint8)
    known = np.array(table, np.int64), n, chunk_log2
    where = *known, marks, pieces, listed, chunks, jobs, rows
    number, some, room = kernels.cut_pieces(keys, directory, *where)
    if not some:
        return NOTHING, NO_COLUMNS
    gaps, ranks = scratch.empty(room, np.uint32), np.empty(widest, np.uint32)
    kernels.compact_keys(keys, pieces, listed, chunks, jobs, ranks, gaps, rows)
    return (jobs, gaps, chunks, pieces[:number]), rows


def _measure_values(
    directory: NDArray[np.void], content: Content, kernels: ModuleType
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint32]]:
    """The codebook, its code if there is one, and how each number of `joint` is written."""
    element: Element = content.element
    nothing = np.empty(0, element.pattern), np.empty(0, np.uint8)
    if content.joint is None:
        directory["val_codec"] = ids.ValueCodec.RAW
        return *nothing, np.empty((2, 0), np.uint32)
    size = content.table.size
    if content.fixed:
        codebook = fix_values(directory, content.table)
        return codebook, nothing[1], np.empty((0, size), np.uint32)
    rows = directory.size if directory.size * size <= MOST_COUNTS else 1
    order, lengths = np.empty((2, size), np.int64), np.empty((2, size), np.uint8)
    symbols = np.zeros((2, size), np.uint32)
    signed, used, has_code = kernels.measure_values(
        content.joint,
        element.bits,
        content.own_signs,
        np.empty((rows, size), np.uint32),
        np.empty((16, 2 * min(size, ids.MAX_CODED_LEVELS)), np.int64),
        np.empty((4, size), np.int64),
        order,
        symbols,
        lengths,
        directory,
    )
    book = order[signed, :used]
    levels = content.table[book if signed else 2 * book]
    return levels, lengths[signed, :used] if has_code else nothing[1], symbols
