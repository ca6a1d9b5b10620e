"""From a gradient to a frame: decide, gather, quantise, measure, pack, seal.

Only `gather` and the statistics touch all n elements; everything after them works on what was kept.
"""

from collections.abc import Sequence
from math import prod
from operator import index
from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import packing
from .arrays import read_only
from .errors import LimitExceeded, Mismatch, NonFiniteError
from .format import frame as wire
from .format import ids
from .format.directory import CHUNK, choose_chunk_log2, chunk_lengths, planes
from .format.frame import Frame
from .format.header import Header
from .format.sections import Tensor
from .quantize.contract import Grid, Quantizer
from .select.contract import Decision, Selector, Statistics
from .statistics import DenseStatistics, PairStatistics

INFINITY: Final = 0x7F80_0000
SIGN: Final = np.uint32(0x8000_0000)


class Recipe(NamedTuple):
    """The three answers that make a codec, and the kernels to run it on."""

    select: Selector
    quantize: Quantizer
    keys: str
    kernels: ModuleType


Layout = Sequence[tuple[str, Sequence[int]]]
"""Names and shapes of the tensors that a flat bucket is made of, in order."""


class Origin(NamedTuple):
    """What a frame says about where it comes from."""

    tensors: tuple[Tensor, ...]
    step: int
    contributions: int = 1


def name_hash(name: str, kernels: ModuleType) -> int:
    """What stands for a tensor's name in a frame: XXH64 of its UTF-8 bytes."""
    utf8 = name.encode("utf-8", "surrogatepass")
    return int(kernels.xxh64(read_only(np.frombuffer(utf8, np.uint8)), 0))


def origin(
    recipe: Recipe, name: str, shape: tuple[int, ...], step: int, tensors: Layout | None = None
) -> Origin:
    """Check the step and the shapes.

    Raises
    ------
    LimitExceeded
        If the step does not fit 64 bits, or there are more than 65,536 tensors, 32 dimensions or
        2**48 elements.
    Mismatch
        If the tensors do not add up to `shape`.
    """
    step = index(step)
    if not 0 <= step < 1 << 64:
        raise LimitExceeded(f"step {step} is outside 0..2^64-1")
    parts = ((name, shape),) if tensors is None else tensors
    if not 1 <= len(parts) <= ids.MAX_TENSORS:
        raise LimitExceeded(f"{len(parts)} tensors: a frame has 1 to {ids.MAX_TENSORS}")
    table, start = [], 0
    for part, lengths in parts:
        lengths = tuple(map(index, lengths))
        if min(lengths, default=0) < 0 or prod(filter(None, lengths)) > ids.MAX_ELEMENTS:
            raise LimitExceeded(f"shape {lengths} of {part!r}: a length is 0 to 2^48 elements")
        if len(lengths) > ids.MAX_DIMENSIONS:
            raise LimitExceeded(f"shape {lengths} of {part!r}: more than 32 dimensions")
        table.append(Tensor(name_hash(part, recipe.kernels), start, lengths))
        start += prod(lengths)
    if start != prod(map(index, shape)):
        raise Mismatch(f"the tensors hold {start} elements, the gradient {prod(shape)}")
    return Origin(tuple(table), step)


class Kept(NamedTuple):
    """Elements that go: position within the chunk, bit pattern, and how many per chunk."""

    keys: NDArray[np.uint32]
    bits: NDArray[np.uint32]
    counts: NDArray[np.int64]
    chunk_log2: int


class Coded(NamedTuple):
    """Codes of the kept values on a quantiser's grid; none where values travel as they are."""

    codes: NDArray[np.uint32]
    grid: Grid | None


def check_finite(
    top: int,
    flat: NDArray[np.float32],
    name: str,
    what: str = "gradient",
    keys: NDArray[np.int64] | None = None,
) -> None:
    """Raise `NonFiniteError` if the largest magnitude pattern is infinity's or above.

    `keys` are the flat positions of `flat`, if it holds the values of key-value pairs.
    """
    if top >= INFINITY:
        bad = np.flatnonzero(~np.isfinite(flat))
        if keys is not None:
            bad = keys[bad]
        raise NonFiniteError(
            f"{what}{f' {name!r}' if name else ''} has {bad.size} NaN or infinite elements, the "
            f"first at flat index {bad[0]}; nothing was encoded and no state changed"
        )


