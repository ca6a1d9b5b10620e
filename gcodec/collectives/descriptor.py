"""What ranks tell each other before any data moves: 64 bytes that say what they mean.

Comparing before the data collective matters because a mismatch there is silent garbage in one MPI,
an abort in another and a hang in a third. A checksum says that they arrived as they were sent:
sizes are in them, of which a wrong one would be such a mismatch.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..errors import Corrupt, RankMismatchError
from ..format.header import LOW_32, OFFSETS
from ..format.ids import ElementType

DESCRIPTOR: Final = np.dtype(
    [("version", "u1"), ("status", "u1"), ("dtype", "u1"), ("chunk_log2", "u1"), ("name", "<u4"),
     ("codec", "<u8"), ("elements", "<u8"), ("step", "<u8"), ("sequence", "<u8"),
     ("layout", "<u4"), ("check", "<u4"), ("stored", "<u8"), ("bytes", "<u8")]
)  # fmt: skip
"""`check` is CRC-32 of all other bytes, from `MAGIC` on."""

SIZE: Final = DESCRIPTOR.itemsize
_STATUS, _CHECK = 1, 44
MAGIC: Final = 0x44434701
VERSION: Final = 4
MOST_TEXTS: Final = 1 << 12
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


def descriptor(
    sequence: int,
    status: int,
    *,
    codec: int = 0,
    name: int = 0,
    layout: int = 0,
    dtype: int = 0,
    elements: int = 0,
    step: int = 0,
    size: int = 0,
    held: tuple[int, int] = (0, 0),
) -> NDArray[np.uint8]:
    """One that says how many calls there were before and how this rank is, and what is given.

    `codec`, `name` and `layout` are hashes, `size` is that of the frame and `held` what `held_by`
    says of it. 64 bytes.
    """
    stored, log2 = held
    said = VERSION, status, dtype, log2, name & LOW_32, codec, elements, step, sequence
    mine = np.array([(*said, layout & LOW_32, 0, stored, size)], DESCRIPTOR)
    mine["check"] = _check(mine.tobytes())
    return mine.view(np.uint8)


def held_by(frame: NDArray[np.uint8]) -> tuple[int, int]:
    """How many elements a frame of this rank's holds, and log2 of its chunks."""
    at, log2 = OFFSETS["n_stored"], int(frame[OFFSETS["chunk_log2"]])
    return int.from_bytes(frame[at : at + 8].tobytes(), "little"), log2


def received(heads: Iterable[NDArray[np.uint8]]) -> NDArray[np.void]:
    """Descriptors of all ranks, as they were sent.

    Raises
    ------
    Corrupt
        If one is not. Other ranks may not know: this one cannot take part in what follows.
    """
    everyone = np.concatenate(list(heads)).view(DESCRIPTOR)
    for rank, check in enumerate(everyone["check"].tolist()):
        if check != _check(everyone[rank].tobytes()):
            raise Corrupt(
                f"the descriptor of rank {rank} does not match its checksum: it changed on its "
                "way, or comes from another gcodec release"
            )
    return everyone


def _check(said: bytes) -> int:
    return crc32(said[_CHECK + 4 :], crc32(said[:_CHECK], MAGIC))


@lru_cache(MOST_TEXTS)
def hash_of(text: str, kernels: ModuleType) -> int:
    """XXH64 of a text's UTF-8 bytes."""
    utf8 = text.encode("utf-8", "surrogatepass")
    return int(kernels.xxh64(arrays.read_only(np.frombuffer(utf8, np.uint8)), 0))


def failure_status(error: BaseException | None) -> int:
    """The number that stands for an error in a descriptor; READY for none."""
    if error is None:
        return READY
    name = type(error).__name__
    return FAILURES.index(name) + 1 if name in FAILURES else len(FAILURES) + 1


def alike(descriptors: NDArray[np.void]) -> bool:
    """Whether no rank has failed and ranks differ at most in how much they send."""
    said = descriptors.tobytes()
    first = said[:_CHECK]
    return not first[_STATUS] and all(
        said[at : at + _CHECK] == first for at in range(SIZE, len(said), SIZE)
    )


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
