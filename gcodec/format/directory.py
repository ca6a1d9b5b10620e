"""The chunk directory, and where the planes of a chunk lie (spec sections 7 and 8)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed, UnsupportedFeature
from . import ids
from .header import Header

CHUNK: Final = np.dtype(
    [("off16", "<u4"), ("len16", "<u4"), ("nnz", "<u4"), ("key_hi_bits", "<u4"),
     ("val_hi_bits", "<u4"), ("key_codec", "u1"), ("key_param", "u1"), ("val_codec", "u1"),
     ("val_param", "u1"), ("level_base", "<u2"), ("flags", "<u2"), ("check", "<u4")]
)  # fmt: skip

KEY_LOW, KEY_HIGH, SIGN, VALUE_LOW, VALUE_HIGH, PAD = range(6)
"""Columns of the plane table: first word of each plane, then of the padding."""


def choose_chunk_log2(n_elements: int, density: float) -> int:
    """The smallest chunk with at least 1,448 requested keys: its entry costs about 1/8 bit per key.

    A tensor that would have fewer than eight chunks gets chunks down to four times smaller, so that
    a few cores or ranks have something to share. Depends on the request only, never on what was
    found, and on no logarithm, which could differ between machines.
    """
    chosen = ids.MIN_CHUNK_LOG2
    while chosen < ids.MAX_CHUNK_LOG2 and (1 << chosen) * density < 1448:
        chosen += 1
    smallest = max(chosen - 2, ids.MIN_CHUNK_LOG2)
    while chosen > smallest and n_elements < 8 << chosen:
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


def plane_words(directory: NDArray[np.void]) -> NDArray[np.int64]:
    """Words of 8 bytes in each of the five planes of each chunk, from the entries alone."""
    nnz, key_high, value_high, key_param, value_param = (
        directory[name].astype(np.int64)
        for name in ("nnz", "key_hi_bits", "val_hi_bits", "key_param", "val_param")
    )
    raw = directory["val_codec"] == ids.ValueCodec.RAW
    bits = np.stack(
        (
            nnz * key_param,
            key_high,
            np.where(raw, 0, nnz),
            np.where(raw, nnz * 32, nnz * value_param),
            value_high,
        ),
        axis=1,
    )
    return (bits + 63) >> 6


def place_chunks(directory: NDArray[np.void]) -> int:
    """Fill in `off16` and `len16`; return the payload's length in bytes."""
    words = plane_words(directory).sum(axis=1)
    len16 = np.where(directory["nnz"] > 0, (words >> 1) + 1, 0)
    end = np.cumsum(len16)
    total = int(end[-1]) * 16 if end.size else 0
    if total >= ids.MAX_PAYLOAD:
        raise LimitExceeded(
            f"the payload would have {total} bytes, the limit is 2^36: split the tensor"
        )
    directory["len16"] = len16
    directory["off16"] = end - len16
    return total


def planes(directory: NDArray[np.void]) -> NDArray[np.int64]:
    """First word, within the payload, of each plane and of the padding: int64[n_chunks, 6]."""
    table = np.zeros((directory.size, 6), np.int64)
    np.cumsum(plane_words(directory), axis=1, out=table[:, 1:])
    table += directory["off16"].astype(np.int64)[:, None] * 2
    return table


def check_directory(
    directory: NDArray[np.void],
    lengths: NDArray[np.int64],
    header: Header,
    n_levels: int,
    payload: int,
) -> None:
    """Every rule of the spec that an entry can be held to without reading the payload."""
    nnz, key_high, value_high, key_param, value_param, base = (
        directory[name].astype(np.int64)
        for name in ("nnz", "key_hi_bits", "val_hi_bits", "key_param", "val_param", "level_base")
    )
    key_codec, value_codec = directory["key_codec"], directory["val_codec"]
    for name, codec, known in (
        ("key", key_codec, tuple(ids.KeyCodec)),
        ("value", value_codec, tuple(ids.ValueCodec)),
    ):
        _refuse(codec == 0, f"{name} codec 0 is in no registry")
        _refuse(
            ~np.isin(codec, known), f"{name} codec not known to this reader", UnsupportedFeature
        )
    rice_keys, rice_values = key_codec == ids.KeyCodec.RICE, value_codec == ids.ValueCodec.RICE

    _refuse(
        rice_keys & (key_param > ids.MAX_KEY_RICE), "Rice parameter of the keys > 24", LimitExceeded
    )
    _refuse(~rice_keys & (key_param > ids.MAX_KEY_WIDTH), "key width > 32", LimitExceeded)
    _refuse(value_param > ids.MAX_VALUE_RICE, "Rice parameter of the values > 16", LimitExceeded)

    _refuse(directory["flags"] != 0, "flags not zero")
    _refuse(nnz > lengths, "nnz past the chunk's positions")
    _refuse(
        np.where(
            rice_keys,
            (key_high < nnz) | (key_high > nnz + ((lengths - nnz) >> key_param)),
            key_high != 0,
        ),
        "key_hi_bits out of range",
    )
    _refuse(~rice_keys & (key_param == 0) & (nnz > 0), "key width 0")
    available = np.maximum(n_levels - base, 0)
    _refuse(
        np.where(
            rice_values,
            (value_high < nnz)
            | (value_high > nnz + nnz * (np.maximum(available - 1, 0) >> value_param)),
            value_high != 0,
        ),
        "val_hi_bits out of range",
    )
    _refuse(~rice_values & ((value_param != 0) | (base != 0)), "raw values take no parameter")
    _refuse(rice_values & (nnz > 0) & (available == 0), "level_base past the codebook")
    empty = (key_high | value_high | key_param | value_param | base) != 0
    _refuse((nnz == 0) & empty, "an empty chunk has a parameter")

    expected = directory.copy()
    if int(nnz.sum()) != header.n_stored:
        raise Malformed(f"the chunks hold {int(nnz.sum())} keys, the header says {header.n_stored}")
    total = place_chunks(expected)
    _refuse(expected["len16"] != directory["len16"], "len16 differs from the computed length")
    _refuse(expected["off16"] != directory["off16"], "off16 is not the running sum")
    if total != payload:
        raise Malformed(f"the chunks hold {total} bytes, the payload section {payload}")


def _refuse(faults: NDArray[np.bool_], what: str, error: type[Exception] = Malformed) -> None:
    if faults.any():
        raise error(f"chunk {int(np.argmax(faults))}: {what}")
