"""The 128-byte frame header (spec section 3)."""

import re
import struct
from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import lru_cache
from math import copysign, isfinite
from typing import Any, Final, NamedTuple

import numpy as np

from ..errors import (
    Corrupt,
    LimitExceeded,
    Malformed,
    NotAFrame,
    Truncated,
    UnsupportedFeature,
    UnsupportedVersion,
)
from . import ids

Hash = Callable[[Any, int], int]
"""XXH64 of a uint8 array with a seed, as a Python int."""

_STRUCT: Final = struct.Struct("<4sBBHQIIQQIIHBBBBBBdQIIIIdQQQII")
_PREFIX: Final = struct.Struct("<4sBBHQ")
HEADER_SIZE: Final = _STRUCT.size
PREFIX_SIZE: Final = _PREFIX.size
CHECKED_HEADER_BYTES: Final = HEADER_SIZE - 4
LOW_32: Final = 0xFFFF_FFFF

_LIMITS: Final = (
    ("n_elements", 24, 0, ids.MAX_ELEMENTS),
    ("n_chunks", 40, 0, ids.MAX_CHUNKS),
    ("n_tensors", 44, 1, ids.MAX_TENSORS),
    ("n_sections", 48, 1, ids.MAX_SECTIONS),
    ("chunk_log2", 50, ids.MIN_CHUNK_LOG2, ids.MAX_CHUNK_LOG2),
)


def _kind(
    field: str, offset: int, registry: type[IntEnum], supported: Iterable[IntEnum]
) -> tuple[str, int, type[IntEnum], frozenset[int]]:
    return field, offset, registry, frozenset(map(int, supported))


_KINDS: Final = (
    _kind(
        "frame_kind",
        51,
        ids.FrameKind,
        (ids.FrameKind.DENSE, ids.FrameKind.SPARSE, ids.FrameKind.COUNT_SKETCH),
    ),
    _kind("elem_dtype", 52, ids.ElementType, ids.ElementType),
    _kind("aggregation", 53, ids.Aggregation, (ids.Aggregation.ADD,)),
    _kind("bound_kind", 54, ids.BoundKind, ids.BoundKind),
    _kind("rounding", 55, ids.Rounding, ids.Rounding),
)


def _starts(layout: str) -> list[int]:
    """Where each field of a layout starts, byte order first."""
    fields = re.findall(r"\d*[a-zA-Z]", layout)
    return [struct.calcsize("<" + "".join(fields[:at])) for at in range(len(fields))]


class Header(NamedTuple):
    """The header's fields by their spec names, in wire order."""

    magic: bytes = ids.MAGIC
    major: int = ids.MAJOR
    minor: int = ids.MINOR
    header_len: int = HEADER_SIZE
    frame_len: int = 0
    critical_features: int = 0
    ancillary_features: int = 0
    n_elements: int = 0
    n_stored: int = 0
    n_chunks: int = 0
    n_tensors: int = 1
    n_sections: int = 0
    chunk_log2: int = ids.MIN_CHUNK_LOG2
    frame_kind: int = ids.FrameKind.SPARSE
    elem_dtype: int = ids.ElementType.FLOAT32
    aggregation: int = ids.Aggregation.ADD
    bound_kind: int = ids.BoundKind.EXACT
    rounding: int = ids.Rounding.NEAREST
    bound: float = 0.0
    step: int = 0
    rank: int = ids.UNKNOWN_RANK
    world: int = ids.UNKNOWN_RANK
    contributions: int = 1
    bucket: int = 0
    weight: float = 1.0
    sum_key: int = 0
    layout_key: int = 0
    payload_offset: int = 0
    meta_check: int = 0
    header_check: int = 0

    def to_bytes(self) -> bytes:
        return _STRUCT.pack(*self)


OFFSETS: Final = dict(zip(Header._fields, _starts(_STRUCT.format), strict=True))
"""The byte that each field starts at."""

_N_CHUNKS, _FRAME_KIND, _BOUND = map(Header._fields.index, ("n_chunks", "frame_kind", "bound"))


