"""GaussianK: the threshold of a fitted normal law (Shi, Chu, Cheung, See, arXiv 1911.08772).

mean + deviation * quantile, from the signed elements, then up to three steps of a half either way,
as published. A gradient is rarely normal in its tail; what that costs is bounded here.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

from .amount import Amount, bounded, exact, too_small
from .contract import Decision, Statistics

STEPS = 3


@dataclass(frozen=True)
class GaussianK(Amount):
    """Keep what is above the normal law's threshold: half to twice `ratio`, else exactly that.

    Parameters
    ----------
    ratio, k
        As for `TopK`.
    """

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        n, k = statistics.n, self.wanted(statistics.n)
        if too_small(statistics, k) or k == n:
            return exact(statistics, k)
        mean = statistics.mean()
        deviation = sqrt(max(statistics.moments(0).squares / n - mean * mean, 0.0))
        threshold = mean + deviation * NormalDist().inv_cdf(1 - k / n / 2)
        for _ in range(STEPS):
            count = statistics.count_above(statistics.element.nearest(max(threshold, 0.0)))
            if count < 2 * k / 3:
                threshold *= 0.5
            elif count > 4 * k / 3:
                threshold *= 1.5
            else:
                break
        return bounded(statistics, threshold, k)
