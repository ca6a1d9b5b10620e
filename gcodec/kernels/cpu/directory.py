"""Rules of the chunk directory and of levels, as steps of spec section 9."""

import numpy as np

from ...format.directory import (
    BLOCK,
    HEAD_BITS,
    MAX_CLASS,
    MAX_CODE_BITS,
    OFFSET_BITS,
    WIDTH_BITS,
)
from ...format.ids import MAX_KEY_RICE, MAX_KEY_WIDTH, MAX_VALUE_RICE, KeyCodec, ValueCodec
from .jit import helper, inner, kernel, magnitude

NO_STEP = 99
ALL, BITMAP, COO, KEY_RICE, DELTA, BLOCKS, COLUMNS, SEEDED = (int(codec) for codec in KeyCodec)
RAW, FIXED, RICE, SIGN, HUFFMAN, SIGNED_FIXED, SIGNED_RICE, SIGNED_HUFFMAN = (
    int(codec) for codec in ValueCodec
)


@helper
def is_rice(codec):
    return codec in (RICE, SIGNED_RICE)


@helper
def is_huffman(codec):
    return codec in (HUFFMAN, SIGNED_HUFFMAN)


@helper
def is_fixed(codec):
    return codec in (FIXED, SIGNED_FIXED)


@helper
def has_signs(codec):
    return codec in (FIXED, RICE, SIGN, HUFFMAN)


@helper
def has_codes(codec):
    return codec in (DELTA, COLUMNS)


@helper
def positions_of(chunk, n_elements, chunk_log2):
    return min(n_elements - (chunk << chunk_log2), np.int64(1) << chunk_log2)


