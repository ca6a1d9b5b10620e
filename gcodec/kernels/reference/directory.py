"""Rules of the chunk directory and of levels, as steps of spec section 9."""

from itertools import accumulate
from types import SimpleNamespace

from ...format.directory import BLOCK, HEAD_BITS, MAX_CLASS, MAX_CODE_BITS, OFFSET_BITS, WIDTH_BITS
from ...format.ids import (
    HAS_SIGNS,
    MAX_KEY_RICE,
    MAX_KEY_WIDTH,
    MAX_VALUE_RICE,
    KeyCodec,
    ValueCodec,
)

FIXED = (ValueCodec.FIXED, ValueCodec.SIGNED_FIXED)
RICE = (ValueCodec.RICE, ValueCodec.SIGNED_RICE)
HUFFMAN = (ValueCodec.HUFFMAN, ValueCodec.SIGNED_HUFFMAN)
CODED = (KeyCodec.DELTA, KeyCodec.COLUMNS)
PLAIN = (KeyCodec.ALL, KeyCodec.BITMAP, KeyCodec.BLOCKS, KeyCodec.SEEDED)
FIELDS = ("key_hi_bits", "val_hi_bits", "key_param", "val_param", "level_base", "columns")


def entries_of(directory):
    """Rows of a directory with plain integers as attributes."""
    return [
        SimpleNamespace(**dict(zip(directory.dtype.names, row, strict=True)))
        for row in directory.tolist()
    ]


def positions_of(chunk, n_elements, chunk_log2):
    return min(n_elements - (chunk << chunk_log2), 1 << chunk_log2)


