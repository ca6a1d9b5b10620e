"""Cells of a count-sketch: adding to them, and estimates from them (spec section 8, *Sketches*)."""

import numpy as np

from ...format.ids import ROWS_PER_HASH


def cell_of(position, row, tables, columns_log2):
    """Column of a position in a row, and whether it is subtracted there."""
    hashed = 0
    for character, table in enumerate(tables[row // ROWS_PER_HASH]):
        hashed ^= int(table[int(position) >> 8 * character & 255])
    field = hashed >> row % ROWS_PER_HASH * (columns_log2 + 1)
    return field % (1 << columns_log2), field >> columns_log2 & 1


def insert(values, start, tables, columns_log2, begin, end, cells):
    """Add values of the positions from `start` on to rows `begin` to `end`, in ascending order.

    `values` are of the type of `cells[rows, columns]`; `tables` are uint64[hashes, 4, 256].
    """
    keys = range(start, start + values.size)
    insert_pairs(keys, values, tables, columns_log2, begin, end, cells)


def insert_pairs(keys, values, tables, columns_log2, begin, end, cells):
    """Add values of the positions `keys`, int64, in the order given; one may come again."""
    with np.errstate(over="ignore", invalid="ignore"):
        for row in range(begin, end):
            for key, value in zip(keys, values, strict=True):
                column, negative = cell_of(key, row, tables, columns_log2)
                cells[row, column] += -value if negative else value


def clear_pairs(keys, tables, columns_log2, cells):
    """Set the cells of the positions `keys`, int64, to zero."""
    for row in range(len(cells)):
        for key in keys:
            cells[row, cell_of(key, row, tables, columns_log2)[0]] = 0


def estimate(start, tables, columns_log2, cells, agree, out):
    """Estimates of the positions from `start` on: medians of an odd number of rows.

    Or, with `agree`, the smallest magnitude where all rows have one sign, else 0. `cells` are
    float32 or float64 and `out` is of their type. Zero is +0.
    """
    estimate_pairs(range(start, start + out.size), tables, columns_log2, cells, agree, out)


def estimate_pairs(keys, tables, columns_log2, cells, agree, out):
    """As `estimate`, of the positions `keys`, int64 in any order."""
    for j, key in enumerate(keys):
        said = []
        for row in range(len(cells)):
            column, negative = cell_of(key, row, tables, columns_log2)
            said.append(-cells[row, column] if negative else cells[row, column])
        said.sort()
        if not agree:
            chosen = said[len(said) // 2]
        elif said[0] > 0 or said[-1] < 0:
            chosen = min(said, key=abs)
        else:
            chosen = 0
        out[j] = chosen + out.dtype.type(0)


def select_estimates(start, stop, tables, columns_log2, cells, agree, floor, keys, values):
    """Append positions of [start, stop) whose estimate's magnitude is at least `floor` (above 0).

    `floor` and `values` are bit patterns of the type of the cells, `keys` int64. Returns how many
    there are, also where that is more than `keys` has room for.
    """
    estimates = np.zeros(stop - start, cells.dtype)
    estimate(start, tables, columns_log2, cells, agree, estimates)
    magnitudes = np.abs(estimates).view(values.dtype)
    kept = np.flatnonzero(magnitudes >= floor)
    own = kept[: keys.size]
    keys[: own.size] = start + own
    values[: own.size] = estimates.view(values.dtype)[own]
    return kept.size
