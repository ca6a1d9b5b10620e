"""Hard threshold: every element above an absolute magnitude (Strom, Interspeech 2015)."""

from dataclasses import dataclass
from math import isfinite

from .contract import Decision, Statistics


@dataclass(frozen=True)
class Threshold:
    """Keep every element with |x| > `threshold`; with 0, every element that is not zero.

    The number kept, and so the size of the frame, is whatever the data makes it.

    Parameters
    ----------
    threshold : float
        Magnitude in the units of the gradient, finite and at least 0; rounded to its element type.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not (isfinite(self.threshold) and self.threshold >= 0):
            raise ValueError(f"threshold is a finite magnitude of at least 0, not {self.threshold}")

    def density(self, n: int) -> float:
        """Not known from the parameters: 1 % sets the chunk size."""
        return 0.01

    def decide(self, statistics: Statistics) -> Decision:
        pattern = statistics.element.nearest(abs(self.threshold))
        return Decision(pattern, 0, statistics.count_above(pattern))
