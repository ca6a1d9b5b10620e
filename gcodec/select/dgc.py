"""Hierarchical sampling of Deep Gradient Compression (Lin, Han, Mao, Wang, Dally, ICLR 2018).

The threshold is that of the wanted fraction of a strided sample. If too many elements pass, the
largest of them are selected exactly; published code cuts them in index order instead, which keeps
high positions waiting.
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ..format.draws import mix
from .amount import Amount, exact, whole_number
from .contract import Decision, Statistics

SAMPLE = 0.01
LOWEST, HIGHEST = 0.8, 1.3


@dataclass(frozen=True)
class DGCSampling(Amount):
    """Keep about `ratio` of all elements: 0.8 to 1.3 times what was asked for, else exactly that.

    Parameters
    ----------
    ratio, k
        As for `TopK`.
    seed : int
        Chooses where the strided sample starts, together with the tensor's name and the step.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seed", whole_number("seed", self.seed))

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        n, k = statistics.n, self.wanted(statistics.n)
        samples = max(ceil(SAMPLE * n), ceil(2 * n / k)) if k else 0
        if samples >= n:
            return exact(statistics, k)
        stride = n // samples
        start = mix(self.seed, statistics.stream) % stride
        drawn = np.sort(statistics.sample(np.arange(start, n, stride, dtype=np.int64)))
        threshold = int(drawn[drawn.size - ceil(drawn.size * k / n)])
        count = statistics.count_above(threshold)
        if LOWEST * k <= count <= HIGHEST * k:
            return Decision(threshold, 0, count)
        return exact(statistics, k, fallback=True)
