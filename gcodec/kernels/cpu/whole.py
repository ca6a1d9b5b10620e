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
    LAST,
    LEVELS,
    MORE_WORK,
    NAME,
    NEXT,
    NOT_TAKEN,
    OFF,
    PAUSE,
    PAUSED,
    RANK,
    SAMPLES,
    SEED,
    THRESHOLD,
    WANTED,
    WRITTEN,
)
from .accumulate import settle, settle_levels
from .compose import (
    MOST_LEVELS,
    compose,
    fill_lengths,
    finish,
    levels_between,
    measure_one,
    measured_in,
    room_to_measure,
    with_signs,
)
from .jit import helper, inner, kernel, magnitude, maker
from .probe import sound_tier
from .quantize import draw_strata, grid_of, quantize_on
from .ranks import FEW, floor_of, kth_magnitude, kth_of_few
from .selection import collect_by, compensate, take
from .vector import LANES

STRIDED = 1 << 14
GROUP, MANY = 8, 32
"""Elements in a group, and for how many times as many it pays to look at groups first."""

BINS = 1 << 11
LEAST_REMEMBERED = 64
"""How many elements must be wanted for the last ones to tell where to begin."""

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
        from_last = facts[NEXT] > 0
        floor, exact = first_floor(bits, facts, step)
        if _is_known(n, facts):
            measured = room_to_measure(n, counts, facts)
            at, kept, top = gather_known(
                tier, bits, 0, counts.size, floor, keys, values, joint, counts, facts, measured
            )
            if at < n and not facts[SAMPLES]:
                return MORE_WORK, _more(bits, at, kept, room)
            if at < n or not _taken(kept, top, facts):
                return NOT_TAKEN, 0
            return finish(
                n, keys[:kept], values, joint[:kept], counts, floor, max(floor, top), facts, step,
                measured, frame,
            )  # fmt: skip
        while True:
            counts[:] = 0
            at, kept, top, _ = collect_by(
                tier, bits, 0, floor, log2, 0, 0, True, keys, values, counts
            )
            if at == n and (kept >= k or exact):
                break
            if at < n and facts[SAMPLES]:
                return NOT_TAKEN, 0
            if from_last:
                from_last = False
                _forget(facts)
                floor, exact = first_floor(bits, facts, step)
                continue
            if at < n and (exact or not k):
                return MORE_WORK, _more(bits, at, kept, room)
            limit, _ = _kth(bits, k)
            floor, exact = max(limit, kind(1)), True
        if not _taken(kept, top, facts):
            return NOT_TAKEN, 0
        low, limit, ties = _limits(values[:kept], floor, facts)
        what, size, _ = compose(
            tier, n, keys[:kept], values[:kept], joint[:kept], counts, low, max(low, top), limit,
            ties, facts, step, frame,
        )  # fmt: skip
        return what, size

    return encode_whole


@helper
def _is_known(n, facts):
    """Whether all elements from a magnitude on are sent as levels, and many."""
    return facts[LEVELS] > 0 and facts[WANTED] == 0 and n > FEW


@helper
def gather_known(tier, bits, begin, end, floor, keys, values, joint, counts, facts, measured):
    """Collect, round and measure elements of chunks `begin` to `end`, while these are near.

    As by `collect_by`: where it stopped, how many there are, and the largest magnitude. `values`
    hold those of one chunk.
    """
    scale, first, _ = levels_between(facts, values, floor, floor)
    grid = grid_of(scale[first : min(first + MOST_LEVELS, facts[LEVELS]) - 1])
    log2 = facts[CHUNK_LOG2]
    at, kept, top, few = begin << log2, 0, floor, True
    for chunk in range(begin, end):
        stop, before = min((chunk + 1) << log2, bits.size), kept
        counts[chunk] = 0
        at, size, high, few = collect_by(
            tier, bits[:stop], 0, floor, log2, at, 0, few, keys[before:], values, counts
        )
        kept, top = before + size, max(top, high)
        if at < stop:
            break
        quantize_on(grid, values[:size], joint[before:kept])
        measure_one(chunk, keys[before:kept], facts, measured)
    return at, kept, top


