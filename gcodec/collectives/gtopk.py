"""Partial sums go up a tree, and only the k largest of each; the root's go to everybody.

gTop-k (Shi et al., ICDCS 2019), for any number of ranks. k is the most that any rank selected. A
rank that drops a partial sum keeps it in its own residual, so that nothing is lost: residuals and
the result add up to what the ranks had. Partial sums go as they are, not rounded again.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Numbers
from ..codec import Codec
from ..decoder import unpack
from ..quantize import Raw
from ..select import TopK
from .exchange import NOTHING, Bytes, Exchange
from .parts import Part

Pairs = tuple[NDArray[np.int64], Numbers]


def reduce(exchange: Exchange) -> list[Part]:
    """The k largest sums, as rank 0 found them."""
    rank, size = exchange.rank, exchange.size
    steps = [1 << level for level in range((size - 1).bit_length())]
    message = sum_of_subtree(exchange, steps)
    length = int(exchange.agree(message.size)[0, 0])
    for step in reversed(steps):
        if is_child(rank, step):
            message = pass_on(exchange, NOTHING, None, rank - step, length)
        elif has_child(rank, size, step):
            pass_on(exchange, message, rank + step, None, 0)
        else:
            pass_on(exchange, NOTHING, None, None, 0)
    contents = exchange.prove([message], exchange.n)
    return [Part(0, exchange.n, contents or [])]


def sum_of_subtree(exchange: Exchange, steps: list[int]) -> Bytes:
    """The k largest sums of this rank and of all that sent to it, as a frame."""
    rank, size, k = exchange.rank, exchange.size, max(int(exchange.stored.max()), 1)
    message: Bytes = np.asarray(exchange.frame)
    for step in steps:
        sizes = exchange.agree(message.size)[:, 0]
        if is_child(rank, step):
            pass_on(exchange, message, rank - step, None, 0)
        elif has_child(rank, size, step):
            got = pass_on(exchange, NOTHING, None, rank + step, int(sizes[rank + step]))
            merged = exchange.attempt(merge, exchange, message, got, k)
            message = NOTHING if merged is None else merged
        else:
            pass_on(exchange, NOTHING, None, None, 0)
    return message


def is_child(rank: int, step: int) -> bool:
    """Whether a rank sends to `rank - step` at this level of the tree."""
    return rank % (2 * step) == step


def has_child(rank: int, size: int, step: int) -> bool:
    """Whether a rank receives from `rank + step` at this level of the tree."""
    return rank % (2 * step) == 0 and rank + step < size


def pass_on(
    exchange: Exchange, message: Bytes, target: int | None, source: int | None, length: int
) -> Bytes:
    """Send a message to one rank, if to any, and receive one of `length` bytes from another."""
    going, coming = [NOTHING] * exchange.size, np.zeros(exchange.size, np.int64)
    if target is not None:
        going[target] = message
    if source is not None:
        coming[source] = length
    received = list(exchange.alltoallv(going, coming))
    return NOTHING if source is None else received[source]


def merge(exchange: Exchange, frame: Any, other: Any, k: int) -> Bytes:
    """The k largest sums of what two frames hold, as a frame; the others stay here."""
    mine, theirs = pairs_of(exchange, frame), pairs_of(exchange, other)
    keys = np.empty(mine[0].size + theirs[0].size, np.int64)
    values = np.empty(keys.size, exchange.dtype)
    size = exchange.kernels.add_pairs(*mine, *theirs, keys, values)
    keys, values = keys[:size], values[:size]
    codec = Codec(TopK(k=k), Raw(), backend=exchange.codec.backend)
    merged = codec.encode_sparse(keys, values, exchange.n, step=exchange.step)
    kept, _ = pairs_of(exchange, merged)
    dropped = np.ones(size, bool)
    dropped[np.searchsorted(keys, kept)] = False
    exchange.retain(keys[dropped], values[dropped])
    return np.asarray(merged)


def pairs_of(exchange: Exchange, frame: Any) -> Pairs:
    """Flat positions and numbers of what a frame holds."""
    _, content = unpack(frame, exchange.kernels)
    return content.positions(), content.values()
