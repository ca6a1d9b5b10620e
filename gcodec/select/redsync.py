"""RedSync's trimmed top-k (Fang, Fu, Yang, Hsieh, JPDC 2019).

mean + r (max - mean) with r = 0.8, 0.6, ... until enough elements pass, then the k largest of those
exactly: the published ports leave the last step out and keep up to thousands of times k.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .amount import Amount, exact
from .contract import Decision, Statistics

PARTS = (0.8, 0.6, 0.4, 0.2, 0.0)


@dataclass(frozen=True)
class RedSync(Amount):
    """Keep min(k, nonzeros) elements, the largest: those of `TopK`, found another way.

    Parameters
    ----------
    ratio, k
        As for `TopK`.
    """

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        k, element = self.wanted(statistics.n), statistics.element
        largest = element.number(statistics.largest())
        mean = statistics.moments(0).total / max(statistics.n, 1)
        for part in PARTS:
            pattern = element.nearest(mean + part * (largest - mean))
            if statistics.count_above(pattern) < k or not k:
                continue
            _, magnitudes = statistics.above(pattern)
            threshold = int(np.partition(magnitudes, magnitudes.size - k)[magnitudes.size - k])
            above = int(np.count_nonzero(magnitudes > threshold))
            return Decision(threshold, k - above, k)
        return exact(statistics, k)
