"""Elements above a magnitude that is known: rounded and measured while they are near."""

from functools import cache

import numpy as np

from ..plans import CHUNK_LOG2, FIXED, LEVELS, MOST_LEVELS, WIDEST
from .compose import fill_lengths, measure_one, measured_in, tally
from .grid import grid_of, quantize_on
from .jit import helper, inner, kernel
from .layout import lay_out, levels_between, seal
from .probe import sound_tier
from .quantize import count_up_to
from .selection import collect_by

LEAST_MEASURED = 1 << 12


@helper
def most_of_chunk(n, room, facts):
    """How many keys of a chunk there is room to measure, if there is room for so many in all."""
    longest = min(n, 1 << facts[CHUNK_LOG2])
    return longest if room >= n else min(longest, max(room // 4, LEAST_MEASURED))


@helper
def gather_known(tier, bits, begin, end, floor, keys, values, joint, counts, facts, measured):
    """Collect, round and measure elements of chunks `begin` to `end`, while these are near.

    As by `collect_by`: where it stopped, how many there are, and the largest magnitude. `values`
    hold those of one chunk, and there is room to measure a chunk of `most_of_chunk`.
    """
    scale, first, _ = levels_between(facts, values, floor, floor)
    starts = scale[: facts[LEVELS] - 1]
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
        if at < stop or size > measured[3].size:
            at = min(at, stop - 1)
            break
        quantize_on(grid, values[:size], joint[before:kept])
        levels = np.int64(count_up_to(starts, np.uint64(max(high, floor)))) - np.int64(first) + 1
        tally(chunk, joint[before:kept], levels, measured)
        measure_one(chunk, keys[before:kept], facts, measured)
    return at, kept, top


def range_gatherer():
    """The kernel for this CPU."""
    return _range_gatherer(sound_tier())


@cache
def _range_gatherer(tier):
    @kernel
    def gather_range(bits, begin, end, floor, keys, values, joint, counts, facts, numbers, tallies):
        """`gather_known`, with `numbers` as by `MEASURES`: int64[chunks * MEASURES].

        `tallies` are uint32[chunks or 0, 2 * MOST_LEVELS].
        """
        most = most_of_chunk(bits.size, keys.size, facts)
        measured = measured_in(numbers, tallies, most)
        fill_lengths(bits.size, facts, measured)
        return gather_known(
            tier, bits, begin, end, floor, keys, values, joint, counts, facts, measured
        )

    return gather_range


@kernel
def lay_out_gathered(
    n, keys, values, joint, starts, sizes, counts, floor, top, facts, step, numbers, tallies, frame
):  # fmt: skip
    """The frame of elements that were gathered in parts, as by `lay_out`.

    Parameters
    ----------
    keys, joint : uint32, uint8[room]
        Keys within chunks, and levels with signs of the first `sizes[i]` elements from `starts[i]`
        on. If all of them need to be looked at, `starts` are set to where they were moved.
    values : unsigned[any]
        Of which only the type is told.
    floor, top : unsigned
        What magnitudes are at least, and at most.
    numbers : int64[chunks * MEASURES]
        Of all chunks, and `tallies` as well.
    """
    kept, counted = np.int64(0), facts[FIXED] > 0 or tallies.shape[0] > 0
    looked_at = facts[WIDEST] > 1 or not counted
    for part in range(sizes.size):
        if looked_at:
            move(keys, starts[part], kept, sizes[part])
            move(joint, starts[part], kept, sizes[part])
            starts[part] = kept
        kept += sizes[part]
    measured = measured_in(numbers, tallies, 0)
    return lay_out(
        n, keys[:kept], values, joint[:kept], counts, floor, max(floor, top), facts, step,
        measured, frame,
    )  # fmt: skip


@kernel
def seal_gathered(directory, start, at, frame):
    """`seal`, once chunks are written."""
    seal(directory, start, at, frame)


@inner
def move(array, start, to, size):
    for j in range(size):
        array[to + j] = array[start + j]
