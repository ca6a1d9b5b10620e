"""Memory that is used again: making new pages takes longer than what is written to them.

An array made here is like any other; when nothing refers to it any more, its memory is kept for the
next one of about that size.
"""

from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LEAST: Final = 1 << 17
"""Bytes from which on an array is made here; allocators keep smaller ones at hand."""

MOST: Final = 1 << 26
"""Bytes that are kept."""

CACHE_LINE: Final = 64
_kept: Final[deque[bytearray]] = deque(maxlen=24)


class _Lent(np.ndarray[Any, Any]):
    """All of a piece of memory; arrays are views of it."""

    def __del__(
        self, kept: deque[bytearray] = _kept, most: int = MOST
    ) -> None:  # no globals: they may be gone
        piece: Any = self.base
        if len(piece) <= most:
            try:
                while sum(map(len, tuple(kept))) + len(piece) > most:
                    kept.popleft()
            except IndexError:  # another thread took the last one
                pass
            kept.append(piece)


def empty(size: int, dtype: Any) -> NDArray[Any]:
    """As `numpy.empty` of one dimension."""
    wanted = size * np.dtype(dtype).itemsize
    if wanted < LEAST:
        return np.empty(size, dtype)
    piece = _take(wanted + CACHE_LINE)
    lent = _Lent(len(piece), np.uint8, piece)
    start = -lent.ctypes.data % CACHE_LINE
    return lent.view(np.ndarray)[start : start + wanted].view(dtype)


def _take(room: int) -> bytearray:
    """A piece of that size; the last that was given back, and is not much larger."""
    for _ in range(len(_kept)):
        try:
            piece = _kept.pop()
        except IndexError:  # another thread was faster
            break
        if room <= len(piece) <= room + room // 8:
            return piece
        _kept.appendleft(piece)
    return bytearray(room)


def forget() -> None:
    """Give back to the system what is kept."""
    _kept.clear()
