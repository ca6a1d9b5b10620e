"""Every rank sends its frame to every other and adds all frames in rank order.

TopkA in Ok-Topk's terms (Li and Hoefler, PPoPP 2022), with packed frames, never padded. Each rank
receives the frames of the P - 1 others: the least time where supports overlap little, or values
are rounded to few bits, which a sum is not. Frames that came along with descriptors are not sent
again.
"""

from collections.abc import Iterable

from .exchange import NOTHING, Bytes, Exchange
from .parts import Part


def reduce(exchange: Exchange) -> list[Part]:
    """The frames of all ranks."""
    return finish(exchange, start(exchange))


def start(exchange: Exchange) -> Iterable[Bytes]:
    """Have frames sent; they may be on their way while this rank does something else."""
    sizes = exchange.sizes.copy()
    sizes[list(exchange.contents)] = 0
    if len(exchange.contents) == exchange.size:
        return [NOTHING] * exchange.size
    return exchange.allgatherv(exchange.frame if sizes[exchange.rank] else NOTHING, sizes)


def finish(exchange: Exchange, frames: Iterable[Bytes]) -> list[Part]:
    """Check frames as they arrive."""
    exchange.prove_own()
    for rank, frame in exchange.arrivals(frames):
        if rank not in exchange.contents:
            exchange.admit(rank, frame)
    contents = [exchange.contents[rank] for rank in range(exchange.size)]
    return [Part(0, exchange.n, [content for content in contents if content is not None])]
