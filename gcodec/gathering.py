"""From a selector's choice to the elements that go.

Only `gather` and the statistics touch all n elements; everything after them works on what was kept.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Gradient, narrow, read_only, widen
from .format.directory import choose_chunk_log2, chunk_lengths
from .format.elements import Element, Patterns
from .packing import drawn_keys
from .request import Origin, Recipe
from .select.contract import Choice, Decision, Drawn, Picked
from .statistics import DenseStatistics, PairStatistics

STEP_STRIDE: Final = 0xD134_2543_DE82_EF95
LOW_64: Final = 0xFFFF_FFFF_FFFF_FFFF


class Part(NamedTuple):
    """A range of elements that has a decision of its own: all of them, or one tensor."""

    start: int
    stop: int
    stream: int


class Kept(NamedTuple):
    """Elements that go.

    keys, bits : position within the chunk and pattern of each; counts : how many per chunk
    least : the smallest magnitude pattern that could have been kept; 0 if zeros are
    seed : what the keys follow from, if they were drawn
    choices : what the selector decided for each part
    """

    keys: NDArray[np.uint32]
    bits: Patterns
    counts: NDArray[np.int64]
    chunk_log2: int
    least: int
    seed: int | None
    choices: Sequence[Choice]

    def positions(self) -> NDArray[np.int64]:
        """Flat positions of the keys."""
        starts: NDArray[np.int64] = np.arange(self.counts.size) << self.chunk_log2
        positions: NDArray[np.int64] = np.repeat(starts, self.counts) + self.keys
        return positions


def stream_of(origin: Origin, tensor: int = 0) -> int:
    """Tells tensors and steps apart where something is drawn."""
    return (origin.tensors[tensor].name_hash + origin.step * STEP_STRIDE) & LOW_64


def gather_dense(
    recipe: Recipe, gradient: Gradient, origin: Origin, states: Sequence[Any] | None = None
) -> Kept:
    """What goes of a dense gradient; `states` are those of the selector, one for each part."""
    bits, element, kernels = gradient.bits, gradient.element, recipe.kernels
    n, parts = bits.size, _parts(recipe, origin, bits.size)
    if states is None or len(states) != len(parts):  # another layout than last time
        states = [None] * len(parts)
    choices = [
        recipe.select.decide(
            DenseStatistics(bits[part.start : part.stop], element, part.stream, kernels), state
        )
        for part, state in zip(parts, states, strict=True)
    ]
    chunk_log2 = choose_chunk_log2(n, _density(recipe, parts, n))
    counts = np.zeros(chunk_lengths(n, chunk_log2).size, np.int64)
    if isinstance(choices[0], Drawn):
        return _draw(choices[0], gradient, chunk_log2, choices)
    gathered = []
    for part, choice in zip(parts, choices, strict=True):
        own = bits[part.start : part.stop]
        if isinstance(choice, Decision):
            room = np.empty(choice.kept, np.uint32), np.empty(choice.kept, element.pattern)
            rule = choice.threshold, choice.ties
            kernels.gather(own, part.start, *rule, chunk_log2, *room, counts)
            gathered.append(room)
        elif isinstance(choice, Picked):
            values = _scaled(own[choice.positions], element, choice.scale)
            keys, more = _by_chunk(choice.positions + part.start, chunk_log2, counts.size)
            counts += more
            gathered.append((keys, values))
    if len(gathered) == 1:
        keys, values = gathered[0]
    else:
        keys, values = (np.concatenate(column) for column in zip(*gathered, strict=True))
    return Kept(keys, values, counts, chunk_log2, _least(choices), None, choices)


def gather_pairs(
    recipe: Recipe,
    keys: NDArray[np.int64],
    values: Gradient,
    origin: Origin,
    n: int,
) -> Kept:
    """What goes of n elements that are zero but at ascending `keys`: the same as if dense."""
    element, kernels = values.element, recipe.kernels
    stored = element.magnitudes(values.bits) > 0
    given, (keys, bits) = (keys, values.bits), (keys[stored], read_only(values.bits[stored]))
    parts = _parts(recipe, origin, n)
    taken: list[NDArray[np.int64]] = []
    choices: list[Choice] = []
    for part in parts:
        first, stop = np.searchsorted(keys, (part.start, part.stop))
        own, own_bits = keys[first:stop] - part.start, bits[first:stop]
        size = part.stop - part.start
        statistics = PairStatistics(own, own_bits, size, element, part.stream, kernels)
        choice = recipe.select.decide(statistics)
        if isinstance(choice, Decision):
            if choice.threshold == 0 and choice.ties:
                return _gather_densified(recipe, *given, element, origin, n)
            at, at_bits = np.empty(choice.kept, np.uint32), np.empty(choice.kept, bits.dtype)
            rule = choice.threshold, choice.ties
            kernels.gather(own_bits, 0, *rule, 62, at, at_bits, np.zeros(1, np.int64))
            taken.append(at.astype(np.int64) + first)
        elif isinstance(choice, Picked) and not choice.zeros:
            taken.append(np.searchsorted(own, choice.positions) + first)
        else:
            return _gather_densified(recipe, *given, element, origin, n)
        choices.append(choice)
    at = np.concatenate(taken)
    chunk_log2 = choose_chunk_log2(n, _density(recipe, parts, n))
    local, counts = _by_chunk(keys[at], chunk_log2, chunk_lengths(n, chunk_log2).size)
    return Kept(local, bits[at], counts, chunk_log2, _least(choices), None, choices)


def _gather_densified(
    recipe: Recipe,
    keys: NDArray[np.int64],
    bits: Patterns,
    element: Element,
    origin: Origin,
    n: int,
) -> Kept:
    """Pairs of which zeros are to be sent too."""
    dense = np.zeros(n, element.pattern)
    dense[keys] = bits
    return gather_dense(recipe, Gradient(read_only(dense), element, (n,)), origin)


def _draw(choice: Drawn, gradient: Gradient, chunk_log2: int, choices: Sequence[Choice]) -> Kept:
    """Elements at positions that follow from a seed; chunks get their share of them."""
    bits, element, n = gradient.bits, gradient.element, gradient.bits.size
    lengths = chunk_lengths(n, chunk_log2)
    ends = [choice.kept * min(end << chunk_log2, n) // max(n, 1) for end in range(lengths.size + 1)]
    counts: NDArray[np.int64] = np.diff(np.array(ends, np.int64)).astype(np.int64)
    keys, widths = drawn_keys(choice.seed, 0, counts, lengths)
    chunks = np.repeat(np.arange(counts.size, dtype=np.int64) << chunk_log2, counts)
    values = bits[chunks + keys]
    if choice.unbiased:
        values = _scaled(values, element, widths)
    return Kept(keys, values, counts, chunk_log2, 0, choice.seed, choices)


def _scaled(bits: Patterns, element: Element, scale: Any) -> Patterns:
    if np.isscalar(scale) and scale == 1.0:
        return bits
    numbers = widen(bits, element)
    with np.errstate(over="ignore"):  # the caller looks for infinities
        return narrow(numbers * np.asarray(scale, numbers.dtype), element)


def _by_chunk(
    positions: NDArray[np.int64], chunk_log2: int, n_chunks: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    keys = (positions & ((1 << chunk_log2) - 1)).astype(np.uint32)
    return keys, np.bincount(positions >> chunk_log2, minlength=n_chunks).astype(np.int64)


def _parts(recipe: Recipe, origin: Origin, n: int) -> list[Part]:
    if not recipe.per_tensor:
        return [Part(0, n, stream_of(origin))]
    return [
        Part(tensor.start, tensor.start + prod(tensor.shape), stream_of(origin, number))
        for number, tensor in enumerate(origin.tensors)
    ]


def _density(recipe: Recipe, parts: Sequence[Part], n: int) -> float:
    """The fraction of all elements that is asked for."""
    sizes = [part.stop - part.start for part in parts]
    if len(sizes) == 1:
        return recipe.select.density(n)
    return sum(recipe.select.density(size) * size for size in sizes) / n if n else 1.0


def _least(choices: Sequence[Choice]) -> int:
    """The smallest magnitude pattern that any of the choices can keep."""
    return min(
        choice.threshold + (choice.ties == 0)
        if isinstance(choice, Decision)
        else int(not getattr(choice, "zeros", True))
        for choice in choices
    )
