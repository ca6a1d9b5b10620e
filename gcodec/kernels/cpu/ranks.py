"""The k-th largest of magnitudes."""

import numpy as np

from .bits import bit_length
from .jit import inner, kernel, magnitude, maker, shifted

DIGIT = 11
NEAR = 3
"""The first look is at 1 / 2**NEAR of the range below the largest."""

FEW = 1 << 12
"""For no more elements than this, passes that only count are fastest."""


@kernel
def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it.

    The range of magnitudes is cut into 2,048 bins, then the bin that holds the k-th, and so on;
    after the first time only elements of one bin are looked at. `histogram` is scratch.
    """
    if bits.size <= FEW:
        return kth_of_few(bits, k)
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
