"""What ranks tell each other before any data moves: 64 bytes that say what they mean.

Comparing before the data collective matters because a mismatch there is silent garbage in one MPI,
an abort in another and a hang in a third.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import RankMismatchError

DESCRIPTOR: Final = np.dtype(
    [("magic", "<u4"), ("version", "<u2"), ("status", "<u2"), ("codec", "<u8"), ("name", "<u8"),
     ("shape", "<u8"), ("elements", "<u8"), ("bytes", "<u8"), ("step", "<u8"), ("sequence", "<u8")]
)  # fmt: skip
MAGIC: Final = 0x44434701
VERSION: Final = 1
READY: Final = 0
FAILURES: Final = (
    "NonFiniteError",
    "UnsupportedDtypeError",
    "Mismatch",
    "StateError",
    "LimitExceeded",
)
"""Errors a rank can report by number, from 1; any other is the number after the last."""

_SPEAKING: Final = (
    ("magic", "the gcodec release", False),
    ("version", "the gcodec release", True),
    ("sequence", "the number of allreduce calls so far", True),
)
_AGREED: Final = (
    ("codec", "the codec or the operation", False),
    ("name", "the tensor's name", False),
    ("elements", "the number of elements", True),
    ("shape", "the tensor's shape or element type", False),
    ("step", "the step", True),
)


def failure_status(error: Exception) -> int:
    """The number that stands for an error in a descriptor."""
    name = type(error).__name__
    return FAILURES.index(name) + 1 if name in FAILURES else len(FAILURES) + 1


def check_agreement(descriptors: NDArray[np.void]) -> None:
    """Raise the same error on every rank if one failed or two disagree.

    Raises
    ------
    RankMismatchError
        Naming the ranks and the first field that differs, in a text that is the same on all ranks.
    """
    _compare(descriptors, _SPEAKING)
    failed = np.flatnonzero(descriptors["status"] != READY)
    if failed.size:
        causes = ", ".join(f"rank {r}: {_cause(int(descriptors['status'][r]))}" for r in failed)
        raise RankMismatchError(
            f"no allreduce, since encoding failed on {causes}; no residual changed"
        )
    _compare(descriptors, _AGREED)


def _compare(descriptors: NDArray[np.void], fields: Sequence[tuple[str, str, bool]]) -> None:
    for field, meaning, readable in fields:
        values = descriptors[field]
        if (values != values[0]).any():
            raise RankMismatchError(
                f"ranks disagree on {meaning}: {_groups(values, readable)}; no residual changed. "
                "All ranks must make the same allreduce calls in the same order"
            )


def _cause(status: int) -> str:
    return FAILURES[status - 1] if status <= len(FAILURES) else "an unexpected error"


def _groups(values: NDArray[Any], readable: bool) -> str:
    groups = []
    for value in dict.fromkeys(values.tolist()):
        ranks = ", ".join(map(str, np.flatnonzero(values == value).tolist()))
        groups.append(f"{value} on rank {ranks}" if readable else f"rank {ranks}")
    return " against ".join(groups)
