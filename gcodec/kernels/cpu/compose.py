"""The frame of elements that were chosen: rounded, measured, laid out and written."""

import numpy as np

from ..plans import (
    ALLOWED,
    CHUNK_LOG2,
    FIXED,
    LEVELS,
    MEASURES,
    MOST_COUNTS,
    MOST_LEVELS,
    NOT_TAKEN,
    WRITTEN,
)
from .grid import FEW, grid_of, quantize, quantize_on
from .jit import helper, inner, maker, viewed
from .layout import lay_out, levels_between, seal
from .levels import count_levels
from .measure import CLASSES, KEY_CODECS, measure_chunk
from .pick import pick_by
from .write import write_chunks

TRIALS = 5 + KEY_CODECS
assert MEASURES == 1 + TRIALS + CLASSES
"""Rows of scratch of `measure_chunk`."""


@helper
def compose(tier, n, keys, values, joint, counts, low, high, limit, ties, facts, step, frame):
    """The frame of elements that were kept, of magnitudes `low` to `high`; also how many they are.

    If `ties` is not negative, those are kept that are above a limit, and so many that are equal.
    """
    most = np.int64(0)
    for chunk in range(counts.size):
        most = max(most, counts[chunk])
    coded, many = facts[LEVELS] > 0, keys.size >= FEW
    measured, first, kept = room_to_measure(n, counts, most, many, facts), 0, 0
    boundaries = values[:0]
    if coded:
        scale, begin, end = levels_between(facts, values, low, high)
        if end - begin >= MOST_LEVELS:
            return NOT_TAKEN, 0, keys.size
        boundaries = scale[begin:end]
    if coded and many:  # levels while they are in the nearest cache
        grid = grid_of(boundaries)
        for chunk in range(counts.size):
            before = kept
            first, kept, ties = _choose(
                tier, chunk, keys, values, counts, limit, ties, first, kept, facts, measured
            )
            quantize_on(grid, values[before:kept], joint[before:kept])
            tally(chunk, joint[before:kept], boundaries.size + 1, measured)
    else:
        for chunk in range(counts.size):
            first, kept, ties = _choose(
                tier, chunk, keys, values, counts, limit, ties, first, kept, facts, measured
            )
        if coded:
            quantize(values[:kept], boundaries, joint[:kept])
    keys, values, joint = keys[:kept], values[:kept], joint[:kept]
    what, size = finish(n, keys, values, joint, counts, low, high, facts, step, measured, frame)
    return what, size, kept


@helper
def _choose(tier, chunk, keys, values, counts, limit, ties, first, kept, facts, measured):
    """Pick and measure a chunk: where the next one starts, how many are kept, and ties left."""
    before, stop = kept, first + counts[chunk]
    if ties < 0:
        kept = stop
    else:
        kept, ties = pick_by(tier, keys, values, first, stop, limit, ties, kept)
    counts[chunk] = kept - before
    measure_one(chunk, keys[before:kept], facts, measured)
    return stop, kept, ties


@maker
def room_to_measure(n, counts, most, tallied, facts):
    """What is to be known of each chunk, of which none has more than `most` keys."""
    rows = counts.size if tallied and facts[LEVELS] and not facts[FIXED] else 0
    tallies = np.empty(
        (rows if rows * 2 * MOST_LEVELS <= MOST_COUNTS else 0, 2 * MOST_LEVELS), np.uint32
    )
    measured = measured_in(np.empty(MEASURES * counts.size, np.int64), tallies, most)
    fill_lengths(n, facts, measured)
    return measured


@maker
def measured_in(numbers, tallies, longest):
    """Lengths, trials and classes of chunks, with scratch for the one that is looked at; and how
    often each level occurs in each chunk, if `tallies` have rows."""
    n_chunks, rows = numbers.size // MEASURES, 1 + TRIALS
    lengths, trials = numbers[:n_chunks], numbers[n_chunks : rows * n_chunks]
    classes = numbers[rows * n_chunks :].reshape(n_chunks, CLASSES)
    skips = np.empty(longest, np.uint32)
    return lengths, trials.reshape(TRIALS, n_chunks), classes, skips, tallies


@inner
def fill_lengths(n, facts, measured):
    lengths, log2 = measured[0], facts[CHUNK_LOG2]
    for chunk in range(lengths.size):
        lengths[chunk] = min(n - (chunk << log2), 1 << log2)


@inner
def measure_one(chunk, keys, facts, measured):
    """`measure_chunk`, of a frame that is to be made."""
    lengths, trials, classes, skips, _ = measured
    measure_chunk(chunk, keys, lengths, facts[ALLOWED:], classes, trials, skips)


@helper
def tally(chunk, joint, levels, measured):
    """Count the values of a chunk by level and sign, of so many levels."""
    tallies = measured[4]
    if tallies.shape[0]:
        row = tallies[chunk]
        row[:] = 0
        count_levels(joint, row[: 2 * min(levels, MOST_LEVELS)])


@maker
def finish(n, keys, values, joint, counts, low, high, facts, step, measured, frame):
    """The frame of elements that were rounded and measured.

    `joint` are their levels from that of `low` on, if they have levels.
    """
    what, size, start, at, directory, rests, columns, codes, symbols = lay_out(
        n, keys, values, joint, counts, low, high, facts, step, measured, frame
    )
    if what == WRITTEN:
        width, payload = values.itemsize * 8, viewed(frame[start:size], np.uint64)
        write_chunks(
            0, counts.size, directory, rests, width, keys, columns, codes, joint, symbols, values,
            payload,
        )  # fmt: skip
        seal(directory, start, at, frame)
    return what, size
