"""From a gradient to a frame: decide, gather, round, measure, pack, seal."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import dense, packing
from .arrays import Gradient, read_only, widen
from .errors import NonFiniteError
from .format import frame as wire
from .format import ids
from .format.directory import CHUNK, chunk_lengths
from .format.draws import GOLDEN, LOW_64
from .format.frame import Frame
from .format.header import Header
from .gathering import Kept, gather_all, gather_dense, gather_pairs, stream_of
from .request import Origin, Recipe
from .rounding import Coding, Rounded, round_all, round_values
from .scaling import runs_of
from .select.contract import Choice
from .statistics import Sum


class Encoded(NamedTuple):
    """A frame, what went into it, and what the selector decided for each part of it.

    kept : None if that is all elements
    """

    frame: Frame
    kept: Kept | None
    choices: Sequence[Choice]


def encode_dense(
    recipe: Recipe,
    gradient: Gradient,
    check: Callable[[int], None],
    origin: Origin,
    *,
    residual: NDArray[Any] | None = None,
    pending: Sum | None = None,
    states: Sequence[Any] | None = None,
) -> Encoded:
    """Encode all of a gradient; `check` raises if its largest magnitude pattern is no number.

    `residual`, if given, holds the same numbers as the gradient on entry, or will once a `pending`
    sum is worked out, and on return those less the decoded frame. `states` are what the
    selector's last decisions left, one for each part.
    """
    if dense.is_taken(recipe, gradient.bits.size):
        top, pending = dense.largest(gradient.bits, pending, recipe.kernels), None
        check(top)
        coding = round_all(recipe.quantize, gradient.bits, gradient.element, top, recipe.kernels)
        if coding is not None:
            return _encode_all(recipe, coding, gradient, origin, residual)
    kept = gather_dense(recipe, gradient, check, origin, states, pending)
    rounded = _round(recipe, kept, gradient, origin)
    kept = rounded.kept
    frame = _write(recipe, rounded, origin, gradient.bits.size)
    if residual is not None:
        _take_off(residual, rounded, recipe.kernels)
    return Encoded(frame, kept, kept.choices)


def _take_off(residual: NDArray[Any], rounded: Rounded, kernels: ModuleType) -> None:
    """Subtract what kept elements decode to."""
    kept = rounded.kept
    where = residual, kept.keys, kept.counts, kept.chunk_log2
    if rounded.joint is not None and not rounded.scaling.each:
        table = widen(rounded.table, rounded.element).astype(residual.dtype, copy=False)
        kernels.settle_levels(*where, rounded.joint, read_only(table))
        return
    decoded = widen(rounded.decoded(kernels), rounded.element).astype(residual.dtype, copy=False)
    kernels.settle(*where, decoded)


def _encode_all(
    recipe: Recipe,
    coding: Coding,
    gradient: Gradient,
    origin: Origin,
    residual: NDArray[Any] | None,
) -> Encoded:
    n = gradient.bits.size
    chunk_log2, choices = gather_all(recipe, origin, n)
    packed = dense.pack(coding, gradient.bits, chunk_log2, residual, recipe.kernels)
    frame = _seal(packed, coding, chunk_log2, n, n, origin, recipe.kernels)
    return Encoded(frame, None, choices)


def encode_pairs(
    recipe: Recipe,
    keys: NDArray[np.int64],
    values: Gradient,
    check: Callable[[int], None],
    origin: Origin,
    n: int,
) -> Frame:
    """Encode n elements, zero but at ascending `keys`: the same bytes as `encode_dense`."""
    kept = gather_pairs(recipe, keys, values, check, origin, n)
    return _write(recipe, _round(recipe, kept, values, origin), origin, n)


def _round(recipe: Recipe, kept: Kept, gradient: Gradient, origin: Origin) -> Rounded:
    kernels, top = recipe.kernels, kept.top
    if kept.least <= 1:  # values may have been scaled
        top = int(kernels.magnitude_max(read_only(kept.bits)))
        if top >= gradient.element.infinity:
            raise NonFiniteError("a value is infinite once it is scaled; nothing was encoded")
    stream = stream_of(origin)
    if origin.rank != ids.UNKNOWN_RANK:  # errors of ranks that draw alike would add up
        stream = (stream + (origin.rank + 1) * GOLDEN) & LOW_64
    fixed, runs = recipe.values == "fixed", None
    if recipe.scales is not None:
        runs = runs_of(origin.tensors, recipe.scales)
    return round_values(recipe.quantize, kept, gradient.element, top, stream, kernels, runs, fixed)


def _write(recipe: Recipe, rounded: Rounded, origin: Origin, n: int) -> Frame:
    kernels, element = recipe.kernels, rounded.element
    lengths = chunk_lengths(n, rounded.kept.chunk_log2)
    packed = _pack(recipe, rounded, origin, lengths)
    if rounded.joint is None and recipe.keys == "auto":
        whole = packing.better_whole(packed.directory, lengths, element, packed.rests)
        if whole.any():
            rounded = rounded._replace(kept=_with_zeros(rounded.kept, whole, lengths))
            packed = _pack(recipe, rounded, origin, lengths)
    kept = rounded.kept
    return _seal(packed, rounded, kept.chunk_log2, kept.keys.size, n, origin, kernels)


def _seal(
    packed: packing.Packed | dense.Packed,
    rounded: Rounded | Coding,
    chunk_log2: int,
    stored: int,
    n: int,
    origin: Origin,
    kernels: ModuleType,
) -> Frame:
    """The frame of what is packed, `stored` of n elements."""
    every = 0 < n == stored and (packed.directory["key_codec"] == ids.KeyCodec.ALL).all()
    header = Header(
        n_elements=n,
        n_stored=stored,
        chunk_log2=chunk_log2,
        frame_kind=ids.FrameKind.DENSE if every else ids.FrameKind.SPARSE,
        elem_dtype=rounded.element.type,
        bound_kind=rounded.bound_kind,
        rounding=rounded.rounding,
        bound=rounded.bound,
        step=origin.step,
        contributions=origin.contributions,
        rank=origin.rank,
        world=origin.world,
    )
    tables = packed.tables
    if rounded.scaling.each:
        tables = tables._replace(scaling=rounded.scaling)
    work = wire.draft(header, origin.tensors, tables, packed.directory)
    packed.write(work)
    return wire.seal(work, kernels.xxh64)


def _pack(
    recipe: Recipe, rounded: Rounded, origin: Origin, lengths: NDArray[np.int64]
) -> packing.Packed:
    """The smallest packing."""
    kept = rounded.kept
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = kept.counts
    content = packing.Content(
        rounded.element, kept.keys, kept.bits, rounded.joint, rounded.table, rounded.own_signs,
        recipe.values == "fixed", kept.seed,
    )  # fmt: skip
    return packing.pack(directory, content, lengths, origin.tensors, recipe.keys, recipe.kernels)


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
    return kept._replace(keys=keys, bits=bits, counts=counts)
