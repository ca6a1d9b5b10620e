"""From a gradient to a frame: decide, gather, quantise, measure, pack, seal.

Only `gather` and the statistics touch all n elements; everything after them works on what was kept.
"""

from collections.abc import Sequence
from math import prod
from operator import index
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import packing
from .arrays import Gradient, read_only
from .errors import LimitExceeded, Mismatch, NonFiniteError
from .format import frame as wire
from .format import ids
from .format.directory import (
    CHUNK,
    choose_chunk_log2,
    chunk_lengths,
    measure_chunks,
    planes,
)
from .format.elements import Element, Patterns
from .format.frame import Frame
from .format.header import Header
from .format.sections import Tensor
from .quantize.contract import Grid, Quantizer
from .select.contract import Decision, Selector
from .statistics import DenseStatistics, PairStatistics

STEP_STRIDE: Final = 0xD134_2543_DE82_EF95


class Recipe(NamedTuple):
    """The answers that make a codec, and the kernels to run it on."""

    select: Selector
    quantize: Quantizer
    keys: str
    per_tensor: bool
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
    bits: Patterns
    counts: NDArray[np.int64]
    chunk_log2: int


class Coded(NamedTuple):
    """Codes of the kept values on a quantiser's grid; none where values travel as they are."""

    codes: NDArray[np.uint32]
    grid: Grid | None


class Part(NamedTuple):
    """A range of elements that has a decision of its own: all of them, or one tensor."""

    start: int
    stop: int
    stream: int


def check_finite(
    top: int,
    gradient: Gradient,
    name: str,
    what: str = "gradient",
    keys: NDArray[np.int64] | None = None,
) -> None:
    """Raise `NonFiniteError` if the largest magnitude pattern is infinity's or above.

    `keys` are the flat positions of the gradient's elements, if it is that of key-value pairs.
    """
    element = gradient.element
    if top >= element.infinity:
        bad = np.flatnonzero(element.magnitudes(gradient.bits) >= element.infinity)
        if keys is not None:
            bad = keys[bad]
        raise NonFiniteError(
            f"{what}{f' {name!r}' if name else ''} has {bad.size} NaN or infinite elements, the "
            f"first at flat index {bad[0]}; nothing was encoded and no state changed"
        )


def encode_dense(
    recipe: Recipe,
    gradient: Gradient,
    top: int,
    origin: Origin,
    residual: NDArray[Any] | None = None,
) -> Frame:
    """Encode all of a gradient, whose largest magnitude pattern is `top`.

    `residual`, if given, holds the same numbers as the gradient on entry, and on return those less
    the decoded frame.
    """
    bits, element, kernels = gradient.bits, gradient.element, recipe.kernels
    chunk_log2 = choose_chunk_log2(bits.size, _density(recipe, origin, bits.size))
    parts = _parts(recipe, origin, bits.size)
    decisions = [
        recipe.select.decide(
            DenseStatistics(bits[part.start : part.stop], element, part.stream, kernels)
        )
        for part in parts
    ]
    size = sum(decision.kept for decision in decisions)
    counts = np.zeros(chunk_lengths(bits.size, chunk_log2).size, np.int64)
    kept = Kept(np.empty(size, np.uint32), np.empty(size, element.pattern), counts, chunk_log2)
    done = 0
    for part, (threshold, ties, _) in zip(parts, decisions, strict=True):
        own, room = bits[part.start : part.stop], (kept.keys[done:], kept.bits[done:])
        done += kernels.gather(own, part.start, threshold, ties, chunk_log2, *room, counts)
    coded = _quantize(recipe, kept.bits, element, _least(decisions), top)
    if coded.grid is not None and _least(decisions) == 0:
        kept.bits[element.magnitudes(kept.bits) == 0] = 0
    if residual is not None:
        decoded = _decoded_bits(coded, kept.bits, element).view(residual.dtype)
        kernels.settle(residual, kept.keys, kept.counts, chunk_log2, decoded)
    return _write(recipe, kept, coded, element, origin, bits.size)


