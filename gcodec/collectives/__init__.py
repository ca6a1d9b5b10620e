"""Sparse allreduce algorithms over whatever has the methods of `Communicator`; no MPI inside."""

from .allreduce import ALGORITHMS, Allreduce
from .communicator import Communicator
from .costs import Plan
from .fetchsgd import FetchSGD
from .pending import Pending
from .sketch import SketchAllreduce

__all__ = [
    "ALGORITHMS",
    "Allreduce",
    "Communicator",
    "FetchSGD",
    "Pending",
    "Plan",
    "SketchAllreduce",
]
