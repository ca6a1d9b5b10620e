"""What collectives need from the network."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Communicator(Protocol):
    """A group of ranks. Methods are collective: all ranks call them, in the same order.

    Sizes are known to those who receive before anything is sent. Messages that are not empty start
    at a multiple of eight bytes.
    """

    @property
    def rank(self) -> int:
        """This process's number, 0 to size - 1."""

    @property
    def size(self) -> int:
        """How many ranks there are."""

    def allgather(self, message: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Messages of one size from all ranks: uint8[size, message.size]."""

    def allgatherv(
        self, message: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> Iterable[NDArray[np.uint8]]:
        """Messages of `sizes` bytes from all ranks in rank order, each perhaps as it arrives."""

    def alltoallv(
        self, messages: Sequence[NDArray[np.uint8]], sizes: NDArray[np.int64]
    ) -> Iterable[NDArray[np.uint8]]:
        """One message to each rank, some perhaps empty; those of `sizes` bytes from each."""

    def nodes(self) -> "tuple[Communicator, Communicator | None]":
        """The ranks of this node, and the first ranks of all nodes, None if this is not one.

        Asked for by the algorithm `hierarchical` only.
        """

    def allreduce(self, array: NDArray[Any]) -> NDArray[Any]:
        """The network's own sum of float32 or float64 arrays; for the algorithm `plain` only."""
