"""The chunk directory, and where the planes of a chunk lie (spec sections 7 and 8)."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import Corrupt, FrameError, LimitExceeded, Malformed, UnsupportedFeature
from . import ids
from .codes import CODE_SPACE as CODE_SPACE
from .codes import MAX_CLASS as MAX_CLASS
from .codes import MAX_CODE_BITS as MAX_CODE_BITS
from .elements import Element
from .header import Header

CHUNK: Final = np.dtype(
    [("off16", "<u4"), ("len16", "<u4"), ("nnz", "<u4"), ("key_hi_bits", "<u4"),
     ("val_hi_bits", "<u4"), ("key_codec", "u1"), ("key_param", "u1"), ("val_codec", "u1"),
     ("val_param", "u1"), ("level_base", "<u2"), ("columns", "<u2"), ("check", "<u4")]
)  # fmt: skip

FirstFault = Callable[[NDArray[np.void], tuple[Any, ...]], tuple[int, int]]
"""The first step that a directory fails by these facts, and the chunk or -1; 0 if there is none.

Facts are n_elements, chunk_log2, n_stored, whether the frame is dense, bits of a pattern, bytes of
PAYLOAD, and `Sizes`.
"""

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


_HEAD_BITS: Final = _by_codec(HEAD_BITS, ids.KeyCodec.COLUMNS)
_KEY_OFFSET_BITS: Final = _by_codec(OFFSET_BITS, ids.KeyCodec.DELTA, ids.KeyCodec.COLUMNS)
_WIDTH_BITS: Final = _by_codec(WIDTH_BITS, ids.KeyCodec.BLOCKS)
_FIELDS: Final = _by_codec(1, ids.KeyCodec.COO, ids.KeyCodec.RICE)
_RAW: Final = _by_codec(1, ids.ValueCodec.RAW)
_SIGN_BITS: Final = _by_codec(1, *ids.HAS_SIGNS)
_VALUE_OFFSET_BITS: Final = _by_codec(
    OFFSET_BITS, ids.ValueCodec.HUFFMAN, ids.ValueCodec.SIGNED_HUFFMAN
)


@lru_cache
def choose_chunk_log2(n_elements: int, density: float) -> int:
    """The smallest chunk with at least 2,896 requested keys: its entry costs 1/16 bit per key.

    A tensor that would have fewer than four chunks gets chunks down to four times smaller, so that
    a few cores or ranks have something to share. Depends on the request only, never on what was
    found, and on no logarithm, which could differ between machines.
    """
    chosen = ids.MIN_CHUNK_LOG2
    while chosen < ids.MAX_CHUNK_LOG2 and (1 << chosen) * density < 2896:
        chosen += 1
    smallest = max(chosen - 2, ids.MIN_CHUNK_LOG2)
    while chosen > smallest and n_elements < 4 << chosen:
        chosen -= 1
    while n_elements > ids.MAX_CHUNKS << chosen:
        chosen += 1
    return chosen


def count_chunks(n_elements: int, chunk_log2: int) -> int:
    """How many chunks there are."""
    return -(-n_elements >> chunk_log2)


def chunk_lengths(n_elements: int, chunk_log2: int) -> NDArray[np.int64]:
    """Positions in each chunk: all full but the last."""
    lengths = np.empty(count_chunks(n_elements, chunk_log2), np.int64)
    lengths.fill(1 << chunk_log2)
    if n_elements:
        lengths[-1] = n_elements - ((lengths.size - 1) << chunk_log2)
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
    ends = np.zeros(directory.size + 1, np.int64)
    directory["len16"].astype(np.int64).cumsum(out=ends[1:])
    directory["off16"] = ends[:-1]
    total = int(ends[-1]) * 16
    if total >= ids.MAX_PAYLOAD:
        raise LimitExceeded(
            f"the payload would have {total} bytes, not under 2^36: split the tensor"
        )
    return total


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


REFUSALS: Final[dict[int, tuple[type[FrameError], str]]] = {
    67: (Malformed, "key_codec 0 is in no registry"),
    68: (UnsupportedFeature, "key_codec is not known to this reader: update gcodec"),
    69: (Malformed, "val_codec 0 is in no registry"),
    70: (UnsupportedFeature, "val_codec is not known to this reader: update gcodec"),
    71: (Malformed, "more keys than positions"),
    72: (LimitExceeded, "Rice parameter of the keys > 24"),
    73: (LimitExceeded, "key width > 32"),
    74: (Malformed, "key width 0"),
    75: (Malformed, "no such key code"),
    76: (Malformed, "active columns without two key codes, or drawn keys without SEEDS"),
    77: (Malformed, "active columns without a piece"),
    78: (Malformed, "this key codec takes no parameter"),
    79: (Malformed, "columns not in 1..nnz"),
    80: (Malformed, "this key codec has no columns"),
    81: (Malformed, "not all keys are there"),
    82: (Malformed, "a dense frame has other keys than ALL"),
    83: (Malformed, "key_hi_bits out of range"),
    84: (LimitExceeded, "value parameter > 16"),
    85: (Malformed, "a parameter that this value codec does not take"),
    86: (Malformed, "this value codec takes no level_base"),
    87: (Malformed, "level_base past the codebook"),
    88: (Malformed, "a Huffman index without VALUECODE"),
    89: (Malformed, "val_hi_bits out of range"),
    90: (Malformed, "an empty chunk has a parameter"),
    91: (Malformed, "the chunks do not hold n_stored keys"),
    92: (Malformed, "len16 differs from the computed length"),
    93: (Malformed, "off16 is not the running sum"),
    94: (Malformed, "the chunks do not fill the payload section"),
    95: (Corrupt, "check does not match the payload"),
    96: (Malformed, "the bitmap does not hold nnz ones"),
    97: (Malformed, "keys do not ascend"),
    98: (Malformed, "a key lies past its end"),
    99: (Malformed, "the unary key plane does not hold nnz ones and end with one"),
    100: (Malformed, "the blocks do not fill their plane"),
    101: (Malformed, "the codes of the gaps do not end where they should"),
    102: (Malformed, "len16 differs from the length of the planes"),
    103: (Malformed, "a piece without positions, or with a phase or columns that it cannot have"),
    104: (Malformed, "the pieces do not make it up"),
    105: (Malformed, "a column lies past its row"),
    106: (Malformed, "a key lies past its piece"),
    107: (Malformed, "the unary value plane does not hold nnz ones and end with one"),
    108: (Malformed, "the codes of the values do not end where they should"),
    109: (Malformed, "an index lies past the codebook"),
    110: (Malformed, "a level with a sign of its own, beside a plane of signs"),
    111: (Malformed, "spare bits are not zero"),
    112: (Malformed, "the padding is not zero"),
}
"""What a chunk is refused with, by the step of spec section 9 that it fails."""


def refuse(step: int, chunk: int) -> NoReturn:
    """Raise for a chunk, or for all of them if it is -1."""
    error, what = REFUSALS[step]
    raise error(what if chunk < 0 else f"chunk {chunk}: {what}")


def check_directory(
    directory: NDArray[np.void],
    header: Header,
    element: Element,
    payload: int,
    sizes: Sizes,
    first_fault: FirstFault,
) -> None:
    """Every rule of the spec that an entry can be held to without reading the payload.

    `payload` is the length of its section in bytes.
    """
    dense = header.frame_kind == ids.FrameKind.DENSE
    size = header.n_elements, header.chunk_log2, header.n_stored
    step, chunk = first_fault(directory, (*size, dense, element.bits, payload, *sizes))
    if step:
        refuse(step, chunk)
