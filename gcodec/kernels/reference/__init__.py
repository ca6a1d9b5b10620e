"""Plain Python and NumPy kernels: what the others must equal, byte for byte."""

from .accumulate import accumulate, scatter, settle
from .checksum import chunk_checks, xxh64
from .packing import pack, rice_fit, rice_fit_gaps, unpack
from .quantize import quantize
from .selection import compensate, count_above, gather, kth_magnitude, magnitude_max

__all__ = [
    "accumulate",
    "chunk_checks",
    "compensate",
    "count_above",
    "gather",
    "kth_magnitude",
    "magnitude_max",
    "pack",
    "quantize",
    "rice_fit",
    "rice_fit_gaps",
    "scatter",
    "settle",
    "unpack",
    "xxh64",
]
