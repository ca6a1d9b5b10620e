"""A whole frame in one call: elements chosen, rounded, measured, laid out, written and sealed.

For what is asked of most gradients: the largest elements or those above a magnitude, as they are or
as levels of a logarithm. Everything else goes through the parts that this is made of, one by one,
to the same bytes.
"""

from functools import cache

import numpy as np

from ...format.draws import STEP_STRIDE
from ..plans import (
    ABOUT,
    CHUNK_LOG2,
    FIXED,
    INFINITY,
    LEVELS,
    MORE_WORK,
    NAME,
    NOT_TAKEN,
    OFF,
    RANK,
    SAMPLES,
    SEED,
    THRESHOLD,
    WANTED,
    WRITTEN,
)
from .accumulate import settle, settle_levels
from .compose import compose, levels_between, with_signs
from .jit import inner, kernel, magnitude, maker
from .probe import sound_tier
from .quantize import draw_strata
from .ranks import FEW, floor_of, kth_magnitude, kth_of_few
from .selection import collect_by, compensate, pick_of, take
from .vector import LANES

STRIDED = 1 << 14
GROUP, MANY = 8, 32
"""Elements in a group, and for how many times as many it pays to look at groups first."""

BINS = 1 << 11
SLACK = 192
"""Room beyond what is wanted."""


def whole_encoder():
    """The kernel for this CPU."""
    return encoder(sound_tier())


