"""The sum of what several frames hold."""

import numpy as np

from .accumulate import accumulate


def put_sums(keys, counts, values, chunk_log2, begin, end, divisor, out):
    """`out[position]` of chunks `begin` to `end` = sum of values there, in order, over `divisor`.

    Where no value is, 0.
    """
    own = out[begin << chunk_log2 : end << chunk_log2]
    own.fill(0)
    for each_keys, each_counts, each_values in zip(keys, counts, values, strict=True):
        first, stop = each_counts[:begin].sum(), each_counts[:end].sum()
        kept = each_keys[first:stop], each_counts[begin:end], chunk_log2, each_values[first:stop]
        accumulate(*kept, own.dtype.type(1), own)
    with np.errstate(over="ignore", invalid="ignore"):
        np.divide(own, divisor, out=own)
