"""Numba kernels for the CPU."""

from .accumulate import accumulate, add_pairs, scatter, settle, settle_levels
from .checksum import chunk_checks, xxh64
from .compact import compact_keys, cut_pieces
from .dense import (
    add_fields,
    add_up,
    add_values,
    code_chunks,
    fields_are_sound,
    put_fields,
    put_values,
)
from .directory import check_directory, levels_are_sound
from .floor import first_floor, first_floor_of_sum
from .gather import lay_out_gathered, range_gatherer, seal_gathered
from .grid import quantize
from .huffman import code_lengths, codes
from .levels import measure_values
from .measure import measure_keys
from .numbers import extent, sum_in_order
from .pick import leave_out, pick
from .prove import prove_whole
from .quantize import draw_strata, round_randomly
from .ranks import kth_magnitude, largest_between
from .scales import find_blocks, rescale
from .selection import (
    collect,
    collect_sum,
    compensate,
    correct,
    count_above,
    magnitude_max,
    tail_sums,
    tail_sums_of_pairs,
    take,
)
from .sketch import (
    clear_pairs,
    estimate,
    estimate_pairs,
    insert,
    insert_pairs,
    select_estimates,
)
from .sums import put_sums
from .unpack import first_corrupt, read_keys, read_values
from .whole import whole_encoder, whole_finisher
from .write import measure_chunks, write_chunks

__all__ = [
    "accumulate",
    "add_fields",
    "add_pairs",
    "add_up",
    "add_values",
    "check_directory",
    "chunk_checks",
    "clear_pairs",
    "code_chunks",
    "code_lengths",
    "codes",
    "collect",
    "collect_sum",
    "compact_keys",
    "compensate",
    "correct",
    "count_above",
    "cut_pieces",
    "draw_strata",
    "estimate",
    "estimate_pairs",
    "extent",
    "fields_are_sound",
    "find_blocks",
    "first_corrupt",
    "first_floor",
    "first_floor_of_sum",
    "insert",
    "insert_pairs",
    "kth_magnitude",
    "largest_between",
    "lay_out_gathered",
    "leave_out",
    "levels_are_sound",
    "magnitude_max",
    "measure_chunks",
    "measure_keys",
    "measure_values",
    "pick",
    "prove_whole",
    "put_fields",
    "put_sums",
    "put_values",
    "quantize",
    "range_gatherer",
    "read_keys",
    "read_values",
    "rescale",
    "round_randomly",
    "scatter",
    "seal_gathered",
    "select_estimates",
    "settle",
    "settle_levels",
    "sum_in_order",
    "tail_sums",
    "tail_sums_of_pairs",
    "take",
    "whole_encoder",
    "whole_finisher",
    "write_chunks",
    "xxh64",
]
