"""Evenly spaced levels: uniform quantisation, QSGD and TernGrad."""

from dataclasses import dataclass

import numpy as np

from ..format.ids import BoundKind
from .contract import Grid, Kept, bound, halfway, patterns, widest_gap

NORMS = ("l2", "max")


def evenly(kept: Kept, low: float, high: float, levels: int, *, stochastic: bool) -> Grid:
    """A grid of evenly spaced magnitudes from low to high."""
    found = np.unique(patterns(kept, np.linspace(low, high, levels)))
    gap = widest_gap(kept, found)
    boundaries = None if stochastic else halfway(kept, found)
    error = bound(kept, gap if stochastic else gap / 2)
    return Grid(found, boundaries, BoundKind.ABSOLUTE, error)


def check_bits(bits: int, least: int, most: int) -> int:
    """A number of bits per value, the sign included."""
    if not isinstance(bits, int | np.integer) or not least <= bits <= most:
        raise ValueError(f"bits is an integer from {least} to {most}, not {bits!r}")
    return int(bits)


def check_seed(seed: int) -> int:
    """A seed of stochastic rounding."""
    if not isinstance(seed, int | np.integer):
        raise ValueError(f"seed is an integer, not {seed!r}")
    return int(seed)


@dataclass(frozen=True)
class Uniform:
    """Round `|x|` to 2**(bits - 1) evenly spaced levels between the least and the largest kept.

    Parameters
    ----------
    bits : int
        Bits per value with its sign, 2 to 12.
    stochastic : bool
        Whether to round to either neighbour, so that it is right on average.
    seed : int
        Of stochastic rounding, together with the tensor's name and the step.
    """

    bits: int = 8
    stochastic: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bits", check_bits(self.bits, 2, 12))
        object.__setattr__(self, "stochastic", bool(self.stochastic))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def grid(self, kept: Kept) -> Grid:
        low, high = kept.extent
        return evenly(kept, low, high, 1 << self.bits - 1, stochastic=self.stochastic)


@dataclass(frozen=True)
class QSGD:
    """Round `|x| / norm` to one of `levels` + 1 multiples of 1 / levels, right on average.

    Alistarh, Grubic, Li, Tomioka, Vojnovic (NeurIPS 2017). One bucket; as many as there are blocks
    with `scales` of the codec.

    Parameters
    ----------
    levels : int
        Levels above zero, 1 to 4,095.
    norm : {"l2", "max"}
        Of the kept elements. With the Euclidean norm most become zero.
    seed : int
        Of the rounding, together with the tensor's name and the step.
    """

    levels: int = 255
    norm: str = "max"
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.levels, int | np.integer) or not 1 <= self.levels <= 4095:
            raise ValueError(f"levels is an integer from 1 to 4095, not {self.levels!r}")
        if self.norm not in NORMS:
            raise ValueError(f"norm is one of {', '.join(NORMS)}, not {self.norm!r}")
        object.__setattr__(self, "levels", int(self.levels))
        object.__setattr__(self, "seed", check_seed(self.seed))

    def grid(self, kept: Kept) -> Grid:
        return evenly(kept, 0.0, kept.norm(self.norm), self.levels + 1, stochastic=True)


@dataclass(frozen=True)
class TernGrad:
    """Round x to 0 or plus or minus the largest magnitude, right on average.

    Wen, Xu, Yan, Wu, Wang, Chen, Li (NeurIPS 2017).

    Parameters
    ----------
    clip : float, optional
        Magnitudes above so many standard deviations are cut to that first, as published (2.5); no
        longer right on average then.
    seed : int
        Of the rounding, together with the tensor's name and the step.
    """

    clip: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip is a number of standard deviations above 0, not {self.clip}")
        object.__setattr__(self, "seed", check_seed(self.seed))

    def grid(self, kept: Kept) -> Grid:
        high = kept.norm("max")
        cut = high
        if self.clip is not None and high:
            cut = min(high, high * self.clip * kept.deviation(high))
        grid = evenly(kept, 0.0, cut, 2, stochastic=True)
        return grid._replace(bound=max(grid.bound, bound(kept, high)))
