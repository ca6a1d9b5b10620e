"""Allreduce through count-sketches: they add up, so ranks find what is large in the sum.

Sum the sketches, take the positions of the largest estimates, exchange exact values there, and keep
the largest of those (after SketchedSGD, Ivkin et al., NeurIPS 2019, and in the spirit of
Sketch-Fusion SGD, Dai et al., JPDC 2024).

What is not offered: values read off a sketch with error feedback on the gradient, and subtracting
a sketch of what was sent from the sketch of the error. Both diverge: the error of an estimate goes
back into the residual, and grows. (The first stalls where the hash is another one in each call.)
"""

from copy import copy
from math import prod
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..errors import NonFiniteError, RankMismatchError, StateError
from ..format import ids
from ..format.draws import mix
from ..format.elements import FLOAT32
from ..kernels import load
from ..request import check_step
from ..sketching import CountSketch, How
from .cells import add_cells
from .communicator import Communicator
from .descriptor import (
    check_agreement,
    check_order,
    check_statuses,
    descriptor,
    failure_status,
    hash_of,
    received,
)
from .exchange import NOTHING

FEWEST: Final = 1024
"""Columns that no sketch of as many elements has fewer of, unless told otherwise."""

NO_LIST: Final = np.uint64(2**64 - 1)
"""In place of a number of candidates: the rank has none, since it failed."""

Op = Literal["mean", "sum"]


class Sketching:
    """Parameters, and a sum of sketches once all ranks agree: what `FetchSGD` has as well."""

    columns_of_kept: int
    """Columns for each element that is kept, unless told otherwise."""

    def __init__(
        self,
        communicator: Communicator,
        *,
        ratio: float | None,
        k: int | None,
        columns: int | None,
        rows: int,
        momentum: float,
        seed: int,
        op: Op,
        backend: str,
    ) -> None:
        if op not in ("mean", "sum"):
            raise ValueError(f"op is 'mean' or 'sum', not {op!r}")
        if (ratio is None) == (k is None):
            raise ValueError("pass ratio or k, and not both")
        if ratio is not None and not 0 < ratio <= 1:
            raise ValueError(f"ratio is above 0 and at most 1, not {ratio}")
        if k is not None and k < 1:
            raise ValueError(f"k is at least 1, not {k}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is from 0 on and below 1, not {momentum}")
        CountSketch(1, columns=columns or 1, rows=rows, seed=seed)  # refuses what it would
        self.ratio, self.k, self.columns, self.rows = ratio, k, columns, rows
        self.momentum, self.seed, self.op = momentum, seed, op
        self.bytes_sent = 0
        self.codec_seconds = 0.0
        self._communicator, self._backend, self._kernels = communicator, backend, load(backend)
        self._sequence = 0

    def kept(self, n: int) -> int:
        """How many of n elements are kept."""
        return min(n, self.k or max(1, round((self.ratio or 0) * n)))

    def empty(self, name: str, layout: tuple[tuple[int, ...], str], seed: int) -> CountSketch:
        """An empty sketch for a gradient of a shape and element type."""
        shape, dtype = layout
        n = prod(shape)
        wanted = max(self.columns_of_kept * self.kept(n), min(n, FEWEST), 1)
        columns = self.columns or 1 << min((wanted - 1).bit_length(), ids.MAX_COLUMNS_LOG2)
        return CountSketch(
            shape,
            columns=columns,
            rows=self.rows,
            seed=seed,
            dtype=dtype,
            name=name,
            backend=self._backend,
        )

    def sum(
        self, name: str, layout: Any, step: int, sketch: CountSketch | None, failure: Any
    ) -> tuple[CountSketch, Exception | None]:
        """The sum of all ranks' sketches once all agree, and what failed here since, if anything.

        Whoever calls this must tell the other ranks of such a failure.

        Raises
        ------
        RankMismatchError
            On all ranks, with the same text, if ranks disagree or one has no sketch.
        """
        mine = descriptor(
            self._sequence,
            failure_status(failure),
            codec=self.hash(repr(self)),
            name=self.hash(str(name)),
            layout=self.hash(repr(layout[0])),
            dtype=ids.ElementType[layout[1].upper()],
            elements=prod(layout[0]),
            step=step if failure is None else 0,
        )
        self._sequence += 1
        everyone = received(head for head, _ in self._communicator.announce(mine, NOTHING))
        self.bytes_sent += mine.size
        try:
            check_order(everyone)
            check_agreement(everyone)
        except Exception as error:
            raise error from failure
        assert sketch is not None
        cells, sent, failure = add_cells(self._communicator, sketch.cells, self._kernels)
        self.bytes_sent += sent
        try:
            return self.total(sketch, cells), failure
        except Exception as error:
            return sketch, failure or error

    def total(self, sketch: CountSketch, cells: NDArray[Any]) -> CountSketch:
        """A sketch of the sum, like this rank's own, of these cells."""
        if not np.isfinite(cells).all():
            raise NonFiniteError("a cell of the sum of sketches is not finite")
        total = copy(sketch)
        cells.setflags(write=False)
        total.cells, total.contributions = cells, self._communicator.size
        return total

    def agree(self, failure: Exception | None, doing: str) -> None:
        """Raise on all ranks if one failed at what it was doing."""
        mine = np.array([failure_status(failure)], np.int64)
        statuses = self._communicator.allgather(mine.view(np.uint8))
        self.bytes_sent += mine.nbytes
        try:
            check_statuses(statuses.reshape(-1).view(np.int64), doing)
        except Exception as error:
            raise error from failure

    def hash(self, text: str) -> int:
        return hash_of(text, self._kernels)

    def mean(self, values: NDArray[Any]) -> NDArray[Any]:
        return values / values.dtype.type(self._communicator.size) if self.op == "mean" else values

    def __repr__(self) -> str:
        amount = f"k={self.k}" if self.k else f"ratio={self.ratio}"
        return (
            f"{type(self).__name__}({amount}, columns={self.columns}, rows={self.rows}, "
            f"momentum={self.momentum}, seed={self.seed}, op={self.op!r})"
        )


