"""Kept elements back into a dense array."""

from .jit import kernel, prefetch

AHEAD = 128
"""Elements between the one that is written and the one whose cache line is asked for.

Keys are sparse: without it every write waits for memory.
"""


@kernel
def scatter(keys, counts, chunk_log2, values, out):
    """`out[position] = value`."""
    first = 0
    for chunk in range(counts.size):
        part = out[chunk << chunk_log2 :]
        stop = first + counts[chunk]
        own, more = keys[first:stop], values[first:stop]
        last = own.size - 1
        for j in range(own.size):
            prefetch(part, own[min(j + AHEAD, last)])
            part[own[j]] = more[j]
        first = stop


@kernel
def accumulate(keys, counts, chunk_log2, values, scale, out):
    """`out[position] += value * scale`, each operation rounded to the type of all three."""
    first = 0
    for chunk in range(counts.size):
        part = out[chunk << chunk_log2 :]
        stop = first + counts[chunk]
        own, more = keys[first:stop], values[first:stop]
        last = own.size - 1
        for j in range(own.size):
            prefetch(part, own[min(j + AHEAD, last)])
            part[own[j]] += more[j] * scale
        first = stop


@kernel
def settle(residual, keys, counts, chunk_log2, decoded):
    """`residual[position] -= decoded`: what the message carried leaves the residual."""
    first = 0
    for chunk in range(counts.size):
        part = residual[chunk << chunk_log2 :]
        stop = first + counts[chunk]
        own, more = keys[first:stop], decoded[first:stop]
        last = own.size - 1
        for j in range(own.size):
            prefetch(part, own[min(j + AHEAD, last)])
            part[own[j]] -= more[j]
        first = stop


@kernel
def settle_levels(residual, keys, counts, chunk_log2, joint, table):
    """`settle` of what each number decodes to."""
    first = 0
    for chunk in range(counts.size):
        part = residual[chunk << chunk_log2 :]
        stop = first + counts[chunk]
        own, more = keys[first:stop], joint[first:stop]
        last = own.size - 1
        for j in range(own.size):
            prefetch(part, own[min(j + AHEAD, last)])
            part[own[j]] -= table[more[j]]
        first = stop


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
