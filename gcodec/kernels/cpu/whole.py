"""A whole frame in one call: elements chosen, rounded, measured, laid out, written and sealed.

For what is asked of most gradients: the largest elements or those above a magnitude, as they are or
as levels of a logarithm. Everything else goes through the parts that this is made of, one by one,
to the same bytes.
"""

from functools import cache

import numpy as np

from ..plans import (
    CHUNK_LOG2,
    FIXED,
    GROWTH,
    LAST,
    LEVELS,
    MORE_WORK,
    NEXT,
    NOT_TAKEN,
    PAUSE,
    PAUSED,
    SAMPLES,
    WANTED,
    WRITTEN,
)
from .accumulate import settle, settle_levels
from .compose import compose, finish, room_to_measure
from .floor import first_floor, kth
from .gather import gather_known, most_of_chunk, move
from .jit import frozen, helper, inner, kernel, magnitude, maker, viewed
from .layout import levels_between, taken, with_signs
from .probe import sound_tier
from .ranks import FEW
from .selection import collect_by
from .vector import LANES

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
        values = viewed(work[: room * item], bits.dtype)
        keys = viewed(work[room * item : room * (item + 4)], np.uint32)
        joint = work[room * (item + 4) : room * (item + 5)]
        counts = np.empty(((n - 1) >> log2) + 1, np.int64)
        from_last = facts[NEXT] > 0
        floor, exact = first_floor(bits, facts, step)
        if _is_known(n, facts):
            measured = room_to_measure(n, counts, most_of_chunk(n, room, facts), True, facts)
            at, kept, top = gather_known(
                tier, bits, 0, counts.size, floor, keys, values, joint, counts, facts, measured
            )
            if at < n and not facts[SAMPLES]:
                return MORE_WORK, _more(bits, at, kept, room)
            if at < n:
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
            limit, _ = kth(bits, k)
            floor, exact = max(limit, kind(1)), True
        if not taken(kept, top, facts):
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
def _more(bits, at, kept, room):
    """Bytes of scratch that are likely enough, if so many of the first were kept."""
    wanted = max(2 * room, kept * bits.size // max(at, 1) * 9 // 8)
    return (min(wanted, bits.size) + SLACK) * (bits.itemsize + 5)


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
            move(keys, starts[part], kept, sizes[part])
            move(values, starts[part], kept, sizes[part])
            kept += sizes[part]
            counts[0] += counts[part]
            counts[part], sizes[part] = 0, 0
        sizes[0] = kept
        if kept < facts[WANTED] and not exact:
            _forget(facts)
            return NOT_TAKEN, 0, kept
        if not taken(kept, top, facts):
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
                settle_levels(residual, keys, counts[0], log2, joint, viewed(table, residual.dtype))
            else:
                settle(residual, keys, counts[0], log2, viewed(values, residual.dtype))
        return what, size, kept

    return finish_whole


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
    limit, above = kth(frozen(values), k)
    _remember(facts, np.int64(limit), np.int64(floor), kept)
    return limit, limit, k - above


@inner
def _remember(facts, limit, floor, kept):
    """Where to collect from next time: below the limit that the last ones let expect, as far as
    some more than enough take, or as they would have been wrong this time; unless that is far.

    The last limit, and more by what it grew if it grew about as much before: limits do while
    residuals fill up. See `NEXT`.
    """
    k, last, before = facts[WANTED], facts[LAST], facts[GROWTH]
    growth = limit - last if last else 0
    facts[LAST], facts[GROWTH], facts[NEXT] = limit, growth, 0
    if facts[PAUSE]:
        facts[PAUSE] -= 1
    elif last and k >= LEAST_REMEMBERED:
        each = (limit - floor) / (kept - k)
        steady = abs(growth - before) < abs(growth)
        off = abs(growth - before) if steady else abs(growth)
        gap = max(each * (k >> 4), 4.0 * off)
        if gap <= each * (k >> 2):
            expected = limit + growth if steady else limit
            facts[NEXT] = max(expected - np.int64(gap), 1)


@inner
def _forget(facts):
    """There were too few elements, or too many, from the magnitude on that the last ones told."""
    facts[NEXT], facts[PAUSE] = 0, PAUSED


@inner
def _least(bits):
    least = magnitude(bits[0])
    for i in range(bits.size):
        least = min(least, magnitude(bits[i]))
    return least
