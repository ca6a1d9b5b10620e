"""Planes back to keys and values in scratch, everything about them proved (spec section 9)."""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..errors import Malformed
from ..format.directory import (
    END,
    HEAD_BITS,
    KEY_HIGH,
    KEY_INDEX,
    KEY_LOW,
    SIGN,
    VALUE_HIGH,
    VALUE_INDEX,
    VALUE_LOW,
    WIDTH_BITS,
    chunk_units,
    plane_bits,
)
from ..format.directory import planes as plane_table
from ..format.elements import Patterns
from ..format.frame import Parsed
from ..format.ids import HAS_SIGNS, KeyCodec, ValueCodec
from ..kernels.jobs import COUNT, FIRST, INDEX, SPLIT, WIDTH, job_table
from .columns import read_heads
from .layout import Ints, blocks_of, starts_of
from .seeded import drawn_keys

CODE_SPACE = 1 << 12
PAST_END = "a key lies past its end"
_FIXED = (ValueCodec.FIXED, ValueCodec.SIGNED_FIXED)
_RICE = (ValueCodec.RICE, ValueCodec.SIGNED_RICE)
_HUFFMAN = (ValueCodec.HUFFMAN, ValueCodec.SIGNED_HUFFMAN)
_INDEX = tuple(codec for codec in ValueCodec if codec is not ValueCodec.RAW)


class _Payload:
    """A payload while it is read: where its planes lie, and how many bits of each are used."""

    def __init__(self, parsed: Parsed, first_chunk: int, kernels: ModuleType) -> None:
        self.parsed, self.first_chunk, self.kernels = parsed, first_chunk, kernels
        self.words = parsed.payload
        self.counts = parsed.directory["nnz"].astype(np.int64)
        self.first = starts_of(self.counts)
        self.starts = plane_table(parsed.directory, parsed.element) * 64
        self.used = plane_bits(parsed.directory, parsed.element)

        self._at: dict[str, dict[int, NDArray[np.intp]]] = {}
        filled = self.counts > 0
        for field in ("key_codec", "val_codec"):
            codecs = parsed.directory[field]
            self._at[field] = {
                codec: np.flatnonzero(filled & (codecs == codec))
                for codec in set(codecs[filled].tolist())
            }

    def chunks(self, field: str, *codecs: int) -> NDArray[np.intp]:
        """Chunks with keys, or values, in one of these codecs."""
        found = [self._at[field][codec] for codec in codecs if codec in self._at[field]]
        if len(found) == 1:
            return found[0]
        return np.sort(np.concatenate(found)) if found else np.empty(0, np.intp)

    def jobs(self, at: NDArray[np.intp], plane: int, *, width: Ints | int = 0) -> Ints:
        """A job for one plane of each of these chunks."""
        start = self.starts[at, plane]
        end = start + self.used[at, plane]
        return job_table(start, self.first[at], self.counts[at], end=end, width=width)

    def parameter(self, field: str, at: NDArray[np.intp]) -> Ints:
        return self.parsed.directory[field][at].astype(np.int64)

    def refuse(self, at: NDArray[np.intp], fault: int, what: str) -> None:
        """Raise if a kernel named a job at fault."""
        if fault >= 0:
            raise Malformed(f"chunk {self.first_chunk + at[fault]}: {what}")


def read_payload(
    parsed: Parsed, first_chunk: int, kernels: ModuleType
) -> tuple[NDArray[np.uint32], Patterns]:
    """Keys within their chunks and bit patterns of the values, of all chunks in order.

    `first_chunk` is the number of the first, for errors.

    Raises
    ------
    Malformed
        If a plane, a key, an index or a spare bit breaks a rule.
    """
    payload = _Payload(parsed, first_chunk, kernels)
    keys = np.empty(int(payload.counts.sum()), np.uint32)
    _read_fields(payload, keys)
    _read_gaps(payload, keys)
    values = _read_values(payload)
    ends = payload.starts[:, 1:]
    spare = job_table((payload.starts[:, :END] + payload.used).ravel(), 0, 0, end=ends.ravel())
    fault = kernels.spare_bits(spare, payload.words)
    if fault >= 0:
        chunk = first_chunk + fault // END
        raise Malformed(f"chunk {chunk}: spare bits or padding are not zero")
    return keys, values


