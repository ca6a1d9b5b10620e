"""Columns of a job table, int64[jobs, 7]: where a plane lies, and which elements it holds.

A job is one plane of one chunk, or one block of a plane. START, END and INDEX are bit positions in
the payload, FIRST and COUNT a range of the element arrays. WIDTH is the bits per field, the shift
of a unary plane, or the row of a code table; the first SPLIT elements of a code plane use the row
after it.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

START: Final = 0
END: Final = 1
FIRST: Final = 2
COUNT: Final = 3
WIDTH: Final = 4
INDEX: Final = 5
SPLIT: Final = 6
COLUMNS: Final = 7


def job_table(
    start: Any,
    first: Any,
    count: Any,
    *,
    end: Any = 0,
    width: Any = 0,
    index: Any = 0,
    split: Any = 0,
) -> NDArray[np.int64]:
    """A job table from columns; scalars stand for all rows."""
    columns = (start, end, first, count, width, index, split)
    rows = next((np.size(column) for column in columns if np.ndim(column)), 1)
    table = np.zeros((rows, COLUMNS), np.int64)
    for place, column in enumerate(columns):
        table[:, place] = column
    return table
