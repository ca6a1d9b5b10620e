"""Count-sketches of gradients, and the frames that carry them."""

from collections.abc import Sequence
from math import isfinite, prod
from operator import index
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from . import arrays, device, sketch, sketchframes
from .codec import Codec
from .decoder import MAX_ELEMENTS
from .errors import BackendUnavailableError, LimitExceeded, Mismatch
from .format import frame as wire
from .format import ids
from .format.elements import ELEMENTS, Element
from .format.frame import Frame
from .format.header import Header
from .format.sketch import Sketch, is_unit
from .kernels import load
from .request import Layout, Sender, origin
from .sketch.units import add_exactly, times
from .sketchcells import Cells, positions

How = Literal["median", "agree"]
TYPES: Final = {
    "float32": ELEMENTS[ids.ElementType.FLOAT32],
    "float64": ELEMENTS[ids.ElementType.FLOAT64],
}


class CountSketch:
    """A table of `rows` times `columns` cells that stands for n elements, and adds like them.

    Each row adds every element to one of its cells, with a sign; which cell and which sign, a hash
    says. What one row says of an element is off by the others in its cell: a standard deviation of
    at most ||g|| / sqrt(columns), and with the median of 3, 5 or 7 rows 0.670, 0.536 or 0.459 times
    that. Elements well above come back; flat gradients do not.

    Sketches of the same shape and parameters add up to the sketch of the sum: exactly where cells
    are multiples of a unit, else as float addition does.

    Parameters
    ----------
    shape : int or tuple of int
        Of what it stands for, or the number of elements; at most 2**32.
    columns : int
        A power of two, at most 2**20; 8 to 64 for each element that is to be found.
    rows : int
        1 to 7. Medians need an odd number; two or three that agree find positions at less cost.
    seed : int
        Of the hash, 0 to 2**64 - 1; it travels in the frame. Two sketches with one seed lose the
        same elements, so take another one for each step, and the same on all ranks.
    dtype : {"float32", "float64"}
        Of estimates, and of the cells if there is no unit.
    unit : float
        If not 0, cells are int32 (float64: int64) multiples of it, a power of two: their sums do
        not depend on an order. An element is off by up to half a unit.
    name, tensors
        As for `Codec.encode`.
    backend : {"cpu", "reference"}

    Attributes
    ----------
    cells : array
        float32, float64, int32 or int64 of [rows, columns]; read-only.
    contributions : int
        Gradients added so far; of one that comes in parts, the part from position 0 counts.

    Examples
    --------
    >>> import numpy, gcodec
    >>> grad = numpy.zeros(10_000, numpy.float32)
    >>> grad[[17, 4_000]] = 3, -5
    >>> one = gcodec.CountSketch(grad.size, columns=1024).insert(grad)
    >>> two = gcodec.CountSketch.decode(one.encode())
    >>> keys, values = one.merge(two).heavy_hitters(2)
    >>> keys.tolist(), values.tolist()
    ([17, 4000], [6.0, -10.0])
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        *,
        columns: int,
        rows: int = 5,
        seed: int = 0,
        dtype: str = "float32",
        unit: float = 0.0,
        name: str = "",
        tensors: Layout | None = None,
        backend: str = "cpu",
    ) -> None:
        shape = tuple(map(index, shape)) if isinstance(shape, tuple) else (index(shape),)
        columns, rows, seed, dtype = index(columns), index(rows), index(seed), np.dtype(dtype).name
        if not 1 <= rows <= ids.MAX_SKETCH_ROWS:
            raise ValueError(f"rows is 1 to {ids.MAX_SKETCH_ROWS}, not {rows}")
        most = 1 << ids.MAX_COLUMNS_LOG2
        if not 1 <= columns <= most or columns & columns - 1:
            raise ValueError(f"columns is a power of two, at most {most}, not {columns}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed is 0 to 2^64 - 1, not {seed}")
        if dtype not in TYPES:
            raise ValueError(f"dtype is float32 or float64, not {dtype}")
        if unit and not is_unit(unit):
            raise ValueError(f"unit is 0 or a power of two from 2^-1022 on, not {unit}")
        described = origin(Codec(backend=backend).recipe(), name, shape, 0, tensors)
        if prod(shape) > ids.MAX_POSITIONS:
            raise LimitExceeded(
                f"{prod(shape)} elements, a sketch has at most 2^32: split the tensor"
            )
        parameters = Sketch(rows, columns.bit_length() - 1, seed, float(unit) or 0.0)
        self._set(parameters, TYPES[dtype], shape, described.tensors, backend)
        self.cells = self._cells.zeros()
        self.contributions = 0

    def _set(
        self,
        parameters: Sketch,
        element: Element,
        shape: tuple[int, ...],
        tensors: tuple[Any, ...],
        backend: str,
    ) -> None:
        self.parameters, self.shape, self.tensors = parameters, shape, tensors
        self._cells, self._backend = Cells(parameters, element), backend
        self.size = prod(shape)

    def __repr__(self) -> str:
        p = self.parameters
        unit = f", unit={p.unit}" if p.unit else ""
        return (
            f"CountSketch({self.shape}, columns={p.columns}, rows={p.rows}, seed={p.seed}, "
            f"dtype={self._cells.element.name!r}{unit})"
        )

    def insert(self, grad: Any, *, start: int = 0) -> "CountSketch":
        """Add a gradient, or with `start` the part of one from that flat position on.

        Parameters
        ----------
        grad : array
            As for `Codec.encode`; float64 for a sketch of that only. On a CUDA device it stays
            there; cells are on the host.
        start : int

        Returns
        -------
        CountSketch
            This one.

        Raises
        ------
        Mismatch
            If the elements do not lie within the sketch's, or are float64 and its are not.
        NonFiniteError
            If an element, or a cell with it, is not finite. Nothing was added.
        LimitExceeded
            If a cell would not fit its integer. Nothing was added.
        BackendUnavailableError
            If an array on a device is of another type than the sketch, or the sketch has a unit.
        """
        on_device = arrays.on_device(grad)
        if on_device and self.parameters.unit:
            raise BackendUnavailableError(
                "no CUDA kernel adds multiples of a unit: leave it out, or copy the gradient to "
                "the host"
            )
        gradient = (device.gradient if on_device else arrays.gradient)(grad)
        values, start = self._cells.elements(gradient), index(start)
        if not 0 <= start <= self.size - values.size:
            raise Mismatch(
                f"elements {start} to {start + values.size} are not within {self.size}: pass the "
                "whole gradient, or its part and start"
            )
        cells, kernels = self._cells.opened(self.cells), load(self._backend)
        if on_device:
            device.add_to_sketch(values, start, self.parameters, cells, kernels)
        else:
            for begin, part in self._cells.parts(values, gradient, self.cells, kernels):
                sketch.add(part, start + begin, self.parameters, cells, kernels)
        self.cells = self._cells.closed(cells, gradient)
        self.contributions += start == 0
        return self

    def insert_sparse(self, keys: Any, values: Any) -> "CountSketch":
        """Add elements at flat positions, in any order; values of the same position add up.

        Raises
        ------
        Mismatch
            If lengths differ, or a position is not one of the sketch's.
        NonFiniteError, LimitExceeded
            As for `insert`.
        """
        gradient, places = arrays.gradient(values), positions(keys, self.size)
        numbers = self._cells.elements(gradient)
        if places.size != numbers.size:
            raise Mismatch(f"{places.size} keys for {numbers.size} values")
        cells, kernels = self._cells.opened(self.cells), load(self._backend)
        for begin, part in self._cells.parts(numbers, gradient, self.cells, kernels):
            own = places[begin : begin + part.size]
            sketch.add_pairs(own, part, self.parameters, cells, kernels)
        self.cells = self._cells.closed(cells, gradient)
        self.contributions += 1
        return self

    def merge(self, other: "CountSketch") -> "CountSketch":
        """Add the cells of a sketch of the same tensors, shape, hash and unit.

        Raises
        ------
        Mismatch
            If one of these differs.
        NonFiniteError, LimitExceeded
            If a sum is not finite, or does not fit its integer. Nothing was added.
        """
        if (self.parameters, self.tensors) != (other.parameters, other.tensors):
            raise Mismatch(f"{other!r} cannot be added to {self!r}: other tensors or parameters")
        ours, theirs = self._cells.element.name, other._cells.element.name
        if ours != theirs:
            raise Mismatch(f"a sketch of {theirs} for one of {ours}")
        cells = self._cells.opened(self.cells)
        if self.parameters.unit:
            add_exactly(cells, other.cells)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                np.add(cells, other.cells, out=cells)
        self.cells = self._cells.closed(cells)
        self.contributions += other.contributions
        return self

    def scale(self, factor: float) -> "CountSketch":
        """Multiply what the sketch stands for; where there is a unit, by an integer.

        Raises
        ------
        ValueError
            If the factor is not finite, or not an integer where there is a unit.
        NonFiniteError, LimitExceeded
            If a cell would not be finite, or not fit its integer. Nothing changed.
        """
        if not isfinite(factor):
            raise ValueError(f"factor is finite, not {factor}")
        if not self.parameters.unit:
            with np.errstate(over="ignore", invalid="ignore"):
                self.cells = self._cells.closed(self.cells * self._cells.dtype.type(factor))
            return self
        if factor != int(factor):
            raise ValueError(f"cells are multiples of a unit: factor is an integer, not {factor}")
        self.cells = self._cells.closed(times(self.cells, int(factor)))
        return self

    def estimate(
        self, keys: Any = None, *, how: How | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """What the sketch says of elements.

        Parameters
        ----------
        keys : array of int, optional
            Flat positions in any order; all elements without it.
        how : {"median", "agree"}
            The median of the rows (if their number is odd, the default); or the smallest magnitude
            where all rows have one sign, else 0: too small on average, but seldom wrong.
        out : array, optional
            Where to put estimates of all elements: of the sketch's element type; on a CUDA device,
            if you like.

        Returns
        -------
        array
            Of the sketch's element type; of its shape, or one estimate for each key.
        """
        agree, kernels = self._agree(how), load(self._backend)
        table = self._cells.numbers(self.cells)
        if keys is not None:
            if out is not None:
                raise ValueError("out is for estimates of all elements: leave it out with keys")
            keys = positions(keys, self.size)
            return sketch.estimate_pairs(keys, self.parameters, table, agree, kernels)
        if out is None:
            if self.size > MAX_ELEMENTS:
                raise LimitExceeded(f"{self.size} estimates are more than {MAX_ELEMENTS}: pass out")
            out = np.empty(self.shape, table.dtype)
        if arrays.on_device(out):
            there = device.Output(out, self._cells.element, self.size, exact=True)
            there.estimate(self.parameters, table, agree, kernels)
            return out
        flat = arrays.output(out, self._cells.element, self.size, [self.shape], exact=True)
        sketch.estimate(self.parameters, table, agree, flat, kernels)
        return out

    def heavy_hitters(
        self, k: int, *, how: How | None = None
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The k positions of the largest estimates, ascending, and these; `how` as above.

        Of equal magnitudes those at the lower positions; fewer than k if fewer are not 0. All
        elements are estimated once, and none of that is kept but what may be among the k.
        """
        k = index(k)
        if k < 0:
            raise ValueError(f"k is at least 0, not {k}")
        agree, kernels = self._agree(how), load(self._backend)
        what = self.parameters, self._cells.numbers(self.cells), agree, kernels
        return sketch.heavy_hitters(self.size, min(k, self.size), *what)

    def norm(self) -> float:
        """An estimate of the L2 norm: the root of the median over rows of the sums of squares."""
        cells = self.cells.astype(np.float64)
        largest = float(np.abs(cells).max())
        if not largest:
            return 0.0
        squares = np.square(cells / largest).sum(axis=1)  # squares of large numbers overflow
        return largest * float(np.sqrt(np.median(squares))) * (self.parameters.unit or 1.0)

    def clear(self, keys: Any) -> "CountSketch":
        """Set all cells of some positions to zero, and with them what others have there."""
        cells = self.cells.copy()
        sketch.clear(positions(keys, self.size), self.parameters, cells, load(self._backend))
        self.cells = self._cells.closed(cells)
        return self

    def encode(self, *, step: int = 0, sender: Sender | None = None) -> Frame:
        """The sketch as a frame: two with equal `sum_key` add up (`gcodec.merge`).

        Parameters
        ----------
        step : int
        sender : (rank, world), optional
            As for `Codec.encode`.

        Raises
        ------
        LimitExceeded
            If the step does not fit 64 bits, or contributions not 32.
        """
        kernels, recipe = load(self._backend), Codec(backend=self._backend).recipe()
        whence = origin(recipe, "", (self.cells.size,), step, None, sender)
        if self.contributions >= 1 << 32:
            raise LimitExceeded(f"{self.contributions} contributions do not fit 32 bits")
        count = max(self.contributions, 1)
        header = Header(step=whence.step, rank=whence.rank, world=whence.world, contributions=count)
        what = self.cells, self.parameters, self._cells.element, self.tensors, header
        return sketchframes.write(*what, kernels)

    @classmethod
    def decode(cls, frame: Any, *, backend: str = "cpu") -> "CountSketch":
        """The sketch that a frame holds.

        Raises
        ------
        FrameError
            One of its eight subclasses; `Mismatch` if it is another kind of frame.
        NonFiniteError
            If a cell is not finite.
        """
        return cls._of(wire.parse(arrays.as_bytes(frame), load(backend)), backend)

    @classmethod
    def _of(cls, parsed: wire.Parsed, backend: str) -> "CountSketch":
        if parsed.sketch is None:
            raise Mismatch("the frame holds elements and no sketch: use gcodec.decode")
        shapes = [tensor.shape for tensor in parsed.tensors]
        shape = shapes[0] if len(shapes) == 1 else (sum(map(prod, shapes)),)
        made = cls.__new__(cls)
        made._set(parsed.sketch, parsed.element, shape, parsed.tensors, backend)
        cells = sketchframes.read_cells(parsed, load(backend)).view(made._cells.dtype)
        made.cells = made._cells.closed(cells.reshape(parsed.sketch.rows, -1))
        made.contributions = parsed.header.contributions
        return made

    def _agree(self, how: str | None) -> bool:
        odd = self.parameters.rows % 2
        if how not in ("median", "agree", None):
            raise ValueError(f"how is 'median' or 'agree', not {how!r}")
        if how == "median" and not odd:
            raise ValueError(
                f"a median of {self.parameters.rows} rows is one-sided: use 'agree', or an odd "
                "number of rows"
            )
        return how == "agree" or (how is None and not odd)


def merge(frames: Sequence[wire.Parsed], backend: str) -> Frame:
    """The sum of sketch frames in the order given, for `gcodec.merge`."""
    first = frames[0].header
    for i, parsed in enumerate(frames):
        header = parsed.header
        if header.sum_key != first.sum_key or header.step != first.step:
            raise Mismatch(f"frame {i} holds another sketch or another step than frame 0")
    total = CountSketch._of(frames[0], backend)
    for parsed in frames[1:]:
        total.merge(CountSketch._of(parsed, backend))
    return total.encode(step=first.step)
