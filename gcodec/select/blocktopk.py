"""The k largest of every block: DeMo (Peng et al. 2024) and SparseLoCo (Sarfi et al. 2025).

They keep 64 of every 4,096: no statistics of the whole, and the number kept known beforehand.
"""

from dataclasses import dataclass
from typing import Any

from .amount import whole_number
from .contract import Picked, Statistics


@dataclass(frozen=True)
class BlockTopK:
    """Keep the `k` largest nonzeros of every `block` elements in a row, ties by ascending index.

    Parameters
    ----------
    k : int
        Number kept of each block, at least 1.
    block : int
        Elements per block, at least `k`; the last block may be shorter.
    """

    k: int = 64
    block: int = 4096

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", whole_number("k", self.k, 1))
        object.__setattr__(self, "block", whole_number("block", self.block, self.k))

    def density(self, n: int) -> float:
        return self.k / self.block

    def decide(self, statistics: Statistics, state: Any = None) -> Picked:
        return Picked(statistics.largest_of_blocks(self.block, self.k))