@helper
def _more(bits, at, kept, room):
    """Bytes of scratch that are likely enough, if so many of the first were kept."""
    wanted = max(2 * room, kept * bits.size // max(at, 1) * 9 // 8)
    return (min(wanted, bits.size) + SLACK) * (bits.itemsize + 5)


def range_gatherer():
    """The kernel for this CPU."""
    return _range_gatherer(sound_tier())


@cache
def _range_gatherer(tier):
    @kernel
    def gather_range(bits, begin, end, floor, keys, values, joint, counts, facts, numbers):
        """`gather_known`, with `numbers` as by `MEASURES`: int64[chunks * MEASURES]."""
        measured = measured_in(numbers, 1 << facts[CHUNK_LOG2])
        fill_lengths(bits.size, facts, measured)
        return gather_known(
            tier, bits, begin, end, floor, keys, values, joint, counts, facts, measured
        )

    return gather_range


@kernel
def finish_gathered(
    n, keys, values, joint, starts, sizes, counts, floor, top, facts, step, numbers, frame
):
    """Write the frame of elements that were gathered in parts.

    Parameters
    ----------
    keys, joint : uint32, uint8[room]
        Keys within chunks, and levels with signs of the first `sizes[i]` elements from `starts[i]`
        on. Like `sizes` they are those of one part afterwards.
    values : unsigned[any]
        Of which only the type is told.
    floor, top : unsigned
        What magnitudes are at least, and at most.
    numbers : int64[chunks * MEASURES]
        Of all chunks.
    """
    kept = sizes[0]
    for part in range(1, sizes.size):
        _move(keys, starts[part], kept, sizes[part])
        _move(joint, starts[part], kept, sizes[part])
        kept += sizes[part]
        sizes[part] = 0
    sizes[0] = kept
    if not _taken(kept, top, facts):
        return NOT_TAKEN, 0
    measured = measured_in(numbers, 0)
    return finish(
        n, keys[:kept], values, joint[:kept], counts, floor, max(floor, top), facts, step,
        measured, frame,
    )  # fmt: skip


def whole_finisher():
    """The kernel for this CPU."""
    return _finisher(sound_tier())


@cache
def _finisher(tier):
    @kernel
    def finish_whole(
        n, keys, values, joint, starts, sizes, counts, floor, exact, top, residual, facts, step,
        frame,
    ):  # fmt: skip
        """Write the frame of elements that were collected in parts; also how many were kept.

        Parameters
        ----------
        keys, values, joint : uint32, unsigned and uint8[room]
            Keys within chunks, and patterns of the first `sizes[i]` elements from `starts[i]` on.
        starts, sizes : int64[parts]
        counts : int64[parts, chunks]
            Like `keys`, `values` and `sizes` they are those of one part afterwards, all that was
            kept.
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
            _forget(facts)
            return NOT_TAKEN, 0, kept
        if not _taken(kept, top, facts):
            return NOT_TAKEN, 0, kept
        low, limit, ties = _limits(values[:kept], floor, facts)
        high = max(low, top)
        what, size, kept = compose(
            tier, n, keys[:kept], values[:kept], joint[:kept], counts[0], low, high, limit, ties,
            facts, step, frame,
        )  # fmt: skip
        sizes[0] = kept
        keys, values, joint = keys[:kept], values[:kept], joint[:kept]
        if what == WRITTEN and residual.size:
            log2 = facts[CHUNK_LOG2]
            if facts[LEVELS]:
                scale, first, last = levels_between(facts, values, low, high)
                table = with_signs(scale[facts[LEVELS] - 1 + first : facts[LEVELS] + last])
                settle_levels(residual, keys, counts[0], log2, joint, table.view(residual.dtype))
            else:
                settle(residual, keys, counts[0], log2, values.view(residual.dtype))
        return what, size, kept

    return finish_whole


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


@helper
def _taken(kept, top, facts):
    """Whether there are as many as was asked for, and all are numbers."""
    missed = facts[SAMPLES] and abs(kept - facts[ABOUT]) > facts[OFF]
    return not missed and np.int64(top) < facts[INFINITY]


@maker
def _limits(values, floor, facts):
    """The least magnitude that kept ones may have; what picks them from those that were collected,
    a limit and how many that are equal to it, or -1 if all are kept."""
    k, kept, kind = facts[WANTED], values.size, values.dtype.type
    if k == 0:
        return floor, floor, -1
    if kept <= k:  # if all levels travel anyway, there is one for the least number
        told = kept > 0 and (kept == k or not facts[FIXED])
        return (_least(values) if told else kind(1)), floor, -1
    limit, above = _kth(values, k)
    _remember(facts, np.int64(limit), np.int64(floor), kept)
    return limit, limit, k - above


@inner
def _remember(facts, limit, floor, kept):
    """Where to collect from next time: as far below the limit as some more than enough take.

    If limits are much alike from one time to the next; see `NEXT`.
    """
    k, last = facts[WANTED], facts[LAST]
    facts[LAST], facts[NEXT] = limit, 0
    if facts[PAUSE]:
        facts[PAUSE] -= 1
    elif last and k >= LEAST_REMEMBERED:
        each = (limit - floor) / (kept - k)
        gap = max(each * (k >> 4), 4.0 * abs(limit - last))
        if gap <= each * (k >> 2):
            facts[NEXT] = max(limit - np.int64(gap), 1)


@inner
def _forget(facts):
    """There were too few elements, or too many, from the magnitude on that the last ones told."""
    facts[NEXT], facts[PAUSE] = 0, PAUSED


@kernel
def first_floor(bits, facts, step):
    """A magnitude pattern above zero that elements which are kept reach; whether no others do."""
    kind = bits.dtype.type
    if facts[NEXT]:
        return kind(facts[NEXT]), False
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
    if facts[NEXT]:
        return kind(facts[NEXT]), False, False
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
