"""Magnitude statistics and compaction."""

import numpy as np


def magnitude_max(bits):
    """Largest magnitude pattern of `bits` (uint16, uint32 or uint64, [n]), 0 if empty."""
    return int(magnitudes(bits).max(initial=0))


def magnitudes(bits):
    """Patterns without their highest bit."""
    return bits & bits.dtype.type(np.iinfo(bits.dtype).max >> 1)


def compensate(grad, residual, gamma, beta, out):
    """`out = gamma * grad + beta * residual`; factors are of the elements' type."""
    with np.errstate(over="ignore", invalid="ignore"):
        np.add(grad * gamma, residual * beta, out=out)


def correct(grad, velocity, residual, momentum, nesterov, new_velocity, out):
    """DGC's momentum correction.

    u' = m u + g and out = v + u'; with Nesterov's momentum out = v + g + m u'.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        np.add(velocity * momentum, grad, out=new_velocity)
        step = grad + new_velocity * momentum if nesterov else new_velocity
        np.add(residual, step, out=out)


def count_above(bits, threshold):
    """Elements whose magnitude pattern is above `threshold`."""
    return int(np.count_nonzero(magnitudes(bits) > threshold))


def take(array, positions, out):
    """`out = array[positions]`."""
    out[:] = array[positions]


def kth_magnitude(bits, k, histogram):
    """The k-th largest magnitude pattern (1 <= k <= n), and how many are above it."""
    ordered = np.sort(magnitudes(bits))
    threshold = int(ordered[ordered.size - k])
    return threshold, count_above(bits, threshold)


def collect(bits, offset, floor, chunk_log2, at, kept, keys, values, counts):
    """Append elements whose magnitude pattern is at least `floor`, from number `at` on.

    `bits` are elements `offset` to `offset + n`. Fills `keys` (position within the chunk) and
    `values` (patterns) from `kept` on, and adds to `counts` (per chunk). Returns where it stopped
    and how many there are then, before the end if there is no room; and the largest magnitude
    pattern that it appended, or 0.
    """
    first = kept
    for position in (at + np.flatnonzero(magnitudes(bits[at:]) >= floor)).tolist():
        if kept == keys.size:
            return position, kept, magnitude_max(values[first:kept])
        keys[kept] = (offset + position) % (1 << chunk_log2)
        values[kept] = bits[position]
        counts[(offset + position) >> chunk_log2] += 1
        kept += 1
    return bits.size, kept, magnitude_max(values[first:kept])


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
    compensate(grad[at:], residual[at:], gamma, beta, out[at:])
    return collect(bits, offset, floor, chunk_log2, at, kept, keys, values, counts)


def pick(keys, values, counts, threshold, ties):
    """Keep, in place, magnitudes above `threshold` and the first `ties` equal to it; how many."""
    equal = magnitudes(values) == threshold
    stays = (magnitudes(values) > threshold) | (equal & (np.cumsum(equal) <= ties))
    kept = int(np.count_nonzero(stays))
    chunks = np.repeat(np.arange(counts.size), counts)
    counts[:] = np.bincount(chunks[stays], minlength=counts.size)
    keys[:kept], values[:kept] = keys[stays], values[stays]
    return kept


def leave_out(keys, values, joint, counts, stays):
    """Keep, in place, elements j with `stays[joint[j]]`; how many."""
    chunks, kept = np.repeat(np.arange(counts.size), counts), stays[joint]
    counts[:] = np.bincount(chunks[kept], minlength=counts.size)
    size = int(np.count_nonzero(kept))
    for array in (keys, values, joint):
        array[:size] = array[kept]
    return size


def tail_sums(numbers, threshold, sums):
    """Count, sum and sum of squares of |x| above a threshold of their type, into `sums[2, :3]`.

    `sums` is zeroed scratch, float64[3, 16]. Element i goes to lane i mod 16; lanes are added to
    the answer in order after every 4,096 elements, so that the sums are the same everywhere.
    """
    keys = np.flatnonzero(np.abs(numbers) > threshold)
    tail_sums_of_pairs(keys, numbers[keys], threshold, sums)


def tail_sums_of_pairs(keys, numbers, threshold, sums):
    """As `tail_sums`, of elements at ascending `keys` with zeros between."""
    for tile in np.unique(keys >> 12):
        for key, number in zip(keys[keys >> 12 == tile], numbers[keys >> 12 == tile], strict=True):
            x = abs(float(number))
            if x > threshold:
                sums[2, 0] += 1
                sums[0, key % 16] += x
                sums[1, key % 16] += x * x
        for which in range(2):
            for lane in range(16):
                sums[2, 1 + which] += sums[which, lane]
        sums[:2] = 0


def largest_between(bits, edges, k, histogram, positions):
    """Positions of the k largest nonzeros of each range [edges[i], edges[i + 1]); their number."""
    count = 0
    for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = magnitudes(bits[first:stop]).astype(np.int64)
        best = np.sort(np.argsort(-part, kind="stable")[:k])
        best = best[part[best] > 0]
        positions[count : count + best.size] = first + best
        count += best.size
    return count
