"""What collectives need from the network."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

RIDES: Final = 1 << 16
"""Longest rider of `Communicator.announce`, in bytes."""


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

    def announce(
        self, head: NDArray[np.uint8], rider: NDArray[np.uint8]
    ) -> Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Heads of one size, a multiple of eight bytes, from all ranks in rank order, with riders.

        A rider is empty or of at most `RIDES` bytes, as each rank likes, and the others cannot know
        its size. A network that does not say how long a message is leaves all riders behind: they
        come out empty, this rank's own as well.
        """

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
