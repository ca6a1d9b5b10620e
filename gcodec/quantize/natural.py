"""Natural compression: powers of two (Horvath, Ho, Horvath, Sahu, Canini, Richtarik, 2019)."""

from dataclasses import dataclass
from math import frexp

import numpy as np

from ..format.ids import BoundKind
from .contract import Grid, Kept, patterns
from .uniform import check_seed


@dataclass(frozen=True)
class Natural:
    """Round `|x|` to one of the two powers of two beside it, right on average.

    Parameters
    ----------
    seed : int
        Of the rounding, together with the tensor's name and the step.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", check_seed(self.seed))

    def grid(self, kept: Kept) -> Grid:
        levels = np.zeros(1)
        least, most = kept.extent
        if most:
            first, last = (frexp(x)[1] for x in (kept.least_above_zero, most))
            levels = np.ldexp(1.0, np.arange(first - 1, last + 1))
            if not least:
                levels = np.append(0.0, levels)
        return Grid(np.unique(patterns(kept, levels)), None, BoundKind.RELATIVE, 1.0)
