"""The table of a count-sketch: adding to it, and what is large in it.

Charikar, Chen and Farach-Colton (ICALP 2002): every row adds each element, with a sign that a hash
gives, to one cell of its own; the median over the rows is within a few ||g|| / sqrt(columns) of the
element. Hashing is simple tabulation (Patrascu and Thorup, J. ACM 2012), from a seed.

Rows are shared among threads where cells are added to, positions where they are read: every cell
is a sum in ascending order of positions, whatever the number of threads.
"""

from math import sqrt
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import scratch
from ..format.sketch import Sketch, hash_tables
from ..parallel import LEAST, run, split

Numbers = NDArray[Any]
Keys = NDArray[np.int64]

BLOCK: Final = 256
SAMPLED: Final = 128
"""One position of so many is looked at before all are."""

LEAST_SAMPLE, MOST_SAMPLE = 1 << 12, 1 << 17
LEAST_READ: Final = LEAST // 4
"""Positions whose estimates are worth a thread."""


def add(values: Numbers, start: int, sketch: Sketch, cells: Numbers, kernels: ModuleType) -> None:
    """Add the elements from position `start` on to `cells[rows, columns]`, of their type."""
    tables = hash_tables(sketch.seed, sketch.rows)

    def rows(begin: int, end: int) -> None:
        kernels.insert(values, start, tables, sketch.columns_log2, begin, end, cells)

    least = 1 if values.size >= LEAST else sketch.rows
    run(rows, split(sketch.rows, least))


def add_pairs(
    keys: Keys, values: Numbers, sketch: Sketch, cells: Numbers, kernels: ModuleType
) -> None:
    """Add elements at positions in any order; values of the same position add up."""
    tables = hash_tables(sketch.seed, sketch.rows)

    def rows(begin: int, end: int) -> None:
        kernels.insert_pairs(keys, values, tables, sketch.columns_log2, begin, end, cells)

    run(rows, split(sketch.rows, 1 if keys.size >= LEAST_READ else sketch.rows))


def clear(keys: Keys, sketch: Sketch, cells: Numbers, kernels: ModuleType) -> None:
    """Set all cells of some positions to zero, and with them what others have there."""
    kernels.clear_pairs(keys, hash_tables(sketch.seed, sketch.rows), sketch.columns_log2, cells)


def estimate(
    sketch: Sketch, cells: Numbers, agree: bool, out: Numbers, kernels: ModuleType
) -> None:
    """Estimates of all positions: medians of the rows, or with `agree` the least they agree on."""
    tables = hash_tables(sketch.seed, sketch.rows)

    def part(begin: int, end: int) -> None:
        kernels.estimate(begin, tables, sketch.columns_log2, cells, agree, out[begin:end])

    run(part, split(out.size, LEAST_READ, BLOCK))


def estimate_pairs(
    keys: Keys, sketch: Sketch, cells: Numbers, agree: bool, kernels: ModuleType
) -> Numbers:
    """Estimates of some positions."""
    out = np.empty(keys.size, cells.dtype)
    tables = hash_tables(sketch.seed, sketch.rows)
    kernels.estimate_pairs(keys, tables, sketch.columns_log2, cells, agree, out)
    return out


def heavy_hitters(
    n: int, k: int, sketch: Sketch, cells: Numbers, agree: bool, kernels: ModuleType
) -> tuple[Keys, Numbers]:
    """The k positions below n of the largest estimates, of equal ones the lower, and these.

    Ascending, and fewer than k if fewer are not 0. A sample says which estimates may be among them,
    one pass collects those, and they are sorted; what the sample says does not change the result.
    """
    keys, values = np.empty(0, np.int64), np.empty(0, cells.dtype)
    if not k or not n or not kernels.magnitude_max(_patterns(cells)):
        return keys, values
    # All cells have been read in order: the sample finds them in a cache, wherever it looks.
    sample = _sample(n, sketch, cells, agree, kernels)
    share = k * sample.size / n
    rank = int(share + 3 * sqrt(share)) + 3
    while keys.size < k:
        floor = np.maximum(sample[-rank], 1) if rank < sample.size else sample.dtype.type(1)
        keys, values = _at_least(floor, n, k, sketch, cells, agree, kernels)
        if floor == 1:
            break
        rank *= 4
    return _largest(keys, values, k)


def _sample(
    n: int, sketch: Sketch, cells: Numbers, agree: bool, kernels: ModuleType
) -> NDArray[np.unsignedinteger]:
    """Magnitude patterns of the estimates of some positions, ascending."""
    size = min(max(n // SAMPLED, LEAST_SAMPLE), MOST_SAMPLE, n)
    stride = n // size | 1  # odd: a power of two would meet one column of a matrix only
    keys = np.arange(size, dtype=np.int64) * stride % n
    estimates = estimate_pairs(keys, sketch, cells, agree, kernels)
    return np.sort(_magnitudes(estimates))


def _magnitudes(numbers: Numbers) -> NDArray[np.unsignedinteger]:
    """Patterns without a sign, which order like the magnitudes."""
    return _patterns(np.abs(numbers))


def _patterns(numbers: Numbers) -> NDArray[np.unsignedinteger]:
    patterns: NDArray[np.unsignedinteger] = numbers.reshape(-1).view(f"u{numbers.itemsize}")
    return patterns


def _at_least(
    floor: np.unsignedinteger, n: int, k: int, sketch: Sketch, cells: Numbers, agree: bool,
    kernels: ModuleType,
) -> tuple[Keys, Numbers]:  # fmt: skip
    """Positions whose estimates have a magnitude pattern of at least `floor`, and these."""
    tables, ranges = hash_tables(sketch.seed, sketch.rows), split(n, LEAST_READ, BLOCK)

    def part(begin: int, end: int) -> tuple[Keys, Numbers]:
        room, found = min(4 * k // len(ranges) + BLOCK, end - begin), -1
        while found < 0 or found > room:
            room = max(room, found)
            keys, bits = scratch.empty(room, np.int64), scratch.empty(room, floor.dtype)
            found = kernels.select_estimates(
                begin, end, tables, sketch.columns_log2, cells, agree, floor, keys, bits
            )
        return keys[:found], bits[:found].view(cells.dtype)

    parts = run(part, ranges)
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _largest(keys: Keys, values: Numbers, k: int) -> tuple[Keys, Numbers]:
    """Those of the k largest magnitudes, of equal ones the first."""
    if keys.size <= k:
        return keys, values
    magnitudes = _magnitudes(values)
    least = np.partition(magnitudes, keys.size - k)[keys.size - k]
    chosen = magnitudes > least
    equal = np.flatnonzero(magnitudes == least)
    chosen[equal[: k - int(np.count_nonzero(chosen))]] = True
    return keys[chosen], values[chosen]
