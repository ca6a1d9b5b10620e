"""The chunk directory, and where the planes of a chunk lie (spec sections 7 and 8)."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed, UnsupportedFeature
from . import ids
from .codes import MAX_CLASS
from .codes import MAX_LENGTH as MAX_CODE_BITS
from .elements import Element
from .header import Header

CHUNK: Final = np.dtype(
    [("off16", "<u4"), ("len16", "<u4"), ("nnz", "<u4"), ("key_hi_bits", "<u4"),
     ("val_hi_bits", "<u4"), ("key_codec", "u1"), ("key_param", "u1"), ("val_codec", "u1"),
     ("val_param", "u1"), ("level_base", "<u2"), ("columns", "<u2"), ("check", "<u4")]
)  # fmt: skip

KEY_INDEX, KEY_HIGH, SIGN, VALUE_INDEX, VALUE_HIGH, VALUE_LOW, KEY_LOW, END = range(8)
"""Columns of the plane table: first word of each plane in wire order, and the chunk's end."""

BLOCK: Final = 128
OFFSET_BITS: Final = 11
WIDTH_BITS: Final = 5
HEAD_BITS: Final = 128


def _by_codec(amount: int, *codecs: int) -> NDArray[np.int64]:
    """A table by codec id: `amount` for these, 0 for others."""
    table = np.zeros(256, np.int64)
    table[list(codecs)] = amount
    return table


_KEY_CODECS: Final = _by_codec(1, *ids.KeyCodec)
_VALUE_CODECS: Final = _by_codec(1, *ids.ValueCodec)
_HEAD_BITS: Final = _by_codec(HEAD_BITS, ids.KeyCodec.COLUMNS)
_KEY_OFFSET_BITS: Final = _by_codec(OFFSET_BITS, ids.KeyCodec.DELTA, ids.KeyCodec.COLUMNS)
_WIDTH_BITS: Final = _by_codec(WIDTH_BITS, ids.KeyCodec.BLOCKS)
_FIELDS: Final = _by_codec(1, ids.KeyCodec.COO, ids.KeyCodec.RICE)
_RAW: Final = _by_codec(1, ids.ValueCodec.RAW)
_SIGN_BITS: Final = _by_codec(1, *ids.HAS_SIGNS)
_VALUE_OFFSET_BITS: Final = _by_codec(
    OFFSET_BITS, ids.ValueCodec.HUFFMAN, ids.ValueCodec.SIGNED_HUFFMAN
)


def choose_chunk_log2(n_elements: int, density: float) -> int:
    """The smallest chunk with at least 1,448 requested keys: its entry costs about 1/8 bit per key.

    A tensor that would have fewer than four chunks gets chunks down to four times smaller, so that
    a few cores or ranks have something to share. Depends on the request only, never on what was
    found, and on no logarithm, which could differ between machines.
    """
    chosen = ids.MIN_CHUNK_LOG2
    while chosen < ids.MAX_CHUNK_LOG2 and (1 << chosen) * density < 1448:
        chosen += 1
    smallest = max(chosen - 2, ids.MIN_CHUNK_LOG2)
    while chosen > smallest and n_elements < 4 << chosen:
        chosen -= 1
    while n_elements > ids.MAX_CHUNKS << chosen:
        chosen += 1
    return chosen


def chunk_lengths(n_elements: int, chunk_log2: int) -> NDArray[np.int64]:
    """Positions in each chunk: all full but the last."""
    n_chunks = -(-n_elements >> chunk_log2) if n_elements else 0
    lengths = np.full(n_chunks, 1 << chunk_log2, np.int64)
    if n_chunks:
        lengths[-1] = n_elements - ((n_chunks - 1) << chunk_log2)
    return lengths


