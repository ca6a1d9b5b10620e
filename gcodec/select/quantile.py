"""Keep-ratio by the quantile of a seeded sample (gradient dropping: Aji and Heafield, EMNLP 2017).

The published rule samples 0.1 % of the elements and keeps between 0.06 and 3 times what was wanted
on small tensors. Here the sample is sized by what is kept (at least 256 kept samples, a spread of 6
%), the count is checked, and a threshold that misses by more than a fifth is replaced by the exact
one.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ..format.draws import GOLDEN, LOW_64
from .amount import Amount, exact, whole_number
from .contract import Decision, Statistics

KEPT_SAMPLES = 256
TOLERANCE = 0.2


@dataclass(frozen=True)
class SampledQuantile:
    """Keep about `ratio` of all elements: within 20 % of what `TopK(ratio)` keeps, for less work.

    Parameters
    ----------
    ratio : float
        Fraction kept, in (0, 1].
    seed : int
        Chooses the sample, together with the tensor's name and the step.
    """

    ratio: float
    seed: int = 0

    def __post_init__(self) -> None:
        Amount(ratio=self.ratio)
        object.__setattr__(self, "seed", whole_number("seed", self.seed))

    def density(self, n: int) -> float:
        return self.ratio

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        k, samples, rank, off = self.sampling(statistics.n)
        if not samples:
            return exact(statistics, k)
        seed = (self.seed * GOLDEN ^ statistics.stream) & LOW_64
        drawn = statistics.sample(statistics.strata(samples, seed))
        threshold = int(np.partition(drawn, samples - rank)[samples - rank])
        count = statistics.count_above(threshold)
        if abs(count - k) > off:
            return exact(statistics, k, fallback=True)
        return Decision(threshold, 0, count)

    def sampling(self, n: int) -> tuple[int, int, int, int]:
        """Of n elements: how many to keep, how many to draw, or 0 to look at all, which of those
        is the threshold, from the largest on, and by how many the number kept may be off."""
        k, samples = Amount(ratio=self.ratio).wanted(n), ceil(KEPT_SAMPLES / self.ratio)
        if 2 * samples >= n:
            samples = 0
        return k, samples, max(1, round(self.ratio * samples)), int(TOLERANCE * k)
