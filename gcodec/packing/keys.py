"""Packing of keys: every codec that fits a chunk is measured, the smallest is written.

Sizes come from the arithmetic that a reader uses (`format.directory.plane_bits`). Codes for gap
classes are settled as spec section 13 says: first as if every chunk used them, then again for those
that do.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..format import ids
from ..format.directory import (
    HEAD_BITS,
    KEY_HIGH,
    KEY_INDEX,
    KEY_LOW,
    WIDTH_BITS,
    plane_bits,
    plane_words,
)
from ..format.elements import FLOAT32, Element
from ..format.ids import KeyCodec
from ..format.sections import Tensor, section_bits
from ..kernels.jobs import COUNT, FIRST, INDEX, SPLIT, WIDTH, job_table
from .columns import Columns, find_columns, write_heads
from .layout import Ints, bit_length, blocks_of, starts_of

KEY_PACKINGS: Final = {
    "auto": tuple(KeyCodec),
    "bitmap": (KeyCodec.BITMAP,),
    "blocks": (KeyCodec.BLOCKS,),
    "columns": (KeyCodec.DELTA, KeyCodec.COLUMNS),
    "coo": (KeyCodec.COO,),
    "delta": (KeyCodec.DELTA,),
    "rice": (KeyCodec.RICE,),
}
"""What the `keys` parameter of a codec allows; "columns" only where there is a matrix."""

CODED: Final = (KeyCodec.DELTA, KeyCodec.COLUMNS)
KEY_PLANES: Final = [KEY_INDEX, KEY_HIGH, KEY_LOW]
CLASSES: Final = 32
CODE_BYTES: Final = 16
CODE_BITS: Final = 8 * CODE_BYTES
TOO_LARGE: Final = np.iinfo(np.int64).max


class Keys(NamedTuple):
    """How the keys will be written; the directory holds the rest."""

    plain: Ints
    gaps: NDArray[np.uint32]
    by_column: Columns | None
    codes: NDArray[np.uint8]
    rests: Ints
    seeds: NDArray[np.uint64]


class _Gaps(NamedTuple):
    """What the gap codecs measure: plain gaps, those by column, classes and densities of chunks."""

    plain: Ints
    gaps: NDArray[np.uint32]
    classes: Ints
    groups: Ints
    by_column: Columns | None


def choose_keys(
    directory: NDArray[np.void],
    keys: NDArray[np.uint32],
    lengths: Ints,
    tensors: Sequence[Tensor],
    packing: str,
    seed: int | None,
    kernels: ModuleType,
) -> Keys:
    """Set the key fields of every chunk: the smallest packing, the lowest id on ties.

    Codecs with codes are left out if they do not save the section of their codes. `seed` is what
    the keys follow from, if they were drawn.
    """
    counts = directory["nnz"].astype(np.int64)
    allowed = KEY_PACKINGS[packing]
    if KeyCodec.SEEDED in allowed and seed is not None:
        nothing, codes = np.empty(0, np.uint32), np.zeros((0, CLASSES), np.uint8)
        jobs, rests = job_table(0, starts_of(counts), counts), np.zeros_like(counts)
        return Keys(jobs, nothing, None, codes, rests, seeded(directory, lengths, seed))
    allowed = tuple(codec for codec in allowed if codec is not KeyCodec.SEEDED)
    found = _measure_gaps(keys, counts, lengths, tensors, allowed, kernels)
    trials, rests, words = _try_all(directory, lengths, found, allowed, kernels)
    entries, below, codes, bits = _settle(directory, trials, rests, words, found, kernels)
    plain = [i for i, codec in enumerate(allowed) if codec not in CODED]
    if len(codes) and plain and 64 * int(words[plain].min(axis=0)[counts > 0].sum()) <= bits:
        entries, below, codes, _ = _settle(
            directory, trials[plain], rests[plain], words[plain], found, kernels
        )
    directory[:] = entries
    return Keys(found.plain, found.gaps, found.by_column, codes, below, np.empty(0, np.uint64))


def seeded(directory: NDArray[np.void], lengths: Ints, seed: int) -> NDArray[np.uint64]:
    """Keys that need no bits: sets the key fields of every chunk; what SEEDS holds."""
    counts = directory["nnz"].astype(np.int64)
    directory["key_codec"] = np.where(counts == lengths, KeyCodec.ALL, KeyCodec.SEEDED)
    directory["key_codec"][counts == 0] = KeyCodec.RICE
    seeds = np.array([seed, 0], np.uint64)
    return seeds if (directory["key_codec"] == KeyCodec.SEEDED).any() else seeds[:0]


def better_whole(
    directory: NDArray[np.void], lengths: Ints, element: Element, rests: Ints
) -> NDArray[np.bool_]:
    """Chunks of values as they are that would be smaller with all their elements and no keys."""
    counts = directory["nnz"].astype(np.int64)
    words = plane_words(directory, element, rests).sum(axis=1)
    whole: NDArray[np.bool_] = (counts < lengths) & ((lengths * element.bits + 63) >> 6 < words)
    return whole


def _measure_gaps(
    keys: NDArray[np.uint32],
    counts: Ints,
    lengths: Ints,
    tensors: Sequence[Tensor],
    allowed: tuple[KeyCodec, ...],
    kernels: ModuleType,
) -> _Gaps:
    first = starts_of(counts)
    plain = job_table(0, first, counts, end=lengths, index=first)
    gaps = np.empty(keys.size, np.uint32)
    kernels.to_gaps(plain, keys, gaps)
    classes = np.zeros((counts.size, CLASSES), np.int64)
    if KeyCodec.DELTA in allowed:
        kernels.count_classes(plain, gaps, classes)
    by_column = None
    if KeyCodec.COLUMNS in allowed:
        by_column = find_columns(keys, counts, lengths, tensors, kernels)
    return _Gaps(plain, gaps, classes, bit_length(lengths // np.maximum(counts, 1)), by_column)


def _try_all(
    directory: NDArray[np.void],
    lengths: Ints,
    found: _Gaps,
    allowed: tuple[KeyCodec, ...],
    kernels: ModuleType,
) -> tuple[NDArray[np.void], Ints, Ints]:
    """Entries, bits of rests and words of key planes that each codec would have, by chunk.

    TOO_LARGE words where a codec does not fit.
    """
    counts = directory["nnz"].astype(np.int64)
    trials = np.tile(directory, (len(allowed), 1))
    rests = np.zeros(trials.shape, np.int64)
    fits = np.tile(counts > 0, (len(allowed), 1))
    for codec, entries, below, able in zip(allowed, trials, rests, fits, strict=True):
        entries["key_codec"] = codec
        match codec:
            case KeyCodec.ALL:
                able &= counts == lengths
            case KeyCodec.BITMAP:
                entries["key_hi_bits"] = lengths
            case KeyCodec.COO:
                entries["key_param"] = max(int(lengths.max(initial=2)) - 1, 1).bit_length()
            case KeyCodec.RICE:
                limit, (parameter, high) = ids.MAX_KEY_RICE, np.zeros((2, counts.size), np.int64)
                kernels.rice_fit(found.plain, found.gaps - np.uint32(1), limit, parameter, high)
                entries["key_param"], entries["key_hi_bits"] = parameter, high
            case KeyCodec.BLOCKS:
                chunk, _, size, width = _block_widths(found.gaps, counts)
                entries["key_hi_bits"] = np.bincount(chunk, size * width, counts.size)
            case KeyCodec.DELTA:
                _code_gaps(entries, found.classes, found.groups, able, kernels)
                below[:] = _rests(found.classes)
            case KeyCodec.COLUMNS:
                able &= found.by_column is not None
                if found.by_column is not None:
                    able &= found.by_column.fits
                    _code_columns(entries, found.by_column, able, kernels)
                    below[:] = _rests(found.by_column.classes.sum(axis=1))
    bits = plane_bits(trials.reshape(-1), FLOAT32, (rests * fits).reshape(-1))
    words = ((bits[:, KEY_PLANES] + 63) >> 6).sum(axis=1).reshape(trials.shape)
    return trials, rests, np.where(fits, words, TOO_LARGE)


def _settle(
    directory: NDArray[np.void],
    trials: NDArray[np.void],
    rests: Ints,
    words: Ints,
    found: _Gaps,
    kernels: ModuleType,
) -> tuple[NDArray[np.void], Ints, NDArray[np.uint8], int]:
    """The smallest of the trials for each chunk, its rests, the codes it takes, and all bits."""
    best = np.argmin(words, axis=0)
    chunks, filled = np.arange(directory.size), directory["nnz"] > 0
    entries = directory.copy()
    entries[filled] = trials[best, chunks][filled]
    chosen_rests = rests[best, chunks] * filled
    entries["key_codec"][~filled] = KeyCodec.RICE
    delta = (entries["key_codec"] == KeyCodec.DELTA) & filled
    codes = _code_gaps(entries, found.classes, found.groups, delta, kernels)
    if found.by_column is not None:
        taken = entries["key_codec"] == KeyCodec.COLUMNS
        codes = np.concatenate((codes, _code_columns(entries, found.by_column, taken, kernels)))
    planes = plane_bits(entries, FLOAT32, chosen_rests)[:, KEY_PLANES]
    bits = 64 * int(((planes + 63) >> 6).sum()) + section_bits(CODE_BYTES * len(codes))
    return entries, chosen_rests, codes, bits


def _rests(classes: Ints) -> Ints:
    """Bits below the leading ones, per chunk."""
    rests: Ints = classes @ np.maximum(np.arange(CLASSES) - 1, 0)
    return rests


def _block_widths(gaps: NDArray[np.uint32], counts: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Chunk, first gap, size and bits per gap of every block."""
    chunk, first, size = blocks_of(counts)
    largest = np.maximum.reduceat(gaps, first) if first.size else first
    return chunk, first, size, bit_length(largest.astype(np.int64) - 1)


