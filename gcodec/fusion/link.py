"""Ranks that all say the same, over a network whose time is a formula: to plan without one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, log2
from time import sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Link:
    """A `Communicator` of one process that waits as long as `size` ranks would.

    Messages of m bytes from each rank take log2(size) * latency + (size - 1) * m / rate, which is
    what recursive doubling and rings need at least.

    Parameters
    ----------
    size : int
        Ranks.
    bits_per_second : float
        What each of them can send, and receive.
    latency : float
        Seconds that a message takes however short it is.
    """

    size: int
    bits_per_second: float = 1e9
    latency: float = 50e-6
    rank: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"there are 1 or more ranks, not {self.size}")
        if not (isfinite(self.bits_per_second) and self.bits_per_second > 0):
            raise ValueError(f"bits_per_second is above 0, not {self.bits_per_second}")
        if not (isfinite(self.latency) and self.latency >= 0):
            raise ValueError(f"latency is 0 or more seconds, not {self.latency}")

    def seconds(self, sizes: Sequence[int]) -> float:
        """What an exchange of messages of these sizes takes."""
        received = 8 * (sum(sizes) - min(sizes))
        return log2(self.size) * self.latency + received / self.bits_per_second

    def announce(
        self, head: NDArray[np.uint8], rider: NDArray[np.uint8]
    ) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        self._wait([head.size + rider.size] * self.size)
        return [(head, rider)] * self.size

    def allgather(self, message: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self._wait([message.size] * self.size)
        return np.stack([message] * self.size)

    def allgatherv(
        self, message: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> list[NDArray[np.uint8]]:
        self._wait(sizes.tolist())
        return [message] * self.size

    def alltoallv(
        self, messages: Sequence[NDArray[np.uint8]], sizes: NDArray[np.int64]
    ) -> list[NDArray[np.uint8]]:
        self._wait(sizes.tolist())
        return [messages[self.rank]] * self.size

    def nodes(self) -> "tuple[Link, Link]":
        """A node for every rank."""
        return replace(self, size=1), self

    def allreduce(self, array: NDArray[Any]) -> NDArray[Any]:
        """Takes what a ring does: all but one part of `size` go twice."""
        part = array.nbytes // self.size
        self._wait([2 * part] * self.size)
        total: NDArray[Any] = array * array.dtype.type(self.size)
        return total

    def _wait(self, sizes: Sequence[int]) -> None:
        sleep(self.seconds(sizes))
