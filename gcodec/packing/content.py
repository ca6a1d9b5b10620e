"""What is to be packed."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..format.elements import Element, Patterns


class Content(NamedTuple):
    """Elements of all chunks in order.

    element : the type they decode to
    keys : position of each within its chunk
    bits : patterns of values that travel as they are
    joint : 2 * level + 1 where negative, of each; none if values travel as they are
    table : what each such number decodes to
    own_signs : whether negative levels are others than the positive ones
    fixed : whether `joint` travels as it is, in one width, and all of `table` with it
    seed : what the keys follow from, if they were drawn
    """

    element: Element
    keys: NDArray[np.uint32]
    bits: Patterns
    joint: NDArray[np.unsignedinteger[Any]] | None
    table: Patterns
    own_signs: bool
    fixed: bool
    seed: int | None