def _lengths(histogram: Ints, kernels: ModuleType) -> NDArray[np.uint8]:
    lengths = np.zeros(histogram.size, np.uint8)
    kernels.code_lengths(histogram, lengths, np.empty((16, 2 * histogram.size), np.int64))
    return lengths


def _code_gaps(
    entries: NDArray[np.void],
    classes: Ints,
    groups: Ints,
    mask: NDArray[np.bool_],
    kernels: ModuleType,
) -> NDArray[np.uint8]:
    """Code the gaps of the chunks in `mask`: with one code, or one per density if smaller.

    Sets `key_param` and `key_hi_bits`; returns the code lengths, a row for each code.
    """
    best: NDArray[np.uint8] = np.zeros((0, CLASSES), np.uint8)
    if not mask.any():
        return best
    least = TOO_LARGE
    for grouping in (np.zeros_like(groups), groups):
        present, which = np.unique(grouping[mask], return_inverse=True)
        members = [classes[mask][which == group].sum(axis=0) for group in range(present.size)]
        codes = np.stack([_lengths(histogram, kernels) for histogram in members])
        bits = (classes[mask] * codes[which].astype(np.int64)).sum(axis=1)
        total = int(bits.sum()) + CODE_BITS * present.size
        if total < least:
            least, best = total, codes
            entries["key_param"][mask] = which
            entries["key_hi_bits"][mask] = bits
    return best


