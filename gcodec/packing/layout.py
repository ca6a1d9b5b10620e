"""Small arithmetic on chunks that choosing, writing and reading share."""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..format.directory import BLOCK
from ..format.sections import Tensor
from ..kernels.jobs import job_table

Ints = NDArray[np.int64]
MAX_WIDTH: Final = (1 << 16) - 1


def pieces_of(tensors: Sequence[Tensor], n: int, chunk_log2: int) -> tuple[Ints, Ints]:
    """Cut [0, n) where a chunk or a tensor ends: a job table for columns, and each piece's chunk.

    A piece of a tensor of two or more dimensions is a matrix with rows of numel / shape[0], unless
    these are longer than 65,535 or than half the piece. FIRST and COUNT are left at 0.
    """
    shapes = [(t.start, prod(t.shape), t.shape) for t in tensors]
    rows = [
        (at, numel // shape[0] if len(shape) > 1 else 0) for at, numel, shape in shapes if numel
    ]
    starts, widths = np.array(rows, np.int64).reshape(-1, 2).T
    begin = np.unique(np.concatenate((starts, np.arange(0, n, 1 << chunk_log2, dtype=np.int64))))
    length = np.append(begin[1:], n) - begin if begin.size else begin
    tensor = np.searchsorted(starts, begin, side="right") - 1
    width = widths[tensor]
    width = np.where((width >= 2) & (width <= MAX_WIDTH) & (length >= 2 * width), width, 0)
    phase = (begin - starts[tensor]) % np.maximum(width, 1)
    chunk = begin >> chunk_log2
    zeros = np.zeros_like(begin)
    within = begin - (chunk << chunk_log2)
    return job_table(phase, zeros, zeros, end=length, width=width, index=within), chunk


def starts_of(counts: Ints) -> Ints:
    """Where each chunk's elements start in an array of all."""
    starts: Ints = np.cumsum(counts) - counts
    return starts


def blocks_of(counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Of every block of 128 of every chunk: its chunk, first element and size."""
    blocks = -(-counts // BLOCK)
    chunk = np.repeat(np.arange(counts.size), blocks)
    within = np.arange(chunk.size) - np.repeat(starts_of(blocks), blocks)
    first = starts_of(counts)[chunk] + within * BLOCK
    return chunk, first, np.minimum(counts[chunk] - within * BLOCK, BLOCK)


def bit_length(values: Any) -> Ints:
    """Bits without leading zeros, of integers below 2**53."""
    return np.frexp(np.asarray(values, np.float64))[1].astype(np.int64)
