"""From a gradient to a frame: decide, gather, round, measure, pack, seal."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import packing
from .arrays import Gradient, read_only, widen
from .errors import NonFiniteError
from .format import frame as wire
from .format import ids
from .format.directory import CHUNK, chunk_lengths, measure_chunks, planes
from .format.draws import GOLDEN, LOW_64
from .format.frame import Frame
from .format.header import Header
from .gathering import Kept, gather_dense, gather_pairs, stream_of
from .request import Origin, Recipe
from .rounding import Rounded, round_values
from .select.contract import Choice


class Encoded(NamedTuple):
    """A frame, what went into it, and what the selector decided for each part of it."""

    frame: Frame
    kept: Kept
    choices: Sequence[Choice]


def encode_dense(
    recipe: Recipe,
    gradient: Gradient,
    top: int,
    origin: Origin,
    *,
    residual: NDArray[Any] | None = None,
    states: Sequence[Any] | None = None,
) -> Encoded:
    """Encode all of a gradient, whose largest magnitude pattern is `top`.

    `residual`, if given, holds the same numbers as the gradient on entry, and on return those less
    the decoded frame. `states` are what the selector's last decisions left, one for each part.
    """
    kept = gather_dense(recipe, gradient, origin, states)
    rounded = _round(recipe, kept, gradient, top, origin)
    kept = rounded.kept
    if residual is not None:
        decoded = widen(rounded.bits, rounded.element).astype(residual.dtype, copy=False)
        recipe.kernels.settle(residual, kept.keys, kept.counts, kept.chunk_log2, decoded)
    return Encoded(_write(recipe, rounded, origin, gradient.bits.size), kept, kept.choices)


def encode_pairs(
    recipe: Recipe,
    keys: NDArray[np.int64],
    values: Gradient,
    top: int,
    origin: Origin,
    n: int,
) -> Frame:
    """Encode n elements, zero but at ascending `keys`: the same bytes as `encode_dense`."""
    kept = gather_pairs(recipe, keys, values, origin, n)
    return _write(recipe, _round(recipe, kept, values, top, origin), origin, n)


def _round(recipe: Recipe, kept: Kept, gradient: Gradient, top: int, origin: Origin) -> Rounded:
    kernels = recipe.kernels
    if kept.least <= 1:  # values may have been scaled
        top = int(kernels.magnitude_max(read_only(kept.bits)))
        if top >= gradient.element.infinity:
            raise NonFiniteError("a value is infinite once it is scaled; nothing was encoded")
    stream = stream_of(origin)
    if origin.rank != ids.UNKNOWN_RANK:  # errors of ranks that draw alike would add up
        stream = (stream + (origin.rank + 1) * GOLDEN) & LOW_64
    return round_values(recipe.quantize, kept, gradient.element, top, stream, kernels)


def _write(recipe: Recipe, rounded: Rounded, origin: Origin, n: int) -> Frame:
    kernels, element = recipe.kernels, rounded.element
    lengths = chunk_lengths(n, rounded.kept.chunk_log2)
    directory, keys, values = _pack(recipe, rounded, origin, lengths)
    if rounded.grid is None and recipe.keys == "auto":
        whole = packing.better_whole(directory, lengths, element, keys.rests)
        if whole.any():
            kept = _with_zeros(rounded.kept, whole, lengths)
            rounded = rounded._replace(kept=kept, bits=kept.bits)
            directory, keys, values = _pack(recipe, rounded, origin, lengths)
    kept = rounded.kept
    every = (directory["key_codec"] == ids.KeyCodec.ALL).all() and n > 0
    header = Header(
        n_elements=n,
        n_stored=kept.keys.size,
        chunk_log2=kept.chunk_log2,
        frame_kind=ids.FrameKind.DENSE if every else ids.FrameKind.SPARSE,
        elem_dtype=element.type,
        bound_kind=rounded.bound_kind,
        rounding=rounded.rounding,
        bound=rounded.bound,
        step=origin.step,
        contributions=origin.contributions,
        rank=origin.rank,
        world=origin.world,
    )
    tables = wire.Tables(values.levels, keys.codes, values.code, keys.seeds)
    measure_chunks(directory, element, keys.rests)
    work = wire.draft(header, origin.tensors, tables, directory)
    table = planes(work.directory, element)
    packing.write_keys(work.directory, table, kept.keys, keys, work.payload, kernels)
    bits, signs = rounded.bits, rounded.signs
    packing.write_values(work.directory, table, bits, signs, values, work.payload, kernels)
    return finish(work, kernels)


def finish(work: wire.Draft, kernels: ModuleType) -> Frame:
    """Seal a draft whose planes are written."""
    checks = np.zeros(work.directory.size, np.uint32)
    payload = read_only(work.payload.view(np.uint8))
    kernels.chunk_checks(payload, read_only(work.directory), 0, checks)
    work.directory["check"] = checks
    return wire.seal(work, kernels.xxh64)


def _pack(
    recipe: Recipe, rounded: Rounded, origin: Origin, lengths: NDArray[np.int64]
) -> tuple[NDArray[np.void], packing.Keys, packing.Values]:
    """The directory of the smallest packing, and how keys and values will be written."""
    kernels, kept, grid = recipe.kernels, rounded.kept, rounded.grid
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = kept.counts
    if grid is None:
        values = packing.keep_values(directory, rounded.element)
    else:
        levels = grid.levels, grid.negative
        codes, signs = rounded.codes, rounded.signs
        values = packing.choose_values(directory, signs, codes, levels, rounded.element, kernels)
    keys = packing.choose_keys(
        directory, kept.keys, lengths, origin.tensors, recipe.keys, kept.seed, kernels
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
    return kept._replace(keys=keys, bits=bits, counts=counts)
