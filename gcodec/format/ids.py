"""Numbers that the wire format fixes: identifiers, feature bits, limits (spec 4, 10 and 11)."""

from enum import IntEnum
from typing import Final

MAGIC: Final = b"\xd6GC\xf1"
MAJOR: Final = 1
MINOR: Final = 0
ALIGNMENT: Final = 64
SECTION_ALIGNMENT: Final = 8
SECTION_ENTRY: Final = 16
UNKNOWN_RANK: Final = 0xFFFF_FFFF

KNOWN_CRITICAL_FEATURES: Final = 0

MAX_ELEMENTS: Final = 1 << 48
MAX_CHUNKS: Final = 1 << 24
MAX_TENSORS: Final = 1 << 16
MAX_SECTIONS: Final = 64
MAX_DIMENSIONS: Final = 32
MAX_LEVELS: Final = 1 << 16
MAX_KEY_CODES: Final = 256
MAX_CODED_LEVELS: Final = 1 << 12
MAX_PAYLOAD: Final = 1 << 36
MIN_CHUNK_LOG2: Final = 6
MAX_CHUNK_LOG2: Final = 24
MAX_KEY_RICE: Final = 24
MAX_VALUE_RICE: Final = 16
MAX_KEY_WIDTH: Final = 32
MAX_SKETCH_ROWS: Final = 7
ROWS_PER_HASH: Final = 3
MAX_COLUMNS_LOG2: Final = 20
MAX_POSITIONS: Final = 1 << 32


class FrameKind(IntEnum):
    DENSE = 1
    SPARSE = 2
    COUNT_SKETCH = 3
    CONTROL = 4


class ElementType(IntEnum):
    FLOAT32 = 1
    FLOAT16 = 2
    BFLOAT16 = 3
    FLOAT64 = 4


class Aggregation(IntEnum):
    ADD = 1
    OVERWRITE = 2
    STEP = 3


class BoundKind(IntEnum):
    EXACT = 1
    RELATIVE = 2
    ABSOLUTE = 3
    PROBABILISTIC = 4


class Rounding(IntEnum):
    NEAREST = 1
    STOCHASTIC = 2
    OTHER = 3


class Section(IntEnum):
    TENSORS = 1
    DIMS = 2
    CODEBOOK = 3
    SKETCH = 4
    CHUNKDIR = 5
    PAYLOAD = 6
    KEYCODES = 7
    VALUECODE = 8
    BASE = 9
    CONTEXT = 10
    SCALES = 11
    SEEDS = 12
    RUNS = 13


RESERVED_SECTIONS: Final = (Section.BASE, Section.CONTEXT)
FIRST_ANCILLARY_SECTION: Final = 0x8000


class KeyCodec(IntEnum):
    ALL = 1
    BITMAP = 2
    COO = 3
    RICE = 4
    DELTA = 5
    BLOCKS = 7
    COLUMNS = 8
    SEEDED = 9


class ValueCodec(IntEnum):
    RAW = 1
    FIXED = 2
    RICE = 3
    SIGN = 4
    HUFFMAN = 5
    SIGNED_FIXED = 18
    SIGNED_RICE = 19
    SIGNED_HUFFMAN = 21


class SketchHash(IntEnum):
    TABULATION = 1


HAS_SIGNS: Final = (ValueCodec.FIXED, ValueCodec.RICE, ValueCodec.SIGN, ValueCodec.HUFFMAN)
"""Value codecs whose levels are magnitudes, with a plane of signs beside them."""
