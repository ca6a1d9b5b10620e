"""Rice parameters."""

import numpy as np

from ..jobs import COUNT, FIRST
from .bits import ONE, bit_length
from .jit import kernel


@kernel
def rice_fit(jobs, symbols, limit, parameters, high_bits):
    """Smallest parameter up to `limit` that costs least, and the unary bits, of each job.

    Going from k to k + 1 adds one low bit per symbol and saves sum(ceil((symbol >> k) / 2)); the
    saving shrinks with k, so the optimum is the first k that does not save. It is looked for from
    the bit length of the mean.
    """
    for job in range(jobs.shape[0]):
        first = jobs[job, FIRST]
        part = symbols[first : first + jobs[job, COUNT]]
        total = np.uint64(0)
        for j in range(part.size):
            total += np.uint64(part[j])
        mean = total // np.uint64(max(part.size, 1))
        k = min(np.int64(bit_length(mean)), limit)
        while k > 0 and _saved(part, k - 1) <= part.size:
            k -= 1
        while k < limit and _saved(part, k) > part.size:
            k += 1
        high = np.uint64(part.size)
        for j in range(part.size):
            high += np.uint64(part[j]) >> np.uint64(k)
        parameters[job] = k
        high_bits[job] = high


@kernel
def _saved(symbols, k):
    saved = np.uint64(0)
    shift = np.uint64(k)
    for j in range(symbols.size):
        saved += ((np.uint64(symbols[j]) >> shift) + ONE) >> ONE
    return np.int64(saved)
