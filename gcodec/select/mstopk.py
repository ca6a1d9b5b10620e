"""MSTopK: a threshold by bisection between mean and maximum (Shi et al., MLSys 2021).

Of `rounds` trials the tightest thresholds on either side of k are kept. All above the upper one go,
and the rest is a run, in index order from a random place, of what lies between the two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..format.draws import mix
from .amount import Amount, exact, whole_number
from .contract import Choice, Picked, Statistics


@dataclass(frozen=True)
class MSTopK(Amount):
    """Keep min(k, nonzeros) elements, nearly the largest.

    Parameters
    ----------
    ratio, k
        As for `TopK`.
    rounds : int
        Trials, each a pass over the gradient.
    seed : int
        Chooses where the run starts, together with the tensor's name and the step.
    """

    rounds: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rounds", whole_number("rounds", self.rounds, 1))
        object.__setattr__(self, "seed", whole_number("seed", self.seed))

    def decide(self, statistics: Statistics, state: Any = None) -> Choice:
        n, k, element = statistics.n, self.wanted(statistics.n), statistics.element
        nonzero = statistics.moments(0)
        if nonzero.number <= k:
            return exact(statistics, k)
        largest = element.number(statistics.largest())
        mean = nonzero.total / n
        upper, lower = statistics.largest(), 0
        low, high = 0.0, 1.0
        for _ in range(self.rounds):
            part = (low + high) / 2
            pattern = element.nearest(mean + part * (largest - mean))
            count = statistics.count_above(pattern)
            if count <= k:
                high, upper = part, min(upper, pattern)
            else:
                low, lower = part, max(lower, pattern)
            if count == k:
                break
        positions, magnitudes = statistics.above(lower)
        sure = magnitudes > upper
        band = np.flatnonzero(~sure)
        more = k - int(np.count_nonzero(sure))
        start = mix(self.seed, statistics.stream) % (band.size - more + 1)
        sure[band[start : start + more]] = True
        return Picked(positions[sure])
