"""How keys and values become planes of bits: measured, chosen, written, and read back."""

from .keys import KEY_PACKINGS, Keys, better_whole, choose_keys, write_keys
from .layout import pieces_of
from .read import read_payload
from .seeded import drawn_keys
from .values import Values, choose_values, keep_values, write_values

__all__ = [
    "KEY_PACKINGS",
    "Keys",
    "Values",
    "better_whole",
    "choose_keys",
    "choose_values",
    "drawn_keys",
    "keep_values",
    "pieces_of",
    "read_payload",
    "write_keys",
    "write_values",
]
