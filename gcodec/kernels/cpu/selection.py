"""Magnitude statistics and compaction."""

import numpy as np

from .jit import kernel, magnitude, trailing_zeros
from .vector import LANES, lanes_at_least

TILE_LOG2 = 12
TILE = 1 << TILE_LOG2
LANES_OF_SUMS = 16
DIGIT = 11


@kernel
def magnitude_max(bits):
    """Largest magnitude pattern of `bits` (uint16, uint32 or uint64, [n]), 0 if empty."""
    top = bits.dtype.type(0)
    for i in range(bits.size):
        top = max(top, magnitude(bits[i]))
    return top


@kernel
def compensate(grad, residual, gamma, beta, out, bits):
    """`out = gamma * grad + beta * residual`; the largest magnitude pattern of `bits`.

    Factors are of the elements' type, and `bits` views `out`.
    """
    top = bits.dtype.type(0)
    for start in range(0, out.size, TILE):
        ours, ours_bits = out[start : start + TILE], bits[start : start + TILE]
        theirs, rest = grad[start : start + TILE], residual[start : start + TILE]
        for j in range(ours.size):
            ours[j] = theirs[j] * gamma + rest[j] * beta
        for j in range(ours.size):
            top = max(top, magnitude(ours_bits[j]))
    return top


@kernel
def correct(grad, velocity, residual, momentum, nesterov, new_velocity, out, bits):
    """DGC's momentum correction; the largest magnitude pattern of `bits`, which views `out`.

    u' = m u + g and out = v + u'; with Nesterov's momentum out = v + g + m u'.
    """
    top = bits.dtype.type(0)
    for start in range(0, out.size, TILE):
        ours, ours_bits = out[start : start + TILE], bits[start : start + TILE]
        moving, old = new_velocity[start : start + TILE], velocity[start : start + TILE]
        theirs, rest = grad[start : start + TILE], residual[start : start + TILE]
        for j in range(ours.size):
            moving[j] = old[j] * momentum + theirs[j]
        if nesterov:
            for j in range(ours.size):
                ours[j] = rest[j] + (theirs[j] + moving[j] * momentum)
        else:
            for j in range(ours.size):
                ours[j] = rest[j] + moving[j]
        for j in range(ours.size):
            top = max(top, magnitude(ours_bits[j]))
    return top


@kernel
def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    count = 0
    limit = bits.dtype.type(threshold)
    for i in range(bits.size):
        count += magnitude(bits[i]) > limit
    return count


@kernel
def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it.

    Radix selection from the top, 11 bits at a time; `histogram` is scratch of 2,048 int64.
    """
    kind = bits.dtype.type
    above = 0
    prefix = kind(0)
    shift = bits.itemsize * 8 - 1
    while shift > 0:
        width = min(DIGIT, shift)
        shift -= width
        down, mask = kind(shift), kind((1 << width) - 1)
        across = kind(width)
        histogram[:] = 0
        for i in range(bits.size):
            digits = kind(magnitude(bits[i]) >> down)
            if kind(digits >> across) == prefix:
                histogram[digits & mask] += 1
        digit = np.int64(mask)
        while above + histogram[digit] < k:
            above += histogram[digit]
            digit -= 1
        prefix = kind(kind(prefix << across) | kind(digit))
    return prefix, above


@kernel
def gather(bits, offset, threshold, ties, chunk_log2, keys, values, counts):
    """Keep magnitudes above `threshold`, and the first `ties` equal to it, in index order.

    `bits` are elements `offset` to `offset + n`. Fills `keys` (position within the chunk) and
    `values` (patterns), and adds to `counts` (per chunk). Returns the number kept; more than
    `keys.size` says that there was no room for all.
    """
    kept = 0
    limit = bits.dtype.type(threshold)
    floor = limit if ties > 0 else bits.dtype.type(threshold + 1)
    end = 0
    while end < bits.size:
        chunk = (offset + end) >> chunk_log2
        begin, end = end, min(((chunk + 1) << chunk_log2) - offset, bits.size)
        part, shift = bits[begin:end], np.uint64(offset + begin - (chunk << chunk_log2))
        before = kept
        for start in range(0, part.size, LANES):
            found = np.uint64(0)
            if start + LANES <= part.size:
                found = lanes_at_least(part, start, floor)
            else:
                for j in range(start, part.size):
                    found |= np.uint64(magnitude(part[j]) >= floor) << np.uint64(j - start)
            while found != np.uint64(0):
                at = np.uint64(start) + trailing_zeros(found)
                found &= found - np.uint64(1)
                if magnitude(part[at]) == limit:
                    if ties == 0:
                        continue
                    ties -= 1
                if kept == keys.size:
                    return kept + 1
                keys[kept] = at + shift
                values[kept] = part[at]
                kept += 1
        counts[chunk] += kept - before
    return kept


@kernel
def tail_sums(numbers, threshold, sums):
    """Count, sum, sum of squares and signed sum over |x| > threshold, into `sums[4, :4]`.

    `sums` is zeroed scratch, float64[5, 16]. Element i goes to lane i mod 16; lanes are added to
    the answer in order after every 4,096 elements, so that the sums are the same everywhere.
    """
    for start in range(0, numbers.size, TILE):
        part = numbers[start : start + TILE]
        whole = part.size // LANES_OF_SUMS * LANES_OF_SUMS
        for i in range(0, whole, LANES_OF_SUMS):
            for lane in range(LANES_OF_SUMS):
                x = np.float64(part[i + lane])
                size = abs(x)
                chosen = size > threshold
                size, x = (size, x) if chosen else (0.0, 0.0)
                sums[0, lane] += chosen
                sums[1, lane] += size
                sums[2, lane] += size * size
                sums[3, lane] += x
        for i in range(whole, part.size):
            _add_to_lane(np.float64(part[i]), threshold, i - whole, sums)
        _add_lanes(sums)


@kernel
def tail_sums_of_pairs(keys, numbers, threshold, sums):
    """As `tail_sums`, of elements at ascending `keys` with zeros between."""
    tile = np.int64(0)
    for j in range(keys.size):
        if keys[j] >> TILE_LOG2 != tile:
            _add_lanes(sums)
            tile = keys[j] >> TILE_LOG2
        _add_to_lane(np.float64(numbers[j]), threshold, keys[j] % LANES_OF_SUMS, sums)
    _add_lanes(sums)


@kernel
def _add_to_lane(x, threshold, lane, sums):
    size = abs(x)
    if size > threshold:
        sums[0, lane] += 1
        sums[1, lane] += size
        sums[2, lane] += size * size
        sums[3, lane] += x


@kernel
def _add_lanes(sums):
    for which in range(4):
        for lane in range(LANES_OF_SUMS):
            sums[4, which] += sums[which, lane]
            sums[which, lane] = 0.0


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
