"""What goes wrong before the first message: launchers, cores and compilers."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .. import warming
from ..errors import RankMismatchError
from ..parallel import share_cores
from ..policy import Policy
from .communicator import MPICommunicator, load_mpi

WORLD_SIZE: Final = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
"""Where launchers say how many ranks they started: MPICH and Intel MPI, Open MPI."""
LOCAL_SIZE: Final = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")
"""And how many of them on this node."""


def check_launcher(mpi: Any, environment: Mapping[str, str] = os.environ) -> None:
    """See that the ranks which were started found each other.

    A launcher of one MPI library and another library in Python may make as many worlds of one rank,
    which all do the same and never notice.

    Raises
    ------
    RankMismatchError
        If MPI.COMM_WORLD has another size than the launcher says.
    """
    world = mpi.COMM_WORLD.Get_size()
    for name in WORLD_SIZE:
        told = environment.get(name, "")
        if told.isdecimal() and int(told) != world:
            library = mpi.Get_library_version().splitlines()[0].strip()
            raise RankMismatchError(
                f"the launcher started {told} ranks ({name}), but MPI.COMM_WORLD has {world}: "
                f"mpirun belongs to another MPI library than the one that mpi4py loads, {library}"
            )


def share_node(environment: Mapping[str, str] = os.environ) -> None:
    """Let the ranks of a node share its cores, unless `gcodec.set_threads` said otherwise."""
    for name in LOCAL_SIZE:
        told = environment.get(name, "")
        if told.isdecimal() and int(told) > 0:
            share_cores(int(told))


def warmup(comm: Any, codecs: Sequence[Policy] = (), dtypes: Sequence[Any] = ("float32",)) -> None:
    """As `gcodec.warmup`, on all ranks: the first of each node compiles, the others then load.

    Without it, all ranks of a node compile the same kernels at once when caches are cold.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        All its ranks must call this.
    codecs, dtypes
        As for `gcodec.warmup`.
    """
    communicator = MPICommunicator(comm)
    first = communicator.nodes()[1] is not None
    for turn in (first, not first):
        if turn:
            warming.warmup(codecs, dtypes)
        comm.Barrier()


def start(comm: Any) -> MPICommunicator:
    """A communicator for collectives, on ranks that were started as they should be."""
    check_launcher(load_mpi())
    share_node()
    return MPICommunicator(comm)
