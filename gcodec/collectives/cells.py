"""The sum of all ranks' sketches, or values: a reduce-scatter and an allgather of numbers.

Each rank owns a share of them, adds what all have there in rank order, and sends the sum to all:
they end with the same bits, and a rank sends less than twice what it has, however many ranks there
are. (Gathered whole, that would go to each other rank.) Messages begin with their checksum.
"""

from collections.abc import Iterable
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import read_only
from ..errors import Corrupt
from .communicator import Communicator
from .exchange import Bytes, ends, raw

CHECKSUM = 8
"""Bytes of one."""


class Sum(NamedTuple):
    """Cells of all ranks added up, bytes that this one handed over, and what failed here if
    anything did: the cells are then anything, and other ranks do not know."""

    cells: NDArray[Any]
    bytes_sent: int
    failure: Exception | None


def add_cells(communicator: Communicator, cells: NDArray[Any], kernels: ModuleType) -> Sum:
    """Add cells, of one shape and type on all ranks."""
    flat, rank = cells.reshape(-1), communicator.rank
    bounds = ends(flat.size, communicator.size)
    lengths = np.diff(bounds) * flat.itemsize + CHECKSUM
    shares = [sealed(flat[start:stop], kernels) for start, stop in pairwise(bounds)]
    received = communicator.alltoallv(shares, np.full(communicator.size, lengths[rank]))
    own = np.zeros(bounds[rank + 1] - bounds[rank], flat.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        failure = _add(received, [own] * communicator.size, kernels)
    mine, total = sealed(own, kernels), np.zeros_like(flat)
    places = [total[start:stop] for start, stop in pairwise(bounds)]
    later = _add(communicator.allgatherv(mine, lengths), places, kernels)  # whatever failed before
    sent = sum(share.size for share in shares) - shares[rank].size + mine.size
    return Sum(total.reshape(cells.shape), sent, failure or later)


def sealed(numbers: NDArray[Any], kernels: ModuleType) -> Bytes:
    """Numbers as a message: their XXH64, and they."""
    digest = np.array([kernels.xxh64(read_only(raw(numbers)), 0)], np.uint64)
    return np.concatenate((digest.view(np.uint8), raw(numbers)))


def _add(
    messages: Iterable[Bytes], places: list[NDArray[Any]], kernels: ModuleType
) -> Exception | None:
    """Add each rank's numbers to its place; all are received, whatever is wrong with one."""
    failure = None
    for rank, (message, place) in enumerate(zip(messages, places, strict=True)):
        digest = int(np.asarray(message[:CHECKSUM]).view(np.uint64)[0])
        numbers = np.asarray(message[CHECKSUM:])
        if int(kernels.xxh64(read_only(numbers), 0)) == digest:
            np.add(place, numbers.view(place.dtype), out=place)
        else:
            failure = failure or Corrupt(
                f"the numbers from rank {rank} do not match their checksum"
            )
    return failure