def _read_fields(payload: _Payload, keys: NDArray[np.uint32]) -> None:
    """Keys that are positions: all of them, a bitmap, fixed-width fields."""
    kernels, words, lengths = payload.kernels, payload.words, payload.parsed.lengths
    for chunk in payload.chunks("key_codec", KeyCodec.ALL):
        first, count = payload.first[chunk], payload.counts[chunk]
        keys[first : first + count] = np.arange(count)
    for chunk in payload.chunks("key_codec", KeyCodec.SEEDED):
        first, count = payload.first[chunk], payload.counts[chunk]
        seed, base = payload.parsed.tables.seeds.tolist()
        drawn, _ = drawn_keys(
            seed,
            base + payload.first_chunk + int(chunk),
            payload.counts[chunk : chunk + 1],
            lengths[chunk : chunk + 1],
        )
        keys[first : first + count] = drawn
    at = payload.chunks("key_codec", KeyCodec.BITMAP)
    if at.size:
        fault = kernels.read_bitmap(payload.jobs(at, KEY_HIGH), words, keys)
        payload.refuse(at, fault, "the bitmap does not hold nnz ones")
    at = payload.chunks("key_codec", KeyCodec.COO)
    if at.size:
        jobs = payload.jobs(at, KEY_LOW, width=payload.parameter("key_param", at))
        kernels.read_fields(jobs, words, keys)
        jobs = job_table(0, payload.first[at], payload.counts[at], end=lengths[at])
        payload.refuse(at, kernels.check_keys(jobs, keys), "keys do not ascend within the chunk")


def _read_gaps(payload: _Payload, keys: NDArray[np.uint32]) -> None:
    """Keys that are sums of gaps: Rice, blocks, gap classes, gap classes over columns."""
    kernels, words, parsed = payload.kernels, payload.words, payload.parsed
    at = payload.chunks("key_codec", KeyCodec.RICE, KeyCodec.BLOCKS)
    if at.size:
        gaps = np.empty(keys.size, np.uint32)
        rice = payload.chunks("key_codec", KeyCodec.RICE)
        parameter = payload.parameter("key_param", rice)
        kernels.read_fields(payload.jobs(rice, KEY_LOW, width=parameter), words, gaps)
        fault = kernels.read_unary(payload.jobs(rice, KEY_HIGH, width=parameter), words, gaps)
        payload.refuse(rice, fault, "the unary key plane does not hold nnz ones and end with one")
        _read_blocks(payload, gaps)
        gaps += np.uint32(1)
        jobs = job_table(
            0,
            payload.first[at],
            payload.counts[at],
            end=parsed.lengths[at],
            index=payload.first[at],
        )
        payload.refuse(at, kernels.from_gaps(jobs, gaps, keys), PAST_END)
    for codec in (KeyCodec.DELTA, KeyCodec.COLUMNS):
        at = payload.chunks("key_codec", codec)
        if not at.size:
            continue
        columns, row = payload.parameter("columns", at), payload.parameter("key_param", at)
        index = payload.starts[at, KEY_INDEX]
        if codec is KeyCodec.COLUMNS:
            index, row = index + HEAD_BITS * row, np.full(at.size, len(parsed.tables.key_codes) - 2)
        gaps, first = _read_classes(payload, at, columns, index, row)
        if codec is KeyCodec.COLUMNS:
            _read_columns(payload, at, columns, first, gaps, keys)
            continue
        jobs = job_table(
            0, payload.first[at], payload.counts[at], end=parsed.lengths[at], index=first
        )
        payload.refuse(at, kernels.from_gaps(jobs, gaps, keys), PAST_END)


def _read_classes(
    payload: _Payload, at: NDArray[np.intp], columns: Ints, index: Ints, row: Ints
) -> tuple[NDArray[np.uint32], Ints]:
    """Gaps of these chunks, columns before keys, and where each chunk's start."""
    kernels, words = payload.kernels, payload.words
    counts = payload.counts[at] + columns
    first = starts_of(counts)
    start = payload.starts[at, KEY_HIGH]
    high = job_table(
        start,
        first,
        counts,
        end=start + payload.used[at, KEY_HIGH],
        width=row,
        index=index,
        split=columns,
    )
    gaps = np.empty(int(counts.sum()), np.uint32)
    tables = _decode_tables(payload.parsed.tables.key_codes, kernels)
    fault = kernels.read_codes(high, words, tables, gaps)
    payload.refuse(at, fault, "the codes of the gaps do not end where they should")
    start = payload.starts[at, KEY_LOW]
    low = job_table(start, first, counts, end=payload.starts[at, END] - 64)
    ends = np.zeros(at.size, np.int64)
    fault = kernels.read_rests(low, words, gaps, ends)
    payload.refuse(at, fault, "the gaps need more bits than the chunk has")
    payload.used[at, KEY_LOW] = ends - start
    used = ((ends + 63) >> 6) - (payload.starts[at, 0] >> 6)
    wrong = chunk_units(counts, used) != payload.parsed.directory["len16"][at]
    if wrong.any():
        chunk = payload.first_chunk + at[np.argmax(wrong)]
        raise Malformed(f"chunk {chunk}: len16 differs from the length of the planes")
    return gaps, first


