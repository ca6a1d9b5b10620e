"""What ranks tell each other before any data moves: 64 bytes that say what they mean.

Comparing before the data collective matters because a mismatch there is silent garbage in one MPI,
an abort in another and a hang in a third.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import RankMismatchError
from ..format.ids import ElementType

DESCRIPTOR: Final = np.dtype(
    [("magic", "<u4"), ("version", "u1"), ("status", "u1"), ("dtype", "u1"), ("chunk_log2", "u1"),
     ("codec", "<u8"), ("name", "<u4"), ("layout", "<u4"), ("elements", "<u8"), ("stored", "<u8"),
     ("bytes", "<u8"), ("step", "<u8"), ("sequence", "<u8")]
)  # fmt: skip
MAGIC: Final = 0x44434701
VERSION: Final = 3
READY: Final = 0
LATE: Final = 0x80
"""Added to a status that is about decoding the sum before this call."""
FAILURES: Final = (
    "NonFiniteError",
    "UnsupportedDtypeError",
    "Mismatch",
    "StateError",
    "LimitExceeded",
    "NotAFrame",
    "Truncated",
    "UnsupportedVersion",
    "UnsupportedFeature",
    "Corrupt",
    "Malformed",
    "RankMismatchError",
    "MemoryError",
)
"""Errors a rank can report by number, from 1; any other is the number after the last."""

Says = Callable[[int], str] | None
"""How to write a field's value; None for a hash, of which only ranks are listed."""


def _element(value: int) -> str:
    return ElementType(value).name.lower() if value in tuple(ElementType) else str(value)


_SPEAKING: Final[tuple[tuple[str, str, Says], ...]] = (
    ("magic", "the gcodec release", None),
    ("version", "the gcodec release", str),
    ("sequence", "the number of allreduce calls so far", str),
)
_AGREED: Final[tuple[tuple[str, str, Says], ...]] = (
    ("codec", "the codec, the operation, the algorithm or the form", None),
    ("name", "the tensor's name", None),
    ("elements", "the number of elements", str),
    ("dtype", "the element type", _element),
    ("layout", "the shape of the tensor or of those in the bucket", None),
    ("step", "the step", str),
    ("chunk_log2", "the chunk size", lambda value: f"2^{value}"),
)


def descriptor(sequence: int, status: int) -> NDArray[np.void]:
    """One that says how many calls there were before, how this rank is, and nothing else."""
    mine = np.zeros(1, DESCRIPTOR)
    mine["magic"], mine["version"], mine["sequence"] = MAGIC, VERSION, sequence
    mine["status"] = status
    return mine


def failure_status(error: BaseException | None) -> int:
    """The number that stands for an error in a descriptor; READY for none."""
    if error is None:
        return READY
    name = type(error).__name__
    return FAILURES.index(name) + 1 if name in FAILURES else len(FAILURES) + 1


def alike(descriptors: NDArray[np.void]) -> bool:
    """Whether no rank has failed and ranks differ at most in how much they send."""
    rest = descriptors.copy()
    rest["bytes"] = rest["stored"] = 0
    rows = rest.view(np.uint8).reshape(rest.size, -1)
    return not descriptors["status"].any() and bool((rows == rows[0]).all())


def check_agreement(descriptors: NDArray[np.void]) -> None:
    """Raise the same error on every rank if one failed or two disagree.

    Raises
    ------
    RankMismatchError
        Naming the ranks and the first field that differs, in a text that is the same on all ranks.
    """
    check_statuses(descriptors["status"], "encoding")
    _compare(descriptors, _AGREED)


def check_order(descriptors: NDArray[np.void]) -> None:
    """Raise the same error on every rank if these are not descriptors of one call.

    Raises
    ------
    RankMismatchError
        Naming the ranks and the first field that differs.
    """
    _compare(descriptors, _SPEAKING)


def check_statuses(statuses: NDArray[Any], doing: str) -> None:
    """Raise the same error on every rank if one of them failed at what it was doing.

    Raises
    ------
    RankMismatchError
        Naming the ranks and the kinds of their errors.
    """
    failed = np.flatnonzero(statuses != READY)
    if failed.size:
        causes = ", ".join(f"rank {r}: {_cause(int(statuses[r]))}" for r in failed)
        raise RankMismatchError(
            f"no allreduce, since {doing} failed on {causes}; no residual changed"
        )


def _compare(descriptors: NDArray[np.void], fields: Sequence[tuple[str, str, Says]]) -> None:
    for field, meaning, says in fields:
        values = descriptors[field]
        if (values != values[0]).any():
            raise RankMismatchError(
                f"ranks disagree on {meaning}: {_groups(values, says)}; no residual changed. "
                "All ranks must make the same allreduce calls in the same order"
            )


def _cause(status: int) -> str:
    return FAILURES[status - 1] if status <= len(FAILURES) else "an unexpected error"


def _groups(values: NDArray[Any], says: Says) -> str:
    groups = []
    for value in dict.fromkeys(values.tolist()):
        ranks = ", ".join(map(str, np.flatnonzero(values == value).tolist()))
        groups.append(f"{says(value)} on rank {ranks}" if says else f"rank {ranks}")
    return " against ".join(groups)
