"""What a collective needs from the network."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Communicator(Protocol):
    """A group of ranks; methods are collective: all ranks call them, in the same order."""

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
    ) -> Sequence[NDArray[np.uint8]]:
        """Messages of `sizes` bytes, known to all ranks, from all ranks in rank order."""