def plane_bits(
    directory: NDArray[np.void], element: Element, rests: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Bits used in each plane of each chunk, from the entries alone: int64[n_chunks, 7].

    The last plane of a chunk with gap classes holds `rests` bits, which no field gives: without
    them it counts as empty.
    """
    nnz, key_high, value_high, key_param, value_param, columns = (
        directory[name].astype(np.int64)
        for name in ("nnz", "key_hi_bits", "val_hi_bits", "key_param", "val_param", "columns")
    )
    key, value = directory["key_codec"], directory["val_codec"]
    bits = np.zeros((directory.size, END), np.int64)
    bits[:, KEY_INDEX] = _HEAD_BITS[key] * key_param
    bits[:, KEY_INDEX] += _KEY_OFFSET_BITS[key] * ((nnz + columns - 1) // BLOCK)
    bits[:, KEY_INDEX] += _WIDTH_BITS[key] * ((nnz + BLOCK - 1) // BLOCK)
    bits[:, KEY_HIGH] = key_high
    bits[:, SIGN] = _SIGN_BITS[value] * nnz
    bits[:, VALUE_INDEX] = _VALUE_OFFSET_BITS[value] * ((nnz - 1) // BLOCK)
    bits[:, VALUE_HIGH] = value_high
    bits[:, VALUE_LOW] = (_RAW[value] * element.bits + value_param) * nnz
    bits[:, KEY_LOW] = _FIELDS[key] * key_param * nnz
    if rests is not None:
        bits[:, KEY_LOW] += rests
    bits[nnz == 0] = 0
    return bits


def plane_words(
    directory: NDArray[np.void], element: Element, rests: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Words of 8 bytes in each plane of each chunk, as `plane_bits`."""
    return (plane_bits(directory, element, rests) + 63) >> 6


def chunk_units(nnz: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Units of 16 bytes for words of planes and a spare one; none for an empty chunk."""
    return np.where(nnz > 0, (words >> 1) + 1, 0)


def measure_chunks(directory: NDArray[np.void], element: Element, rests: NDArray[np.int64]) -> None:
    """Fill in `len16`; `rests` as for `plane_bits`."""
    words = plane_words(directory, element, rests).sum(axis=1)
    directory["len16"] = chunk_units(directory["nnz"], words)


def place_chunks(directory: NDArray[np.void]) -> int:
    """Make `off16` the running sum of `len16`; return the payload's length in bytes."""
    total = _offsets(directory)
    if total >= ids.MAX_PAYLOAD:
        raise LimitExceeded(
            f"the payload would have {total} bytes, not under 2^36: split the tensor"
        )
    return total


def _offsets(directory: NDArray[np.void]) -> int:
    """Make `off16` the running sum of `len16`; return the payload's length in bytes."""
    end = np.cumsum(directory["len16"], dtype=np.int64)
    directory["off16"] = end - directory["len16"]
    return int(end[-1]) * 16 if end.size else 0


def planes(directory: NDArray[np.void], element: Element) -> NDArray[np.int64]:
    """First word, within the payload, of each plane and of what follows: int64[n_chunks, 8]."""
    table = np.zeros((directory.size, END + 1), np.int64)
    np.cumsum(plane_words(directory, element)[:, :KEY_LOW], axis=1, out=table[:, 1:END])
    table[:, END] = directory["len16"].astype(np.int64) * 2
    table += directory["off16"].astype(np.int64)[:, None] * 2
    return table


class Sizes(NamedTuple):
    """How many entries the sections have that chunks refer to."""

    levels: int
    key_codes: int
    value_code: int
    seeds: int


def check_directory(
    directory: NDArray[np.void],
    lengths: NDArray[np.int64],
    header: Header,
    element: Element,
    payload: int,
    sizes: Sizes,
) -> None:
    """Every rule of the spec that an entry can be held to without reading the payload."""
    for field, known in (("key_codec", _KEY_CODECS), ("val_codec", _VALUE_CODECS)):
        codec = directory[field]
        _refuse(codec == 0, f"{field} 0 is in no registry")
        _refuse(known[codec] == 0, f"{field} is not known to this reader", UnsupportedFeature)
    nnz = directory["nnz"].astype(np.int64)
    _refuse(nnz > lengths, "nnz past the chunk's positions")
    _check_keys(directory, lengths, nnz, sizes, header.frame_kind == ids.FrameKind.DENSE)
    _check_values(directory, nnz, sizes)
    fields = ("key_hi_bits", "val_hi_bits", "key_param", "val_param", "level_base", "columns")
    set_fields = np.any([directory[field] != 0 for field in fields], axis=0)
    _refuse((nnz == 0) & set_fields, "an empty chunk has a parameter")
    if int(nnz.sum()) != header.n_stored:
        raise Malformed(f"the chunks hold {int(nnz.sum())} keys, the header says {header.n_stored}")
    gaps = _KEY_OFFSET_BITS[directory["key_codec"]] > 0
    words = plane_words(directory, element).sum(axis=1)
    most = words + np.where(gaps, ((MAX_CLASS - 1) * (nnz + directory["columns"]) + 63) >> 6, 0)
    len16 = directory["len16"].astype(np.int64)
    _refuse(
        (len16 < chunk_units(nnz, words)) | (len16 > chunk_units(nnz, most)),
        "len16 differs from the computed length",
    )
    expected = directory.copy()
    total = _offsets(expected)
    _refuse(expected["off16"] != directory["off16"], "off16 is not the running sum")
    if total != payload:
        raise Malformed(f"the chunks hold {total} bytes, the payload section {payload}")


def _check_keys(
    directory: NDArray[np.void],
    lengths: NDArray[np.int64],
    nnz: NDArray[np.int64],
    sizes: Sizes,
    dense: bool,
) -> None:
    codec = directory["key_codec"]
    high, param, columns = (
        directory[name].astype(np.int64) for name in ("key_hi_bits", "key_param", "columns")
    )
    rice, coo = codec == ids.KeyCodec.RICE, codec == ids.KeyCodec.COO
    delta, by_column = codec == ids.KeyCodec.DELTA, codec == ids.KeyCodec.COLUMNS
    _refuse(rice & (param > ids.MAX_KEY_RICE), "Rice parameter of the keys > 24", LimitExceeded)
    _refuse(coo & (param > ids.MAX_KEY_WIDTH), "key width > 32", LimitExceeded)
    _refuse(coo & (param == 0) & (nnz > 0), "key width 0")
    _refuse(delta & (param >= sizes.key_codes) & (nnz > 0), "no such key code")
    _refuse(by_column & (sizes.key_codes < 2) & (nnz > 0), "active columns without two key codes")
    seeded = codec == ids.KeyCodec.SEEDED
    _refuse(seeded & (sizes.seeds == 0) & (nnz > 0), "drawn keys without SEEDS")
    _refuse(by_column & (param == 0) & (nnz > 0), "active columns without a piece")
    _refuse(~(rice | coo | delta | by_column) & (param != 0), "this key codec takes no parameter")
    _refuse(by_column & ((columns > nnz) | ((columns == 0) & (nnz > 0))), "columns not in 1..nnz")
    _refuse(~by_column & (columns != 0), "this key codec has no columns")
    _refuse((codec == ids.KeyCodec.ALL) & (nnz > 0) & (nnz != lengths), "not all keys are there")
    _refuse(dense & (codec != ids.KeyCodec.ALL), "a dense frame has other keys than ALL")
    gaps, shift = nnz + columns, np.minimum(param, ids.MAX_KEY_RICE)
    low, most = np.select(
        [rice, delta | by_column, codec == ids.KeyCodec.BITMAP, codec == ids.KeyCodec.BLOCKS],
        [
            (nnz, (nnz + ((lengths - np.minimum(nnz, lengths)) >> shift)) * (nnz > 0)),
            (gaps, gaps * MAX_CODE_BITS),
            (lengths * (nnz > 0), lengths * (nnz > 0)),
            (np.zeros_like(nnz), nnz * (MAX_CLASS - 1)),
        ],
        (np.zeros_like(nnz), np.zeros_like(nnz)),
    )
    _refuse((high < low) | (high > most), "key_hi_bits out of range")


def _check_values(directory: NDArray[np.void], nnz: NDArray[np.int64], sizes: Sizes) -> None:
    codec = directory["val_codec"]
    high, param, base = (
        directory[name].astype(np.int64) for name in ("val_hi_bits", "val_param", "level_base")
    )
    rice = (codec == ids.ValueCodec.RICE) | (codec == ids.ValueCodec.SIGNED_RICE)
    huffman = (codec == ids.ValueCodec.HUFFMAN) | (codec == ids.ValueCodec.SIGNED_HUFFMAN)
    fixed = (codec == ids.ValueCodec.FIXED) | (codec == ids.ValueCodec.SIGNED_FIXED)
    sign = codec == ids.ValueCodec.SIGN
    _refuse((rice | fixed) & (param > ids.MAX_VALUE_RICE), "value parameter > 16", LimitExceeded)
    _refuse(~(rice | fixed) & (param != 0), "this value codec takes no parameter")
    bare = codec == ids.ValueCodec.SIGNED_FIXED
    _refuse(bare & (param == 0) & (nnz > 0), "values that take no bits")
    _refuse(~(rice | fixed | sign) & (base != 0), "this value codec takes no level_base")
    levels = np.maximum(sizes.levels - base, 0)
    _refuse(
        (codec != ids.ValueCodec.RAW) & (nnz > 0) & (levels == 0), "level_base past the codebook"
    )
    _refuse(huffman & (sizes.value_code == 0), "a Huffman index without VALUECODE")
    shift = np.minimum(param, ids.MAX_VALUE_RICE)
    low, most = np.select(
        [rice, huffman],
        [(nnz, nnz + nnz * (np.maximum(levels - 1, 0) >> shift)), (nnz, nnz * MAX_CODE_BITS)],
        (np.zeros_like(nnz), np.zeros_like(nnz)),
    )
    _refuse((high < low) | (high > most), "val_hi_bits out of range")


def _refuse(faults: NDArray[np.bool_], what: str, error: type[Exception] = Malformed) -> None:
    if faults.any():
        raise error(f"chunk {int(np.argmax(faults))}: {what}")
