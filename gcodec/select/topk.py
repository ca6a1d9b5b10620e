"""Exact top-k by magnitude: always min(k, nonzeros) elements, ties by ascending index.

Top-k sparsification is the baseline of Aji and Heafield (EMNLP 2017) and of every paper after it.
The k-th magnitude comes from a radix selection on the bit patterns, in linear time.
"""

from dataclasses import dataclass
from typing import Any

from .amount import Amount, exact
from .contract import Decision, Statistics


@dataclass(frozen=True)
class TopK(Amount):
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

    def decide(self, statistics: Statistics, state: Any = None) -> Decision:
        return exact(statistics, self.wanted(statistics.n))
