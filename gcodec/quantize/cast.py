"""Values in 16 bits: float16 (IEEE 754 binary16) or bfloat16."""

from dataclasses import dataclass
from typing import ClassVar

from ..format.elements import ELEMENTS, Element
from ..format.ids import ElementType
from .contract import Grid, Kept

TYPES = {"float16": ElementType.FLOAT16, "bfloat16": ElementType.BFLOAT16}


@dataclass(frozen=True)
class Cast:
    """Round kept values to a 16-bit type, to nearest, ties to even; the frame is of that type.

    Numbers past the largest one become that.

    Parameters
    ----------
    dtype : {"bfloat16", "float16"}
    """

    dtype: str = "bfloat16"
    seed: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.dtype not in TYPES:
            raise ValueError(f"dtype is one of {', '.join(TYPES)}, not {self.dtype!r}")

    def element(self) -> Element:
        """The type that values are rounded to."""
        return ELEMENTS[TYPES[self.dtype]]

    def grid(self, kept: Kept) -> Grid | None:
        return None
