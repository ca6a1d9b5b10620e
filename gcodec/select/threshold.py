"""Hard threshold: every element above a magnitude.

Strom (Interspeech 2015); with error feedback, Sahu et al. (NeurIPS 2021).
"""

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

from ..format.elements import Element
from .contract import Decision, Statistics

UNITS = ("absolute", "max", "rms")


@dataclass(frozen=True)
class Threshold:
    """Keep every element with `|x| > threshold`; with 0, every element that is not zero.

    The number kept, and so the size of the frame, is whatever the data makes it.

    Parameters
    ----------
    threshold : float
        A magnitude, finite and at least 0; rounded to the element type.
    relative_to : {"absolute", "max", "rms"}
        Its unit: that of the gradient, the largest magnitude of the gradient (or of the tensor, if
        each has a decision of its own), or the root of the mean square.
    """

    threshold: float
    relative_to: str = "absolute"

    def __post_init__(self) -> None:
        if not (isfinite(self.threshold) and self.threshold >= 0):
            raise ValueError(f"threshold is a finite magnitude of at least 0, not {self.threshold}")
        if self.relative_to not in UNITS:
            raise ValueError(f"relative_to is one of {', '.join(UNITS)}, not {self.relative_to!r}")

    def density(self, n: int) -> float:
        """Not known from the parameters: 1 % sets the chunk size."""
        return 0.01

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        pattern = self.pattern(statistics.element, self._unit(statistics))
        return Decision(pattern, 0, statistics.count_above(pattern))

    def pattern(self, element: Element, unit: float = 1.0) -> int:
        """The pattern of the magnitude, in a unit; finite, so that infinities are found."""
        return min(element.nearest(abs(self.threshold) * unit), element.infinity - 1)

    def _unit(self, statistics: Statistics) -> float:
        if self.relative_to == "max":
            return statistics.element.number(statistics.largest())
        if self.relative_to == "rms" and statistics.n:
            return sqrt(statistics.moments(0).squares / statistics.n)
        return 1.0
