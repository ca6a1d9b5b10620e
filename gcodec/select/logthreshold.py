"""The filter of FastSGD on integers (Yang, Chen, Zeng, Gao, arXiv 2112.04291).

A value's integer is the rounded logarithm of its reciprocal: small integers are large values.
"""

from dataclasses import dataclass
from typing import Any

from ..format.logarithm import check_base, scale
from .amount import whole_number
from .contract import Decision, Statistics


@dataclass(frozen=True)
class LogThreshold:
    """Keep every element whose integer `round(-log_b |x|)` is at most `tau`.

    These are the integers that `ReciprocalLog` rounds to, exact in every element type:
    `|x| >= b**-(tau + 1/2)`. The number kept, and so the size of the frame, is whatever the data
    makes it.

    Parameters
    ----------
    tau : int
        0 keeps what is nearest to 1 or above; each step more, another factor of b. May be negative.
    per_octave : int, optional
        K, of b = 2**(1/K): one of 1, 2, 4 (the default), 8, 16.
    base : float, optional
        b itself, 1.03 to 3. At most one of `per_octave` and `base` may be given.
    """

    tau: int
    per_octave: int | None = None
    base: float | None = None

    def __post_init__(self) -> None:
        per_octave, base = check_base(self.per_octave, self.base)
        object.__setattr__(self, "tau", whole_number("tau", self.tau))
        object.__setattr__(self, "per_octave", per_octave)
        object.__setattr__(self, "base", base)

    def density(self, n: int) -> float:
        """Not known from the parameters: 1 % sets the chunk size."""
        return 0.01

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        whole = scale(statistics.element, self.per_octave, self.base)
        below = min(max(-self.tau - whole.first, 0), len(whole.levels))  # integers that stay behind
        pattern = whole.starts[below] - 1
        return Decision(pattern, 0, statistics.count_above(pattern))
