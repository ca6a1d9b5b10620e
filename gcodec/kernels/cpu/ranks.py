"""The k-th largest of magnitudes."""

import numpy as np

from .bits import ONE, ZERO, bit_length
from .jit import inner, kernel, magnitude, maker, ones, shifted, trailing_zeros
from .vector import LANES, lanes_at_least

DIGIT = 11
NEAR = 3
"""The first look is at 1 / 2**NEAR of the range below the largest."""

FEW = 1 << 12
"""For no more elements than this, passes that only count are fastest."""


MANY, SAMPLED, DEVIATIONS = 1 << 14, 1 << 10, 3.5
"""From how many on a sample is taken, its size, and how far it is taken to be wrong."""


@kernel
def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it.

    It lies between two that a sample has, as a rule, and only what is between them is looked at
    closely (after Floyd and Rivest). `histogram` is scratch of 2,048.
    """
    if bits.size <= FEW:
        return kth_of_few(bits, k)
    if bits.size >= MANY:
        between, above = _around(bits, k)
        if between.size:
            found, more = _kth_by_bins(between, k - above, histogram)
            return found, above + more
    return _kth_by_bins(bits, k, histogram)


@maker
def _around(bits, k):
    """Elements of which one has the k-th largest magnitude, and how many are above all of them.

    None if a sample misled.
    """
    kind, size, stride = bits.dtype.type, bits.size, bits.size // SAMPLED
    sample = np.empty(SAMPLED, bits.dtype)
    for i in range(SAMPLED):
        sample[i] = bits[i * stride]
    rank = k * SAMPLED // size
    spread = np.int64(DEVIATIONS * np.sqrt(rank * (1.0 - rank / SAMPLED))) + 2
    low, high = kind(0), ~kind(0)
    if rank + spread <= SAMPLED:
        low, _ = floor_of(sample, rank + spread, 0)
    if rank > spread:
        high, _ = floor_of(sample, rank - spread, 0)
    found = np.empty(4 * spread * stride + 2 * LANES, bits.dtype)
    above, kept = _part(bits, low, high, found)
    return found[: kept if above < k <= above + kept else 0], above


@inner
def _part(bits, low, high, found):
    """How many magnitudes are at least `high`; elements from `low` on below that, and their number.

    All of them, if there is room.
    """
    above, at, start, last = np.int64(0), ZERO, 0, bits.size - LANES
    room = np.uint64(found.size - LANES)
    while start <= last and at <= room:
        over = lanes_at_least(bits, start, high)
        chosen = lanes_at_least(bits, start, low) & ~over
        above += np.int64(ones(over))
        while chosen:
            found[at] = bits[np.uint64(start) + trailing_zeros(chosen)]
            chosen &= chosen - ONE
            at += ONE
        start += LANES
    if start <= last:
        return above, 0
    for j in range(start, bits.size):
        size = magnitude(bits[j])
        above += size >= high
        found[at] = bits[j]
        at += np.uint64(low <= size < high)
    return above, np.int64(at)


@maker
def _kth_by_bins(bits, k, histogram):
    """`kth_magnitude`, by cutting the range of magnitudes into bins, then that of one bin.

    After the first time only elements of one bin are looked at.
    """
    kind = bits.dtype.type
    low, high = _extent(bits)
    above = 0
    part = bits
    while low < high:
        shift = max(np.int64(bit_length(high - low)) - DIGIT, 0)
        down = kind(shift)
        histogram[:] = 0
        for i in range(part.size):
            histogram[np.uint64(kind(magnitude(part[i]) - low) >> down)] += 1
        digit = np.int64(kind(high - low) >> down)
        while above + histogram[digit] < k:
            above += histogram[digit]
            digit -= 1
        low = kind(low + (kind(digit) << down))
        high = kind(low + kind((1 << shift) - 1))
        if low < high:
            part = _between(part, low, high, histogram[digit])
    return low, above


@inner
def kth_of_few(bits, k):
    kind = bits.dtype.type
    floor, _ = floor_of(bits, k, 0)
    found, above = ~kind(0), np.uint32(0)
    for i in range(bits.size):
        size = magnitude(bits[i])
        found = min(found, size if size >= floor else ~kind(0))
    for i in range(bits.size):
        above = np.uint32(above + np.uint32(magnitude(bits[i]) > found))
    return found, np.int64(above)


@inner
def floor_of(bits, k, more):
    """A magnitude that k elements reach, and so many `more` at most unless it is the k-th largest.

    It is looked for between the least and the largest: near those first, then by halves. Also how
    many reach it.
    """
    kind = bits.dtype.type
    low, high = _extent(bits)
    reached, step = bits.size, kind(NEAR)
    while low < high and reached > k + more:
        middle = kind(high - shifted(kind(high - low - kind(1)), step))
        step = kind(1)
        some = np.uint32(0)
        for i in range(bits.size):
            some = np.uint32(some + np.uint32(magnitude(bits[i]) >= middle))
        if np.int64(some) >= k:
            low, reached = middle, np.int64(some)
        else:
            high = kind(middle - kind(1))
    return low, reached


@inner
def _extent(bits):
    """The least and the largest magnitude."""
    low = high = magnitude(bits[0])
    for i in range(bits.size):
        low, high = min(low, magnitude(bits[i])), max(high, magnitude(bits[i]))
    return low, high


@maker
def _between(bits, low, high, count):
    """The magnitudes of a range, which are so many."""
    found = np.empty(count + 1, bits.dtype)
    size = 0
    for i in range(bits.size):
        found[size] = magnitude(bits[i])
        size += low <= found[size] <= high
    return found[:count]


@kernel
def largest_between(bits, edges, k, histogram, positions):
    """Positions of the k largest nonzeros of each range [edges[i], edges[i + 1]); their number."""
    count = 0
    for i in range(edges.size - 1):
        part = bits[edges[i] : edges[i + 1]]
        if part.size == 0:
            continue
        threshold, above = kth_magnitude(part, min(k, part.size), histogram)
        ties = k - above
        for j in range(part.size):
            size = magnitude(part[j])
            if size < threshold or size == 0:
                continue
            if size == threshold:
                if ties == 0:
                    continue
                ties -= 1
            positions[count] = edges[i] + j
            count += 1
    return count
