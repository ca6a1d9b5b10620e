"""Momentum and error feedback on the sum of sketches (FetchSGD: Rothchild et al., ICML 2020)."""

from copy import copy
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..errors import StateError
from ..format.draws import mix
from ..format.elements import FLOAT32
from ..request import check_step
from ..sketching import CountSketch
from .communicator import Communicator
from .sketch import Op, Sketching


class FetchSGD(Sketching):
    """Momentum and error feedback on the sum of sketches itself: no rank keeps a residual.

    u = momentum * u + sketch of the mean, e = e + u, where u and e are sketches that all ranks hold
    alike; the k largest estimates of e are the result, and all cells of their positions are set to
    zero in e and u. (To subtract them is what the paper says, and diverges.) Exact values are not
    exchanged, and no rank has state of the gradient's size; but values are estimates, and the hash
    is the same in all calls since the state lives in it: elements that share cells go on to do so.
    It is stable and slow; prefer `SketchAllreduce`.

    Parameters
    ----------
    communicator, ratio, k, columns, rows, seed, op, backend
        As for `SketchAllreduce`; rows is odd, and by default there are 16 columns for each element
        kept, since values come from them.
    momentum : float
        From 0 on and below 1. The optimizer must then have none of its own.

    Attributes
    ----------
    bytes_sent : int
    codec_seconds : float
        As for `SketchAllreduce`.
    """

    columns_of_kept = 16

    def __init__(
        self,
        communicator: Communicator,
        *,
        ratio: float | None = None,
        k: int | None = None,
        columns: int | None = None,
        rows: int = 5,
        momentum: float = 0.9,
        seed: int = 0,
        op: Op = "mean",
        backend: str = "cpu",
    ) -> None:
        super().__init__(
            communicator,
            ratio=ratio,
            k=k,
            columns=columns,
            rows=rows,
            momentum=momentum,
            seed=seed,
            op=op,
            backend=backend,
        )
        CountSketch(1, columns=1, rows=rows).estimate(how="median")  # refuses what it would
        self._state: dict[str, tuple[CountSketch, CountSketch]] = {}

    def __call__(
        self, name: str, grad: Any, *, step: int = 0, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The update that all ranks make: the largest estimates, 0 elsewhere.

        Parameters, result and errors are those of `SketchAllreduce`.
        """
        started = perf_counter()
        layout: Any = ((), FLOAT32.name)
        sketch: CountSketch | None = None
        failure: Exception | None = None
        try:
            check_step(step)
            gradient = arrays.gradient(grad).widened()
            numbers = gradient.numbers()
            layout = gradient.shape, gradient.element.name
            result = np.empty(gradient.shape, numbers.dtype) if out is None else out
            flat = arrays.output(
                result, gradient.element, numbers.size, [gradient.shape], exact=False
            )
            empty = self.empty(name, layout, mix(self.seed, self.hash(name)))
            velocity, error = map(copy, self._state.get(name, (empty, empty)))
            if (velocity.shape, velocity.cells.dtype) != (empty.shape, empty.cells.dtype):
                raise StateError(f"{name!r} has another shape or type than before")
            sketch = copy(empty).insert(numbers)
        except Exception as caught:  # the others must hear of it, or they wait for ever
            failure = caught
        self.codec_seconds += perf_counter() - started
        total, failure = self.sum(name, layout, step, sketch, failure)
        self.agree(failure, "adding sketches")
        started = perf_counter()
        if self.op == "mean":
            total.scale(1 / self._communicator.size)
        velocity.scale(self.momentum).merge(total)
        keys, values = error.merge(velocity).heavy_hitters(self.kept(flat.size))
        flat.fill(0)
        flat[keys] = values
        self._state[name] = velocity.clear(keys), error.clear(keys)
        self.codec_seconds += perf_counter() - started
        return result
