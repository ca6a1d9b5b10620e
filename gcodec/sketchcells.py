"""What the cells of a count-sketch are, and what may be added to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, scratch
from .errors import Mismatch, NonFiniteError
from .format.elements import Element
from .format.sketch import Sketch
from .request import check_finite
from .sketch.units import multiples, narrow


@dataclass(frozen=True)
class Cells:
    """Numbers of an element type, float32 or float64, or integers of as many bits: multiples of a
    unit. Arrays of them are [rows, columns]; they are read-only unless they are open."""

    parameters: Sketch
    element: Element

    @property
    def dtype(self) -> np.dtype[Any]:
        kind = "i" if self.parameters.unit else "f"
        return np.dtype(f"{kind}{self.element.pattern.itemsize}")

    def zeros(self) -> NDArray[Any]:
        return frozen(np.zeros((self.parameters.rows, self.parameters.columns), self.dtype))

    def opened(self, cells: NDArray[Any]) -> NDArray[Any]:
        """A copy to work on; integers are wider than they will be."""
        work = scratch.empty(cells.size, np.int64 if self.parameters.unit else self.dtype)
        work = work.reshape(cells.shape)
        np.copyto(work, cells)
        return work

    def closed(self, cells: NDArray[Any], gradient: arrays.Gradient | None = None) -> NDArray[Any]:
        """What was worked on, if it is what cells may be; `gradient` is what was added.

        Raises
        ------
        NonFiniteError
            If an element of the gradient, or a cell, is not finite.
        LimitExceeded
            If an integer does not fit.
        """
        if self.parameters.unit:
            return frozen(narrow(cells, self.dtype))
        if not np.isfinite(cells).all():
            if gradient is not None:
                gradient = arrays.on_host(gradient)
                top = int(gradient.element.magnitudes(gradient.bits).max(initial=0))
                check_finite(top, gradient, "")
            raise NonFiniteError("a cell of the sketch is not finite; nothing changed")
        return frozen(cells)

    def numbers(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Cells as what they stand for, in the element type."""
        if not self.parameters.unit:
            return cells
        with np.errstate(over="ignore"):
            wide = cells.astype(np.float64) * self.parameters.unit
            return frozen(wide.astype(arrays.NUMBERS[self.element.type]))

    def elements(self, gradient: arrays.Gradient) -> arrays.Numbers:
        """A gradient's elements in the element type.

        Raises
        ------
        Mismatch
            If that is narrower than theirs.
        """
        if gradient.element.bits > self.element.bits:
            raise Mismatch("a gradient of float64 for a sketch of float32: make it of float64")
        wide = gradient.numbers().astype(arrays.NUMBERS[self.element.type], copy=False)
        return arrays.read_only(wide)

    def parts(
        self,
        values: arrays.Numbers,
        gradient: arrays.Gradient,
        cells: NDArray[Any],
        kernels: ModuleType,
    ) -> Iterable[tuple[int, NDArray[Any]]]:
        """What is added to cells, and where it starts: all, or some at once as int64 multiples."""
        if not self.parameters.unit:
            return ((0, values),)
        top = int(kernels.magnitude_max(gradient.bits))
        check_finite(top, gradient, "")
        return multiples(values, self.parameters.unit, cells)


def positions(keys: Any, size: int) -> NDArray[np.int64]:
    """Flat positions of `size` elements, in any order.

    Raises
    ------
    Mismatch
        If they are not integers in one dimension, or one lies outside.
    """
    found = np.asarray(keys)
    if found.ndim != 1 or (found.size and not np.issubdtype(found.dtype, np.integer)):
        raise Mismatch("keys are integers in one dimension")
    if found.size and not 0 <= int(found.min()) <= int(found.max()) < size:
        raise Mismatch(f"a key lies outside 0..{size - 1}")
    return arrays.read_only(np.ascontiguousarray(found, np.int64))


def frozen(cells: NDArray[Any]) -> NDArray[Any]:
    cells.setflags(write=False)
    return cells
