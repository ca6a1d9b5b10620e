"""Kept elements back into a dense array, on CUDA: a thread block for each chunk."""

import numpy as np

THREADS = 256


def scatter(cuda):
    """Kernel: `out[position] = value`.

    keys : uint32[nnz]; starts : uint64[chunks + 1], where the keys of each chunk begin;
    chunk_log2 : uint64; values, out : of a kind
    """

    def kernel(keys, starts, chunk_log2, values, out):
        chunk = np.uint64(cuda.blockIdx.x)
        base = chunk << chunk_log2
        j = starts[chunk] + np.uint64(cuda.threadIdx.x)
        while j < starts[chunk + np.uint64(1)]:
            out[base + np.uint64(keys[j])] = values[j]
            j += np.uint64(THREADS)

    return kernel


def accumulate(cuda, memory):
    """Kernel: `out[position] += value * scale`, each operation rounded to float32 or float64.

    As for `scatter`; a scale of -1 takes off what a message carried.
    """
    multiply, add = memory.multiply, memory.add

    def kernel(keys, starts, chunk_log2, values, scale, out):
        chunk = np.uint64(cuda.blockIdx.x)
        base = chunk << chunk_log2
        j = starts[chunk] + np.uint64(cuda.threadIdx.x)
        while j < starts[chunk + np.uint64(1)]:
            at = base + np.uint64(keys[j])
            out[at] = add(out[at], multiply(values[j], scale))
            j += np.uint64(THREADS)

    return kernel
