"""Plain Python and NumPy kernels: what the others must equal, byte for byte."""

from .accumulate import accumulate, add_pairs, scatter, settle, settle_levels
from .checksum import chunk_checks, xxh64
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
from .huffman import code_lengths, codes, decode_table
from .keys import (
    classify,
    count_classes,
    list_columns,
    to_compact,
    to_gaps,
)
from .numbers import extent, sum_in_order
from .planes import (
    read_codes,
    write_bitmap,
    write_codes,
    write_fields,
    write_rests,
    write_unary,
)
from .quantize import draw_strata, quantize, round_randomly
from .rice import rice_fit
from .scales import find_blocks, rescale
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

__all__ = [
    "accumulate",
    "add_fields",
    "add_pairs",
    "add_up",
    "add_values",
    "check_directory",
    "chunk_checks",
    "classify",
    "clear_pairs",
    "code_chunks",
    "code_lengths",
    "codes",
    "collect",
    "collect_sum",
    "compensate",
    "correct",
    "count_above",
    "count_classes",
    "decode_table",
    "draw_strata",
    "estimate",
    "estimate_pairs",
    "extent",
    "fields_are_sound",
    "find_blocks",
    "first_corrupt",
    "insert",
    "insert_pairs",
    "kth_magnitude",
    "largest_between",
    "leave_out",
    "levels_are_sound",
    "list_columns",
    "magnitude_max",
    "pick",
    "put_fields",
    "put_sums",
    "put_values",
    "quantize",
    "read_codes",
    "read_keys",
    "read_values",
    "rescale",
    "rice_fit",
    "round_randomly",
    "scatter",
    "select_estimates",
    "settle",
    "settle_levels",
    "sum_in_order",
    "tail_sums",
    "tail_sums_of_pairs",
    "take",
    "to_compact",
    "to_gaps",
    "write_bitmap",
    "write_codes",
    "write_fields",
    "write_rests",
    "write_unary",
    "xxh64",
]