def encode_pairs(
    recipe: Recipe,
    keys: NDArray[np.int64],
    values: Gradient,
    top: int,
    origin: Origin,
    n: int,
) -> Frame:
    """Encode n elements, zero but at ascending `keys`: the same bytes as `encode_dense`."""
    element, kernels = values.element, recipe.kernels
    stored = element.magnitudes(values.bits) > 0
    given, (keys, bits) = (keys, values.bits), (keys[stored], read_only(values.bits[stored]))
    parts = _parts(recipe, origin, n)
    chosen, decisions = [], []
    for part in parts:
        first, stop = np.searchsorted(keys, (part.start, part.stop))
        own, own_bits = keys[first:stop] - part.start, bits[first:stop]
        size = part.stop - part.start
        statistics = PairStatistics(own, own_bits, size, element, part.stream, kernels)
        decision = recipe.select.decide(statistics)
        if decision.threshold == 0 and decision.ties:
            return _encode_densified(recipe, *given, element, top, origin, n)
        taken, taken_bits = np.empty(decision.kept, np.uint32), np.empty(decision.kept, bits.dtype)
        count = np.zeros(1, np.int64)
        kernels.gather(own_bits, 0, *decision[:2], 62, taken, taken_bits, count)
        decisions.append(decision)
        chosen.append(taken.astype(np.int64) + first)
    at = np.concatenate(chosen)
    positions, kept_bits = keys[at], bits[at]
    chunk_log2 = choose_chunk_log2(n, _density(recipe, origin, n))
    n_chunks = chunk_lengths(n, chunk_log2).size
    kept = Kept(
        (positions & ((1 << chunk_log2) - 1)).astype(np.uint32),
        kept_bits,
        np.bincount(positions >> chunk_log2, minlength=n_chunks).astype(np.int64),
        chunk_log2,
    )
    coded = _quantize(recipe, kept_bits, element, _least(decisions), top)
    return _write(recipe, kept, coded, element, origin, n)


def _encode_densified(
    recipe: Recipe,
    keys: NDArray[np.int64],
    bits: Patterns,
    element: Element,
    top: int,
    origin: Origin,
    n: int,
) -> Frame:
    """Pairs of which zeros are to be sent too."""
    dense = np.zeros(n, element.pattern)
    dense[keys] = bits
    return encode_dense(recipe, Gradient(read_only(dense), element, (n,)), top, origin)


def _parts(recipe: Recipe, origin: Origin, n: int) -> list[Part]:
    """What has a decision of its own, and a number that tells it apart where a sample is drawn."""
    tensors = origin.tensors if recipe.per_tensor else origin.tensors[:1]
    parts = []
    for tensor in tensors:
        stop = tensor.start + prod(tensor.shape) if recipe.per_tensor else n
        stream = (tensor.name_hash + origin.step * STEP_STRIDE) & 0xFFFF_FFFF_FFFF_FFFF
        parts.append(Part(tensor.start, stop, stream))
    return parts


def _density(recipe: Recipe, origin: Origin, n: int) -> float:
    """The fraction of all elements that is asked for."""
    sizes = [part.stop - part.start for part in _parts(recipe, origin, n)]
    if len(sizes) == 1:
        return recipe.select.density(n)
    return sum(recipe.select.density(size) * size for size in sizes) / n if n else 1.0


def _least(decisions: Sequence[Decision]) -> int:
    """The smallest magnitude pattern that any of the decisions can keep."""
    return min(decision.threshold + (decision.ties == 0) for decision in decisions)


def _quantize(recipe: Recipe, bits: Patterns, element: Element, least: int, top: int) -> Coded:
    grid = recipe.quantize.grid(element, least, max(least, top))
    codes = np.empty(bits.size if grid else 0, np.uint32)
    if grid:
        recipe.kernels.quantize(bits, grid.boundaries, codes)
    return Coded(codes, grid)


