"""Sparse allreduce algorithms over whatever has the methods of `Communicator`; no MPI inside."""

from .allreduce import ALGORITHMS, Allreduce
from .communicator import Communicator
from .costs import Plan

__all__ = ["ALGORITHMS", "Allreduce", "Communicator", "Plan"]
