"""Every rank's decoded frame as plain numbers: a reduce-scatter and an allgather of all elements.

What a frame would not have carried does not go either, and owners add in rank order: the bits are
those of `allgather` and `split`. It is the answer where frames are as large as what they hold.
"""

from itertools import pairwise

import numpy as np

from .. import decoder
from ..arrays import Numbers
from .exchange import Exchange, Part, as_numbers, ends, raw


def reduce(exchange: Exchange) -> list[Part]:
    """The sums of all owners."""
    bounds = ends(exchange.n, exchange.size)
    decoded = exchange.attempt(decode, exchange)
    if decoded is None:
        decoded = np.zeros(exchange.n, exchange.dtype)
    return gather_slices(exchange, bounds, sum_of_slices(exchange, bounds, decoded))


def decode(exchange: Exchange) -> Numbers:
    """What this rank's frame holds."""
    content = decoder.prove(exchange.frame, exchange.dtype, exchange.kernels)
    return exchange.add_up([content], exchange.n)


def sum_of_slices(exchange: Exchange, bounds: list[int], numbers: Numbers) -> Numbers:
    """This rank's range of all ranks' numbers, added in rank order."""
    lengths = np.diff(bounds)
    own = np.full(exchange.size, lengths[exchange.rank] * numbers.itemsize, np.int64)
    slices = [raw(numbers[start:stop]) for start, stop in pairwise(bounds)]
    total = np.zeros(lengths[exchange.rank], numbers.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for each in as_numbers(exchange.alltoallv(slices, own), numbers.dtype):
            np.add(total, each, out=total)
    return total


def gather_slices(exchange: Exchange, bounds: list[int], total: Numbers) -> list[Part]:
    """All ranks' sums as parts of the whole."""
    sizes = np.diff(bounds).astype(np.int64) * total.itemsize
    received = as_numbers(exchange.allgatherv(raw(total), sizes), total.dtype)
    return [
        Part(start, stop, each)
        for (start, stop), each in zip(pairwise(bounds), received, strict=True)
    ]
