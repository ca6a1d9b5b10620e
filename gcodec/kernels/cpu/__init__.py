"""Numba kernels for the CPU."""

from .accumulate import accumulate, add_pairs, scatter, settle
from .checksum import chunk_checks, xxh64
from .directory import check_directory, levels_are_sound
from .huffman import code_lengths, codes
from .keys import (
    count_classes,
    list_columns,
    to_compact,
    to_gaps,
)
from .levels import measure_values
from .measure import measure_keys
from .quantize import quantize, round_randomly
from .selection import (
    collect,
    collect_sum,
    compensate,
    correct,
    count_above,
    kth_magnitude,
    largest_between,
    leave_out,
    magnitude_max,
    pick,
    tail_sums,
    tail_sums_of_pairs,
)
from .unpack import first_corrupt, read_keys, read_values
from .write import measure_chunks, write_chunks

__all__ = [
    "accumulate",
    "add_pairs",
    "check_directory",
    "chunk_checks",
    "code_lengths",
    "codes",
    "collect",
    "collect_sum",
    "compensate",
    "correct",
    "count_above",
    "count_classes",
    "first_corrupt",
    "kth_magnitude",
    "largest_between",
    "leave_out",
    "levels_are_sound",
    "list_columns",
    "magnitude_max",
    "measure_chunks",
    "measure_keys",
    "measure_values",
    "pick",
    "quantize",
    "read_keys",
    "read_values",
    "round_randomly",
    "scatter",
    "settle",
    "tail_sums",
    "tail_sums_of_pairs",
    "to_compact",
    "to_gaps",
    "write_chunks",
    "xxh64",
]
