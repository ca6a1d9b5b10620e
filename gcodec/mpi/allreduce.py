"""`gcodec.collectives.Allreduce` over an mpi4py communicator."""

from typing import Any, Literal

from .. import collectives
from ..feedback import ErrorFeedback
from ..policy import Policy
from .launch import start


class Allreduce(collectives.Allreduce):
    """Sparse allreduce over MPI: `mean = allreduce("layer1", grad)`, the same bits on all ranks.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Any intracommunicator; all its ranks must call, in the same order.
    codec, feedback, op, algorithm
        As for `gcodec.collectives.Allreduce`, which also documents the call and its errors.

    Raises
    ------
    BackendUnavailableError
        If there is no mpi4py, or no MPI library for it.
    RankMismatchError
        If MPI has another number of ranks than were started.
    ValueError
        If comm is no intracommunicator.

    Notes
    -----
    Ranks of a node share its cores, unless `gcodec.set_threads` said otherwise before.

    Start ranks with `mpirun -n P python -m mpi4py program.py`, so that an exception on one rank
    ends the job instead of leaving the others waiting.
    """

    def __init__(
        self,
        comm: Any,
        codec: Policy,
        *,
        feedback: ErrorFeedback | None = None,
        op: Literal["mean", "sum"] = "mean",
        algorithm: str = "allgather",
    ) -> None:
        super().__init__(start(comm), codec, feedback=feedback, op=op, algorithm=algorithm)
