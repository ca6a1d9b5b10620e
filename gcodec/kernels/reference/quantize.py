"""Values to codes."""

import numpy as np

from .numbers import to_numbers
from .selection import magnitudes


def quantize(bits, boundaries, joint):
    """2 * level + sign: the level is how many boundaries are at or below the magnitude.

    Boundaries are ascending magnitude patterns.
    """
    levels = np.searchsorted(boundaries, magnitudes(bits), side="right").astype(np.uint32)
    joint[:] = levels << np.uint32(1) | (magnitudes(bits) != bits)


def round_randomly(bits, units, levels, zeros, seed, keys, counts, first, chunk_log2, joint):
    """2 * level + sign: one of the two ascending levels (float64) beside |x|, right on average.

    The upper one with probability (|x| - lower) / (upper - lower); the draw is by position, of
    `counts` keys in chunks from the `first` on. What is outside the levels becomes the first or
    last. The first `zeros` levels have no sign; how many become another. `units` as for
    `to_numbers`.
    """
    starts = np.arange(first, first + counts.size) << chunk_log2
    positions = np.repeat(starts, counts) + keys
    negative, staying = (magnitudes(bits) != bits).tolist(), 0
    for i, (x, position) in enumerate(
        zip(to_numbers(bits, units).tolist(), positions.tolist(), strict=True)
    ):
        level = max(int(np.searchsorted(levels, x, side="right")) - 1, 0)
        if level + 1 < levels.size and x > levels[level]:
            part = (x - levels[level]) / (levels[level + 1] - levels[level])
            level += (_draw(seed, position) >> 11) * 2.0**-53 < part
        joint[i] = 2 * level + (negative[i] and level >= zeros)
        staying += level >= zeros
    return staying


def draw_strata(n, seed, positions):
    """A position from each of as many equal strata of [0, n), by SplitMix64."""
    samples = positions.size
    for i in range(samples):
        begin, end = i * n // samples, (i + 1) * n // samples
        positions[i] = begin + _draw(seed, i + 1) % (end - begin)


def _draw(seed, counter):
    """SplitMix64's output after so many steps from a seed."""
    x = (int(seed) + counter * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31
