"""Packing of values: bit patterns as they are, or codebook indices by the smallest codec."""

from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded
from ..format import ids
from ..format.directory import SIGN, VALUE_HIGH, VALUE_INDEX, VALUE_LOW, plane_words
from ..format.elements import Element, Patterns
from ..format.ids import ValueCodec
from ..format.sections import section_bits
from ..kernels.jobs import COUNT, FIRST, job_table
from .layout import Ints, bit_length, starts_of

UNSIGNED: Final = (ValueCodec.FIXED, ValueCodec.RICE, ValueCodec.SIGN, ValueCodec.HUFFMAN)
SIGNED: Final = (ValueCodec.SIGNED_FIXED, ValueCodec.SIGNED_RICE, ValueCodec.SIGNED_HUFFMAN)
CODE_BITS: Final = 4
TOO_LARGE: Final = np.iinfo(np.int64).max


VALUE_PACKINGS: Final = ("auto", "fixed")
"""What the `values` parameter of a codec may be."""


class Values(NamedTuple):
    """How the values will be written; the directory holds the rest."""

    symbols: NDArray[np.uint32]
    levels: Patterns
    code: NDArray[np.uint8]


class _Trial(NamedTuple):
    directory: NDArray[np.void]
    values: Values
    bits: int


def keep_values(directory: NDArray[np.void], element: Element) -> Values:
    """Set the value fields of every chunk for values that travel as they are."""
    directory["val_codec"] = ValueCodec.RAW
    return Values(np.empty(0, np.uint32), np.empty(0, element.pattern), np.empty(0, np.uint8))


def fix_values(directory: NDArray[np.void], table: Patterns) -> Patterns:
    """Set the value fields of every chunk for indices into a table, of one width; the codebook.

    Raises
    ------
    LimitExceeded
        If a codebook cannot hold the table.
    """
    if table.size > ids.MAX_LEVELS:
        raise LimitExceeded(
            f"the grid has {table.size} levels with both signs, a frame has at most "
            f"{ids.MAX_LEVELS}: take fewer levels, or leave values out"
        )
    filled = directory["nnz"] > 0
    directory["val_codec"] = np.where(filled, ValueCodec.SIGNED_FIXED, ValueCodec.RAW)
    directory["val_param"] = np.where(filled, fixed_width(table.size), 0)
    directory["val_hi_bits"] = directory["level_base"] = 0
    return table if filled.any() else table[:0]


def fixed_width(levels: int) -> int:
    """Bits of an index into so many levels."""
    return max((levels - 1).bit_length(), 1)


def choose_values(
    directory: NDArray[np.void],
    joint: NDArray[np.uint32],
    table: Patterns,
    own_signs: bool,
    element: Element,
    kernels: ModuleType,
) -> Values:
    """Set `val_codec`, `val_param`, `val_hi_bits` and `level_base` of every chunk.

    `joint` is 2 * level + sign of each value, and an index into `table`. The codebook holds the
    levels that occur, frequent ones first. Signs have a plane of their own, or, where they follow
    from the magnitudes or from each other, or levels differ by sign, levels carry them.
    """
    signed = np.bincount(joint, minlength=table.size)
    trials = []
    if not own_signs:
        codes, unsigned = joint >> np.uint32(1), signed[0::2] + signed[1::2]
        trials.append(_try(directory, codes, table[0::2], unsigned, UNSIGNED, element, kernels))
        costs = [_code_cost(histogram, element, kernels) for histogram in (signed, unsigned)]
    if own_signs or costs[0] + joint.size // 8 < costs[1] + joint.size:
        trials.append(_try(directory, joint, table, signed, SIGNED, element, kernels))
    best = min(trials, key=lambda trial: trial.bits)
    directory[:] = best.directory
    return best.values


def _code_cost(histogram: Ints, element: Element, kernels: ModuleType) -> int:
    """Bits of a prefix code of the symbols that occur, and of their levels."""
    occurs = histogram[histogram > 0]
    if occurs.size > ids.MAX_CODED_LEVELS:
        return TOO_LARGE
    lengths, scratch = np.zeros(occurs.size, np.uint8), np.empty((16, 2 * occurs.size), np.int64)
    bits = int(kernels.code_lengths(occurs, lengths, scratch))
    return bits + (element.bits + CODE_BITS) * occurs.size


