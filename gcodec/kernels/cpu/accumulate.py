"""Kept elements back into a dense array."""

from .jit import kernel


@kernel
def scatter(keys, counts, chunk_log2, values, out):
    """`out[position] = value`."""
    first = 0
    for chunk in range(counts.size):
        part = out[chunk << chunk_log2 :]
        for j in range(first, first + counts[chunk]):
            part[keys[j]] = values[j]
        first += counts[chunk]


@kernel
def accumulate(keys, counts, chunk_log2, values, scale, out):
    """`out[position] += value * scale`, each operation rounded to the type of all three."""
    first = 0
    for chunk in range(counts.size):
        part = out[chunk << chunk_log2 :]
        for j in range(first, first + counts[chunk]):
            part[keys[j]] += values[j] * scale
        first += counts[chunk]


@kernel
def settle(residual, keys, counts, chunk_log2, decoded):
    """`residual[position] -= decoded`: what the message carried leaves the residual."""
    first = 0
    for chunk in range(counts.size):
        part = residual[chunk << chunk_log2 :]
        for j in range(first, first + counts[chunk]):
            part[keys[j]] -= decoded[j]
        first += counts[chunk]


@kernel
def add_pairs(keys, values, more_keys, more_values, merged, total):
    """Two ascending lists of pairs into one, values of the same key added; returns its length."""
    i = j = size = 0
    while i < keys.size or j < more_keys.size:
        if j == more_keys.size or (i < keys.size and keys[i] < more_keys[j]):
            merged[size], total[size] = keys[i], values[i]
            i += 1
        elif i == keys.size or more_keys[j] < keys[i]:
            merged[size], total[size] = more_keys[j], more_values[j]
            j += 1
        else:
            merged[size], total[size] = keys[i], values[i] + more_values[j]
            i += 1
            j += 1
        size += 1
    return size
