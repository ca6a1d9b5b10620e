"""Sparse allreduce algorithms over whatever has the methods of `Communicator`; no MPI inside."""

from .allreduce import Allreduce
from .communicator import Communicator

__all__ = ["Allreduce", "Communicator"]
