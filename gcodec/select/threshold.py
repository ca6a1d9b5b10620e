"""Hard threshold: every element above an absolute magnitude (Strom, Interspeech 2015)."""

from dataclasses import dataclass
from math import isfinite

import numpy as np

from .contract import Decision, Statistics


@dataclass(frozen=True)
class Threshold:
    """Keep every element with |x| > `threshold`; with 0, every element that is not zero.

    The number kept, and so the size of the frame, is whatever the data makes it.

    Parameters
    ----------
    threshold : float
        Magnitude in the units of the gradient, finite and at least 0; rounded to float32.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not (
            isfinite(self.threshold) and 0 <= self.threshold <= float(np.finfo(np.float32).max)
        ):
            raise ValueError(
                f"threshold is a float32 magnitude of at least 0, not {self.threshold}"
            )

    def density(self, n: int) -> float:
        """Not known from the parameters: 1 % sets the chunk size."""
        return 0.01

    def decide(self, statistics: Statistics) -> Decision:
        pattern = int(np.float32(abs(self.threshold)).view(np.uint32))
        return Decision(pattern, 0, statistics.count_above(pattern))
