"""An mpi4py communicator with the methods that `gcodec.collectives` calls."""

from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendUnavailableError

ROUND_BYTES: Final = 1 << 30
"""Most bytes that one MPI call moves, so that no count or displacement reaches 2**31."""


class MPICommunicator:
    """Wraps an mpi4py intracommunicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Used as it is: all its ranks must take part.
    """

    def __init__(self, comm: Any, *, round_bytes: int = ROUND_BYTES) -> None:
        try:
            self._mpi = import_module("mpi4py.MPI")
        except (ImportError, RuntimeError) as error:
            raise BackendUnavailableError(
                f"mpi4py cannot load an MPI library ({error}): pip install 'gcodec[mpich]', or "
                "'gcodec[mpi]' beside your own MPI"
            ) from error
        if not isinstance(comm, self._mpi.Intracomm):
            raise ValueError(f"comm is {type(comm).__name__}: pass an mpi4py intracommunicator")
        self._comm = comm
        self._share = max(round_bytes // comm.Get_size(), 1)

    @property
    def rank(self) -> int:
        return int(self._comm.Get_rank())

    @property
    def size(self) -> int:
        return int(self._comm.Get_size())

    def allgather(self, message: NDArray[np.uint8]) -> NDArray[np.uint8]:
        received = np.empty((self.size, message.size), np.uint8)
        self._comm.Allgather(message, received)
        return received

    def allgatherv(
        self, message: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> list[NDArray[np.uint8]]:
        rounds = [
            self._gather_round(
                message[start : start + self._share], np.clip(sizes - start, 0, self._share)
            )
            for start in range(0, max(int(sizes.max()), 1), self._share)
        ]
        return (
            rounds[0]
            if len(rounds) == 1
            else [np.concatenate(parts) for parts in zip(*rounds, strict=True)]
        )

    def _gather_round(
        self, message: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> list[NDArray[np.uint8]]:
        ends = np.cumsum(sizes)
        received = np.empty(int(ends[-1]), np.uint8)
        self._comm.Allgatherv(
            [message, self._mpi.BYTE],
            [received, sizes.tolist(), (ends - sizes).tolist(), self._mpi.BYTE],
        )
        return [received[end - size : end] for end, size in zip(ends, sizes, strict=True)]
