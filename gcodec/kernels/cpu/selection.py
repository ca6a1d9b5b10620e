"""Magnitude statistics and compaction."""

from functools import cache

import numpy as np

from .bits import ONE
from .jit import helper, inner, kernel, magnitude, ones, prefetch, trailing_zeros, viewed
from .probe import sound_tier
from .vector import (
    COMPRESS,
    LANES,
    LOCATE,
    MASK,
    add_and_compare,
    add_and_locate,
    add_tails,
    compress_at_least,
    lanes_at_least,
    stream_and_compare,
    stream_and_locate,
)

TILE_LOG2 = 12
TILE = 1 << TILE_LOG2
LANES_OF_SUMS = 16
STRIDE = 1 << 14
"""Elements after which `collect` looks again whether there are few of what it wants."""

FEW = 24
"""One in so many."""

CACHE_LINE = 64
TAKEN_AHEAD = 128
AT_ONCE = np.uint64(4)
"""Lanes of a mask that are appended without a look at how many there are."""

LAST_LANE = np.uint64(1 << LANES - 1)


@kernel
def magnitude_max(bits):
    """Largest magnitude pattern of `bits` (uint16, uint32 or uint64, [n]), 0 if empty."""
    return largest(bits)


@inner
def largest(bits):
    top = bits.dtype.type(0)
    for i in range(bits.size):
        top = max(top, magnitude(bits[i]))
    return top


@kernel
def compensate(grad, residual, gamma, beta, out):
    """`out = gamma * grad + beta * residual`; factors are of the elements' type."""
    for j in range(out.size):
        out[j] = grad[j] * gamma + residual[j] * beta


@kernel
def correct(grad, velocity, residual, momentum, nesterov, new_velocity, out):
    """DGC's momentum correction.

    u' = m u + g and out = v + u'; with Nesterov's momentum out = v + g + m u'.
    """
    for j in range(out.size):
        moving = velocity[j] * momentum + grad[j]
        new_velocity[j] = moving
        out[j] = residual[j] + (grad[j] + moving * momentum if nesterov else moving)


@kernel
def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    count = 0
    limit = bits.dtype.type(threshold)
    for i in range(bits.size):
        count += magnitude(bits[i]) > limit
    return count


@kernel
def take(array, positions, out):
    """`out = array[positions]`; cache lines are asked for well before they are needed."""
    last = positions.size - 1
    for j in range(positions.size):
        prefetch(array, np.uint64(positions[min(j + TAKEN_AHEAD, last)]))
        out[j] = array[np.uint64(positions[j])]


def collect(bits, offset, floor, chunk_log2, at, kept, keys, values, counts):
    """Append elements whose magnitude pattern is at least `floor`, from number `at` on.

    `bits` are elements `offset` to `offset + n`. Fills `keys` (position within the chunk) and
    `values` (patterns) from `kept` on, and adds to `counts` (per chunk). Returns where it stopped
    and how many there are then, before the end if there is not room for 64 more; and the largest
    magnitude pattern that it appended, or 0.
    """
    return collect_with(
        sound_tier(), bits, offset, bits.dtype.type(floor), chunk_log2, at, kept, keys, values,
        counts,
    )  # fmt: skip


def collect_with(tier, *where):
    """`collect` in one of the tiers of `vector`."""
    return collector(tier)(*where)


@cache
def collector(tier):
    """A kernel with the code of one tier."""

    @kernel
    def collect_in_tier(bits, offset, floor, chunk_log2, at, kept, keys, values, counts):
        at, kept, top, _ = collect_by(
            tier, bits, offset, floor, chunk_log2, at, kept, True, keys, values, counts
        )
        return at, kept, top

    return collect_in_tier


