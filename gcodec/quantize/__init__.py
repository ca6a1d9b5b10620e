"""What kept values become: a grid of levels and their boundaries. One file per method."""

from .cast import Cast
from .fewbit import FewBit
from .float8 import Float8
from .lloydmax import LloydMax
from .natural import Natural
from .raw import Raw
from .reclog import ReciprocalLog
from .uniform import QSGD, TernGrad, Uniform

__all__ = [
    "QSGD",
    "Cast",
    "FewBit",
    "Float8",
    "LloydMax",
    "Natural",
    "Raw",
    "ReciprocalLog",
    "TernGrad",
    "Uniform",
]