@inner
def plane_bits(entry, pattern_bits):
    """Bits of each plane of a chunk with keys, in wire order; rests of gaps count as none."""
    nnz, param = np.int64(entry.nnz), np.int64(entry.key_param)
    key, value = entry.key_codec, entry.val_codec
    items = nnz + np.int64(entry.columns)
    index = low = signs = value_index = np.int64(0)
    if has_codes(key):
        index = OFFSET_BITS * ((items - 1) // BLOCK)
        if key == COLUMNS:
            index += HEAD_BITS * param
    elif key == BLOCKS:
        index = WIDTH_BITS * ((nnz + BLOCK - 1) // BLOCK)
    elif key in (COO, KEY_RICE):
        low = nnz * param
    if has_signs(value):
        signs = nnz
    if is_huffman(value):
        value_index = OFFSET_BITS * ((nnz - 1) // BLOCK)
    value_low = nnz * (pattern_bits if value == RAW else np.int64(entry.val_param))
    high, value_high = np.int64(entry.key_hi_bits), np.int64(entry.val_hi_bits)
    return index, high, signs, value_index, value_high, value_low, low


@kernel
def check_directory(directory, facts):
    """The first step that a chunk fails and the first chunk that does, or (0, -1).

    The lowest of all chunks' first failures is that. `facts` are described where they are made, in
    `gcodec.format.directory`.
    """
    n_elements, chunk_log2, n_stored, dense, pattern_bits, payload = facts[:6]
    step, at = NO_STEP, -1
    length_at = offset_at = -1
    stored = end = np.int64(0)
    for chunk in range(directory.size):
        entry = directory[chunk]
        fault = _entry_fault(entry, positions_of(chunk, n_elements, chunk_log2), dense, facts)
        if 0 < fault < step:
            step, at = fault, chunk
        stored += np.int64(entry.nnz)
        if step == NO_STEP:
            units = np.int64(entry.len16)
            if length_at < 0 and not _length_fits(entry, units, pattern_bits):
                length_at = chunk
            if offset_at < 0 and np.int64(entry.off16) != end:
                offset_at = chunk
            end += units
    if step != NO_STEP:
        return step, at
    if stored != n_stored:
        return 91, -1
    if length_at >= 0:
        return 92, length_at
    if offset_at >= 0:
        return 93, offset_at
    if 16 * end != payload:
        return 94, -1
    return 0, -1


@inner
def _entry_fault(entry, positions, dense, facts):
    """The first of steps 67 to 90 that an entry fails, or 0."""
    levels, key_codes, value_code, seeds = facts[6:]
    key, value = entry.key_codec, entry.val_codec
    nnz, columns = np.int64(entry.nnz), np.int64(entry.columns)
    param, value_param = np.int64(entry.key_param), np.int64(entry.val_param)
    high, value_high = np.int64(entry.key_hi_bits), np.int64(entry.val_hi_bits)
    base = np.int64(entry.level_base)
    if key == 0:
        return 67
    if not (key <= DELTA or BLOCKS <= key <= SEEDED):
        return 68
    if value == 0:
        return 69
    if not (value <= HUFFMAN or is_fixed(value) or is_rice(value) or is_huffman(value)):
        return 70
    if nnz > positions:
        return 71
    if key == KEY_RICE and param > MAX_KEY_RICE:
        return 72
    if key == COO and param > MAX_KEY_WIDTH:
        return 73
    if key == COO and nnz > 0 and param == 0:
        return 74
    if key == DELTA and nnz > 0 and param >= key_codes:
        return 75
    if nnz > 0 and ((key == COLUMNS and key_codes < 2) or (key == SEEDED and seeds == 0)):
        return 76
    if key == COLUMNS and nnz > 0 and param == 0:
        return 77
    if (key in (ALL, BITMAP, BLOCKS, SEEDED)) and param != 0:
        return 78
    if key == COLUMNS:
        if columns > nnz or (columns == 0 and nnz > 0):
            return 79
    elif columns != 0:
        return 80
    if key == ALL and nnz > 0 and nnz != positions:
        return 81
    if dense and key != ALL:
        return 82
    least = most = np.int64(0)
    if nnz > 0 and key == KEY_RICE:
        least, most = nnz, nnz + ((positions - nnz) >> param)
    elif has_codes(key):
        least, most = nnz + columns, MAX_CODE_BITS * (nnz + columns)
    elif nnz > 0 and key == BITMAP:
        least = most = positions
    elif key == BLOCKS:
        most = (MAX_CLASS - 1) * nnz
    if high < least or high > most:
        return 83
    if is_fixed(value) or is_rice(value):
        if value_param > MAX_VALUE_RICE:
            return 84
        if value == SIGNED_FIXED and nnz > 0 and value_param == 0:
            return 85
    elif value_param != 0:
        return 85
    if (value == RAW or is_huffman(value)) and base != 0:
        return 86
    if value != RAW and nnz > 0 and base >= levels:
        return 87
    if is_huffman(value) and value_code == 0:
        return 88
    least = most = np.int64(0)
    if is_rice(value):
        least, most = nnz, nnz + nnz * (max(levels - base - 1, 0) >> value_param)
    elif is_huffman(value):
        least, most = nnz, MAX_CODE_BITS * nnz
    if value_high < least or value_high > most:
        return 89
    if nnz == 0 and (high | value_high | param | value_param | base | columns) != 0:
        return 90
    return 0


@inner
def _length_fits(entry, units, pattern_bits):
    """Step 92: that of the planes, or of planes with 0 to 24 bits of rest for every gap."""
    if entry.nnz == 0:
        return units == 0
    words = np.int64(0)
    for bits in plane_bits(entry, pattern_bits):
        words += (bits + 63) >> 6
    least = most = (words >> 1) + 1
    if has_codes(entry.key_codec):
        items = np.int64(entry.nnz) + np.int64(entry.columns)
        most = ((words + (((MAX_CLASS - 1) * items + 63) >> 6)) >> 1) + 1
    return least <= units <= most


@kernel
def levels_are_sound(levels, infinity):
    """Step 51: all are below infinity, and zero is positive."""
    limit, zero = np.uint64(infinity), np.uint64(0)
    for i in range(levels.size):
        size = np.uint64(magnitude(levels[i]))
        if size >= limit or (size == zero and np.uint64(levels[i]) != zero):
            return False
    return True