def _code_columns(
    entries: NDArray[np.void], found: Columns, mask: NDArray[np.bool_], kernels: ModuleType
) -> NDArray[np.uint8]:
    """Code keys and columns of the chunks in `mask` with one code each, the frame's last two."""
    if not mask.any():
        return np.zeros((0, CLASSES), np.uint8)
    classes = found.classes[mask]
    codes = np.stack([_lengths(histogram, kernels) for histogram in classes.sum(axis=0)])
    entries["columns"][mask] = found.jobs[mask, SPLIT]
    entries["key_param"][mask] = found.chunks[mask, COUNT]
    entries["key_hi_bits"][mask] = (classes * codes.astype(np.int64)).sum(axis=(1, 2))
    return codes


def write_keys(
    directory: NDArray[np.void],
    planes: Ints,
    keys: NDArray[np.uint32],
    packed: Keys,
    payload: NDArray[np.uint64],
    kernels: ModuleType,
) -> None:
    """Write the key planes of every chunk into a zeroed payload."""
    counts = directory["nnz"].astype(np.int64)
    first, bits = starts_of(counts), planes * 64
    parameter = directory["key_param"].astype(np.int64)

    def jobs(codec: KeyCodec, plane: int) -> tuple[NDArray[np.intp], Ints]:
        at = np.flatnonzero((directory["key_codec"] == codec) & (counts > 0))
        return at, job_table(bits[at, plane], first[at], counts[at], width=parameter[at])

    kernels.write_bitmap(jobs(KeyCodec.BITMAP, KEY_HIGH)[1], keys, payload)
    kernels.write_fields(jobs(KeyCodec.COO, KEY_LOW)[1], keys, payload)
    at, rice = jobs(KeyCodec.RICE, KEY_LOW)
    if at.size:
        gaps = packed.gaps - np.uint32(1)
        kernels.write_fields(rice, gaps, payload)
        kernels.write_unary(jobs(KeyCodec.RICE, KEY_HIGH)[1], gaps, payload)
    if (directory["key_codec"] == KeyCodec.BLOCKS).any():
        _write_blocks(directory, bits, packed, payload, kernels)
    at, high = jobs(KeyCodec.DELTA, KEY_HIGH)
    if at.size:
        high[:, INDEX] = bits[at, KEY_INDEX]
        _write_gaps(high, bits[at, KEY_LOW], packed.gaps, packed.codes, payload, kernels)
    at, high = jobs(KeyCodec.COLUMNS, KEY_HIGH)
    if at.size and packed.by_column is not None:
        found = packed.by_column
        write_heads(found, at, planes[at, KEY_INDEX], payload)
        high[:, [FIRST, COUNT, SPLIT]] = found.jobs[at][:, [INDEX, COUNT, SPLIT]]
        high[:, INDEX] = bits[at, KEY_INDEX] + HEAD_BITS * parameter[at]
        high[:, WIDTH] = len(packed.codes) - 2
        _write_gaps(high, bits[at, KEY_LOW], found.gaps, packed.codes, payload, kernels)


