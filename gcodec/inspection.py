"""What a frame says and what it costs, field by field."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import as_bytes
from .decoder import unpack_chunks
from .format import frame as wire
from .format import ids
from .format.directory import KEY_HIGH, KEY_INDEX, KEY_LOW, SIGN, plane_words
from .format.elements import Patterns
from .format.scales import UNSCALED
from .format.sketch import count_positions
from .kernels import load


@dataclass(frozen=True)
class Inspection:
    """A frame's header fields by their spec names, its sections, and what an element costs.

    Bits per key and per value count the planes in words of 64 bits, and no padding of chunks (but
    for half a word on average where keys are coded as gaps); a value's bits include its sign. The
    entropies are those of independent positions of the same density, and of the values by their
    frequency. Compression ratios are uncompressed / compressed, against the dense array and against
    pairs of a 32-bit key and a value. Elements of a count-sketch are its cells, but for the dense
    array that its size is compared with; `sketch` says what they mean.
    """

    frame_bytes: int
    version: str
    shapes: list[tuple[int, ...]]
    header: dict[str, Any]
    section_bytes: dict[str, int]
    key_codecs: dict[str, int]
    value_codecs: dict[str, int]
    levels: int
    scales: int
    bits_per_key: float
    key_entropy: float
    bits_per_value: float
    value_entropy: float
    bytes_per_kept: float
    ratio_to_dense: float
    ratio_to_pairs: float
    sketch: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, as for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        header = self.header
        n, kept = header["n_elements"], header["n_stored"]
        shapes = ", ".join("x".join(map(str, shape)) or "scalar" for shape in self.shapes)
        packing = ", ".join(f"{name} in {count}" for name, count in self.key_codecs.items())
        coding = ", ".join(f"{name} in {count}" for name, count in self.value_codecs.items())
        bound = header["bound_kind"] + (f" {header['bound']:.6g}" if header["bound"] else "")
        rows = [
            ("frame", f"{self.frame_bytes} bytes, format {self.version}, {header['frame_kind']}"),
            ("tensors", f"{shapes} of {header['elem_dtype']}"),
            ("kept", f"{kept} of {n} elements ({kept / n:.4%})" if n else "0 of 0 elements"),
            ("chunks", f"{header['n_chunks']} of {1 << header['chunk_log2']} positions"),
            (
                "keys",
                f"{self.bits_per_key:.3f} bits, independent {self.key_entropy:.3f} ({packing})",
            ),
            (
                "values",
                f"{self.bits_per_value:.3f} bits, entropy {self.value_entropy:.3f} ({coding})",
            ),
            (
                "levels",
                f"{self.levels} and {self.scales} scales, error bound {bound}, rounding "
                f"{header['rounding']}",
            ),
            ("cost", f"{self.bytes_per_kept:.3f} bytes per kept element"),
            (
                "ratio",
                f"{self.ratio_to_dense:.1f}x to dense, {self.ratio_to_pairs:.2f}x to pairs",
            ),
            ("step", f"{header['step']}, layout {header['layout_key']:016x}"),
            ("sections", ", ".join(f"{name} {size}" for name, size in self.section_bytes.items())),
        ]
        if self.sketch is not None:
            cells = f"multiples of {self.sketch['unit']}" if self.sketch["unit"] else "numbers"
            text = (
                f"{self.sketch['rows']} rows of {1 << self.sketch['columns_log2']} cells, {cells}"
            )
            rows.insert(1, ("sketch", f"{text}, seed {self.sketch['seed']}"))
        return "\n".join(f"{name:<9} {text}" for name, text in rows)


def inspect(frame: Any, *, backend: str = "cpu") -> Inspection:
    """Check a frame whole and say what is in it.

    Raises
    ------
    FrameError
        One of its eight subclasses, exactly as `gcodec.decode` would.

    Examples
    --------
    >>> import numpy, gcodec
    >>> gcodec.inspect(gcodec.Codec().encode(numpy.ones(1000, numpy.float32))).header["n_stored"]
    10
    """
    kernels = load(backend)
    parsed = wire.parse(as_bytes(frame), kernels)
    unscaled = parsed._replace(tables=parsed.tables._replace(scaling=UNSCALED))
    content = unpack_chunks(unscaled, kernels, 0, None)
    fields = parsed.header._asdict()
    kept, n = parsed.header.n_stored, parsed.header.n_elements
    whole = n if parsed.sketch is None else count_positions(parsed.tensors)
    for name, registry in (
        ("frame_kind", ids.FrameKind),
        ("elem_dtype", ids.ElementType),
        ("aggregation", ids.Aggregation),
        ("bound_kind", ids.BoundKind),
        ("rounding", ids.Rounding),
    ):
        fields[name] = registry(fields[name]).name.lower()
    fields["magic"] = fields["magic"].hex()
    words = _plane_words(parsed)
    per_kept = 64 / kept if kept else 0.0
    size, width = parsed.header.frame_len, parsed.element.pattern.itemsize
    return Inspection(
        frame_bytes=size,
        version=f"{parsed.header.major}.{parsed.header.minor}",
        shapes=[tensor.shape for tensor in parsed.tensors],
        header=fields,
        section_bytes=parsed.section_bytes(),
        key_codecs=_chunks_by_codec(parsed.directory, "key_codec", ids.KeyCodec),
        value_codecs=_chunks_by_codec(parsed.directory, "val_codec", ids.ValueCodec),
        levels=parsed.tables.levels.size,
        scales=parsed.tables.scaling.scales.size,
        bits_per_key=float(words[[KEY_INDEX, KEY_HIGH, KEY_LOW]].sum() * per_kept),
        key_entropy=_position_entropy(kept, n),
        bits_per_value=float(words[SIGN:KEY_LOW].sum() * per_kept),
        value_entropy=_entropy(content.bits),
        bytes_per_kept=size / kept if kept else 0.0,
        ratio_to_dense=width * whole / size,
        ratio_to_pairs=(4 + width) * kept / size,
        sketch=None if parsed.sketch is None else parsed.sketch._asdict(),
    )


def _plane_words(parsed: wire.Parsed) -> NDArray[np.int64]:
    """Words of each plane; rests of gaps, which no field gives, by what is left but for a word."""
    directory = parsed.directory
    words = plane_words(directory, parsed.element)
    coded = np.isin(directory["key_codec"], (ids.KeyCodec.DELTA, ids.KeyCodec.COLUMNS))
    coded &= directory["nnz"] > 0
    left = directory["len16"].astype(np.int64) * 2 - 1 - words.sum(axis=1)
    words[coded, KEY_LOW] += left[coded]
    total: NDArray[np.int64] = words.sum(axis=0)
    return total


def _chunks_by_codec(directory: NDArray[np.void], field: str, registry: Any) -> dict[str, int]:
    codecs, counts = np.unique(directory[field][directory["nnz"] > 0], return_counts=True)
    return {
        registry(int(codec)).name.lower(): int(count)
        for codec, count in zip(codecs, counts, strict=True)
    }


def _position_entropy(kept: int, n: int) -> float:
    """H(p)/p bits per key for independent positions of density p."""
    if kept in (0, n):
        return 0.0
    p = kept / n
    return float(-np.log2(p) - (1 - p) / p * np.log2(1 - p))


def _entropy(patterns: Patterns) -> float:
    """Bits per value by frequency, signs included."""
    if not patterns.size:
        return 0.0
    _, counts = np.unique(patterns, return_counts=True)
    share = counts / patterns.size
    return float(-(share * np.log2(share)).sum()) + 0.0
