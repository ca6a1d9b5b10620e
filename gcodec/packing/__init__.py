"""How keys and values become planes of bits: measured, chosen, written, and read back."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..format.sections import Tensor
from . import compiled, plain
from .content import Content
from .keys import KEY_PACKINGS, better_whole
from .layout import Ints, pieces_of
from .plain import write_checks
from .read import check_chunks, read_chunks
from .seeded import drawn_keys
from .values import VALUE_PACKINGS, fix_values

__all__ = [
    "KEY_PACKINGS",
    "VALUE_PACKINGS",
    "Content",
    "Packed",
    "better_whole",
    "check_chunks",
    "drawn_keys",
    "fix_values",
    "pack",
    "pieces_of",
    "read_chunks",
    "write_checks",
]

Packed = plain.Plain | compiled.Compiled


def pack(
    directory: NDArray[np.void],
    content: Content,
    lengths: Ints,
    tensors: Sequence[Tensor],
    packing: str,
    kernels: ModuleType,
) -> Packed:
    """Choose the smallest packing of what chunks hold: sets all of a directory with nnz.

    What is returned has the directory, the tables that go into sections, and writes the payload.
    """
    what = directory, content, lengths, tensors, packing, kernels
    return compiled.pack(*what) if hasattr(kernels, "write_chunks") else plain.pack(*what)
