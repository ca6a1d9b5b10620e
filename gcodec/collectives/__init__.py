"""Sparse allreduce algorithms over whatever has the methods of `Communicator`; no MPI inside."""

from .allreduce import ALGORITHMS, Allreduce
from .communicator import Communicator
from .costs import Plan
from .pending import Pending

__all__ = ["ALGORITHMS", "Allreduce", "Communicator", "Pending", "Plan"]
