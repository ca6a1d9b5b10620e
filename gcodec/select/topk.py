"""Exact top-k by magnitude: always min(k, nonzeros) elements, ties by ascending index.

Top-k sparsification is the baseline of Aji and Heafield (EMNLP 2017) and of every paper after it.
The k-th magnitude comes from a radix selection on the bit patterns, in linear time.
"""

from dataclasses import dataclass

import numpy as np

from .contract import Decision, Statistics


@dataclass(frozen=True)
class TopK:
    """Keep the `ratio` of all elements, or the `k`, that are largest in magnitude; never a zero.

    Parameters
    ----------
    ratio : float, optional
        Fraction kept, in (0, 1]: k = max(1, round(ratio * n)).
    k : int, optional
        Number kept, at least 1. Exactly one of `ratio` and `k` must be given.

    Examples
    --------
    >>> import numpy, gcodec
    >>> codec = gcodec.Codec(select=gcodec.TopK(k=2))
    >>> gcodec.decode(codec.encode(numpy.array([1, -3, 2, -2], numpy.float32))).tolist()
    [0.0, -3.0, 2.0, 0.0]
    """

    ratio: float | None = None
    k: int | None = None

    def __post_init__(self) -> None:
        if (self.ratio is None) == (self.k is None):
            raise ValueError("give exactly one of ratio and k")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ValueError(f"ratio is the fraction kept, in (0, 1], not {self.ratio}")
        if self.k is not None:
            if not isinstance(self.k, int | np.integer) or self.k < 1:
                raise ValueError(f"k is the number kept, an integer of at least 1, not {self.k!r}")
            object.__setattr__(self, "k", int(self.k))

    def wanted(self, n: int) -> int:
        """How many of `n` elements to keep, if so many are not zero."""
        k = self.k if self.k is not None else max(1, round((self.ratio or 0) * n))
        return min(k, n)

    def density(self, n: int) -> float:
        return self.wanted(n) / n if n else 1.0

    def decide(self, statistics: Statistics) -> Decision:
        k = self.wanted(statistics.n)
        if k == 0:
            return Decision(0, 0, 0)
        threshold, above = statistics.kth(k)
        ties = k - above if threshold else 0
        return Decision(threshold, ties, above + ties)
