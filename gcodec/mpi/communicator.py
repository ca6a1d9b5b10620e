"""An mpi4py communicator with the methods that `gcodec.collectives` calls."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..collectives.communicator import RIDES
from ..errors import BackendUnavailableError

PIECE_BYTES: Final = 1 << 30
"""Most bytes that one MPI call moves, so that no count or displacement reaches 2**31."""
TAG: Final = 0x6763
"""Of messages between two ranks: a receive of the caller's with MPI.ANY_TAG could take them."""
ANNOUNCED: Final = TAG + 1
"""The same for those whose length is not known to who receives them."""

Bytes = NDArray[np.uint8]


class MPICommunicator:
    """Wraps an mpi4py intracommunicator.

    Messages go from each rank to each other at once, without an order in which they wait for one
    another; whoever reads them gets each as it has arrived.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Used as it is: all its ranks must take part.
    piece_bytes : int
        Longer messages go in pieces of so many bytes, the same number on all ranks.
    """

    def __init__(self, comm: Any, *, piece_bytes: int = PIECE_BYTES) -> None:
        self._mpi = load_mpi()
        if not isinstance(comm, self._mpi.Intracomm):
            raise ValueError(f"comm is {type(comm).__name__}: pass an mpi4py intracommunicator")
        if comm == self._mpi.COMM_NULL:
            raise ValueError("comm is MPI.COMM_NULL: this rank is not in the communicator")
        self._comm, self._piece = comm, piece_bytes
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._groups: tuple[MPICommunicator, MPICommunicator | None] | None = None

    def announce(self, head: Bytes, rider: Bytes) -> Iterator[tuple[Bytes, Bytes]]:
        rank, size, mine = self.rank, self.size, np.concatenate((head, rider))
        rooms = (np.empty(head.size + RIDES, np.uint8) for _ in range(size))
        received = [mine if i == rank else room for i, room in enumerate(rooms)]
        arriving: list[list[Any]] = [[] for _ in range(size)]
        leaving = []
        for turn in range(1, size):
            source, target = (rank - turn) % size, (rank + turn) % size
            room = [received[source], self._mpi.BYTE]
            arriving[source].append(self._comm.Irecv(room, source, ANNOUNCED))
            leaving.append(self._comm.Isend([mine, self._mpi.BYTE], target, ANNOUNCED))
        arrivals = self._arrivals(received, arriving, leaving)
        next(arrivals)
        return ((each[: head.size], each[head.size :]) for each in arrivals)

    def allgather(self, message: Bytes) -> Bytes:
        received = np.empty((self.size, message.size), np.uint8)
        self._comm.Allgather(message, received)
        return received

    def allgatherv(self, message: Bytes, sizes: NDArray[np.int64]) -> Iterator[Bytes]:
        return self.alltoallv([message] * self.size, sizes)

    def alltoallv(self, messages: Sequence[Bytes], sizes: NDArray[np.int64]) -> Iterator[Bytes]:
        rank, size = self.rank, self.size
        received = [np.empty(0 if i == rank else each, np.uint8) for i, each in enumerate(sizes)]
        received[rank] = messages[rank]
        arriving: list[list[Any]] = [[] for _ in range(size)]
        leaving = []
        for turn in range(1, size):  # each rank begins with another one
            source, target = (rank - turn) % size, (rank + turn) % size
            for part in self._pieces(received[source]):
                arriving[source].append(self._comm.Irecv([part, self._mpi.BYTE], source, TAG))
            for part in self._pieces(messages[target]):
                leaving.append(self._comm.Isend([part, self._mpi.BYTE], target, TAG))
        arrivals = self._arrivals(received, arriving, leaving)
        next(arrivals)
        return arrivals

    def nodes(self) -> "tuple[MPICommunicator, MPICommunicator | None]":
        """Split off when first asked for, collectively, and kept."""
        if self._groups is None:
            inside = self._comm.Split_type(self._mpi.COMM_TYPE_SHARED, self.rank)
            first = inside.Get_rank() == 0
            across = self._comm.Split(0 if first else self._mpi.UNDEFINED, self.rank)
            heads = MPICommunicator(across, piece_bytes=self._piece) if first else None
            self._groups = MPICommunicator(inside, piece_bytes=self._piece), heads
        return self._groups

    def allreduce(self, array: NDArray[Any]) -> NDArray[Any]:
        total = np.empty_like(array)
        for start in range(0, array.nbytes, self._piece):
            own = slice(start // array.itemsize, (start + self._piece) // array.itemsize)
            self._comm.Allreduce(array[own], total[own], self._mpi.SUM)
        return total

    def _pieces(self, message: Bytes) -> list[Bytes]:
        return [
            message[start : start + self._piece] for start in range(0, message.size, self._piece)
        ]

    def _arrivals(
        self, received: list[Bytes], arriving: list[list[Any]], leaving: list[Any]
    ) -> Iterator[Bytes]:
        """Nothing, then messages in rank order, as long as what came.

        Everything has gone and come when this ends or is closed, which it also is when nothing
        refers to it any more: MPI never writes to memory that was given back.
        """
        try:
            yield received[0][:0]
            for message, requests in zip(received, arriving, strict=True):
                said = [self._mpi.Status() for _ in requests]
                self._mpi.Request.Waitall(requests, said)
                came = sum(each.Get_count(self._mpi.BYTE) for each in said)
                yield message[:came] if requests else message
        finally:
            self._mpi.Request.Waitall([each for requests in arriving for each in requests])
            self._mpi.Request.Waitall(leaving)


def load_mpi() -> Any:
    """The module `mpi4py.MPI`, which starts MPI when it is imported first.

    Raises
    ------
    BackendUnavailableError
        If there is no mpi4py, or no MPI library for it.
    """
    try:
        return import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise BackendUnavailableError(
            f"mpi4py cannot load an MPI library ({error}): pip install 'gcodec[mpich]', or "
            "'gcodec[mpi]' beside your own MPI"
        ) from error
