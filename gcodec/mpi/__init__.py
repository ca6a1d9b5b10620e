"""Sparse allreduce over MPI by mpi4py, which is loaded when a communicator is wrapped."""

from .allreduce import Allreduce
from .communicator import MPICommunicator
from .launch import warmup

__all__ = ["Allreduce", "MPICommunicator", "warmup"]
