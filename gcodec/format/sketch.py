"""What the cells of a count-sketch mean: section SKETCH, and the hash that finds them (spec 8)."""

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import frexp
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitExceeded, Malformed, UnsupportedFeature
from . import ids
from .draws import draw
from .header import Header
from .sections import Span, Tensor

_ENTRY: Final = struct.Struct("<BBHIQd")
ENTRY_SIZE: Final = _ENTRY.size
CHARACTERS: Final = 4
SMALLEST_UNIT: Final = 2.0**-1022
ELEMENTS: Final = (ids.ElementType.FLOAT32, ids.ElementType.FLOAT64)


class Sketch(NamedTuple):
    """Rows of 2**columns_log2 cells each, the hash that says which are a position's, and the unit.

    Cells are numbers of the element type if the unit is 0, else integers of as many bits: multiples
    of the unit, a power of two.
    """

    rows: int
    columns_log2: int
    seed: int
    unit: float = 0.0
    hash: int = ids.SketchHash.TABULATION

    @property
    def columns(self) -> int:
        return 1 << self.columns_log2

    def to_bytes(self) -> bytes:
        """The SKETCH section."""
        return _ENTRY.pack(self.rows, self.columns_log2, self.hash, 0, self.seed, self.unit)


def is_unit(number: float) -> bool:
    """Whether a number is a power of two from 2**-1022 on."""
    return number >= SMALLEST_UNIT and frexp(number)[0] == 0.5


@lru_cache(maxsize=16)
def hash_tables(seed: int, rows: int) -> NDArray[np.uint64]:
    """What the characters of a position are turned into, uint64[hashes, 4, 256]; read-only."""
    shape = -(-rows // ids.ROWS_PER_HASH), CHARACTERS, 256
    tables = draw(seed, np.arange(np.prod(shape))).reshape(shape)
    tables.setflags(write=False)
    return tables


def sum_key(layout_key: int, sketch: Sketch, xxh64: Callable[[Any, int], int]) -> int:
    """Equal for sketches whose cells can be added: of the same tensors, hash and unit."""
    data = layout_key.to_bytes(8, "little") + sketch.to_bytes()
    return int(xxh64(np.frombuffer(data, np.uint8), 0)) or 1


def read_sketch(
    meta: bytes,
    spans: Mapping[int, Span],
    header: Header,
    tensors: tuple[Tensor, ...],
    directory: NDArray[np.void],
    xxh64: Callable[[Any, int], int],
) -> Sketch | None:
    """Steps 115 to 124 of spec section 9: what the cells mean, or None if the frame has none."""
    span = spans.get(ids.Section.SKETCH)
    if header.frame_kind != ids.FrameKind.COUNT_SKETCH:
        if span is not None:
            raise Malformed("a section SKETCH in a frame that is no count-sketch")
        return None
    if span is None or span.entries != 1:
        raise Malformed("a count-sketch without an entry in SKETCH")
    rows, columns_log2, family, reserved, seed, unit = _ENTRY.unpack_from(meta, span.offset)
    if family == 0:
        raise Malformed("the hash of the sketch is 0, which no registry uses")
    if family not in tuple(ids.SketchHash):
        raise UnsupportedFeature(f"sketch hash {family} is not known to this reader: update gcodec")
    if not 1 <= rows <= ids.MAX_SKETCH_ROWS:
        raise LimitExceeded(f"{rows} rows, a sketch has 1 to {ids.MAX_SKETCH_ROWS}")
    if columns_log2 > ids.MAX_COLUMNS_LOG2:
        raise LimitExceeded(f"2^{columns_log2} columns, the limit is 2^{ids.MAX_COLUMNS_LOG2}")
    if reserved:
        raise Malformed("reserved bytes of SKETCH are not zero")
    if not (is_unit(unit) or (unit == 0 and np.copysign(1, unit) > 0)):
        raise Malformed(f"unit {unit} is neither 0 nor a power of two from 2^-1022 on")
    if header.elem_dtype not in ELEMENTS:
        raise Malformed("the elements of a sketch are float32 or float64")
    sketch = Sketch(rows, columns_log2, seed, unit, family)
    if header.n_elements != rows * sketch.columns:
        raise Malformed(f"{header.n_elements} cells in {rows} rows of {sketch.columns}")
    positions = count_positions(tensors)
    if positions > ids.MAX_POSITIONS:
        raise LimitExceeded(f"{positions} positions, a sketch has at most {ids.MAX_POSITIONS}")
    coded = (directory["val_codec"] != ids.ValueCodec.RAW) & (directory["nnz"] > 0)
    if coded.any():
        raise Malformed(f"chunk {int(coded.argmax())} of a sketch has other values than RAW")
    if header.sum_key != sum_key(header.layout_key, sketch, xxh64):
        raise Malformed("sum_key at byte 96 is not the hash of layout_key and SKETCH")
    return sketch


def count_positions(tensors: tuple[Tensor, ...]) -> int:
    """Elements of all tensors."""
    return sum([int(np.prod(t.shape, dtype=object)) for t in tensors])
