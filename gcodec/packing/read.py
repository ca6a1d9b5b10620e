"""Planes back to keys and values in scratch, everything about them proved (spec section 9)."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .. import scratch
from ..format.codes import CODE_SPACE
from ..format.directory import refuse
from ..format.elements import Patterns
from ..format.frame import Parsed
from ..parallel import LEAST_KEPT, run, split


def check_chunks(parsed: Parsed, first: int, stop: int | None, kernels: ModuleType) -> None:
    """Raise `Corrupt` if the bytes of a chunk from `first` to `stop` do not match its check."""
    directory = parsed.directory[first:stop]

    def check(begin: int, end: int) -> int:
        chunk = int(kernels.first_corrupt(parsed.payload, directory[begin:end], first + begin))
        return chunk if chunk < 0 else begin + chunk

    for chunk in run(check, split(directory.size, _least(parsed))):
        if chunk >= 0:
            refuse(95, first + chunk)


def read_chunks(
    parsed: Parsed, first: int, stop: int | None, kernels: ModuleType
) -> tuple[NDArray[np.uint32], Patterns]:
    """Keys within their chunks and bit patterns of the values, of chunks `first` to `stop`.

    Others are not looked at.

    Raises
    ------
    Corrupt
        If the bytes of a chunk do not match its check.
    Malformed
        If a plane, a key, an index or a spare bit breaks a rule.
    """
    directory, stored = parsed.directory, parsed.header.n_stored
    if first or stop is not None:
        directory = directory[first:stop]
        stored = int(directory["nnz"].sum(dtype=np.int64))
    keys, patterns = scratch.empty(stored, np.uint32), scratch.empty(stored, parsed.element.pattern)
    ranges, ends = split(directory.size, _least(parsed)), {0: 0, directory.size: stored}
    if len(ranges) > 1:
        sums = np.cumsum(directory["nnz"], dtype=np.int64)
        ends |= {end: int(sums[end - 1]) for _, end in ranges}

    def read(begin: int, end: int) -> tuple[int, int]:
        own, part = slice(ends[begin], ends[end]), directory[begin:end]
        return _read_part(parsed, part, first + begin, keys[own], patterns[own], kernels)

    for step, chunk in sorted(run(read, ranges)):  # first what fails a check
        if step:
            refuse(step, chunk)
    return keys, patterns


def _read_part(
    parsed: Parsed,
    directory: NDArray[np.void],
    first: int,
    keys: NDArray[np.uint32],
    patterns: Patterns,
    kernels: ModuleType,
) -> tuple[int, int]:
    """Keys and patterns of some chunks; the step that one of them fails and its number, or 0."""
    header, tables, payload = parsed.header, parsed.tables, parsed.payload
    chunk = int(kernels.first_corrupt(payload, directory, first))
    if chunk >= 0:
        return 95, first + chunk
    layout = header.n_elements, header.chunk_log2, parsed.element.bits
    table = np.zeros(CODE_SPACE if tables.value_code.size else 0, np.uint16)
    values = tables.levels, tables.value_code, table
    step, chunk = kernels.read_values(payload, directory, first, layout, *values, patterns)
    if step:
        return step, chunk
    code_tables = np.zeros((len(tables.key_codes), CODE_SPACE), np.uint16)
    items = np.empty(_most_items(directory) if len(tables.key_codes) > 1 else 0, np.uint32)
    codes = tables.key_codes, tables.seeds, code_tables, items
    step, chunk = kernels.read_keys(payload, directory, first, layout, *codes, keys)
    return step, chunk


def _least(parsed: Parsed) -> int:
    """Chunks that are worth a thread."""
    return max(LEAST_KEPT * parsed.header.n_chunks // max(parsed.header.n_stored, 1), 1)


def _most_items(directory: NDArray[np.void]) -> int:
    """Keys and columns of the chunk that has most, of those with columns."""
    columns = directory["columns"]
    items = columns.astype(np.int64) + directory["nnz"]
    return int(items.max(where=columns > 0, initial=0))
