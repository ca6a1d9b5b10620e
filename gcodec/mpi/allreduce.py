"""`gcodec.collectives.Allreduce` over an mpi4py communicator."""

from typing import Any, Literal

from .. import collectives
from ..feedback import ErrorFeedback
from ..policy import Policy
from .communicator import MPICommunicator


class Allreduce(collectives.Allreduce):
    """Sparse allreduce over MPI: `mean = allreduce("layer1", grad)`, the same bits on all ranks.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        Any intracommunicator; all its ranks must call, in the same order.
    codec, feedback, op, algorithm
        As for `gcodec.collectives.Allreduce`, which also documents the call and its errors.

    Notes
    -----
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
        communicator = MPICommunicator(comm)
        super().__init__(communicator, codec, feedback=feedback, op=op, algorithm=algorithm)