def encode_dense(
    recipe: Recipe,
    flat: NDArray[np.float32],
    top: int,
    origin: Origin,
    residual: NDArray[np.float32] | None = None,
) -> Frame:
    """Encode all of `flat`, whose largest magnitude pattern is `top`.

    `residual`, if given, holds the same numbers as `flat` on entry, and on return those less the
    decoded frame.
    """
    bits = read_only(flat.view(np.uint32))
    statistics = DenseStatistics(bits, _stream(origin), recipe.kernels)
    decision = recipe.select.decide(statistics)
    chunk_log2 = choose_chunk_log2(flat.size, recipe.select.density(flat.size))
    kept = Kept(
        np.empty(decision.kept, np.uint32),
        np.empty(decision.kept, np.uint32),
        np.zeros(chunk_lengths(flat.size, chunk_log2).size, np.int64),
        chunk_log2,
    )
    recipe.kernels.gather(
        bits, decision.threshold, decision.ties, chunk_log2, kept.keys, kept.bits, kept.counts
    )
    coded = _quantize(recipe, kept.bits, decision, top)
    if residual is not None:
        decoded = _decoded_bits(coded, kept.bits).view(np.float32)
        recipe.kernels.settle(residual, kept.keys, kept.counts, chunk_log2, decoded)
    return _write(recipe, kept, coded, origin, flat.size)


def encode_pairs(
    recipe: Recipe,
    keys: NDArray[np.int64],
    values: NDArray[np.float32],
    top: int,
    origin: Origin,
    n: int,
) -> Frame:
    """Encode n elements, zero but at ascending `keys`: the same bytes as `encode_dense`."""
    stored = values != 0
    keys, bits = keys[stored], read_only(values[stored].view(np.uint32))
    statistics: Statistics = PairStatistics(keys, bits, n, _stream(origin), recipe.kernels)
    decision = recipe.select.decide(statistics)
    taken, kept_bits = np.empty((2, decision.kept), np.uint32)
    recipe.kernels.gather(
        bits, decision.threshold, decision.ties, 62, taken, kept_bits, np.zeros(1, np.int64)
    )
    positions = keys[taken]
    chunk_log2 = choose_chunk_log2(n, recipe.select.density(n))
    n_chunks = chunk_lengths(n, chunk_log2).size
    kept = Kept(
        (positions & ((1 << chunk_log2) - 1)).astype(np.uint32),
        kept_bits,
        np.bincount(positions >> chunk_log2, minlength=n_chunks).astype(np.int64),
        chunk_log2,
    )
    return _write(recipe, kept, _quantize(recipe, kept_bits, decision, top), origin, n)


def _stream(origin: Origin) -> int:
    """Tells tensors and steps apart where a selector draws a sample."""
    first = origin.tensors[0].name_hash
    return (first + origin.step * 0xD1342543DE82EF95) & 0xFFFF_FFFF_FFFF_FFFF


def _quantize(recipe: Recipe, bits: NDArray[np.uint32], decision: Decision, top: int) -> Coded:
    low = max(decision.threshold + (decision.ties == 0), 1)
    grid = recipe.quantize.grid(low, max(low, top))
    codes = np.empty(bits.size if grid else 0, np.uint32)
    if grid:
        recipe.kernels.quantize(bits, grid.boundaries, codes)
    return Coded(codes, grid)


def _decoded_bits(coded: Coded, bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    if coded.grid is None:
        return bits
    return coded.grid.levels.view(np.uint32)[coded.codes] | (bits & SIGN)


def _write(recipe: Recipe, kept: Kept, coded: Coded, origin: Origin, n: int) -> Frame:
    kernels = recipe.kernels
    header = Header(
        n_elements=n,
        n_stored=kept.keys.size,
        chunk_log2=kept.chunk_log2,
        bound_kind=ids.BoundKind.RELATIVE if coded.grid else ids.BoundKind.EXACT,
        bound=coded.grid.bound if coded.grid else 0.0,
        step=origin.step,
        contributions=origin.contributions,
    )
    lengths = chunk_lengths(n, kept.chunk_log2)
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = kept.counts
    if coded.grid is None:
        values = packing.keep_values(directory, kept.bits)
    else:
        levels = coded.grid.levels
        values = packing.choose_values(directory, kept.bits, coded.codes, levels, kernels)
    keys = packing.choose_keys(directory, kept.keys, lengths, origin.tensors, recipe.keys, kernels)
    tables = wire.Tables(values.levels, keys.codes, values.code)
    work = wire.draft(header, origin.tensors, tables, directory, keys.rests)
    table = planes(work.directory)
    packing.write_keys(work.directory, table, kept.keys, keys, work.payload, kernels)
    packing.write_values(work.directory, table, kept.bits, values, work.payload, kernels)
    checks = np.zeros(directory.size, np.uint32)
    payload = read_only(work.payload.view(np.uint8))
    kernels.chunk_checks(payload, read_only(work.directory), 0, checks)
    work.directory["check"] = checks
    return wire.seal(work, kernels.xxh64)
