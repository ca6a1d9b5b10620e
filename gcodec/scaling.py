"""Blocks of elements that have a scale each: found, divided by, and multiplied by again."""

from collections.abc import Sequence
from math import prod
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import narrow, read_only, widen
from .format.elements import ELEMENTS, FLOAT32, Element, Patterns
from .format.ids import ElementType
from .format.scales import Runs, Scales, count_blocks, largest, places, product
from .format.sections import Tensor

BLOCKS: Final = ("row", "tensor")
"""What a scale is for, beside a number of elements."""

FLOAT64: Final = ELEMENTS[ElementType.FLOAT64]
Block = int | str | None


class Divided(NamedTuple):
    """Elements in units of the scale of their block, as patterns of float64, and which have one."""

    bits: Patterns
    there: NDArray[np.bool_]
    scaling: Scales


def check_block(scales: Any) -> Block:
    """What a scale is for: so many elements, a row, a tensor, or nothing."""
    if scales is None or (isinstance(scales, str) and scales in BLOCKS):
        return scales
    if isinstance(scales, int | np.integer) and not isinstance(scales, bool) and scales >= 1:
        return int(scales)
    raise ValueError(f"scales is a number of elements, {' or '.join(BLOCKS)}, not {scales!r}")


def runs_of(tensors: Sequence[Tensor], scales: Block) -> Runs:
    """Blocks of a number of elements of each tensor, of its rows, or of all of it."""
    runs = []
    for tensor in tensors:
        size = prod(tensor.shape)
        block = scales if isinstance(scales, int) else size
        if scales == "row" and len(tensor.shape) > 1 and size:
            block = size // tensor.shape[0]
        runs += [(size, min(block, size))] * (size > 0)
    return np.array(runs, np.int64).reshape(-1, 2)


def divide(
    magnitudes: NDArray[np.float64],
    exponent: int,
    negative: NDArray[np.bool_],
    blocks: NDArray[np.int64],
    runs: Runs,
    norm: str,
    each: int,
    element: Element,
) -> Divided:
    """Scales by a norm of what is in each block, and elements divided by them.

    Magnitudes are in units of 2**exponent; blocks are numbers of them. A norm is the `max` of
    magnitudes, their `mean`, the `least`, or their Euclidean norm `l2`, of values of one sign if
    there are two scales of `each` block. It is rounded to the element type, and elements of a block
    that has none become zero.
    """
    blocks = blocks * each + negative * (each - 1)
    size = int(count_blocks(runs).sum()) * each
    norms = np.zeros(size)
    match norm:
        case "max":
            np.maximum.at(norms, blocks, magnitudes)
        case "least":
            norms[blocks] = np.inf
            np.minimum.at(norms, blocks, magnitudes)
        case "l2":
            norms = np.sqrt(np.bincount(blocks, np.square(magnitudes), size))
        case "mean":
            sums = np.bincount(blocks, magnitudes, size)
            norms = sums / np.maximum(np.bincount(blocks, minlength=size), 1)
    with np.errstate(over="ignore"):  # as large as it may be, then
        scales = narrow(np.ldexp(norms, exponent), element, saturate=True)
    units = np.ldexp(widen(scales, element).astype(np.float64), -exponent)[blocks]
    there = units > 0
    quotients = np.divide(magnitudes, units, out=np.zeros_like(magnitudes), where=there)
    quotients = np.minimum(quotients, np.finfo(np.float64).max)
    bits = quotients.view(np.uint64) | negative.astype(np.uint64) << np.uint64(63)
    return Divided(bits, there, Scales(runs, scales, each))


def finite_levels(table: Patterns, scaling: Scales, element: Element) -> Patterns:
    """Levels of float64 in the element type; what would become infinite is as large as it may."""
    levels = narrow(table.view(np.float64), element, saturate=True)
    top, scale = largest(levels, element), largest(scaling.scales, element)
    if product(top, scale, element) >= element.infinity:
        most = element.number(element.infinity - 1) / element.number(scale)
        top = min(top, element.nearest(most) + 1)
        while product(top, scale, element) >= element.infinity:
            top -= 1
    magnitudes = element.magnitudes(levels)
    levels = (levels ^ magnitudes) | np.minimum(magnitudes, element.pattern.type(top))
    levels[element.magnitudes(levels) == 0] = 0
    return levels


def multiply(
    patterns: Patterns,
    element: Element,
    keys: NDArray[np.uint32],
    counts: NDArray[np.int64],
    coded: NDArray[np.bool_],
    first: int,
    chunk_log2: int,
    scaling: Scales,
    kernels: ModuleType,
) -> Patterns:
    """Patterns, of which those of `coded` chunks are multiplied by their scales (spec section 8).

    They are overwritten where that takes no rounding to 16 bits.
    """
    wide = element.bits >= FLOAT32.bits
    with np.errstate(invalid="ignore"):  # what travels as it is may be no number
        numbers, scales = widen(patterns, element), widen(scaling.scales, element)
        if not wide:  # a product of two is a float64, which is rounded once
            numbers, scales = numbers.astype(np.float64), scales.astype(np.float64)
    where = keys, counts, coded, first, chunk_log2, places(scaling.runs)
    kernels.rescale(*where, read_only(scales), scaling.each, numbers)
    if wide:
        return patterns
    own = np.repeat(coded, counts)
    products = patterns.copy()
    products[own] = narrow(numbers[own], element)
    return products
