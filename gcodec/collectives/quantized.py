"""As `split`, but owners send their sums through the codec as well.

The two phases of 1-bit Adam (Tang et al., ICML 2021), for any codec and any number of ranks. With
error feedback, what the second rounding loses stays in a memory of the owner's (server error
feedback) and goes into the sum of the next step. Everybody, the owner too, decodes the same code.
"""

import numpy as np

from ..arrays import Numbers
from ..feedback import ErrorFeedback
from ..format.directory import count_chunks
from .exchange import NOTHING, Bytes, Exchange, ends
from .parts import Part
from .split import FRAME, chunk_bounds, gather_sums, sum_of_own


def reduce(exchange: Exchange) -> list[Part]:
    """What the owners' codes say."""
    chunks = count_chunks(exchange.n, exchange.chunk_log2)
    bounds = chunk_bounds(exchange, ends(chunks, exchange.size))
    total = sum_of_own(exchange, bounds)
    start, stop = bounds[exchange.rank : exchange.rank + 2]
    message = exchange.attempt(code, exchange, total, f"{exchange.name} {start}:{stop}")
    return gather_sums(exchange, bounds, FRAME, NOTHING if message is None else message)


def code(exchange: Exchange, total: Numbers, name: str) -> Bytes:
    """A sum through the codec; what it loses stays in the owner's memory, under its range."""
    if exchange.server is not None:
        hand_over(exchange, exchange.server, name)
    if not total.size:
        return NOTHING
    sender = exchange.rank, exchange.size
    if exchange.server is None:
        codec = exchange.codec
        return np.asarray(codec.encode(total, name=name, step=exchange.step, sender=sender))
    frame = exchange.server.encode(name, total, step=exchange.step, sender=sender)
    exchange.memories.append((exchange.server, name))
    return np.asarray(frame)


def hand_over(exchange: Exchange, server: ErrorFeedback, name: str) -> None:
    """What is owed of ranges that this rank owned before goes to its residual.

    Ranges change with the chunk size, and that with the ratio of a `WarmUp`.
    """
    for old in [key for key in server if key != name and key.rpartition(" ")[0] == exchange.name]:
        start, stop = map(int, old.rpartition(" ")[2].split(":"))
        exchange.retain(np.arange(start, stop), server.residual(old))
        exchange.outdated.append((server, old))
