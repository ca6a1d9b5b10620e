"""What is asked of an encode: a codec's answers, and what a frame says about its origin."""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Gradient, on_host, read_only
from .errors import LimitExceeded, Mismatch, NonFiniteError
from .format import ids
from .format.sections import Tensor
from .quantize.contract import Quantizer
from .scaling import Block
from .select.contract import Selector


class Recipe(NamedTuple):
    """The answers that make a codec, and the kernels to run it on."""

    select: Selector
    quantize: Quantizer
    keys: str
    values: str
    scales: Block
    per_tensor: bool
    kernels: ModuleType


Sender = tuple[int, int]
"""A rank, and the number of ranks."""

Layout = Sequence[tuple[str, Sequence[int]]]
"""Names and shapes of the tensors that a flat bucket is made of, in order."""


class Origin(NamedTuple):
    """What a frame says about where it comes from."""

    tensors: tuple[Tensor, ...]
    step: int
    contributions: int = 1
    rank: int = ids.UNKNOWN_RANK
    world: int = ids.UNKNOWN_RANK


@lru_cache
def name_hash(name: str, kernels: ModuleType) -> int:
    """What stands for a tensor's name in a frame: XXH64 of its UTF-8 bytes."""
    utf8 = name.encode("utf-8", "surrogatepass")
    return int(kernels.xxh64(read_only(np.frombuffer(utf8, np.uint8)), 0))


@lru_cache
def _described(name: str, shape: tuple[int, ...], kernels: ModuleType) -> tuple[int, int]:
    """The hash of a tensor's name, and its elements, if it can have so many."""
    if min(shape, default=0) < 0 or prod(filter(None, shape)) > ids.MAX_ELEMENTS:
        raise LimitExceeded(f"shape {shape} of {name!r}: a length is 0 to 2^48 elements")
    if len(shape) > ids.MAX_DIMENSIONS:
        raise LimitExceeded(f"shape {shape} of {name!r}: more than 32 dimensions")
    return name_hash(name, kernels), prod(shape)


def check_step(step: int) -> int:
    """A step that fits 64 bits.

    Raises
    ------
    LimitExceeded
        If it does not.
    """
    whole = index(step)
    if not 0 <= whole < 1 << 64:
        raise LimitExceeded(f"step {whole} is outside 0..2^64-1")
    return whole


def origin(
    recipe: Recipe,
    name: str,
    shape: tuple[int, ...],
    step: int,
    tensors: Layout | None = None,
    sender: Sender | None = None,
) -> Origin:
    """Check the step, the shapes and the sender.

    Raises
    ------
    LimitExceeded
        If the step does not fit 64 bits, or there are more than 65,536 tensors, 32 dimensions or
        2**48 elements.
    Mismatch
        If the tensors do not add up to `shape`, or the sender's rank is not one of its world.
    """
    step = check_step(step)
    parts = ((name, shape),) if tensors is None else tensors
    if not 1 <= len(parts) <= ids.MAX_TENSORS:
        raise LimitExceeded(f"{len(parts)} tensors: a frame has 1 to {ids.MAX_TENSORS}")
    table, start = [], 0
    for part, lengths in parts:
        lengths = tuple(map(index, lengths))
        hashed, size = _described(part, lengths, recipe.kernels)
        table.append(Tensor(hashed, start, lengths))
        start += size
    if start != prod(map(index, shape)):
        raise Mismatch(f"the tensors hold {start} elements, the gradient {prod(shape)}")
    if sender is None:
        return Origin(tuple(table), step)
    rank, world = map(index, sender)
    if not 0 <= rank < world < ids.UNKNOWN_RANK:
        raise Mismatch(f"rank {rank} is not one of a world of {world}")
    return Origin(tuple(table), step, rank=rank, world=world)


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
        bits = on_host(gradient).bits
        bad = np.flatnonzero(element.magnitudes(bits) >= element.infinity)
        if keys is not None:
            bad = keys[bad]
        raise NonFiniteError(
            f"{what}{f' {name!r}' if name else ''} has {bad.size} NaN or infinite elements, the "
            f"first at flat index {bad[0]}; nothing was encoded and no state changed"
        )
