"""Blocks of positions, and the scales of what is in them (spec section 6)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import Malformed
from . import ids
from .elements import Element, Patterns
from .sections import NOWHERE, Span

Runs = NDArray[np.int64]
"""Positions and length of a block of each run, int64[runs, 2]."""


class Scales(NamedTuple):
    """Blocks, and `each` scales of each: one, or one for values without a sign and one for others.

    There is none of anything if nothing is scaled.
    """

    runs: Runs
    scales: Patterns
    each: int

    def part(self, start: int, stop: int) -> "Scales":
        """Those of the positions [start, stop); of a block that is cut, what is left is a run."""
        runs: list[tuple[int, int]] = []
        found = [np.arange(0)]
        for (first, block, number), (size, _) in zip(
            places(self.runs).tolist(), self.runs.tolist(), strict=True
        ):
            begin, end = max(start - first, 0), min(stop - first, size)
            if begin < end:
                found.append(number + np.arange(begin // block, -(-end // block)))
                cut = min(-begin % block, end - begin)
                rest = end - begin - cut
                runs += [(cut, cut)] * (cut > 0) + [(rest, block)] * (rest > 0)
        scales = self.scales.reshape(-1, max(self.each, 1))[np.concatenate(found)]
        return Scales(np.array(runs, np.int64).reshape(-1, 2), scales.reshape(-1), self.each)


UNSCALED: Final = Scales(np.empty((0, 2), np.int64), np.empty(0, np.uint32), 0)


def count_blocks(runs: Runs) -> NDArray[np.int64]:
    """How many blocks each run has."""
    blocks: NDArray[np.int64] = -(-runs[:, 0] // runs[:, 1])
    return blocks


def places(runs: Runs) -> NDArray[np.int64]:
    """First position, length of a block and number of the first block, int64[runs, 3]."""
    blocks = count_blocks(runs)
    starts = runs[:, 0].cumsum() - runs[:, 0]
    return np.stack((starts, runs[:, 1], blocks.cumsum() - blocks), 1)


def largest(patterns: Patterns, element: Element) -> int:
    """The largest magnitude pattern, 0 if there is none."""
    return int(element.magnitudes(patterns).max(initial=0))


def product(one: int, other: int, element: Element) -> int:
    """The magnitude pattern nearest to the product of two; infinity past the end."""
    return element.nearest(element.number(one) * element.number(other))


def read_scales(
    meta: bytes, spans: Mapping[int, Span], n_elements: int, element: Element, levels: Patterns
) -> Scales:
    """Check that the runs make up n_elements, and that nothing becomes infinite."""
    span = spans.get(ids.Section.RUNS, NOWHERE)
    found = np.frombuffer(meta, "<u8", 2 * span.entries, span.offset).reshape(-1, 2)
    span = spans.get(ids.Section.SCALES, NOWHERE)
    scales = np.frombuffer(meta, element.pattern, span.entries, span.offset)
    if not found.size + scales.size:
        return UNSCALED
    if not found.all():
        raise Malformed("a run has no positions, or blocks of none")
    size = sum(found[:, 0].tolist())
    if size != n_elements and found.size:
        raise Malformed(f"the runs of blocks have {size} positions, the array {n_elements}")
    runs = np.minimum(found, found[:, :1]).astype(np.int64)
    blocks = int(count_blocks(runs).sum())
    each = scales.size // max(blocks, 1)
    if each not in (1, 2) or scales.size != each * blocks:
        raise Malformed(f"{scales.size} scales for {blocks} blocks")
    top = int(scales.max())
    if top >= element.infinity:
        raise Malformed("a scale is not finite, or has a sign")
    if product(largest(levels, element), top, element) >= element.infinity:
        raise Malformed("a level times a scale is not finite")
    return Scales(runs, scales, each)


def write_runs(runs: Runs) -> bytes:
    """The RUNS section."""
    return runs.astype("<u8").tobytes()
