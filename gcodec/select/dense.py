"""Everything: no selection, for quantisation alone and as the baseline."""

from dataclasses import dataclass
from typing import Any

from .contract import Decision, Statistics


@dataclass(frozen=True)
class Dense:
    """Keep every element, zeros too."""

    def density(self, n: int) -> float:
        return 1.0

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        return Decision(0, statistics.n, statistics.n)  # however many zeros there are
