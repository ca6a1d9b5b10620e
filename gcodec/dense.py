"""Frames in which every element goes, as an index of one width or as it is: no keys, no scratch.

Encoding is a pass over the elements for the largest, and one that rounds, writes, checks and, with
error feedback, takes off what goes, a chunk at a time. Decoding proves all chunks, then reads them
once more. Nothing is as large as the gradient but what comes in and goes out.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import NUMBERS, Numbers, read_only, widen
from .format import frame as wire
from .format.directory import CHUNK, chunk_lengths, chunk_units
from .format.elements import Patterns
from .format.frame import Parsed
from .format.ids import KeyCodec, ValueCodec
from .packing import fix_values
from .parallel import LEAST, Range, run, split
from .quantize import QSGD, Natural, TernGrad
from .request import Recipe
from .rounding import Coding
from .select import Dense
from .statistics import STRIDE, Sum

DRAWN = (QSGD, Natural, TernGrad)
"""Quantisers that always draw; others say whether they are `stochastic`, or never are."""


def is_taken(recipe: Recipe, n: int) -> bool:
    """Whether a recipe sends each of n elements as an index of one width that is not drawn."""
    if recipe.values != "fixed" or recipe.scales is not None or recipe.keys != "auto":
        return False
    drawn = isinstance(recipe.quantize, DRAWN) or getattr(recipe.quantize, "stochastic", False)
    return isinstance(recipe.select, Dense) and n > 0 and not drawn


def largest(bits: Patterns, pending: Sum | None, kernels: ModuleType) -> int:
    """The largest magnitude pattern of all; of a pending sum, which is then worked out."""

    def part(start: int, stop: int) -> int:
        own = bits[start:stop]
        if pending is None:
            return int(kernels.magnitude_max(own))
        return int(kernels.add_up(*pending.part(start, stop), own))

    return max(run(part, split(bits.size, LEAST, STRIDE)))


class Packed(NamedTuple):
    """How every element will be written; `residual` is what is left of them then, if not empty."""

    directory: NDArray[np.void]
    tables: wire.Tables
    bits: Patterns
    chunk_log2: int
    coding: Coding
    decoded: Numbers
    residual: Numbers
    kernels: ModuleType

    def write(self, work: wire.Draft) -> None:
        """Write planes and checks into a draft of the same directory, and the residual."""
        coding, log2 = self.coding, self.chunk_log2
        width = int(self.directory["val_param"][0])

        def part(begin: int, end: int) -> None:
            own = slice(begin << log2, end << log2)
            self.kernels.code_chunks(
                self.bits[own], begin, log2, coding.boundaries, coding.plain, width,
                work.directory[begin:end], work.payload, self.decoded, self.residual[own],
            )  # fmt: skip

        run(part, _ranges(self.directory.size, log2))


def pack(
    coding: Coding,
    bits: Patterns,
    chunk_log2: int,
    residual: NDArray[Any] | None,
    kernels: ModuleType,
) -> Packed:
    """Lay out every element in chunks."""
    element, table = coding.element, coding.table
    lengths = chunk_lengths(bits.size, chunk_log2)
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"], directory["key_codec"] = lengths, KeyCodec.ALL
    book, no_codes = fix_values(directory, table), np.zeros((0, 32), np.uint8)
    words = (lengths * directory["val_param"] + 63) >> 6
    directory["len16"] = chunk_units(lengths, words)
    tables = wire.Tables(book, no_codes, no_codes.reshape(-1), np.empty(0, np.uint64))
    decoded = widen(table, element)
    if residual is None:
        residual = np.empty(0, decoded.dtype)
    decoded = read_only(decoded.astype(residual.dtype, copy=False))
    return Packed(directory, tables, bits, chunk_log2, coding, decoded, residual, kernels)


class Fields(NamedTuple):
    """A payload that was proved, and is read once more: each element is a field of one width.

    table : pattern of all that a field can be, so that it may change meanwhile; None where fields
        are patterns
    """

    parsed: Parsed
    table: Patterns | None
    kernels: ModuleType

    @property
    def n(self) -> int:
        return self.parsed.header.n_elements

    def put(self, flat: Numbers) -> None:
        """Write all elements to an array of their own type, or of one that holds it."""
        element = self.parsed.element
        table: Any = self.table
        patterns = flat.view(f"u{flat.itemsize}")
        if table is None:
            self._each(self.kernels.put_values, patterns)
            return
        if flat.itemsize != table.itemsize:
            table = widen(table, element).view(patterns.dtype)
        self._each(self.kernels.put_fields, patterns, self._width, table)

    def add(self, flat: Numbers, scale: float) -> None:
        """Add all elements, times `scale`, to a flat float32 or float64 array."""
        factor = flat.dtype.type(scale)
        if self.table is None:
            self._each(self.kernels.add_values, flat, factor)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            table = widen(self.table, self.parsed.element).astype(flat.dtype, copy=False) * factor
        self._each(self.kernels.add_fields, flat, self._width, table)

    @property
    def _width(self) -> int:
        return int(self.parsed.directory["val_param"][0])

    def _each(self, kernel: Any, flat: NDArray[Any], *what: Any) -> None:
        payload, directory = self.parsed.payload, self.parsed.directory
        log2 = self.parsed.header.chunk_log2

        def part(begin: int, end: int) -> None:
            kernel(payload, directory[begin:end], log2, *what, flat[begin << log2 :])

        run(part, _ranges(directory.size, log2))


def prove(parsed: Parsed, dtype: np.dtype[Any], kernels: ModuleType) -> Fields | None:
    """The fields of a frame that holds every element, for an array of a type.

    None if it is another frame, or is not sound, which `packing.read_chunks` then says.
    """
    header, directory = parsed.header, parsed.directory
    if not 0 < header.n_elements == header.n_stored or parsed.tables.scaling.each:
        return None
    first = directory[0]
    codec, width = first["val_codec"], int(first["val_param"])
    alike = directory["val_codec"] == codec
    alike &= (directory["key_codec"] == KeyCodec.ALL) & (directory["val_param"] == width)
    alike &= directory["level_base"] == 0
    if not alike.all():
        return None
    table, levels = None, 0
    if codec == ValueCodec.SIGNED_FIXED:
        table = np.zeros(1 << width, parsed.element.pattern)
        known = parsed.tables.levels[: table.size]
        table[: known.size] = known
        levels = known.size if known.size < table.size else 0
    elif codec == ValueCodec.RAW and dtype == NUMBERS[parsed.element.type]:
        width = parsed.element.bits
    else:
        return None

    def sound(begin: int, end: int) -> bool:
        what = parsed.payload, directory[begin:end], begin, width, levels
        return bool(kernels.fields_are_sound(*what))

    proved = all(run(sound, _ranges(directory.size, header.chunk_log2)))
    return Fields(parsed, table, kernels) if proved else None


def _ranges(chunks: int, chunk_log2: int) -> list[Range]:
    """Chunks for each thread."""
    return split(chunks, max(LEAST >> chunk_log2, 1))
