"""Every rank sends its frame to every other and adds all frames in rank order.

TopkA in Ok-Topk's terms (Li and Hoefler, PPoPP 2022), with packed frames, never padded. Each rank
receives the frames of the P - 1 others: the least time where supports overlap little, or values
are rounded to few bits, which a sum is not.
"""

from collections.abc import Iterable

from .exchange import Bytes, Exchange, Part


def reduce(exchange: Exchange) -> list[Part]:
    """The frames of all ranks."""
    return finish(exchange, start(exchange))


def start(exchange: Exchange) -> Iterable[Bytes]:
    """Have frames sent; they may be on their way while this rank does something else."""
    return exchange.allgatherv(exchange.frame, exchange.sizes)


def finish(exchange: Exchange, frames: Iterable[Bytes]) -> list[Part]:
    """Check frames as they arrive."""
    return [Part(0, exchange.n, content) for content in exchange.prove(frames, exchange.n) or ()]
