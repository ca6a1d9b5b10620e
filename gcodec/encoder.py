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

from .arrays import read_only
from .errors import LimitExceeded, NonFiniteError
from .format import frame as wire
from .format import ids
from .format.directory import CHUNK, choose_chunk_log2, chunk_lengths, planes
from .format.frame import Frame
from .format.header import Header
from .format.sections import Tensor
from .quantize.contract import Quantizer
from .select.contract import Decision, Selector, Statistics
from .statistics import DenseStatistics, PairStatistics

INFINITY: Final = 0x7F80_0000
SIGN: Final = np.uint32(0x8000_0000)
KEY_PACKINGS: Final = ("auto", "rice", "coo")


class Recipe(NamedTuple):
    """The three answers that make a codec, and the kernels to run it on."""

    select: Selector
    quantize: Quantizer
    keys: str
    kernels: ModuleType


class Origin(NamedTuple):
    """What a frame says about where it comes from."""

    name: str
    shape: tuple[int, ...]
    step: int


def origin(name: str, shape: tuple[int, ...], step: int) -> Origin:
    """Check the step and the shape.

    Raises
    ------
    LimitExceeded
        If the step does not fit 64 bits, or there are more than 32 dimensions or 2**48 elements.
    """
    step, shape = index(step), tuple(map(index, shape))
    if not 0 <= step < 1 << 64:
        raise LimitExceeded(f"step {step} is outside 0..2^64-1")
    if min(shape, default=0) < 0 or prod(filter(None, shape)) > ids.MAX_ELEMENTS:
        raise LimitExceeded(f"shape {shape}: a length is 0 to 2^48 elements")
    if len(shape) > ids.MAX_DIMENSIONS:
        raise LimitExceeded(f"shape {shape}: more than 32 dimensions")
    return Origin(name, shape, step)


class Kept(NamedTuple):
    """Elements that go: position within the chunk, bit pattern, and how many per chunk."""

    keys: NDArray[np.uint32]
    bits: NDArray[np.uint32]
    counts: NDArray[np.int64]
    chunk_log2: int


class Coded(NamedTuple):
    """Values as they travel: indices into `levels`, or bit patterns where there are no levels."""

    symbols: NDArray[np.uint32]
    levels: NDArray[np.float32]
    bound: float


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
    statistics = DenseStatistics(bits, _stream(recipe, origin), recipe.kernels)
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
    statistics: Statistics = PairStatistics(keys, bits, n, _stream(recipe, origin), recipe.kernels)
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


def _stream(recipe: Recipe, origin: Origin) -> int:
    return (
        _name_hash(recipe, origin.name) + origin.step * 0xD1342543DE82EF95
    ) & 0xFFFF_FFFF_FFFF_FFFF


def _name_hash(recipe: Recipe, name: str) -> int:
    return int(
        recipe.kernels.xxh64(
            read_only(np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)), 0
        )
    )


def _quantize(recipe: Recipe, bits: NDArray[np.uint32], decision: Decision, top: int) -> Coded:
    """Codes of the kept values, renumbered: frequent levels first, in level order on ties."""
    low = max(decision.threshold + (decision.ties == 0), 1)
    grid = recipe.quantize.grid(low, max(low, top))
    if grid is None:
        return Coded(bits, np.empty(0, np.float32), 0.0)
    codes = np.empty(bits.size, np.uint32)
    histogram = np.zeros(grid.levels.size, np.int64)
    recipe.kernels.quantize(bits, grid.boundaries, codes, histogram)
    order = np.argsort(-histogram, kind="stable")
    rank = np.empty(order.size, np.uint32)
    rank[order] = np.arange(order.size, dtype=np.uint32)
    used = np.count_nonzero(histogram)
    return Coded(rank[codes], grid.levels[order[:used]], grid.bound)


def _decoded_bits(coded: Coded, bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    if not coded.levels.size:
        return bits
    return coded.levels.view(np.uint32)[coded.symbols] | (bits & SIGN)


def _measure(
    recipe: Recipe, kept: Kept, coded: Coded, lengths: NDArray[np.int64]
) -> NDArray[np.void]:
    """Directory with every chunk's packing chosen: for "auto" the smaller one, Rice on ties."""
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = kept.counts
    parameters, high = np.zeros((2, lengths.size), np.int64)
    fit = recipe.kernels.rice_fit_gaps
    fit(kept.keys, kept.counts, ids.MAX_KEY_RICE, parameters, high)
    width = kept.chunk_log2
    coo = np.full(lengths.size, recipe.keys == "coo")
    if recipe.keys == "auto":
        rice_words = (kept.counts * parameters + 63 >> 6) + (high + 63 >> 6)
        coo = (kept.counts * width + 63 >> 6) < rice_words
    directory["key_codec"] = np.where(coo, ids.KeyCodec.COO, ids.KeyCodec.RICE)
    directory["key_param"] = np.where(coo & (kept.counts > 0), width, parameters)
    directory["key_hi_bits"] = np.where(coo, 0, high)
    directory["val_codec"] = ids.ValueCodec.RAW
    if coded.levels.size:
        recipe.kernels.rice_fit(coded.symbols, kept.counts, ids.MAX_VALUE_RICE, parameters, high)
        directory["val_codec"] = ids.ValueCodec.RICE
        directory["val_param"] = parameters
        directory["val_hi_bits"] = high
    return directory


def _write(recipe: Recipe, kept: Kept, coded: Coded, origin: Origin, n: int) -> Frame:
    kernels = recipe.kernels
    header = Header(
        n_elements=n,
        n_stored=kept.keys.size,
        chunk_log2=kept.chunk_log2,
        bound_kind=ids.BoundKind.RELATIVE if coded.bound else ids.BoundKind.EXACT,
        bound=coded.bound,
        step=origin.step,
    )
    tensors: Sequence[Tensor] = (Tensor(_name_hash(recipe, origin.name), 0, origin.shape),)
    directory = _measure(recipe, kept, coded, chunk_lengths(n, kept.chunk_log2))
    work = wire.draft(header, tensors, coded.levels, directory)
    kernels.pack(
        work.directory, planes(work.directory), kept.keys, coded.symbols, kept.bits, work.payload
    )
    checks = np.zeros(directory.size, np.uint32)
    kernels.chunk_checks(read_only(work.payload.view(np.uint8)), read_only(work.directory), checks)
    work.directory["check"] = checks
    return wire.seal(work, kernels.xxh64)
