"""Packing by the kernels that measure and write whole chunks at once: the same bytes as `plain`."""

from collections.abc import Sequence
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
from ..kernels.jobs import COUNT, SPLIT
from ..parallel import LEAST_KEPT, run, split
from .columns import Columns, find_columns
from .content import Content
from .keys import CLASSES, KEY_PACKINGS, seeded
from .layout import Ints
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


class Compiled(NamedTuple):
    """How keys and values will be written."""

    directory: NDArray[np.void]
    tables: wire.Tables
    rests: Ints
    content: Content
    gaps: NDArray[np.uint32]
    columns: tuple[Any, ...]
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
            self.gaps,
            self.columns,
            self.coded,
            NO_NUMBERS if content.joint is None else content.joint,
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
    gaps, seeds = scratch.empty(content.keys.size, np.uint32), np.empty(0, np.uint64)
    codes = np.zeros((2 * CLASSES, CLASSES), np.uint8)
    coded = np.zeros((2 * CLASSES, CLASSES), np.uint32)
    found, n_codes = None, 0
    if content.seed is not None and packing == "auto":
        seeds, trials[0] = seeded(directory, lengths, content.seed), 0
    else:
        if ALLOWED[packing][KeyCodec.COLUMNS] and any(len(tensor.shape) > 1 for tensor in tensors):
            counts = directory["nnz"].astype(np.int64)
            found = find_columns(content.keys, counts, lengths, tensors, kernels)
        n_codes = kernels.measure_keys(
            content.keys,
            lengths,
            ALLOWED[packing],
            NO_COLUMNS if found is None else _by_chunk(found),
            gaps,
            np.empty((n, CLASSES), np.int64),
            trials,
            codes,
            coded,
            directory,
        )
    levels, value_code, symbols = _measure_values(directory, content, kernels)
    kernels.measure_chunks(directory, trials[0], content.element.bits)
    columns = (
        (NO_JOBS, NO_NUMBERS, NO_JOBS, NO_JOBS)
        if found is None
        else (found.jobs, found.gaps, found.chunks, found.pieces)
    )
    tables = wire.Tables(levels, codes[:n_codes], value_code, seeds)
    return Compiled(
        directory, tables, trials[0], content, gaps, columns, coded[:n_codes], symbols, kernels
    )


def _by_chunk(found: Columns) -> Ints:
    """Columns and pieces of the chunks that may have them, and counts of classes."""
    rows = np.zeros((found.fits.size, 2 + 2 * CLASSES), np.int64)
    rows[:, 0], rows[:, 1] = found.jobs[:, SPLIT], found.chunks[:, COUNT]
    rows[:, 2:] = found.classes.reshape(found.fits.size, -1)
    rows[~found.fits] = 0
    return rows


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
        return codebook, nothing[1], np.arange(size, dtype=np.uint32)[None]
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
