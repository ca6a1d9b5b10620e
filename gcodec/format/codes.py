"""Prefix codes on the wire: four bits of length for every symbol (spec section 6)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed
from . import ids
from .sections import Span

CLASSES: Final = 32
MAX_CLASS: Final = 25
MAX_LENGTH: Final = 12
CODE_SPACE: Final = 1 << MAX_LENGTH


def pack_lengths(lengths: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two lengths to a byte, the first in the low half."""
    flat = lengths.reshape(-1)
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    packed: NDArray[np.uint8] = flat[::2] | flat[1::2] << np.uint8(4)
    return packed


def read_key_codes(frame: NDArray[np.uint8], spans: dict[int, Span]) -> NDArray[np.uint8]:
    """Lengths of the codes of gap classes, uint8[codes, 32]; class 0 and above 25 have none."""
    span = spans.get(ids.Section.KEYCODES, Span(0, 0, 0))
    if span.entries > ids.MAX_KEY_CODES:
        raise LimitExceeded(f"{span.entries} key codes, the limit is {ids.MAX_KEY_CODES}")
    lengths = _unpack(frame, span).reshape(-1, CLASSES)
    if lengths[:, 0].any() or lengths[:, MAX_CLASS + 1 :].any():
        raise Malformed("a key code has a class outside 1..25")
    for row, code in enumerate(lengths):
        _check_complete(code, f"key code {row}")
    return lengths


def read_value_code(
    frame: NDArray[np.uint8], spans: dict[int, Span], n_levels: int
) -> NDArray[np.uint8]:
    """Lengths of the code of codebook indices, uint8[levels]; empty if there is none."""
    span = spans.get(ids.Section.VALUECODE, Span(0, 0, 0))
    if not span.entries:
        return np.empty(0, np.uint8)
    if span.entries > ids.MAX_CODED_LEVELS:
        raise LimitExceeded(f"a code of {span.entries} levels, the limit is {ids.MAX_CODED_LEVELS}")
    if span.entries != n_levels:
        raise Malformed(f"the value code has {span.entries} lengths for {n_levels} levels")
    lengths = _unpack(frame, span)
    if lengths[n_levels:].any():
        raise Malformed("the spare half of the value code's last byte is not zero")
    _check_complete(lengths[:n_levels], "the value code")
    return lengths[:n_levels]


def _unpack(frame: NDArray[np.uint8], span: Span) -> NDArray[np.uint8]:
    packed = frame[span.offset : span.offset + span.length]
    return np.stack((packed & 15, packed >> 4), axis=1).reshape(-1)


def _check_complete(lengths: NDArray[np.uint8], what: str) -> None:
    """Kraft's sum must be 1, or the code be one symbol of length 1."""
    used = lengths[lengths > 0].astype(np.int64)
    if (used > MAX_LENGTH).any():
        raise Malformed(f"{what} has a length above {MAX_LENGTH}")
    space = int((1 << (MAX_LENGTH - used)).sum())
    if space != CODE_SPACE and not (used.size == 1 and space == CODE_SPACE // 2):
        raise Malformed(f"{what} is not complete: Kraft's sum is {space}/{CODE_SPACE}")