def _try(
    directory: NDArray[np.void],
    codes: NDArray[np.uint32],
    levels: Patterns,
    histogram: Ints,
    codecs: tuple[ValueCodec, ...],
    element: Element,
    kernels: ModuleType,
) -> _Trial:
    """The smallest codec for each chunk; a prefix code only if it saves its own section."""
    order = np.argsort(-histogram, kind="stable")[: np.count_nonzero(histogram)]
    rank = np.zeros(levels.size, np.uint32)
    rank[order] = np.arange(order.size, dtype=np.uint32)
    symbols, book, code = rank[codes], levels[order], np.zeros(0, np.uint8)
    if 0 < order.size <= ids.MAX_CODED_LEVELS:
        code = np.zeros(order.size, np.uint8)
        scratch = np.empty((16, 2 * order.size), np.int64)
        kernels.code_lengths(histogram[order], code, scratch)
    entries, words = _measure(directory, symbols, code, codecs, element, kernels)
    costs = words[: len(codecs) - 1].min(axis=0), words.min(axis=0)
    filled = directory["nnz"] > 0
    total, with_code = (int(cost[filled].sum()) * 64 for cost in costs)
    with_code += section_bits(-(-order.size // 2))
    if code.size and with_code < total:
        total = with_code
    else:
        words, code = words[: len(codecs) - 1], code[:0]
    chosen = directory.copy()
    chosen[filled] = entries[np.argmin(words, axis=0), np.arange(directory.size)][filled]
    chosen["val_codec"][~filled] = ValueCodec.RAW
    return _Trial(chosen, Values(symbols, book, code), total + element.bits * order.size)


def _measure(
    directory: NDArray[np.void],
    symbols: NDArray[np.uint32],
    code: NDArray[np.uint8],
    codecs: tuple[ValueCodec, ...],
    element: Element,
    kernels: ModuleType,
) -> tuple[NDArray[np.void], Ints]:
    """The entries each codec would have, and each chunk's words; TOO_LARGE if it cannot."""
    counts = directory["nnz"].astype(np.int64)
    first, filled = starts_of(counts), counts > 0
    low, high = np.zeros((2, counts.size), np.int64)
    if symbols.size:
        low[filled] = np.minimum.reduceat(symbols, first[filled])
        high[filled] = np.maximum.reduceat(symbols, first[filled])
    trials = np.tile(directory, (len(codecs), 1))
    fits = np.tile(filled, (len(codecs), 1))
    for codec, entries, able in zip(codecs, trials, fits, strict=True):
        entries["val_codec"] = codec
        match codec:
            case ValueCodec.FIXED | ValueCodec.SIGNED_FIXED:
                least = 1 if codec is ValueCodec.SIGNED_FIXED else 0  # every element takes a bit
                entries["val_param"] = np.where(filled, np.maximum(bit_length(high), least), 0)
            case ValueCodec.RICE | ValueCodec.SIGNED_RICE:
                parameter, unary = np.zeros((2, counts.size), np.int64)
                jobs = job_table(0, first, counts)
                kernels.rice_fit(jobs, symbols, ids.MAX_VALUE_RICE, parameter, unary)
                entries["val_param"], entries["val_hi_bits"] = parameter, unary
            case ValueCodec.SIGN:
                able &= low == high
                entries["level_base"] = low
            case ValueCodec.HUFFMAN | ValueCodec.SIGNED_HUFFMAN:
                able &= code.size > 0
                if code.size:
                    ends = np.cumsum(np.append(0, code[symbols].astype(np.int64)))
                    entries["val_hi_bits"] = ends[first + counts] - ends[first]
    words = plane_words(trials.reshape(-1), element).sum(axis=1).reshape(trials.shape)
    return trials, np.where(fits, words, TOO_LARGE)


def write_values(
    directory: NDArray[np.void],
    planes: Ints,
    bits: Patterns,
    signs: NDArray[np.uint32],
    packed: Values,
    payload: NDArray[np.uint64],
    kernels: ModuleType,
) -> None:
    """Write the value planes of every chunk; `bits` are the values' own patterns."""
    counts = directory["nnz"].astype(np.int64)
    first, parameter = starts_of(counts), directory["val_param"].astype(np.int64)
    codec = directory["val_codec"]

    def jobs(mask: NDArray[np.bool_], plane: int, width: Ints | int) -> Ints:
        at = np.flatnonzero(mask & (counts > 0))
        widths = np.broadcast_to(width, counts.shape)[at]
        index = planes[at, VALUE_INDEX] * 64
        return job_table(planes[at, plane] * 64, first[at], counts[at], width=widths, index=index)

    raw = jobs(codec == ValueCodec.RAW, VALUE_LOW, min(bits.itemsize * 8, 32))
    if bits.itemsize == 8:  # two fields of 32 bits
        raw[:, [FIRST, COUNT]] *= 2
        bits = bits.view(np.uint32)
    kernels.write_fields(raw, bits, payload)
    if not packed.levels.size:
        return
    rice = (codec == ValueCodec.RICE) | (codec == ValueCodec.SIGNED_RICE)
    fields = rice | (codec == ValueCodec.FIXED) | (codec == ValueCodec.SIGNED_FIXED)
    huffman = (codec == ValueCodec.HUFFMAN) | (codec == ValueCodec.SIGNED_HUFFMAN)
    signed = (codec != ValueCodec.RAW) & (codec <= ValueCodec.HUFFMAN)
    kernels.write_fields(jobs(signed, SIGN, 1), signs, payload)
    kernels.write_fields(jobs(fields, VALUE_LOW, parameter), packed.symbols, payload)
    kernels.write_unary(jobs(rice, VALUE_HIGH, parameter), packed.symbols, payload)
    if packed.code.size:
        words = np.zeros((1, packed.code.size), np.uint16)
        kernels.codes(packed.code, words[0])
        coded = jobs(huffman, VALUE_HIGH, 0)
        kernels.write_codes(coded, packed.symbols, packed.code[None], words, payload)
