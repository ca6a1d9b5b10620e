"""Prefix codes on the wire: four bits of length for every symbol (spec section 6)."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed
from . import ids
from .sections import Span

CLASSES: Final = 32
MAX_CLASS: Final = 25
MAX_CODE_BITS: Final = 12
CODE_SPACE: Final = 1 << MAX_CODE_BITS
_NO_CODE: Final = np.frombuffer(b"", np.uint8)
_NO_CODES: Final = _NO_CODE.reshape(0, CLASSES)


def pack_lengths(lengths: NDArray[np.uint8]) -> bytes:
    """Two lengths to a byte, the first in the low half."""
    flat = lengths.tobytes() + b"\0" * (lengths.size % 2)
    return bytes(low | high << 4 for low, high in zip(flat[::2], flat[1::2], strict=True))


def read_key_codes(meta: bytes, spans: Mapping[int, Span]) -> NDArray[np.uint8]:
    """Lengths of the codes of gap classes, uint8[codes, 32]; class 0 and above 25 have none."""
    span = spans.get(ids.Section.KEYCODES)
    if span is None:
        return _NO_CODES
    if span.entries > ids.MAX_KEY_CODES:
        raise LimitExceeded(f"{span.entries} key codes, the limit is {ids.MAX_KEY_CODES}")
    lengths = _unpack(meta, span)
    codes = [lengths[at : at + CLASSES] for at in range(0, len(lengths), CLASSES)]
    for code in codes:
        if code[0] or any(code[MAX_CLASS + 1 :]):
            raise Malformed("a key code has a class outside 1..25")
    for row, code in enumerate(codes):
        _check_complete(code, f"key code {row}")
    return np.frombuffer(lengths, np.uint8).reshape(-1, CLASSES)


def read_value_code(meta: bytes, spans: Mapping[int, Span], n_levels: int) -> NDArray[np.uint8]:
    """Lengths of the code of codebook indices, uint8[levels]; empty if there is none."""
    span = spans.get(ids.Section.VALUECODE)
    if span is None:
        return _NO_CODE
    if span.entries > ids.MAX_CODED_LEVELS:
        raise LimitExceeded(f"a code of {span.entries} levels, the limit is {ids.MAX_CODED_LEVELS}")
    if span.entries not in (0, n_levels):
        raise Malformed(f"the value code has {span.entries} lengths for {n_levels} levels")
    lengths = _unpack(meta, span)
    if any(lengths[span.entries :]):
        raise Malformed("the spare half of the value code's last byte is not zero")
    if span.entries:
        _check_complete(lengths[: span.entries], "the value code")
    return np.frombuffer(lengths, np.uint8, span.entries)


def _unpack(meta: bytes, span: Span) -> bytes:
    """A byte for every half byte, the low half first."""
    digits = meta[span.offset : span.offset + span.length][::-1].hex()[::-1]
    return bytes.fromhex("0" + "0".join(digits)) if digits else b""


def _check_complete(lengths: bytes, what: str) -> None:
    """Kraft's sum must be 1, or the code be one symbol of length 1."""
    if max(lengths) > MAX_CODE_BITS:
        raise Malformed(f"{what} has a length above {MAX_CODE_BITS}")
    space = sum(lengths.count(n) << MAX_CODE_BITS - n for n in range(1, MAX_CODE_BITS + 1))
    alone = space == CODE_SPACE // 2 and lengths.count(1) == 1
    if space != CODE_SPACE and not alone:
        raise Malformed(f"{what} is not complete: Kraft's sum is {space}/{CODE_SPACE}")
