"""Threads of our own, each for a range of elements or chunks. What they make does not depend on
their number: ranges are put together in order.

They start with the first call that is worth it, and again in a forked child. Kernels hold no lock
of Python's while they run, and may be called from any thread of the caller's.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from operator import index
from typing import Any, Final, TypeVar

Result = TypeVar("Result")
Range = tuple[int, int]

LEAST: Final = 1 << 20
"""Elements of a gradient that are worth a thread: handing work over takes as long as 100,000."""

LEAST_KEPT: Final = 1 << 15
"""Kept elements that are worth one."""


class _Threads:
    """How many there are to be, and the pool, if there is one."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.processes = 1
        self.pool: Any = None
        self.size = 0


_ours: Final = _Threads()


def set_threads(number: int | None) -> None:
    """Set how many threads an encode or decode may use; None for one on each usable core.

    Frames and decoded arrays are the same for any number. Small gradients use one: from about two
    million elements on there are more.

    Raises
    ------
    ValueError
        If the number is below 1.

    Examples
    --------
    >>> import gcodec
    >>> gcodec.set_threads(1)
    >>> gcodec.get_threads()
    1
    >>> gcodec.set_threads(None)
    """
    if number is not None and index(number) < 1:
        raise ValueError(f"the number of threads is at least 1, not {number}")
    _ours.number = None if number is None else index(number)


_alone: Final = ContextVar("_alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within it, the caller's calls use no other thread: a device has its own."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def get_threads() -> int:
    """How many threads an encode or decode may use: as set, or one for each core that this process
    may use, or for its share of all cores if `gcodec.mpi` knows of others on this node."""
    if _alone.get():
        return 1
    if _ours.number is not None:
        return _ours.number
    cores, usable = os.cpu_count() or 1, getattr(os, "sched_getaffinity", None)
    share = max(cores // _ours.processes, 1)
    return min(len(usable(0)), share) if usable else share


def share_cores(processes: int) -> None:
    """So many processes on this node do the same as this one and are to share its cores."""
    _ours.processes = processes


def split(size: int, least: int, unit: int = 1) -> list[Range]:
    """[0, size) in one range for each thread, or fewer so that none has fewer than `least`.

    Ranges end at multiples of `unit`.
    """
    if size < 2 * least:
        return [(0, size)] if size else []
    number = min(get_threads(), size // least)
    ends = [size * part // number // unit * unit for part in range(number)] + [size]
    return [(start, stop) for start, stop in pairwise(ends) if start < stop]


def run(function: Callable[[int, int], Result], ranges: Sequence[Range]) -> list[Result]:
    """What a function makes of each range; the first of them in the calling thread."""
    if len(ranges) < 2:
        return [function(*each) for each in ranges]
    pool, others = _pool(len(ranges) - 1), []
    for each in ranges[1:]:
        try:
            others.append(pool.submit(function, *each))
        except RuntimeError:  # the interpreter ends, and starts no threads any more
            break
    try:
        first = function(*ranges[0])
        last = [function(*each) for each in ranges[1 + len(others) :]]
    finally:  # nothing of a call goes on after it
        failed = [other.exception() for other in others]
    for error in failed:
        if error is not None:
            raise error
    return [first, *(other.result() for other in others), *last]


def _pool(size: int) -> Any:
    """A pool of at least so many threads."""
    if _ours.pool is None or _ours.size < size:
        from concurrent.futures import ThreadPoolExecutor

        if _ours.size == 0 and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget)
        _ours.pool, _ours.size = ThreadPoolExecutor(size, "gcodec"), size
    return _ours.pool


def _forget() -> None:
    """A forked child has none of its parent's threads."""
    _ours.pool = None
