"""Sparse allreduce algorithms over any communicator that has the methods of `Communicator`; no MPI inside."""

from .allreduce import Allreduce
from .communicator import Communicator

__all__ = ["Allreduce", "Communicator"]
