"""Canonical prefix codes of at most 12 bits (spec section 6)."""

from fractions import Fraction

import numpy as np

MAX_LENGTH = 12


def code_lengths(histogram, lengths, scratch):
    """Lengths of the best code of at most 12 bits: package-merge, leaves first among equals.

    Symbols that do not occur get 0; a symbol alone gets 1. Returns the bits that the code takes.
    """
    lengths[:] = 0
    counts = histogram.tolist()
    leaves = sorted((count, symbol) for symbol, count in enumerate(counts) if count)
    if len(leaves) == 1:
        lengths[leaves[0][1]] = 1
    if len(leaves) > 1:
        row = [(count, 0, {symbol: 1}) for count, symbol in leaves]
        merged = list(row)
        for _ in range(MAX_LENGTH - 1):
            packages = [
                (a[0] + b[0], 1, _add(a[2], b[2]))
                for a, b in zip(merged[::2], merged[1::2], strict=False)
            ]
            merged = sorted(row + packages, key=lambda item: item[:2])
        for item in merged[: 2 * len(leaves) - 2]:
            for symbol, times in item[2].items():
                lengths[symbol] += times
    return sum(count * int(length) for count, length in zip(counts, lengths, strict=True))


def codes(lengths, words):
    """Canonical codes: by length, then symbol; first bit of a code in the lowest bit of `words`."""
    words[:] = 0
    code = previous = 0
    for length, symbol in sorted((int(n), s) for s, n in enumerate(lengths) if n):
        code <<= length - previous
        words[symbol] = int(f"{code:0{length}b}"[::-1], 2)
        code, previous = code + 1, length


def decode_table(lengths, table):
    """Fill `table`, uint16[4096], with symbol * 16 + length by the next 12 bits.

    Complete means that the code fills the code space (Kraft's sum is 1), or is one symbol of length
    1; then the table has no hole but the one symbol's other half, which is 0.
    """
    table[:] = 0
    used = [(int(n), s) for s, n in enumerate(lengths) if n]
    alone = len(used) == 1 and used[0][0] == 1
    if max(used, default=(99, 0))[0] > MAX_LENGTH:
        return False
    if not alone and sum(Fraction(1, 1 << n) for n, _ in used) != 1:
        return False
    words = np.zeros(len(lengths), np.int64)
    codes(lengths, words)
    for length, symbol in used:
        for rest in range(1 << MAX_LENGTH - length):
            table[int(words[symbol]) | rest << length] = symbol << 4 | length
    return True


def _add(a, b):
    return {symbol: a.get(symbol, 0) + b.get(symbol, 0) for symbol in {**a, **b}}
