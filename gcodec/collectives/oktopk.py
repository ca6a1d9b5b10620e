"""Owners of ranges that hold equal shares add them up; the k largest sums of all go to everybody.

Ok-Topk (Li and Hoefler, PPoPP 2022) with an exact global selection. Ranges are cut where each
rank's own elements would be shared equally, on average of the ranks, at the nearest chunk; so a
chunk that holds nearly all of them goes to one owner. k is the most that any rank selected. A sum
that is not among the k largest stays in its owner's residual, so that nothing is lost.
"""

import numpy as np
from numpy.typing import NDArray

from ..arrays import Numbers, read_only
from ..codec import Codec
from ..format import frame as wire
from ..quantize import Raw
from ..select import Threshold
from .exchange import NOTHING, Bytes, Exchange
from .parts import Part
from .split import FRAME, chunk_bounds, gather_sums, sum_of_own

DIGIT = 8


def reduce(exchange: Exchange) -> list[Part]:
    """The k largest sums, from their owners."""
    bounds = chunk_bounds(exchange, balanced_cuts(exchange))
    total = sum_of_own(exchange, bounds)
    if total is None:
        total = np.empty(0, exchange.dtype)
    nonzero = np.flatnonzero(total)
    sums = total[nonzero]
    patterns = np.abs(sums).view(f"u{sums.itemsize}")
    threshold, ties = kth_largest(exchange, patterns, int(exchange.stored.max()))
    chosen = patterns > threshold
    chosen[np.flatnonzero(patterns == threshold)[:ties]] = True
    start, stop = bounds[exchange.rank : exchange.rank + 2]
    exchange.attempt(exchange.retain, nonzero[~chosen] + start, sums[~chosen])
    message = exchange.attempt(pack, exchange, nonzero[chosen], sums[chosen], stop - start)
    return gather_sums(exchange, bounds, FRAME, NOTHING if message is None else message)


def balanced_cuts(exchange: Exchange) -> list[int]:
    """Chunk numbers that bound the ranks' ranges: size + 1, the same on all ranks."""
    counts = exchange.attempt(counts_of, exchange)
    if counts is None:
        counts = np.zeros(1, np.int64)
    shares = np.arange(1, exchange.size) * counts.sum() / exchange.size
    middles = np.cumsum(counts) - counts / 2
    own = np.searchsorted(middles, shares)
    cuts = exchange.agree(*(int(cut) for cut in own)).sum(axis=0)
    told = np.minimum(cuts // exchange.size, counts.size)
    return [0, *told.tolist(), counts.size]


def counts_of(exchange: Exchange) -> NDArray[np.int64]:
    """How many elements each chunk of this rank's frame holds."""
    parsed = wire.parse(read_only(np.asarray(exchange.frame)), exchange.kernels)
    return parsed.directory["nnz"].astype(np.int64)


def kth_largest(
    exchange: Exchange, patterns: NDArray[np.unsignedinteger], k: int
) -> tuple[int, int]:
    """The magnitude of the k-th largest of all ranks' sums, and how many as large go from here.

    Of equal ones the first ranks' go. All go, with a threshold of 0, if there are fewer than k.
    """
    prefix = ties = 0
    for shift in range(8 * patterns.itemsize - DIGIT, -1, -DIGIT):
        digits = ((patterns >> np.array(shift, patterns.dtype)) & 0xFF).astype(np.int64)
        told = exchange.agree(*np.bincount(digits, minlength=1 << DIGIT))
        counts = told.sum(axis=0)
        above = counts.sum() - np.cumsum(counts)  # larger than each digit
        if counts.sum() < k or not k:
            return 0 if k else int(np.iinfo(patterns.dtype).max), 0
        digit = int(np.argmax(above < k))
        k -= int(above[digit])
        prefix = prefix << DIGIT | digit
        patterns = patterns[digits == digit]
        before = int(told[: exchange.rank, digit].sum())
        ties = min(max(k - before, 0), patterns.size)
    return prefix, ties


def pack(exchange: Exchange, keys: NDArray[np.int64], values: Numbers, n: int) -> Bytes:
    """Sums of a range of n elements as a frame that changes none of them."""
    if not n:
        return NOTHING
    codec = Codec(Threshold(0.0), Raw(), backend=exchange.codec.backend)
    return np.asarray(codec.encode_sparse(keys, values, n, step=exchange.step))
