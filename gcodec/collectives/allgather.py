"""Every rank sends its frame to every other and adds all frames in rank order.

TopkA in Ok-Topk's terms (Li and Hoefler, PPoPP 2022), with packed frames, never padded. Each rank
receives the frames of the P - 1 others: the least time where supports overlap little, or values
are rounded to few bits, which a sum is not.
"""

from .exchange import Exchange, Part


def reduce(exchange: Exchange) -> list[Part]:
    """The frames of all ranks."""
    frames = exchange.allgatherv(exchange.frame, exchange.sizes)
    return [Part(0, exchange.n, content) for content in exchange.prove(frames, exchange.n) or ()]
