"""How many positions lie between keys, and what they take in each packing (spec section 13)."""

import numpy as np

from ...format.directory import BLOCK
from ...format.ids import MAX_KEY_RICE
from .bits import ONE, bit_length
from .jit import inner, shifted

TILE = 1 << 12
"""Keys that stay in the nearest cache."""


@inner
def to_skips(keys, skips):
    """How many positions lie between each key and the one before: gaps less one."""
    skips[0] = keys[0]
    before, after = keys[:-1], keys[1:]
    rest = skips[1:]
    for j in range(rest.size):
        rest[j] = after[j] - before[j] - np.uint32(1)


@inner
def count_classes(skips, classes):
    """How many gaps have each bit length, from how many have at least that."""
    most = np.uint32(0)
    classes[:] = 0
    for j in range(skips.size):
        most = max(most, skips[j])
    last = np.int64(bit_length(np.uint64(most) + ONE))
    for start in range(0, skips.size, TILE):
        part = skips[start : start + TILE]
        classes[1] += part.size
        for size in range(2, last + 1):
            least, reached = np.uint32((1 << size - 1) - 1), np.uint32(0)
            for j in range(part.size):
                reached += np.uint32(part[j] >= least)
            classes[size] += reached
            classes[size - 1] -= reached


@inner
def fit_rice(skips, total):
    """Smallest parameter that costs least, and the unary bits; `total` is the sum of all symbols.

    Going from k to k + 1 adds one low bit per symbol and saves sum(ceil((symbol >> k) / 2)); the
    saving shrinks with k, so the optimum is the first k that does not save. It is looked for from
    the bit length of the mean, where two parameters are tried in one pass.
    """
    size = skips.size
    k = min(max(np.int64(bit_length(np.uint64(total // size))) - 2, 0), MAX_KEY_RICE - 1)
    this, saved, other, saved_next = _unary(skips, k)
    while saved_next > size and k < MAX_KEY_RICE - 1:
        k += 1
        this, saved, other, saved_next = _unary(skips, k)
    while saved <= size and k > 0:
        k -= 1
        this, saved, other, saved_next = _unary(skips, k)
    if saved > size:
        return k + 1, size + other
    return k, size + this


@inner
def _unary(skips, k):
    """Sums of all symbols >> k, and of half of that, rounded up; both of k + 1 too.

    Of a chunk, they fit 32 bits.
    """
    one, shift = np.uint32(1), np.uint32(k)
    this, odd, other, odd_next = np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
    for j in range(skips.size):
        symbol = shifted(skips[j], shift)
        half = shifted(symbol, one)
        this += symbol
        odd += np.uint32(symbol & one)
        other += half
        odd_next += np.uint32(half & one)
    both, both_next = np.int64(this) + np.int64(odd), np.int64(other) + np.int64(odd_next)
    return np.int64(this), both >> 1, np.int64(other), both_next >> 1


@inner
def block_bits(skips):
    """Bits of all blocks, each of the width of its largest."""
    bits, start, size = np.uint64(0), np.uint64(0), np.uint64(skips.size)
    while start < size:
        stop = min(start + np.uint64(BLOCK), size)
        some = np.uint32(0)
        for j in range(start, stop):
            some |= skips[j]
        bits += (stop - start) * bit_length(some)
        start = stop
    return np.int64(bits)
