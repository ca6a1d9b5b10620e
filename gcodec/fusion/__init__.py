"""Which layers go together into one message: optimal plans, baselines, measured costs, buckets."""

from .buckets import Buckets
from .calibration import calibrate
from .cost import Affine, PowerOfTwo, Table
from .exact import Solution, optimal
from .greedy import RULES
from .link import Link
from .plan import Plan, plan
from .problem import MODELS, Costs, Group, Layers, simulate

__all__ = [
    "MODELS",
    "RULES",
    "Affine",
    "Buckets",
    "Costs",
    "Group",
    "Layers",
    "Link",
    "Plan",
    "PowerOfTwo",
    "Solution",
    "Table",
    "calibrate",
    "optimal",
    "plan",
    "simulate",
]
