"""Cells that are integers: elements as multiples of a unit, and sums that must fit."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded

AT_ONCE: Final = 1 << 18
"""Elements that are turned into multiples at once."""

EXACT: Final = 2.0**52
"""Multiples below this are exact in float64."""

SURE: Final = 2.0**62
"""No sum of magnitudes up to this is past int64."""


def multiples(
    values: NDArray[Any], unit: float, cells: NDArray[Any]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Finite values as multiples of a unit, ties to even: where a part starts, and the part.

    Raises
    ------
    LimitExceeded
        If one does not fit an integer as wide as the cells it is added to, or a sum might not fit
        int64.
    """
    most = EXACT if cells.dtype == np.int64 else 2.0**31
    reach = float(np.abs(cells.astype(np.float64)).max())
    for begin in range(0, values.size, AT_ONCE):
        part = values[begin : begin + AT_ONCE].astype(np.float64)
        with np.errstate(over="ignore"):
            part = np.rint(part / unit)
        magnitudes = np.abs(part)
        largest = float(magnitudes.max())
        reach += float(magnitudes.sum())
        if largest >= most or reach >= SURE:
            raise LimitExceeded(
                f"elements of up to {largest} units, or their sum, do not fit {cells.dtype}; "
                "nothing changed: take a larger unit"
            )
        integers = part.astype(np.int64)
        integers.setflags(write=False)
        yield begin, integers


def add_exactly(cells: NDArray[np.int64], more: NDArray[Any]) -> None:
    """Add integers; refuse what does not fit 64 bits."""
    sums = cells + more
    if ((sums < cells) != (more < 0)).any():
        raise LimitExceeded("a cell does not fit int64; nothing changed: take a larger unit")
    cells[:] = sums


def times(cells: NDArray[Any], factor: int) -> NDArray[np.int64]:
    """Integers times one; refuse what does not fit their type."""
    largest = max(-int(cells.min()), int(cells.max())) * abs(factor)
    if largest > np.iinfo(cells.dtype).max:
        raise LimitExceeded(f"cells times {factor} do not fit {cells.dtype}: take a larger unit")
    return cells.astype(np.int64) * factor


def narrow(cells: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Integers in a type; refuse what does not fit it."""
    limits = np.iinfo(dtype)
    if int(cells.min()) < limits.min or int(cells.max()) > limits.max:
        raise LimitExceeded(f"a cell does not fit {dtype}; nothing changed: take a larger unit")
    return cells.astype(dtype, copy=False)