def _decoded_bits(coded: Coded, bits: Patterns, element: Element) -> Patterns:
    if coded.grid is None:
        return bits
    return coded.grid.levels[coded.codes] | (bits ^ element.magnitudes(bits))


def _write(
    recipe: Recipe, kept: Kept, coded: Coded, element: Element, origin: Origin, n: int
) -> Frame:
    kernels = recipe.kernels
    lengths = chunk_lengths(n, kept.chunk_log2)
    directory, keys, values = _pack(recipe, kept, coded, element, origin, lengths)
    if coded.grid is None and recipe.keys == "auto":
        whole = packing.better_whole(directory, lengths, element, keys.rests)
        if whole.any():
            kept = _with_zeros(kept, whole, lengths)
            directory, keys, values = _pack(recipe, kept, coded, element, origin, lengths)
    every = (directory["key_codec"] == ids.KeyCodec.ALL).all() and n > 0
    header = Header(
        n_elements=n,
        n_stored=kept.keys.size,
        chunk_log2=kept.chunk_log2,
        frame_kind=ids.FrameKind.DENSE if every else ids.FrameKind.SPARSE,
        elem_dtype=element.type,
        bound_kind=ids.BoundKind.RELATIVE if coded.grid else ids.BoundKind.EXACT,
        bound=coded.grid.bound if coded.grid else 0.0,
        step=origin.step,
        contributions=origin.contributions,
    )
    tables = wire.Tables(values.levels, keys.codes, values.code)
    measure_chunks(directory, element, keys.rests)
    work = wire.draft(header, origin.tensors, tables, directory)
    table = planes(work.directory, element)
    signs = element.signs(kept.bits)
    packing.write_keys(work.directory, table, kept.keys, keys, work.payload, kernels)
    packing.write_values(work.directory, table, kept.bits, signs, values, work.payload, kernels)
    return finish(work, kernels)


def finish(work: wire.Draft, kernels: ModuleType) -> Frame:
    """Seal a draft whose planes are written."""
    checks = np.zeros(work.directory.size, np.uint32)
    payload = read_only(work.payload.view(np.uint8))
    kernels.chunk_checks(payload, read_only(work.directory), 0, checks)
    work.directory["check"] = checks
    return wire.seal(work, kernels.xxh64)


def _pack(
    recipe: Recipe,
    kept: Kept,
    coded: Coded,
    element: Element,
    origin: Origin,
    lengths: NDArray[np.int64],
) -> tuple[NDArray[np.void], packing.Keys, packing.Values]:
    """The directory of the smallest packing, and how keys and values will be written."""
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = kept.counts
    if coded.grid is None:
        values = packing.keep_values(directory, element)
    else:
        values = packing.choose_values(
            directory,
            element.signs(kept.bits),
            coded.codes,
            coded.grid.levels,
            element,
            recipe.kernels,
        )
    keys = packing.choose_keys(
        directory, kept.keys, lengths, origin.tensors, recipe.keys, recipe.kernels
    )
    return directory, keys, values


def _with_zeros(kept: Kept, whole: NDArray[np.bool_], lengths: NDArray[np.int64]) -> Kept:
    """The same with all elements of some chunks, zeros included."""
    counts = np.where(whole, lengths, kept.counts)
    size = int(counts.sum())
    first, chunk = np.cumsum(counts) - counts, np.repeat(np.arange(counts.size), counts)
    keys = (np.arange(size) - first[chunk]).astype(np.uint32)
    bits = np.zeros(size, kept.bits.dtype)
    owner = np.repeat(np.arange(counts.size), kept.counts)
    before = np.cumsum(kept.counts) - kept.counts
    place = np.where(whole[owner], kept.keys, np.arange(owner.size) - before[owner]) + first[owner]
    keys[place], bits[place] = kept.keys, kept.bits
    return Kept(keys, bits, counts, kept.chunk_log2)
