"""From a selector's choice to the elements that go.

Only the statistics touch all n elements; everything after them works on what was kept.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Gradient, narrow, read_only, widen
from .format.directory import choose_chunk_log2, chunk_lengths, count_chunks
from .format.draws import LOW_64, STEP_STRIDE
from .format.elements import Element, Patterns
from .packing import drawn_keys
from .request import Origin, Recipe
from .select.contract import Choice, Decision, Drawn, Picked
from .statistics import SEGMENT, DenseStatistics, PairStatistics, Sum


class Part(NamedTuple):
    """A range of elements that has a decision of its own: all of them, or one tensor."""

    start: int
    stop: int
    stream: int


class Kept(NamedTuple):
    """Elements that go.

    keys, bits : position within the chunk and pattern of each; counts : how many per chunk
    least, top : the smallest magnitude pattern that could have been kept, 0 if zeros are, and the
        largest
    seed : what the keys follow from, if they were drawn
    choices : what the selector decided for each part
    """

    keys: NDArray[np.uint32]
    bits: Patterns
    counts: NDArray[np.int64]
    chunk_log2: int
    least: int
    top: int
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
    recipe: Recipe,
    gradient: Gradient,
    check: Callable[[int], None],
    origin: Origin,
    states: Sequence[Any] | None = None,
    pending: Sum | None = None,
) -> Kept:
    """What goes of a dense gradient; `states` are those of the selector, one for each part.

    `check` is given the largest magnitude pattern and raises if it is no number. If the gradient is
    the result of a `pending` sum, that is worked out.
    """
    bits, element, kernels = gradient.bits, gradient.element, recipe.kernels
    n, parts = bits.size, _parts(recipe, origin, bits.size)
    if states is None or len(states) != len(parts):  # another layout than last time
        states = [None] * len(parts)
    chunk_log2 = choose_chunk_log2(n, _density(recipe, parts, n))
    statistics, choices = [], []
    for (start, stop, stream), state in zip(parts, states, strict=True):
        rest = pending and pending.part(start, stop)
        own = DenseStatistics(bits[start:stop], element, stream, kernels, start, chunk_log2, rest)
        statistics.append(own)
        choices.append(recipe.select.decide(own, state))
    by_size = all(isinstance(choice, Decision) for choice in choices)
    if not by_size:
        for own in statistics:
            own.finish()
        top = int(kernels.magnitude_max(bits))
        check(top)
    if isinstance(choices[0], Drawn):
        return _draw(choices[0], gradient, chunk_log2, choices, top)
    gathered, tops = [], [0]
    for part, own, choice in zip(parts, statistics, choices, strict=True):
        if isinstance(choice, Decision):
            chosen = own.chosen(choice)
            gathered.append((chosen.keys, chosen.bits, chosen.counts))
            if chosen.keys.size:
                tops.append(chosen.top)
        elif isinstance(choice, Picked):
            picked = bits[part.start : part.stop][choice.positions]
            values = _scaled(picked, element, choice.scale)
            keys, counts = _by_chunk(choice.positions + part.start, chunk_log2, n)
            gathered.append((keys, values, counts))
    keys, values, counts = gathered[0]
    if len(gathered) > 1:
        keys, values = (np.concatenate(column) for column in list(zip(*gathered, strict=True))[:2])
        counts = np.zeros(count_chunks(n, chunk_log2), np.int64)
        for *_, more in gathered:
            counts[: more.size] += more
    if by_size:  # then what is largest goes, and what is no number is larger
        top = max(tops)
        check(top)
    return Kept(keys, values, counts, chunk_log2, _least(choices), top, None, choices)


def gather_all(recipe: Recipe, origin: Origin, n: int) -> tuple[int, Sequence[Choice]]:
    """The chunk size, and the choice for each part, where every element goes."""
    parts = _parts(recipe, origin, n)
    sizes = [part.stop - part.start for part in parts]
    chunk_log2 = choose_chunk_log2(n, _density(recipe, parts, n))
    return chunk_log2, [Decision(0, size, size) for size in sizes]


def gather_pairs(
    recipe: Recipe,
    keys: NDArray[np.int64],
    values: Gradient,
    check: Callable[[int], None],
    origin: Origin,
    n: int,
) -> Kept:
    """What goes of n elements that are zero but at ascending `keys`: the same as if dense."""
    element, kernels = values.element, recipe.kernels
    top = int(kernels.magnitude_max(values.bits))
    check(top)
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
                return _gather_densified(recipe, *given, element, check, origin, n)
            taken.append(statistics.chosen(choice).positions(SEGMENT) + first)
        elif isinstance(choice, Picked) and not choice.zeros:
            taken.append(np.searchsorted(own, choice.positions) + first)
        else:
            return _gather_densified(recipe, *given, element, check, origin, n)
        choices.append(choice)
    at = np.concatenate(taken)
    chunk_log2 = choose_chunk_log2(n, _density(recipe, parts, n))
    local, counts = _by_chunk(keys[at], chunk_log2, n)
    return Kept(local, bits[at], counts, chunk_log2, _least(choices), top, None, choices)


def _gather_densified(
    recipe: Recipe,
    keys: NDArray[np.int64],
    bits: Patterns,
    element: Element,
    check: Callable[[int], None],
    origin: Origin,
    n: int,
) -> Kept:
    """Pairs of which zeros are to be sent too."""
    dense = np.zeros(n, element.pattern)
    dense[keys] = bits
    return gather_dense(recipe, Gradient(read_only(dense), element, (n,)), check, origin)


def _draw(
    choice: Drawn, gradient: Gradient, chunk_log2: int, choices: Sequence[Choice], top: int
) -> Kept:
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
    return Kept(keys, values, counts, chunk_log2, 0, top, choice.seed, choices)


def _scaled(bits: Patterns, element: Element, scale: Any) -> Patterns:
    if np.isscalar(scale) and scale == 1.0:
        return bits
    numbers = widen(bits, element)
    with np.errstate(over="ignore"):  # the caller looks for infinities
        return narrow(numbers * np.asarray(scale, numbers.dtype), element)


def _by_chunk(
    positions: NDArray[np.int64], chunk_log2: int, n: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    n_chunks = count_chunks(n, chunk_log2)
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
    if len(parts) == 1:
        return recipe.select.density(n)
    sizes = [part.stop - part.start for part in parts]
    return sum(recipe.select.density(size) * size for size in sizes) / n if n else 1.0


def _least(choices: Sequence[Choice]) -> int:
    """The smallest magnitude pattern that any of the choices can keep."""
    return min(
        [
            choice.threshold + (choice.ties == 0)
            if isinstance(choice, Decision)
            else int(not getattr(choice, "zeros", True))
            for choice in choices
        ]
    )
