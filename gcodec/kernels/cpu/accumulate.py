"""Kept elements back into a dense array."""

import numpy as np

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
    """`out[position] += value * scale`, each operation rounded to float32."""
    first = 0
    factor = np.float32(scale)
    for chunk in range(counts.size):
        part = out[chunk << chunk_log2 :]
        for j in range(first, first + counts[chunk]):
            part[keys[j]] += values[j] * factor
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
