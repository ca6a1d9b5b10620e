"""Each rank owns a range of chunks, adds what all ranks kept there, and sends the sum to all.

SSAR and DSAR split allgather (SparCML: Renggli et al., SC 2019). A rank's shards are cut out of its
frame chunk by chunk, without coding them again. Owners add in rank order, so the bits are those of
`allgather`. A sum goes as a frame of what is not zero, or as plain numbers where these are fewer
bytes, with their checksum: each owner decides for its own range.
"""

from itertools import pairwise

import numpy as np

from .. import slicing
from ..arrays import Numbers
from ..codec import Codec
from ..errors import NonFiniteError
from ..format.directory import count_chunks
from ..quantize import Raw
from ..select import Threshold
from .exchange import NOTHING, Bytes, Exchange, ends, raw
from .parts import Part

FRAME, NUMBERS = 0, 1


def reduce(exchange: Exchange) -> list[Part]:
    """The sums of all owners."""
    bounds = chunk_bounds(
        exchange, ends(count_chunks(exchange.n, exchange.chunk_log2), exchange.size)
    )
    total = sum_of_own(exchange, bounds)
    packed = exchange.attempt(pack, exchange, total)
    kind, message = (FRAME, NOTHING) if packed is None else packed
    return gather_sums(exchange, bounds, kind, message)


def chunk_bounds(exchange: Exchange, chunks: list[int]) -> list[int]:
    """Element numbers of chunk numbers."""
    return [min(chunk << exchange.chunk_log2, exchange.n) for chunk in chunks]


def sum_of_own(exchange: Exchange, bounds: list[int]) -> Numbers | None:
    """What all ranks kept in this rank's range, added in rank order; None after a failure."""
    shards = exchange.attempt(cut, exchange, bounds) or [NOTHING] * exchange.size
    sizes = exchange.agree(*(shard.size for shard in shards))[:, exchange.rank]
    start, stop = bounds[exchange.rank : exchange.rank + 2]
    received = exchange.alltoallv(shards, sizes)
    if start == stop:
        list(received)
        return np.empty(0, exchange.dtype)
    contents = exchange.prove(received, stop - start)
    return exchange.attempt(exchange.add_up, contents, stop - start)


def cut(exchange: Exchange, bounds: list[int]) -> list[Bytes]:
    """A shard of this rank's frame for each owner."""
    backend = exchange.codec.backend
    return [
        np.asarray(slicing.slice(exchange.frame, start, stop, backend=backend))
        if start < stop
        else NOTHING
        for start, stop in pairwise(bounds)
    ]


def pack(exchange: Exchange, total: Numbers) -> tuple[int, Bytes]:
    """A sum as a frame or as numbers, whichever is smaller; sums may be infinite, frames not."""
    if not total.size:
        return FRAME, NOTHING
    if np.count_nonzero(total) * 33 < total.size * 32:
        try:
            lossless = Codec(Threshold(0.0), Raw(), backend=exchange.codec.backend)
            frame = lossless.encode(total, step=exchange.step)
            if frame.size < total.nbytes:
                return FRAME, np.asarray(frame)
        except NonFiniteError:
            pass
    return NUMBERS, raw(total)


def gather_sums(exchange: Exchange, bounds: list[int], kind: int, message: Bytes) -> list[Part]:
    """The owners' messages as parts of the whole."""
    digest = exchange.digest(message) if kind == NUMBERS else 0
    told = exchange.agree(message.size, kind, digest)
    parts = []
    received = exchange.allgatherv(message, np.ascontiguousarray(told[:, 0]))
    for rank, one in enumerate(received):
        start, stop = bounds[rank : rank + 2]
        if start == stop:
            continue
        if told[rank, 1] == NUMBERS:
            numbers = exchange.numbers(f"rank {rank}", one, told[rank, 2])
            parts += [Part(start, stop, each) for each in (numbers,) if each is not None]
        else:
            proved = exchange.prove([one], stop - start)
            parts.append(Part(start, stop, proved or []))
    return parts
