"""Random-k: elements drawn by a seed that all ranks share, so no positions travel.

The tensor is cut into k strata and one position is drawn from each: without replacement, in linear
time of k, and each element of a stratum is as likely as any other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..format.draws import mix
from .amount import Amount, whole_number
from .contract import Drawn, Picked, Statistics


@dataclass(frozen=True)
class RandomK(Amount):
    """Keep `ratio` of all elements, or `k`, whatever they hold: the same ones on every rank.

    Parameters
    ----------
    ratio, k
        As for `TopK`.
    seed : int
        Chooses the elements, together with the tensor's name and the step.
    unbiased : bool
        Whether values are multiplied by n / k (the exact size of their stratum), so that the
        decoded gradient is right on average. Not for error feedback.
    """

    seed: int = 0
    unbiased: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seed", whole_number("seed", self.seed))
        object.__setattr__(self, "unbiased", bool(self.unbiased))

    def decide(self, statistics: Statistics, state: Any = None) -> Drawn:
        seed = mix(self.seed, statistics.stream)
        return Drawn(self.wanted(statistics.n), seed, self.unbiased)


@dataclass(frozen=True)
class RandomBlock(Amount):
    """Keep `k` elements in a row, or `ratio` of all, from a random one on, wrapping around.

    Random-block-k of Vogels, Karimireddy and Jaggi (PowerSGD, NeurIPS 2019).

    Parameters
    ----------
    ratio, k, seed, unbiased
        As for `RandomK`.
    """

    seed: int = 0
    unbiased: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seed", whole_number("seed", self.seed))
        object.__setattr__(self, "unbiased", bool(self.unbiased))

    def decide(self, statistics: Statistics, state: Any = None) -> Picked:
        n, k = statistics.n, self.wanted(statistics.n)
        start = mix(self.seed, statistics.stream) % max(n, 1)
        positions = np.sort((start + np.arange(k, dtype=np.int64)) % max(n, 1))
        return Picked(positions, zeros=True, scale=n / k if self.unbiased and k else 1.0)
