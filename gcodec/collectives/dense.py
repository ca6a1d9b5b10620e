"""Every rank's decoded frame as plain numbers: a reduce-scatter and an allgather of all elements.

What a frame would not have carried does not go either, and owners add in rank order: the bits are
those of `allgather` and `split`. It is the answer where frames are as large as what they hold.
Checksums of all that is sent go ahead of it.
"""

from itertools import pairwise

import numpy as np

from .. import decoder
from ..arrays import Numbers
from .exchange import Exchange, ends, raw
from .parts import Part
from .split import NUMBERS, gather_sums


def reduce(exchange: Exchange) -> list[Part]:
    """The sums of all owners."""
    bounds = ends(exchange.n, exchange.size)
    decoded = exchange.attempt(decode, exchange)
    if decoded is None:
        decoded = np.zeros(exchange.n, exchange.dtype)
    return gather_sums(exchange, bounds, NUMBERS, raw(sum_of_slices(exchange, bounds, decoded)))


def decode(exchange: Exchange) -> Numbers:
    """What this rank's frame holds."""
    content = decoder.prove(exchange.frame, exchange.dtype, exchange.kernels)
    return exchange.add_up([content], exchange.n)


def sum_of_slices(exchange: Exchange, bounds: list[int], numbers: Numbers) -> Numbers:
    """This rank's range of all ranks' numbers, added in rank order."""
    start, stop = bounds[exchange.rank : exchange.rank + 2]
    total = np.zeros(stop - start, numbers.dtype)
    slices = [numbers[start:stop] for start, stop in pairwise(bounds)]
    digests = exchange.agree(*map(exchange.digest, slices))[:, exchange.rank]
    sizes = np.full(exchange.size, total.nbytes, np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for rank, message in enumerate(exchange.alltoallv(list(map(raw, slices)), sizes)):
            each = exchange.numbers(f"rank {rank}", message, digests[rank])
            if each is not None:
                np.add(total, each, out=total)
    return total
