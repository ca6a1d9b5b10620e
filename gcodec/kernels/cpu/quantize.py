"""Values to codes."""

import numpy as np

from .bits import ONE, ZERO, bit_length
from .jit import copy, helper, inner, kernel, magnitude, maker, viewed
from .numbers import TILE, to_numbers

TO_UNIT = 2.0**-53

CELLS_LOG2 = 12
MOST_CELLS = 1 << CELLS_LOG2

MOST_PERIODIC = 16


@inner
def period_of(boundaries):
    """After how many boundaries they repeat, and how many bits further on; 0 if they do not.

    Levels of a logarithm with a whole number of them to the octave do.
    """
    period = 1
    while period <= MOST_PERIODIC and period < boundaries.size:
        distance = np.uint64(boundaries[period] - boundaries[0])
        octave = bit_length(distance) - ONE
        if distance == ONE << octave:
            i = period
            while i < boundaries.size and (
                np.uint64(boundaries[i]) == np.uint64(boundaries[i - period]) + distance
            ):
                i += 1
            if i == boundaries.size:
                return period, np.int64(octave)
        period *= 2
    return 0, 0


@maker
def cut(boundaries):
    """Boundaries in cells of equal width, for `index`.

    Where the first begins, the shift that gives the number of a cell, and the last number; how many
    boundaries lie below each; all of them; and how many lie in one cell at most.
    """
    cells = np.empty(MOST_CELLS + 1, np.uint32)
    edges = np.empty(boundaries.size + 1, np.uint64)
    edges[boundaries.size] = ~ZERO
    lowest = reach = ZERO
    if boundaries.size:
        lowest = np.uint64(boundaries[0])
        reach = np.uint64(boundaries[boundaries.size - 1]) - lowest
    width = bit_length(reach)
    shift = width - min(width, np.uint64(CELLS_LOG2))
    last = reach >> shift
    below, most = 0, 0
    for cell in range(last + ONE):
        cells[cell] = before = below
        while below < boundaries.size and (
            np.uint64(boundaries[below]) - lowest
        ) >> shift == np.uint64(cell):
            edges[below] = boundaries[below]
            below += 1
        most = max(most, below - before)
    return lowest, shift, last, cells, edges, most


@inner
def index(bits, lowest, shift, last, cells, edges, most, joint):
    """2 * level + sign: boundaries below a magnitude's cell, and those in it that are compared."""
    sign = np.uint64(bits.itemsize * 8 - 1)
    for i in range(bits.size):
        size = np.uint64(magnitude(bits[i]))
        level = level_of(size, lowest, shift, last, cells, edges, most)
        joint[i] = level << ONE | np.uint64(bits[i]) >> sign


@helper
def level_of(size, lowest, shift, last, cells, edges, most):
    """How many boundaries are at or below a magnitude."""
    level = np.uint64(cells[min((max(size, lowest) - lowest) >> shift, last)])
    if most == 1:  # no guess that a CPU could get wrong
        return level + np.uint64(edges[level] <= size)
    while edges[level] <= size:
        level += ONE
    return level


@helper
def count_up_to(boundaries, size):
    """How many of ascending boundaries are at or below a uint64."""
    low, high = ZERO, np.uint64(boundaries.size)
    while low < high:
        middle = (low + high) >> ONE
        if np.uint64(boundaries[middle]) <= size:
            low = middle + ONE
        else:
            high = middle
    return low


@kernel
def round_randomly(bits, units, levels, zeros, seed, keys, counts, first, chunk_log2, joint):
    """2 * level + sign: one of the two ascending levels (float64) beside |x|, right on average.

    The upper one with probability (|x| - lower) / (upper - lower); the draw is by position, of
    `counts` keys in chunks from the `first` on. What is outside the levels becomes the first or
    last. The first `zeros` levels have no sign; how many become another. `units` as for
    `to_numbers`.
    """
    edges = np.empty(levels.size + 1)
    copy(levels, edges)
    edges[levels.size] = np.inf  # the last is drawn with probability 0
    cells = cut(viewed(levels[1:], np.uint64))
    patterns, drawn = np.empty(TILE, np.uint64), np.empty(TILE)
    numbers = viewed(patterns, np.float64)
    seed, least, staying, start = np.uint64(seed), np.uint64(zeros), ZERO, 0
    for chunk in range(counts.size):
        base = np.uint64(first + chunk) << np.uint64(chunk_log2)
        end = start + counts[chunk]
        for at in range(start, end, TILE):
            own = slice(at, min(at + TILE, end))
            to_numbers(bits[own], units, patterns, numbers)
            _draw_each(seed, base, keys[own], drawn)
            staying += _round(bits[own], patterns, numbers, drawn, edges, cells, least, joint[own])
        start = end
    return np.int64(staying)


@inner
def _draw_each(seed, base, keys, drawn):
    """A number of [0, 1) for each key."""
    for i in range(keys.size):
        bits = _draw(seed, base + np.uint64(keys[i])) >> np.uint64(11)
        drawn[i] = np.float64(bits) * TO_UNIT


@inner
def _round(bits, patterns, numbers, drawn, edges, cells, least, joint):
    """`round_randomly`, of numbers and draws, which are overwritten. Most of it is vector code."""
    lowest, shift, last, below, boundaries, most = cells
    for i in range(bits.size):
        joint[i] = level_of(patterns[i], lowest, shift, last, below, boundaries, most)
    for i in range(bits.size):
        level = np.uint64(joint[i])
        low = edges[level]
        drawn[i] = (numbers[i] - low) / (edges[level + ONE] - low) - drawn[i]
    sign, staying = np.uint64(bits.itemsize * 8 - 1), ZERO
    for i in range(bits.size):
        level = np.uint64(joint[i]) + np.uint64(drawn[i] > 0)
        stays = np.uint64(level >= least)
        joint[i] = level << ONE | np.uint64(bits[i]) >> sign & stays
        staying += stays
    return staying


@kernel
def draw_strata(n, seed, positions):
    """A position from each of as many equal strata of [0, n), by SplitMix64."""
    begin, samples = np.uint64(0), np.uint64(positions.size)
    width, more, rest = np.uint64(n) // samples, np.uint64(n) % samples, np.uint64(0)
    for i in range(samples):
        end, rest = begin + width, rest + more
        if rest >= samples:
            end, rest = end + ONE, rest - samples
        drawn = _draw(np.uint64(seed), i + ONE) % (end - begin)
        positions[i] = begin + drawn
        begin = end


@helper
def _draw(seed, counter):
    x = seed + counter * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