def _read_columns(
    payload: _Payload,
    at: NDArray[np.intp],
    listed: Ints,
    first: Ints,
    gaps: NDArray[np.uint32],
    keys: NDArray[np.uint32],
) -> None:
    """Keys of chunks that are compact to their active columns."""
    kernels, lengths = payload.kernels, payload.parsed.lengths[at]
    number = payload.parameter("key_param", at)
    heads = payload.starts[at, KEY_INDEX] >> 6
    pieces = read_heads(at, number, heads, listed, lengths, payload.words)
    chunk = np.repeat(np.arange(at.size), number)
    place = starts_of(pieces[:, SPLIT])
    index = first[chunk] + place - starts_of(listed)[chunk]
    lists = job_table(0, place, pieces[:, SPLIT], end=pieces[:, WIDTH], index=index)
    columns = np.empty(int(listed.sum()), np.uint32)
    payload.refuse(at[chunk], kernels.from_gaps(lists, gaps, columns), "a column past its row")
    own, counts = payload.first[at], payload.counts[at]
    compact = job_table(0, own, counts, end=1 << 32, index=first + listed)
    payload.refuse(at, kernels.from_gaps(compact, gaps, keys), PAST_END)
    chunks = job_table(0, starts_of(number), number, index=own, split=counts)
    payload.refuse(at, kernels.from_compact(chunks, pieces, columns, keys), PAST_END)


def _read_blocks(payload: _Payload, gaps: NDArray[np.uint32]) -> None:
    """Gaps minus one of chunks with a width for every block."""
    at = payload.chunks("key_codec", KeyCodec.BLOCKS)
    if not at.size:
        return
    chunk, first, size = blocks_of(payload.counts[at])
    blocks = np.bincount(chunk, minlength=at.size)
    widths = np.empty(chunk.size, np.uint32)
    index = job_table(payload.starts[at, KEY_INDEX], starts_of(blocks), blocks, width=WIDTH_BITS)
    payload.kernels.read_fields(index, payload.words, widths)
    bits = size * widths
    total = np.bincount(chunk, bits, at.size).astype(np.int64)
    wrong = total != payload.used[at, KEY_HIGH]
    if wrong.any():
        chunk = payload.first_chunk + at[np.argmax(wrong)]
        raise Malformed(f"chunk {chunk}: the blocks do not fill their plane")
    place = starts_of(bits) - np.repeat(starts_of(total), blocks)
    inside = first - np.repeat(starts_of(payload.counts[at]), blocks)
    jobs = job_table(
        payload.starts[at, KEY_HIGH][chunk] + place,
        payload.first[at][chunk] + inside,
        size,
        width=widths,
    )
    payload.kernels.read_fields(jobs, payload.words, gaps)


def _read_values(payload: _Payload) -> Patterns:
    """Bit patterns: as they are, or a level by its index with its sign."""
    kernels, words, parsed = payload.kernels, payload.words, payload.parsed
    patterns = np.zeros(int(payload.counts.sum()), parsed.element.pattern)
    at = payload.chunks("val_codec", ValueCodec.RAW)
    if at.size:
        _read_raw(payload, at, patterns)
    if at.size == np.count_nonzero(payload.counts):
        return patterns
    indices = np.zeros(patterns.size, np.uint32)
    at = payload.chunks("val_codec", *_FIXED, *_RICE)
    if at.size:
        parameter = payload.parameter("val_param", at)
        kernels.read_fields(payload.jobs(at, VALUE_LOW, width=parameter), words, indices)
    at = payload.chunks("val_codec", *_RICE)
    if at.size:
        jobs = payload.jobs(at, VALUE_HIGH, width=payload.parameter("val_param", at))
        fault = kernels.read_unary(jobs, words, indices)
        payload.refuse(at, fault, "the unary value plane does not hold nnz ones and end with one")
    at = payload.chunks("val_codec", *_HUFFMAN)
    if at.size:
        jobs = payload.jobs(at, VALUE_HIGH)
        jobs[:, INDEX] = payload.starts[at, VALUE_INDEX]
        tables = _decode_tables(parsed.tables.value_code[None], kernels)
        fault = kernels.read_codes(jobs, words, tables, indices)
        payload.refuse(at, fault, "the codes of the values do not end where they should")
    at = payload.chunks("val_codec", *_INDEX)
    base = parsed.directory["level_base"][at]
    jobs = job_table(base, payload.first[at], payload.counts[at])
    fault = kernels.look_up(jobs, parsed.tables.levels, indices, patterns)
    payload.refuse(at, fault, "an index lies past the codebook")
    at = payload.chunks("val_codec", *HAS_SIGNS)
    if at.size:
        fault = kernels.read_signs(payload.jobs(at, SIGN), words, patterns)
        payload.refuse(at, fault, "a level with a sign of its own, beside a plane of signs")
    return patterns


def _read_raw(payload: _Payload, at: NDArray[np.intp], patterns: Patterns) -> None:
    """Patterns as they are; of 64 bits, as two fields of 32."""
    jobs = payload.jobs(at, VALUE_LOW, width=min(patterns.itemsize * 8, 32))
    if patterns.itemsize == 8:
        jobs[:, [FIRST, COUNT]] *= 2
        patterns = patterns.view(np.uint32)
    payload.kernels.read_fields(jobs, payload.words, patterns)


def _decode_tables(lengths: NDArray[np.uint8], kernels: ModuleType) -> NDArray[np.uint16]:
    tables = np.zeros((len(lengths), CODE_SPACE), np.uint16)
    for row, table in zip(lengths, tables, strict=True):
        kernels.decode_table(row, table)
    return tables