def read_prefix(head: bytes, given: int) -> int:
    """Check the 16 bytes that are frozen for all majors; return the frame's length in bytes.

    `head` is the start of a buffer of `given` bytes.
    """
    magic = head[:4]
    if magic != ids.MAGIC[: len(magic)]:
        raise NotAFrame(f"bytes 0-3 are {magic.hex(' ')}, a gcodec frame starts with d6 47 43 f1")
    if given < PREFIX_SIZE:
        raise Truncated(f"{given} bytes given, the frame prefix alone has {PREFIX_SIZE}")
    _, major, minor, header_len, frame_len = _PREFIX.unpack_from(head)
    if major != ids.MAJOR:
        raise UnsupportedVersion(
            f"format {major}.{minor} at byte 4, this reader knows {ids.MAJOR}.x: update gcodec"
        )
    if header_len < HEADER_SIZE or header_len % ids.ALIGNMENT:
        raise Malformed(f"header_len {header_len} at byte 6 is not a multiple of 64 from 128 on")
    if frame_len < header_len or frame_len % ids.ALIGNMENT:
        raise Malformed(
            f"frame_len {frame_len} at byte 8 is not a multiple of 64 from header_len on"
        )
    if frame_len > given:
        raise Truncated(f"the frame has {frame_len} bytes, {given} were given")
    return int(frame_len)


def read_header(head: bytes, xxh64: Hash) -> Header:
    """Read and check the 128 bytes of a header whose prefix `read_prefix` accepted."""
    header = Header._make(_STRUCT.unpack(head))
    checked = np.frombuffer(head, np.uint8, CHECKED_HEADER_BYTES)
    if xxh64(checked, 0) & LOW_32 != header.header_check:
        raise Corrupt("header_check at byte 124 does not match bytes 0-123")
    unknown = header.critical_features & ~ids.KNOWN_CRITICAL_FEATURES
    if unknown:
        bit = (unknown & -unknown).bit_length() - 1
        raise UnsupportedFeature(
            f"critical feature bit {bit} at byte 16 is not known: update gcodec"
        )
    _check_limits(header.n_elements, *header[_N_CHUNKS:_FRAME_KIND])
    _check_enums(*header[_FRAME_KIND:_BOUND])
    start, table = header.payload_offset, header.header_len + 16 * header.n_sections
    if start % ids.ALIGNMENT or not table <= start <= header.frame_len:
        raise Malformed(
            f"payload_offset {start} at byte 112 is not a multiple of 64 in {table}..frame_len"
        )
    if not (isfinite(header.bound) and copysign(1, header.bound) > 0):
        raise Malformed(f"bound {header.bound} at byte 56 is not finite and >= 0")
    if header.bound_kind == ids.BoundKind.EXACT and header.bound:
        raise Malformed(f"bound {header.bound} at byte 56, but bound_kind says exact")
    if not (isfinite(header.weight) and header.weight > 0):
        raise Malformed(f"weight {header.weight} at byte 88 is not finite and > 0")
    unknown_world = header.world == ids.UNKNOWN_RANK
    if header.rank != ids.UNKNOWN_RANK if unknown_world else header.rank >= header.world:
        raise Malformed(f"rank {header.rank} at byte 72 is not one of a world of {header.world}")
    if header.contributions < 1:
        raise Malformed("contributions at byte 80 is 0")
    chunk = 1 << header.chunk_log2
    if header.n_chunks != -(-header.n_elements // chunk):
        raise Malformed(
            f"n_chunks {header.n_chunks} at byte 40, but {header.n_elements} elements in chunks of "
            f"{chunk} make {-(-header.n_elements // chunk)}"
        )
    if header.n_stored > header.n_elements:
        raise Malformed(
            f"n_stored {header.n_stored} at byte 32 is past n_elements {header.n_elements}"
        )
    if header.frame_kind == ids.FrameKind.DENSE and header.n_stored != header.n_elements:
        raise Malformed(
            f"a dense frame stores {header.n_stored} of {header.n_elements} elements, not all"
        )
    return header


@lru_cache
def _check_limits(*values: int) -> None:
    """Hold what `_LIMITS` names to it, in order."""
    for value, (field, offset, low, high) in zip(values, _LIMITS, strict=True):
        if not low <= value <= high:
            raise LimitExceeded(f"{field} {value} at byte {offset} is outside {low}..{high}")


@lru_cache
def _check_enums(*values: int) -> None:
    """Hold what `_KINDS` names to it, in order."""
    for value, (field, offset, registry, supported) in zip(values, _KINDS, strict=True):
        if value in supported:
            continue
        if value == 0:
            raise Malformed(f"{field} at byte {offset} is 0, which no registry uses")
        known = value in tuple(registry)
        name = registry(value).name.lower().replace("_", "-") if known else str(value)
        raise UnsupportedFeature(
            f"{field} {name} at byte {offset} is not known to this reader: update gcodec"
        )
