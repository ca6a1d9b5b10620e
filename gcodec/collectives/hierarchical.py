"""Dense inside each node, sparse between nodes.

The ranks of a node send their gradients, as they are, to its first rank, which adds them in rank
order, exchanges the sum with the first ranks of the other nodes through the codec, and hands the
result out. Nodes may have any number of ranks. The residual is that of the node's sum, on its first
rank, and changes only once all ranks have the sum. That is of the nodes' frames, in the order of
the nodes. Checksums of what is sent within a node go ahead of it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..arrays import Numbers
from .exchange import NOTHING, Bytes, Exchange, raw
from .parts import Part


def reduce(exchange: Exchange) -> list[Part]:
    """The sum over all nodes."""
    inside, across = exchange.communicator.nodes()
    local, first = inside.size, inside.rank == 0
    mine = exchange.gradient.numbers().reshape(-1)
    digest = np.array([exchange.digest(mine)])
    digests = inside.allgather(digest.view(np.uint8)).reshape(-1).view(np.int64)
    nobody, length = [NOTHING] * local, mine.nbytes
    sizes = np.full(local, length if first else 0, np.int64)
    received = inside.alltoallv([raw(mine), *nobody[1:]], sizes)
    exchange.bytes_sent += digests.itemsize + (0 if first else length)
    result = None
    if across is None:
        list(received)
    else:
        result = exchange.between(across, sum_of_node(exchange, received, digests))
    told = exchange.agree(0 if result is None else exchange.digest(result))[0, 0]
    sizes = np.zeros(local, np.int64)
    sizes[0] = length
    going = nobody if result is None else [raw(result)] * local
    exchange.bytes_sent += (local - 1) * length if first else 0
    message, *_ = inside.alltoallv(going, sizes)
    numbers = exchange.numbers("the first rank of the node", message, told)
    return [] if numbers is None else [Part(0, exchange.n, numbers)]


def sum_of_node(
    exchange: Exchange, messages: Iterable[Bytes], digests: NDArray[np.int64]
) -> Numbers | None:
    """The sum of a node's gradients, in rank order; None after a failure."""
    total = np.zeros(exchange.n, exchange.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for rank, message in enumerate(messages):
            each = exchange.numbers(f"rank {rank} of the node", message, digests[rank])
            if each is not None:
                np.add(total, each, out=total)
    return None if exchange.failure else total
