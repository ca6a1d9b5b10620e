"""Canonical prefix codes of at most 12 bits (spec section 6)."""

import numpy as np

from .jit import kernel

MAX_LENGTH = 12


@kernel
def code_lengths(histogram, lengths, scratch):
    """Lengths of the best code of at most 12 bits: package-merge, leaves first among equals.

    Symbols that do not occur get 0; a symbol alone gets 1. Returns the bits that the code takes.
    `scratch` is int64[16, 2 * histogram.size]: the sorted leaves, two rows of weights, and per
    level which items of the merged row are leaves.
    """
    order, leaves, packages = scratch[0], scratch[1], scratch[2]
    lengths[:] = 0
    used = 0
    for symbol in range(histogram.size):  # insertion sort by (count, symbol)
        count = histogram[symbol]
        if count == 0:
            continue
        at = used
        while at > 0 and leaves[at - 1] > count:
            leaves[at], order[at] = leaves[at - 1], order[at - 1]
            at -= 1
        leaves[at], order[at] = count, symbol
        used += 1
    if used == 0:
        return 0
    if used == 1:
        lengths[order[0]] = 1
        return histogram[order[0]]
    n_packages = 0
    merged = scratch[3]
    size = 0
    for level in range(MAX_LENGTH):
        leaf = package = 0
        size = used + n_packages
        is_leaf = scratch[4 + level]
        for i in range(size):
            if package == n_packages or (leaf < used and leaves[leaf] <= packages[package]):
                merged[i] = leaves[leaf]
                is_leaf[i] = 1
                leaf += 1
            else:
                merged[i] = packages[package]
                is_leaf[i] = 0
                package += 1
        n_packages = size // 2
        for i in range(n_packages):
            packages[i] = merged[2 * i] + merged[2 * i + 1]
    take = 2 * used - 2
    for level in range(MAX_LENGTH - 1, -1, -1):
        is_leaf = scratch[4 + level]
        taken = 0
        for i in range(take):
            taken += is_leaf[i]
        for i in range(taken):
            lengths[order[i]] += 1
        take = 2 * (take - taken)
    bits = 0
    for symbol in range(histogram.size):
        bits += histogram[symbol] * np.int64(lengths[symbol])
    return bits


@kernel
def codes(lengths, words):
    """Canonical codes: by length, then symbol; first bit of a code in the lowest bit of `words`."""
    words[:] = 0
    code = 0
    for length in range(1, MAX_LENGTH + 1):
        code <<= 1
        for symbol in range(lengths.size):
            if lengths[symbol] == length:
                flipped = 0
                for bit in range(length):
                    flipped |= ((code >> bit) & 1) << (length - 1 - bit)
                words[symbol] = flipped
                code += 1
