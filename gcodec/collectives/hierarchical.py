"""Dense inside each node, sparse between nodes.

The ranks of a node send their gradients, as they are, to its first rank, which adds them in rank
order, exchanges the sum with the first ranks of the other nodes through the codec, and hands the
result out. Nodes may have any number of ranks. The residual is that of the node's sum, on its first
rank. The sum is that of the nodes' frames, in the order of the nodes.
"""

from collections.abc import Iterable

import numpy as np

from ..arrays import Numbers
from .exchange import NOTHING, Bytes, Exchange, Part, as_numbers, raw


def reduce(exchange: Exchange) -> list[Part]:
    """The sum over all nodes."""
    inside, across = exchange.communicator.nodes()
    local, first = inside.size, inside.rank == 0
    mine = raw(exchange.gradient.numbers())
    nobody, length = [NOTHING] * local, mine.size
    sizes = np.full(local, length if first else 0, np.int64)
    received = list(inside.alltoallv([mine, *nobody[1:]], sizes))
    exchange.bytes_sent += 0 if first else length
    result = None
    if across is not None:
        total = exchange.attempt(add_up, exchange, received)
        result = exchange.between(across, total)
    exchange.agree()
    sizes = np.zeros(local, np.int64)
    sizes[0] = length
    going = nobody if result is None else [raw(result)] * local
    exchange.bytes_sent += (local - 1) * length if first else 0
    numbers = as_numbers(inside.alltoallv(going, sizes), exchange.dtype)
    return [Part(0, exchange.n, each) for each in list(numbers)[:1]]


def add_up(exchange: Exchange, messages: Iterable[Bytes]) -> Numbers:
    """The sum of a node's gradients, in rank order."""
    total = np.zeros(exchange.n, exchange.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for each in as_numbers(messages, exchange.dtype):
            np.add(total, each, out=total)
    return total