def plane_bits(entry, pattern_bits):
    """Bits of each plane of a chunk with keys, in wire order; rests of gaps count as none."""
    nnz, value = entry.nnz, entry.val_codec
    items = nnz + entry.columns
    index = {
        KeyCodec.DELTA: OFFSET_BITS * ((items - 1) // BLOCK),
        KeyCodec.COLUMNS: OFFSET_BITS * ((items - 1) // BLOCK) + HEAD_BITS * entry.key_param,
        KeyCodec.BLOCKS: WIDTH_BITS * -(-nnz // BLOCK),
    }
    fields = entry.key_codec in (KeyCodec.COO, KeyCodec.RICE)
    return (
        index.get(entry.key_codec, 0),
        entry.key_hi_bits,
        nnz if value in HAS_SIGNS else 0,
        OFFSET_BITS * ((nnz - 1) // BLOCK) if value in HUFFMAN else 0,
        entry.val_hi_bits,
        nnz * (pattern_bits if value == ValueCodec.RAW else entry.val_param),
        nnz * entry.key_param if fields else 0,
    )


def check_directory(directory, facts):
    """The first step that a chunk fails and the first chunk that does, or (0, -1)."""
    n_elements, chunk_log2, n_stored, _, pattern_bits, payload = facts[:6]
    entries = entries_of(directory)
    rules = _rules(*facts[3:4], *facts[6:])
    for chunk, entry in enumerate(entries):
        entry.positions = positions_of(chunk, n_elements, chunk_log2)
    for step, is_wrong in rules.items():
        for chunk, entry in enumerate(entries):
            if is_wrong(entry):
                return step, chunk
    if sum(entry.nnz for entry in entries) != n_stored:
        return 91, -1
    for chunk, entry in enumerate(entries):
        least, most = _lengths(entry, pattern_bits)
        if not least <= entry.len16 <= most:
            return 92, chunk
    ends = list(accumulate((entry.len16 for entry in entries), initial=0))
    for chunk, (entry, start) in enumerate(zip(entries, ends, strict=False)):
        if entry.off16 != start:
            return 93, chunk
    return (0, -1) if 16 * ends[-1] == payload else (94, -1)


def _rules(dense, n_levels, key_codes, value_code, seeds):
    """What is wrong with an entry, by step."""

    def key_high(e):
        gaps = e.nnz + e.columns
        least, most = {
            KeyCodec.BITMAP: (e.positions, e.positions),
            KeyCodec.RICE: (e.nnz, e.nnz + ((e.positions - e.nnz) >> e.key_param)),
            KeyCodec.DELTA: (gaps, MAX_CODE_BITS * gaps),
            KeyCodec.BLOCKS: (0, (MAX_CLASS - 1) * e.nnz),
            KeyCodec.COLUMNS: (gaps, MAX_CODE_BITS * gaps),
        }.get(e.key_codec, (0, 0))
        return not (least <= e.key_hi_bits <= most if e.nnz else e.key_hi_bits == 0)

    def value_high(e):
        least = most = 0
        if e.val_codec in RICE:
            largest = max(n_levels - e.level_base - 1, 0)
            least, most = e.nnz, e.nnz + e.nnz * (largest >> e.val_param)
        elif e.val_codec in HUFFMAN:
            least, most = e.nnz, MAX_CODE_BITS * e.nnz
        return not least <= e.val_hi_bits <= most

    key, value = KeyCodec, ValueCodec
    missing = {key.COLUMNS: key_codes < 2, key.SEEDED: not seeds}
    return {
        67: lambda e: e.key_codec == 0,
        68: lambda e: e.key_codec not in tuple(key),
        69: lambda e: e.val_codec == 0,
        70: lambda e: e.val_codec not in tuple(value),
        71: lambda e: e.nnz > e.positions,
        72: lambda e: e.key_codec == key.RICE and e.key_param > MAX_KEY_RICE,
        73: lambda e: e.key_codec == key.COO and e.key_param > MAX_KEY_WIDTH,
        74: lambda e: e.key_codec == key.COO and e.nnz and not e.key_param,
        75: lambda e: e.key_codec == key.DELTA and e.nnz and e.key_param >= key_codes,
        76: lambda e: e.nnz and missing.get(e.key_codec, False),
        77: lambda e: e.key_codec == key.COLUMNS and e.nnz and not e.key_param,
        78: lambda e: e.key_codec in PLAIN and e.key_param,
        79: lambda e: e.key_codec == key.COLUMNS and not min(e.nnz, 1) <= e.columns <= e.nnz,
        80: lambda e: e.key_codec != key.COLUMNS and e.columns,
        81: lambda e: e.key_codec == key.ALL and e.nnz and e.nnz != e.positions,
        82: lambda e: dense and e.key_codec != key.ALL,
        83: key_high,
        84: lambda e: e.val_codec in FIXED + RICE and e.val_param > MAX_VALUE_RICE,
        85: lambda e: (
            e.val_param
            if e.val_codec not in FIXED + RICE
            else e.val_codec == value.SIGNED_FIXED and e.nnz and not e.val_param
        ),
        86: lambda e: e.val_codec in (value.RAW, *HUFFMAN) and e.level_base,
        87: lambda e: e.val_codec != value.RAW and e.nnz and e.level_base >= n_levels,
        88: lambda e: e.val_codec in HUFFMAN and not value_code,
        89: value_high,
        90: lambda e: not e.nnz and any(getattr(e, field) for field in FIELDS),
    }  # fmt: skip


def _lengths(entry, pattern_bits):
    """Least and most units of 16 bytes that the entry's planes take."""
    if not entry.nnz:
        return 0, 0
    words = sum(-(-bits // 64) for bits in plane_bits(entry, pattern_bits))
    rests = (MAX_CLASS - 1) * (entry.nnz + entry.columns) if entry.key_codec in CODED else 0
    return words // 2 + 1, (words + -(-rests // 64)) // 2 + 1


def levels_are_sound(levels, infinity):
    """Step 51: all are below infinity, and zero is positive."""
    sign = 1 << 8 * levels.itemsize - 1
    return all(level % sign < infinity and level != sign for level in levels.tolist())