@helper
def collect_by(tier, bits, offset, floor, chunk_log2, at, kept, few, keys, values, counts):
    """`collect`, for kernels that know the tier when they are compiled.

    Also whether there were `few` of what it wants lately, for the next call.
    """
    top = bits.dtype.type(0)
    while at < bits.size:
        chunk = (offset + at) >> chunk_log2
        stop = min(((chunk + 1) << chunk_log2) - offset, bits.size, at + STRIDE)
        part, base = bits[at:stop], np.uint32(offset + at - (chunk << chunk_log2))
        before, start = kept, 0
        if tier >= COMPRESS and not few:
            start, kept = _collect_registers(part, floor, base, keys, values, kept)
        elif tier >= MASK:
            start, kept = _collect_masks(part, floor, base, keys, values, kept)
        start, kept = _collect_one_by_one(part, start, floor, base, keys, values, kept)
        top = max(top, largest(values[before:kept]))
        few = (kept - before) * FEW < start
        counts[chunk] += kept - before
        at += start
        if at < stop:
            break
    return at, kept, top, few


def collect_sum(
    grad,
    residual,
    gamma,
    beta,
    out,
    bits,
    offset,
    floor,
    chunk_log2,
    at,
    kept,
    keys,
    values,
    counts,
):
    """`out = gamma * grad + beta * residual`, and `collect` of it, from number `at` on.

    Factors are of the elements' type, `bits` are the patterns of `out`.
    """
    return collect_sum_with(
        sound_tier(), grad, residual, gamma, beta, out, out.ctypes.data, bits, offset,
        bits.dtype.type(floor), chunk_log2, at, kept, keys, values, counts,
    )  # fmt: skip


def collect_sum_with(tier, *where):
    """`collect_sum` in one of the tiers of `vector`; after `out` comes the address it starts at."""
    return sum_collector(tier)(*where)


@cache
def sum_collector(tier):
    """A kernel with the code of one tier."""

    @kernel
    def collect_sum_in_tier(
        grad, residual, gamma, beta, out, address, bits, offset, floor, chunk_log2, at, kept, keys,
        values, counts,
    ):  # fmt: skip
        few, top = True, bits.dtype.type(0)
        while at < bits.size:
            chunk = (offset + at) >> chunk_log2
            stop = min(((chunk + 1) << chunk_log2) - offset, bits.size, at + STRIDE)
            base = np.uint32(offset + at - (chunk << chunk_log2))
            ours, theirs, sums = grad[at:stop], residual[at:stop], out[at:stop]
            before, start = kept, 0
            if tier == MASK or (tier > MASK and few):
                what = ours, theirs, gamma, beta, sums, floor, base, keys, kept
                aligned = (address + at * out.itemsize) % CACHE_LINE == 0
                if tier == LOCATE:
                    start, kept = _stream_located(*what) if aligned else _add_located(*what)
                else:
                    start, kept = _stream_masked(*what) if aligned else _add_masked(*what)
                found = viewed(values[before:kept], out.dtype)
                _fetch_sums(ours, theirs, gamma, beta, base, keys[before:kept], found)
            part = bits[at:stop]
            compensate(ours[start:], theirs[start:], gamma, beta, sums[start:])
            if tier > MASK and start == 0:
                start, kept = _collect_registers(part, floor, base, keys, values, kept)
            start, kept = _collect_one_by_one(part, start, floor, base, keys, values, kept)
            top = max(top, largest(values[before:kept]))
            few = (kept - before) * FEW < start
            counts[chunk] += kept - before
            at += start
            if at < stop:
                break
        return at, kept, top

    return collect_sum_in_tier


@inner
def _stream_located(ours, theirs, gamma, beta, sums, floor, base, keys, kept):
    start, last, room = 0, ours.size - LANES, keys.size - LANES
    while start <= last and kept <= room:
        kept = stream_and_locate(ours, theirs, gamma, beta, sums, start, floor, base, keys, kept)
        start += LANES
    return start, kept


@inner
def _add_located(ours, theirs, gamma, beta, sums, floor, base, keys, kept):
    start, last, room = 0, ours.size - LANES, keys.size - LANES
    while start <= last and kept <= room:
        kept = add_and_locate(ours, theirs, gamma, beta, sums, start, floor, base, keys, kept)
        start += LANES
    return start, kept


@inner
def _stream_masked(ours, theirs, gamma, beta, sums, floor, base, keys, kept):
    start, last, room = 0, ours.size - LANES, keys.size - LANES
    while start <= last and kept <= room:
        found = stream_and_compare(ours, theirs, gamma, beta, sums, start, floor)
        kept = _put_lanes(found, np.uint64(base) + np.uint64(start), keys, kept)
        start += LANES
    return start, kept