@cache
def encoder(tier):
    """A kernel with the code of one tier of `vector`."""

    @kernel
    def encode_whole(bits, facts, step, work, frame):
        """Write a frame: WRITTEN and its bytes, NOT_TAKEN, or what needs how many bytes.

        Parameters
        ----------
        bits : unsigned[n]
            Patterns of all elements, n > 0.
        facts : int64
            As `kernels.plans` has them.
        work : uint8
            Scratch, for elements that are kept.
        """
        kind, n, k = bits.dtype.type, bits.size, facts[WANTED]
        item, log2 = bits.itemsize, facts[CHUNK_LOG2]
        room = work.size // (item + 5) // LANES * LANES
        values = work[: room * item].view(bits.dtype)
        keys = work[room * item : room * (item + 4)].view(np.uint32)
        joint = work[room * (item + 4) : room * (item + 5)]
        counts = np.empty(((n - 1) >> log2) + 1, np.int64)
        floor, exact = first_floor(bits, facts, step)
        while True:
            counts[:] = 0
            at, kept, top = collect_by(tier, bits, 0, floor, log2, 0, 0, keys, values, counts)
            if at == n and (kept >= k or exact):
                break
            if at < n and facts[SAMPLES]:
                return NOT_TAKEN, 0
            if at < n and (exact or not k):
                wanted = max(2 * room, kept * n // max(at, 1) * 9 // 8)
                return MORE_WORK, (min(wanted, n) + SLACK) * (item + 5)
            limit, _ = _kth(bits, k)
            floor, exact = max(limit, kind(1)), True
        kept, floor, taken = _narrowed(keys, values, counts, kept, floor, top, facts)
        if not taken:
            return NOT_TAKEN, 0
        return compose(
            n, keys[:kept], values[:kept], joint[:kept], counts, floor, max(floor, top), facts,
            step, frame,
        )  # fmt: skip

    return encode_whole


@kernel
def finish_whole(
    n, keys, values, joint, starts, sizes, counts, floor, exact, top, residual, facts, step, frame
):
    """Write the frame of elements that were collected in parts; also how many were kept.

    Parameters
    ----------
    keys, values, joint : uint32, unsigned and uint8[room]
        Keys within chunks, and patterns of the first `sizes[i]` elements from `starts[i]` on.
    starts, sizes : int64[parts]
    counts : int64[parts, chunks]
        Like `keys`, `values` and `sizes` they are those of one part afterwards, all that was kept.
    floor, top : unsigned
        What magnitudes are at least, and at most.
    exact : bool
        Whether they are no fewer than are wanted, but for zeros.
    residual : float32 or float64[n or 0]
        What kept elements decode to is subtracted from it.
    """
    kept = sizes[0]
    for part in range(1, sizes.size):
        _move(keys, starts[part], kept, sizes[part])
        _move(values, starts[part], kept, sizes[part])
        kept += sizes[part]
        counts[0] += counts[part]
        counts[part], sizes[part] = 0, 0
    sizes[0] = kept
    if kept < facts[WANTED] and not exact:
        return NOT_TAKEN, 0, kept
    kept, floor, taken = _narrowed(keys, values, counts[0], kept, floor, top, facts)
    sizes[0] = kept
    if not taken:
        return NOT_TAKEN, 0, kept
    keys, values, joint = keys[:kept], values[:kept], joint[:kept]
    high = max(floor, top)
    what, size = compose(n, keys, values, joint, counts[0], floor, high, facts, step, frame)
    if what == WRITTEN and residual.size:
        log2 = facts[CHUNK_LOG2]
        if facts[LEVELS]:
            scale, first, last = levels_between(facts, values, floor, high)
            table = with_signs(scale[facts[LEVELS] - 1 + first : facts[LEVELS] + last])
            settle_levels(residual, keys, counts[0], log2, joint, table.view(residual.dtype))
        else:
            settle(residual, keys, counts[0], log2, values.view(residual.dtype))
    return what, size, kept


@maker
def _kth(bits, k):
    """The k-th largest magnitude, and how many are above it."""
    if bits.size <= FEW:
        return kth_of_few(bits, k)
    return kth_magnitude(bits, k, np.empty(BINS, np.int64))


@inner
def _move(array, start, to, size):
    for j in range(size):
        array[to + j] = array[start + j]


@maker
def _narrowed(keys, values, counts, kept, floor, top, facts):
    """How many are kept of those that were collected, the least magnitude that they may have, and
    whether they are as many as was asked for, and numbers."""
    k, kind = facts[WANTED], values.dtype.type
    if kept > k > 0:
        limit, above = _kth(values[:kept], k)
        kept = pick_of(keys, values, counts, limit, k - above)
    if k:
        told = kept == k or not facts[FIXED]  # then all levels travel: from the same one on
        floor = _least(values[:kept]) if kept and told else kind(1)
    missed = facts[SAMPLES] and abs(kept - facts[ABOUT]) > facts[OFF]
    return kept, floor, not missed and np.int64(top) < facts[INFINITY]


@kernel
def first_floor(bits, facts, step):
    """A magnitude pattern above zero that elements which are kept reach; whether no others do."""
    kind = bits.dtype.type
    if facts[WANTED]:
        return _floor_of_sample(bits, facts[WANTED])
    if facts[SAMPLES]:
        sampled = np.empty(facts[SAMPLES], bits.dtype)
        take(bits, _drawn(bits.size, facts, step), sampled)
        limit, _ = _kth(sampled, facts[RANK])
        return kind(limit + kind(1)), False
    return kind(facts[THRESHOLD] + 1), False


@kernel
def first_floor_of_sum(grad, residual, gamma, beta, out, bits, facts, step):
    """`first_floor` of `gamma * grad + beta * residual`; and whether `out` holds all of that now.

    `bits` are the patterns of `out`.
    """
    kind, n, k = bits.dtype.type, bits.size, facts[WANTED]
    size, rank = _sampling(n, k) if k else (facts[SAMPLES], facts[RANK])
    if k and size == 0:
        compensate(grad, residual, gamma, beta, out)
        floor, exact = first_floor(bits, facts, step)
        return floor, exact, True
    if size == 0:
        return kind(facts[THRESHOLD] + 1), False, False
    places = _strata(n, size) if k else _drawn(n, facts, step)
    ours, theirs = np.empty(size, out.dtype), np.empty(size, out.dtype)
    take(grad, places, ours)
    take(residual, places, theirs)
    compensate(ours, theirs, gamma, beta, ours)
    sampled = ours.view(bits.dtype)
    if k:
        floor, _ = floor_of(sampled, rank, rank // 32)
        return max(floor, kind(1)), False, False
    limit, _ = _kth(sampled, rank)
    return kind(limit + kind(1)), False, False


@maker
def _floor_of_sample(bits, k):
    """A magnitude above zero that some more than k elements reach, and whether it is that of k."""
    kind, n = bits.dtype.type, bits.size
    if n <= FEW:
        floor, _ = floor_of(_largest_of_groups(bits) if k <= n // MANY else bits, k, 0)
        return max(floor, kind(1)), True
    size, rank = _sampling(n, k)
    if size == 0:
        floor, _ = _kth(bits, k)
        return max(floor, kind(1)), True
    sampled = np.empty(size, bits.dtype)
    take(bits, _strata(n, size), sampled)
    floor, _ = floor_of(sampled, rank, rank // 32)
    return max(floor, kind(1)), False


@inner
def _sampling(n, k):
    """How many elements are to be drawn, and which of them is reached by some more than k of all;
    none if one had better look at all of them."""
    if n <= FEW:
        return 0, 0
    stride = n // min(n >> 4, STRIDED)
    size, rank = (n - 1) // stride + 1, np.int64(k / stride * 1.2) + 16
    return (0, 0) if rank >= size // 8 else (size, rank)


@maker
def _strata(n, size):
    """Places that are drawn, as a stride could be that of the rows of a matrix."""
    places = np.empty(size, np.int64)
    draw_strata(n, np.uint64(n), places)
    return places


@maker
def _drawn(n, facts, step):
    """Places that are drawn for a tensor and a step."""
    seed = np.uint64(facts[NAME]) + np.uint64(step) * np.uint64(STEP_STRIDE)
    seed ^= np.uint64(facts[SEED])
    places = np.empty(facts[SAMPLES], np.int64)
    draw_strata(n, seed, places)
    return places


@maker
def _largest_of_groups(bits):
    """The largest magnitude of each: what k of them reach, k elements do at least."""
    size = bits.size // GROUP
    largest = np.zeros(size, bits.dtype)
    for first in range(0, size * GROUP, size):
        part = bits[first : first + size]
        for j in range(size):
            largest[j] = max(largest[j], magnitude(part[j]))
    return largest


@inner
def _least(bits):
    least = magnitude(bits[0])
    for i in range(bits.size):
        least = min(least, magnitude(bits[i]))
    return least