class _Memory(NamedTuple):
    """What one rank still owes of a tensor, and its momentum."""

    residual: NDArray[Any]
    velocity: NDArray[Any]


class SketchAllreduce(Sketching):
    """The largest elements of the sum over ranks, exact, found by sketches; alike on all ranks.

    Every rank sketches its gradient and residual with the same hash, which is another one in each
    call; a fixed hash would lose the same elements for ever. The sketches are summed,
    `candidates * k` positions are taken from the sum, and exact values there are exchanged. The k
    largest sums are the result, and are taken off the residual (and momentum) of every rank; all
    else stays for later.

    Parameters
    ----------
    communicator : Communicator
    ratio, k : float or int
        How many elements are kept, as a fraction or as a number: one of the two.
    columns : int, optional
        Of a sketch: a power of two; by default the next from one for each candidate, and from
        1,024 (or one for each element). More find more of the largest, and are more bytes; what is
        not found stays in the residual.
    rows : int
        Of a sketch.
    candidates : int
        Positions with exact values, for each element kept: with 1, all of these are.
    how : {"median", "agree"}
        How positions are found (`CountSketch.estimate`).
    momentum : float
        u = momentum * u + gradient is what is added to the residual; from 0 on and below 1. The
        optimizer must then have none of its own.
    seed : int
    op : {"mean", "sum"}
    backend : {"cpu", "reference"}

    Attributes
    ----------
    bytes_sent : int
        Bytes this rank has handed over so far.
    codec_seconds : float
        Seconds spent in everything but exchanges so far.

    Notes
    -----
    Each rank adds a share of the cells in rank order, and of the values, so every rank holds the
    same bits, and sends less than twice both, however many ranks there are. A call makes seven
    exchanges: 64 bytes that say what is sent, cells, their sums, 16 bytes that say what the
    candidates are, values, their sums, and 8 bytes that say that all have them.
    """

    def __init__(
        self,
        communicator: Communicator,
        *,
        ratio: float | None = None,
        k: int | None = None,
        columns: int | None = None,
        rows: int = 3,
        candidates: int = 4,
        how: How = "agree",
        momentum: float = 0.0,
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
        CountSketch(1, columns=1, rows=rows).estimate(how=how)  # refuses what it would
        if candidates < 1:
            raise ValueError(f"candidates is at least 1, not {candidates}")
        self.candidates = self.columns_of_kept = candidates
        self.how = how
        self._memory: dict[str, _Memory] = {}

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, candidates={self.candidates}, how={self.how!r})"

    def __call__(
        self, name: str, grad: Any, *, step: int = 0, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """The mean (or sum) of `grad` over all ranks where it is largest, 0 elsewhere.

        Parameters
        ----------
        name : str
            The tensor's name: the same on all ranks, and the key of its residual.
        grad : array
            As for `Codec.encode`; of the same shape and type on all ranks.
        step : int
            The training step, the same on all ranks.
        out : array, optional
            As for `Allreduce`.

        Returns
        -------
        float32 array, or float64 array if `grad` is that
            `out`, or a new array of `grad`'s shape: the same bits on every rank.

        Raises
        ------
        RankMismatchError
            On every rank, with the same text, if ranks disagree on parameters, name, shape, step,
            candidates or the number of calls, or if one failed. No residual changed.
        NonFiniteError
            On every rank, if a sum is not finite. No residual changed.
        """
        started = perf_counter()
        layout: Any = ((), FLOAT32.name)
        sketch: CountSketch | None = None
        failure: Exception | None = None
        try:
            check_step(step)
            layout, flat, result, then = self._compensated(name, grad, out)
            seed = mix(mix(self.seed, self._sequence), self.hash(name))
            sketch = self.empty(name, layout, seed).insert(then.residual)
        except Exception as error:  # the others must hear of it, or they wait for ever
            failure = error
        self.codec_seconds += perf_counter() - started
        total, failure = self.sum(name, layout, step, sketch, failure)
        started = perf_counter()
        keys, k = np.empty(0, np.int64), self.kept(flat.size)
        most = min(self.candidates * k, flat.size)
        try:
            if failure is None:
                keys = self._candidates(total, most)
        except Exception as error:
            failure = error
        self.codec_seconds += perf_counter() - started
        sums = self._exact(keys, then.residual, failure)
        started = perf_counter()
        kept = _largest(sums, k)
        keys, sums = keys[kept], sums[kept]
        flat.fill(0)
        flat[keys] = self.mean(sums)
        then.residual[keys] = 0
        if self.momentum:
            then.velocity[keys] = 0
        self._memory[name] = then
        self.codec_seconds += perf_counter() - started
        return result

    def residual(self, name: str) -> NDArray[Any]:
        """What this rank still owes of `name`: flat and read-only.

        Raises
        ------
        StateError
            If there is none.
        """
        if name not in self._memory:
            raise StateError(f"no residual of {name!r}; there are {sorted(self._memory)}")
        return arrays.read_only(self._memory[name].residual)

    def _compensated(
        self, name: str, grad: Any, out: NDArray[Any] | None
    ) -> tuple[Any, NDArray[Any], NDArray[Any], _Memory]:
        """Shape and type; the result, flat and as it is; gradient and what was owed, summed."""
        gradient = arrays.gradient(grad).widened()
        shape, numbers = gradient.shape, gradient.numbers()
        result = np.empty(shape, numbers.dtype) if out is None else out
        flat = arrays.output(result, gradient.element, numbers.size, [shape], exact=False)
        memory = self._memory.get(name)
        if memory is not None and (
            memory.residual.size != numbers.size or memory.residual.dtype != numbers.dtype
        ):
            raise StateError(f"{name!r} has another size or type than its residual")
        velocity = np.empty(0, numbers.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.momentum:
                old = np.zeros(1, numbers.dtype) if memory is None else memory.velocity
                velocity = numbers = numbers.dtype.type(self.momentum) * old + numbers
            residual = numbers + (numbers.dtype.type(0) if memory is None else memory.residual)
        return (shape, gradient.element.name), flat, result, _Memory(residual, velocity)

    def _candidates(self, total: CountSketch, most: int) -> NDArray[np.int64]:
        """Where exact values are looked at: wherever the sum may be large."""
        if most == total.size:
            return np.arange(most)
        return total.heavy_hitters(most, how=self.how)[0]

    def _exact(
        self, keys: NDArray[np.int64], mine: NDArray[Any], failure: Exception | None
    ) -> NDArray[Any]:
        """Sums over ranks of what is at the candidates, once their lists are known to be equal.

        A rank that failed takes part, so that no other waits for it.
        """
        digest = np.array([self._kernels.xxh64(keys.view(np.uint8), 0), keys.size], np.uint64)
        if failure is not None:
            digest[1] = NO_LIST
        lists = self._communicator.allgather(digest.view(np.uint8)).view(np.uint64)
        self.bytes_sent += digest.nbytes
        wrong = np.flatnonzero((lists != lists[0]).any(axis=1) | (lists[:, 1] == NO_LIST))
        if wrong.size:
            raise RankMismatchError(
                f"no allreduce, since ranks {wrong.tolist()} cannot read the sum of sketches, or "
                "found other candidates in it than rank 0; no residual changed"
            ) from failure
        sums, sent, failure = add_cells(self._communicator, mine[keys], self._kernels)
        self.bytes_sent += sent
        self.agree(failure, "adding values")
        if not np.isfinite(sums).all():
            raise NonFiniteError("a sum over ranks is not finite; no residual changed")
        return sums


def _largest(sums: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Ascending places of the k largest magnitudes, of equal ones the first; zeros never."""
    order = np.argsort(-np.abs(sums), kind="stable")[:k]
    return np.sort(order[sums[order] != 0])
