"""Which layers go together into one message: optimal plans, baselines, measured costs."""

from .cost import Affine, PowerOfTwo, Table
from .exact import Solution, optimal
from .greedy import RULES
from .problem import MODELS, Costs, Group, Layers, simulate

__all__ = [
    "MODELS",
    "RULES",
    "Affine",
    "Costs",
    "Group",
    "Layers",
    "PowerOfTwo",
    "Solution",
    "Table",
    "optimal",
    "simulate",
]
