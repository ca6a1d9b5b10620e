"""One, two or three bits: sign and a few means.

One bit with the mean of each sign: Seide, Fu, Droppo, Li, Yu (Interspeech 2014), and of what is
kept, Dryden et al. (MLHPC 2016). With the threshold, or with two bits that tell large from small:
Aji and Heafield (EMNLP 2017). With one mean of magnitudes: Karimireddy et al. (ICML 2019).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..format.elements import Patterns
from ..format.ids import BoundKind
from .contract import Grid, Kept, at_least, bound, patterns
from .uniform import check_bits

CENTRES = ("mean", "least")


@dataclass(frozen=True)
class FewBit:
    """Send the sign and 2**(bits - 1) levels, each for an equal share of the magnitudes.

    Parameters
    ----------
    bits : int
        Bits per value with its sign, 1 to 3.
    per_sign : bool
        Whether positive and negative elements have levels of their own.
    centre : {"mean", "least"}
        What a level is: the mean of the magnitudes that become it, or the least of them.
    """

    bits: int = 1
    per_sign: bool = True
    centre: str = "mean"
    seed = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 1, 3))
        object.__setattr__(self, "per_sign", bool(self.per_sign))
        if self.centre not in CENTRES:
            raise ValueError(f"centre is one of {', '.join(CENTRES)}, not {self.centre!r}")

    @property
    def norm(self) -> str:
        """A block's scale."""
        return self.centre

    def grid(self, kept: Kept) -> Grid:
        count = 1 << self.bits - 1
        ranks = np.arange(1, count if kept.magnitudes.size else 1) * kept.magnitudes.size // count
        cuts = np.partition(kept.magnitudes, ranks)[ranks] if ranks.size else np.empty(0)
        boundaries = np.unique(at_least(kept, cuts))
        edges = kept.scaled(boundaries)
        index = np.searchsorted(edges, kept.magnitudes, side="right")
        signs = kept.negative if self.per_sign else np.zeros_like(kept.negative)
        both = [self._levels(kept, index, ~signs, edges), self._levels(kept, index, signs, edges)]
        error = 0.0
        for levels, mine in zip(both, (~signs, signs), strict=True):
            off = np.abs(kept.scaled(levels)[index] - kept.magnitudes)
            error = max(error, float(off[mine].max(initial=0)))
        negative = both[1] if self.per_sign else None
        return Grid(both[0], boundaries, BoundKind.ABSOLUTE, bound(kept, error), negative)

    def _levels(
        self,
        kept: Kept,
        index: NDArray[np.intp],
        mine: NDArray[np.bool_],
        edges: NDArray[np.float64],
    ) -> Patterns:
        """A level for each index, of the elements that are `mine`; what has none has its edge."""
        levels = np.append(0.0, edges)
        for i in range(levels.size):
            part = kept.magnitudes[mine & (index == i)]
            if part.size:
                levels[i] = part.cumsum()[-1] / part.size if self.centre == "mean" else part.min()
        return patterns(kept, levels)