@inner
def _add_masked(ours, theirs, gamma, beta, sums, floor, base, keys, kept):
    start, last, room = 0, ours.size - LANES, keys.size - LANES
    while start <= last and kept <= room:
        found = add_and_compare(ours, theirs, gamma, beta, sums, start, floor)
        kept = _put_lanes(found, np.uint64(base) + np.uint64(start), keys, kept)
        start += LANES
    return start, kept


@helper
def _put_lanes(found, first, keys, kept):
    """Append `first + j` for every bit j; how many there are then."""
    at = np.uint64(kept)
    stop = at + ones(found)
    while True:  # a loop until none is left would be predicted wrongly at each end
        for j in range(AT_ONCE):
            keys[at + j] = first + trailing_zeros(found | LAST_LANE)
            found &= found - ONE
        at += AT_ONCE
        if at >= stop:
            break
    return np.int64(stop)


@inner
def _fetch_sums(ours, theirs, gamma, beta, base, keys, values):
    for j in range(keys.size):
        at = np.uint64(keys[j] - base)
        values[j] = ours[at] * gamma + theirs[at] * beta


@inner
def _collect_registers(part, floor, base, keys, values, kept):
    start, last, room = 0, part.size - LANES, keys.size - LANES
    while start <= last and kept <= room:
        kept = compress_at_least(part, start, floor, base, keys, values, kept)
        start += LANES
    return start, kept


@inner
def _collect_masks(part, floor, base, keys, values, kept):
    start, last, room = 0, part.size - LANES, keys.size - LANES
    while start <= last and kept <= room:
        found = lanes_at_least(part, start, floor)
        at = np.uint64(kept)
        stop = at + ones(found)
        while True:  # a loop until none is left would be predicted wrongly at each end
            for j in range(AT_ONCE):
                lane = np.uint64(start) + trailing_zeros(found | LAST_LANE)
                keys[at + j] = np.uint64(base) + lane
                values[at + j] = part[lane]
                found &= found - ONE
            at += AT_ONCE
            if at >= stop:
                break
        kept = np.int64(stop)
        start += LANES
    return start, kept


@inner
def _collect_one_by_one(part, start, floor, base, keys, values, kept):
    stop, room = part.size, keys.size - LANES
    while start < stop and kept <= room:
        keys[kept], values[kept] = np.uint32(base) + np.uint32(start), part[start]
        kept += magnitude(part[start]) >= floor
        start += 1
    return start, kept


@kernel
def tail_sums(numbers, threshold, sums):
    """Count, sum and sum of squares of |x| above a threshold of their type, into `sums[2, :3]`.

    `sums` is zeroed scratch, float64[3, 16]. Element i goes to lane i mod 16; lanes are added to
    the answer in order after every 4,096 elements, so that the sums are the same everywhere.
    """
    for start in range(0, numbers.size, TILE):
        part = numbers[start : start + TILE]
        whole = part.size // LANES_OF_SUMS * LANES_OF_SUMS
        sums[2, 0] += add_tails(part, whole, threshold, sums)
        for i in range(whole, part.size):
            _add_to_lane(part[i], threshold, i - whole, sums)
        _add_lanes(sums)


@kernel
def tail_sums_of_pairs(keys, numbers, threshold, sums):
    """As `tail_sums`, of elements at ascending `keys` with zeros between."""
    tile = np.int64(0)
    for j in range(keys.size):
        if keys[j] >> TILE_LOG2 != tile:
            _add_lanes(sums)
            tile = keys[j] >> TILE_LOG2
        _add_to_lane(numbers[j], threshold, keys[j] % LANES_OF_SUMS, sums)
    _add_lanes(sums)


@inner
def _add_to_lane(x, threshold, lane, sums):
    size = np.float64(abs(x))
    if size > threshold:
        sums[2, 0] += 1
        sums[0, lane] += size
        sums[1, lane] += size * size


@inner
def _add_lanes(sums):
    for which in range(2):
        for lane in range(LANES_OF_SUMS):
            sums[2, 1 + which] += sums[which, lane]
            sums[which, lane] = 0.0
