"""Plain Python and NumPy kernels: what the others must equal, byte for byte."""

from .accumulate import accumulate, add_pairs, scatter, settle
from .checksum import chunk_checks, xxh64
from .huffman import code_lengths, codes, decode_table
from .keys import (
    check_keys,
    classify,
    count_classes,
    from_compact,
    from_gaps,
    list_columns,
    to_compact,
    to_gaps,
)
from .planes import (
    read_bitmap,
    read_codes,
    read_fields,
    read_rests,
    read_signs,
    read_unary,
    spare_bits,
    write_bitmap,
    write_codes,
    write_fields,
    write_rests,
    write_unary,
)
from .quantize import look_up, quantize
from .rice import rice_fit
from .selection import compensate, count_above, gather, kth_magnitude, magnitude_max

__all__ = [
    "accumulate",
    "add_pairs",
    "check_keys",
    "chunk_checks",
    "classify",
    "code_lengths",
    "codes",
    "compensate",
    "count_above",
    "count_classes",
    "decode_table",
    "from_compact",
    "from_gaps",
    "gather",
    "kth_magnitude",
    "list_columns",
    "look_up",
    "magnitude_max",
    "quantize",
    "read_bitmap",
    "read_codes",
    "read_fields",
    "read_rests",
    "read_signs",
    "read_unary",
    "rice_fit",
    "scatter",
    "settle",
    "spare_bits",
    "to_compact",
    "to_gaps",
    "write_bitmap",
    "write_codes",
    "write_fields",
    "write_rests",
    "write_unary",
    "xxh64",
]