def _write_gaps(
    high: Ints,
    low_starts: Ints,
    gaps: NDArray[np.uint32],
    lengths: NDArray[np.uint8],
    payload: NDArray[np.uint64],
    kernels: ModuleType,
) -> None:
    """Write codes and rests of gaps; `high` are the jobs of the codes."""
    classes = np.empty(gaps.size, np.uint32)
    kernels.classify(gaps, classes)
    words = np.zeros(lengths.shape, np.uint16)
    for row, code in zip(lengths, words, strict=True):
        kernels.codes(row, code)
    kernels.write_codes(high, classes, lengths, words, payload)
    kernels.write_rests(job_table(low_starts, high[:, FIRST], high[:, COUNT]), gaps, payload)


def _write_blocks(
    directory: NDArray[np.void],
    bits: Ints,
    keys: Keys,
    payload: NDArray[np.uint64],
    kernels: ModuleType,
) -> None:
    packed = directory["key_codec"] == KeyCodec.BLOCKS
    counts = keys.plain[:, COUNT]
    chunk, first, size, width = _block_widths(keys.gaps, counts)
    place = starts_of(size * width)
    mine = packed[chunk]
    starts = bits[chunk, KEY_HIGH] + place - place[np.searchsorted(chunk, chunk)]
    fields = job_table(starts[mine], first[mine], size[mine], width=width[mine])
    kernels.write_fields(fields, keys.gaps - np.uint32(1), payload)
    at = np.flatnonzero(packed & (counts > 0))
    blocks = np.bincount(chunk, minlength=packed.size)[at]
    index = job_table(bits[at, KEY_INDEX], np.searchsorted(chunk, at), blocks, width=WIDTH_BITS)
    kernels.write_fields(index, width.astype(np.uint32), payload)
