"""Where to collect from: a magnitude that what is kept reaches, and little else."""

import numpy as np

from ...format.draws import STEP_STRIDE
from ..plans import (
    NAME,
    NEXT,
    RANK,
    SAMPLES,
    SEED,
    THRESHOLD,
    WANTED,
)
from .jit import frozen, inner, kernel, magnitude, maker, viewed
from .quantize import draw_strata
from .ranks import FEW, floor_of, kth_magnitude, kth_of_few
from .selection import compensate, take

STRIDED = 1 << 14
GROUP, MANY = 8, 32
"""Elements in a group, and for how many times as many it pays to look at groups first."""

BINS = 1 << 11


@maker
def kth(bits, k):
    """The k-th largest magnitude, and how many are above it."""
    if bits.size <= FEW:
        return kth_of_few(bits, k)
    return kth_magnitude(bits, k, np.empty(BINS, np.int64))


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
        limit, _ = kth(frozen(sampled), facts[RANK])
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
    sampled = viewed(ours, bits.dtype)
    if k:
        floor, _ = floor_of(sampled, rank, rank // 32)
        return max(floor, kind(1)), False, False
    limit, _ = kth(frozen(sampled), rank)
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
        floor, _ = kth(bits, k)
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
