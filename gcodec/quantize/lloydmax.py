"""A learned codebook: Lloyd's iteration on the kept magnitudes (Lloyd 1982, Max 1960)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..format.ids import BoundKind
from .contract import Grid, Kept, bound, halfway, patterns
from .uniform import check_bits

SAMPLE = 1 << 14
ROUNDS = 12
EDGES = 256


@dataclass(frozen=True)
class LloydMax:
    """Round `|x|` to 2**(bits - 1) levels that make the mean squared error small.

    Of up to 16,384 elements, evenly spaced among those kept, and the largest. Levels start where
    the density to the power of 1/3 has equal shares (Panter and Dite 1951), and move to the mean of
    what is nearest to them a few times.

    Parameters
    ----------
    bits : int
        Bits per value with its sign, 2 to 8.
    """

    bits: int = 4
    seed: ClassVar[int] = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 2, 8))

    def grid(self, kept: Kept) -> Grid:
        element, count = kept.element, 1 << self.bits - 1
        if not kept.magnitudes.size:
            return Grid(patterns(kept, np.zeros(1)), np.empty(0, element.pattern),
                        BoundKind.ABSOLUTE, 0.0)  # fmt: skip
        sample = kept.magnitudes[:: -(-kept.magnitudes.size // SAMPLE)]
        ordered = np.sort(np.append(sample, kept.magnitudes.max()))
        levels = _spread(ordered, count)
        sums = np.append(0.0, ordered.cumsum())
        for _ in range(ROUNDS):
            cuts = np.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
            edges = np.concatenate(([0], cuts, [ordered.size]))
            sizes = np.diff(edges)
            means = np.diff(sums[edges]) / np.maximum(sizes, 1)
            levels = np.where(sizes > 0, means, levels)
        found = np.unique(patterns(kept, np.sort(levels)))
        if kept.low == 0 and kept.magnitudes.min() == 0:
            found = np.unique(np.append(element.pattern.type(0), found))
        boundaries = halfway(kept, found)
        index = np.searchsorted(kept.scaled(boundaries), kept.magnitudes, side="right")
        error = float(np.abs(kept.scaled(found)[index] - kept.magnitudes).max())
        return Grid(found, boundaries, BoundKind.ABSOLUTE, bound(kept, error))


def _spread(ordered: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Levels where the third root of the density has equal shares."""
    edges = ordered[np.arange(EDGES + 1) * (ordered.size - 1) // EDGES]
    shares = np.append(0.0, np.cbrt(np.square(np.diff(edges))).cumsum())
    wanted = (2 * np.arange(count) + 1) / (2 * count) * shares[-1]
    levels: NDArray[np.float64] = np.interp(wanted, shares, edges)
    return levels
