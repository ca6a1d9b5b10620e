"""A plan in use: tensors go in as they become ready, full buckets go out while others fill."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..collectives import Allreduce, Communicator
from ..errors import Mismatch, StateError, UnsupportedDtypeError
from ..feedback import ErrorFeedback
from ..format.elements import Element
from ..format.frame import Frame
from ..policy import Policy
from ..request import Layout, Sender
from .problem import check_ends


class Prepared:
    """The `Feedback` of an `Allreduce` whose frames are encoded before.

    Whoever encoded them commits: sums that go no further are all that `memory` hears of from here.
    """

    def __init__(self, codec: Policy, memory: ErrorFeedback | None = None) -> None:
        self.codec, self._memory = codec, memory
        self._frames: dict[str, Frame | Exception] = {}

    def put(self, name: str, frame: Frame | Exception) -> None:
        """What the next `encode` of this name gives, or raises."""
        self._frames[name] = frame

    def encode(
        self,
        name: str,
        grad: Any,
        *,
        step: int = 0,
        tensors: Layout | None = None,
        sender: Sender | None = None,
    ) -> Frame:
        frame = self._frames.pop(name)
        if isinstance(frame, Exception):
            raise frame
        return frame

    def retain(self, name: str, keys: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Goes into the message that is open where it was encoded."""
        if self._memory is not None:
            self._memory.retain(name, keys, values)

    def commit(self, name: str, *, final: bool = True) -> None:
        """Whoever encoded commits, once all buckets of a step are there."""

    def rollback(self, name: str) -> None:
        """As `commit`."""

    def settle(self, name: str) -> None:
        """As `commit`."""

    def revoke(self, name: str) -> None:
        """As `commit`."""


class Buckets:
    """An allreduce of many tensors in few messages, which are exchanged while others are encoded.

    Encoding runs in the caller's thread, exchange and decoding in one other: the model `inline`.
    All ranks have the same layout and ends; tensors may become ready in another order on each, but
    buckets go in the order of the layout.

    Parameters
    ----------
    communicator : Communicator
        As for `gcodec.collectives.Allreduce`. It is used from another thread between the first
        `put` and the end of `finish`; the caller must not use it meanwhile.
    codec : Codec, WarmUp or Exclude
        The names that `Exclude` sees are those of buckets: of the first and the last tensor, with
        two dots between, or of the only one.
    layout : sequence of (name, shape)
        All tensors, in the order in which they become ready.
    ends : sequence of int
        How many of them there are up to the end of each bucket: a plan's `ends`.
    feedback : ErrorFeedback, optional
        Of the same codec. It has one residual for each bucket, by its name, so that another plan
        starts without any.
    op : {"mean", "sum"}
    dtype : dtype
        Of all gradients; uint16 for the bits of bfloat16.

    Examples
    --------
    >>> import numpy, gcodec
    >>> from gcodec.fusion import Buckets, Link
    >>> codec = gcodec.get_codec("topk:ratio=0.5")
    >>> buckets = Buckets(Link(2), codec, [("b", (2,)), ("a", (2, 2))], ends=[2])
    >>> buckets.put("b", numpy.array([1, 2], numpy.float32))
    >>> buckets.put("a", numpy.array([[3, 4], [5, 6]], numpy.float32))
    >>> buckets.finish()["a"]
    array([[0., 4.],
           [5., 6.]], dtype=float32)
    """

    def __init__(
        self,
        communicator: Communicator,
        codec: Policy,
        layout: Layout,
        ends: Sequence[int],
        *,
        feedback: ErrorFeedback | None = None,
        op: Literal["mean", "sum"] = "mean",
        dtype: Any = np.float32,
    ) -> None:
        if feedback is not None and feedback.codec != codec:
            raise ValueError(f"feedback is for {feedback.codec}, not for {codec}")
        element = arrays.element_of(np.dtype(dtype))
        if element is None:
            raise UnsupportedDtypeError(f"gradients of {np.dtype(dtype)}: give floats")
        tensors = [(name, tuple(map(index, shape))) for name, shape in layout]
        if len({name for name, _ in tensors}) < len(tensors):
            raise ValueError("two tensors of the layout have the same name")
        self._prepared = Prepared(codec, feedback)
        self._feedback, self._element = feedback, element
        self._sender = communicator.rank, communicator.size
        self._allreduce = Allreduce(communicator, codec, feedback=self._prepared, op=op)
        kind = arrays.NUMBERS[element.type]
        self._buckets = [
            _Bucket(tensors[first:last], kind)
            for first, last in pairwise((0, *check_ends(ends, len(tensors))))
        ]
        self._home = {
            name: (bucket, slot)
            for bucket in self._buckets
            for slot, (name, _) in enumerate(bucket.tensors)
        }
        self._begin()

    @property
    def bytes_sent(self) -> int:
        """Bytes this rank has handed over so far."""
        return self._allreduce.bytes_sent

    def put(self, name: str, grad: Any, *, step: int = 0) -> None:
        """A tensor is ready; if that completes a bucket, and all before it, it is sent.

        Parameters
        ----------
        name : str
        grad : array
            Of the shape in the layout; may be changed as soon as this returns.
        step : int
            The training step, the same for all tensors of a step and on all ranks.

        Raises
        ------
        StateError
            If the layout has no such tensor, or it was put before in this step. Nothing changed.
            What else is wrong with a gradient is told by `finish`, on every rank.
        """
        if name not in self._home:
            raise StateError(f"the layout has no tensor {name!r}")
        bucket, slot = self._home[name]
        if slot in bucket.present:
            raise StateError(f"{name!r} was put before in this step")
        self._step = step
        try:
            bucket.take(slot, arrays.gradient(grad), self._element)
        except Exception as error:  # the other ranks must hear of it, or they wait for ever
            bucket.failure = error
        bucket.present.add(slot)
        while self._sent < len(self._buckets) and self._buckets[self._sent].complete:
            self._send(self._buckets[self._sent])

    def finish(self) -> dict[str, NDArray[Any]]:
        """Wait for the mean (or sum) of all tensors over all ranks.

        Returns
        -------
        dict of float32 arrays, or float64 arrays if gradients are that
            By name, of each tensor's shape; views that are good until the next step.

        Raises
        ------
        RankMismatchError
            On every rank, as from `Allreduce`: ranks disagree, a gradient is wrong on one, or one
            has not put all tensors. No residual of any bucket changed, and the next step may begin.
        """
        for bucket in self._buckets[self._sent :]:
            missing = [
                name for slot, (name, _) in enumerate(bucket.tensors) if slot not in bucket.present
            ]
            if missing and bucket.failure is None:
                bucket.failure = StateError(f"finished without {', '.join(missing)}")
            self._send(bucket)
        self._exchanges.append(self._pool.submit(self._allreduce.finish))
        self._pool.shutdown()
        errors = [error for exchange in self._exchanges if (error := exchange.exception())]
        if self._feedback is not None:
            for name in self._open:
                (self._feedback.rollback if errors else self._feedback.commit)(name)
        self._begin()
        if errors:
            raise errors[0]
        return {
            name: part
            for bucket in self._buckets
            for (name, _), part in zip(bucket.tensors, bucket.parts(), strict=True)
        }

    def _begin(self) -> None:
        """An empty step."""
        from concurrent.futures import Future, ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(1, "gcodec-buckets")  # starts with the first bucket
        self._exchanges: list[Future[Any]] = []
        self._open: list[str] = []
        self._sent = self._step = 0
        for bucket in self._buckets:
            bucket.present.clear()
            bucket.failure = None

    def _send(self, bucket: "_Bucket") -> None:
        """Encode here, and let the other thread exchange."""
        self._sent += 1
        grad, step = bucket.grad, self._step
        try:
            frame: Frame | Exception = bucket.failure or self._encode(bucket, grad)
        except Exception as error:
            frame = error
        self._prepared.put(bucket.name, frame)
        self._exchanges.append(
            self._pool.submit(
                self._allreduce,
                bucket.name,
                grad,
                step=step,
                tensors=bucket.layout,
                out=bucket.result,
            )
        )

    def _encode(self, bucket: "_Bucket", grad: NDArray[Any]) -> Frame:
        name, step, tensors = bucket.name, self._step, bucket.layout
        if self._feedback is None:
            codec = self._prepared.codec.at(name, grad.size, step)
            return codec.encode(grad, name=name, step=step, tensors=tensors, sender=self._sender)
        frame = self._feedback.encode(name, grad, step=step, tensors=tensors, sender=self._sender)
        self._open.append(name)
        return frame


class _Bucket:
    """Tensors that go together: where they are put, and where the result goes."""

    def __init__(self, tensors: list[tuple[str, tuple[int, ...]]], kind: np.dtype[Any]) -> None:
        self.tensors = tensors
        self.present: set[int] = set()
        self.failure: Exception | None = None
        sizes = [prod(shape) for _, shape in tensors]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        single = len(tensors) == 1
        self.name = tensors[0][0] if single else f"{tensors[0][0]}..{tensors[-1][0]}"
        self.layout = None if single else tensors
        shape = tensors[0][1] if single else (int(self._starts[-1]),)
        self.grad = np.zeros(shape, kind)
        self.result = np.zeros(shape, np.float64 if kind == np.float64 else np.float32)

    @property
    def complete(self) -> bool:
        return len(self.present) == len(self.tensors)

    def take(self, slot: int, grad: arrays.Gradient, element: Element) -> None:
        """Copy a tensor to its place."""
        name, shape = self.tensors[slot]
        if grad.shape != shape:
            raise Mismatch(f"{name!r} has shape {grad.shape}, in the layout {shape}")
        if grad.element is not element:
            raise Mismatch(f"{name!r} is of {grad.element.name}, the buckets of {element.name}")
        place = self.grad.reshape(-1)[self._starts[slot] : self._starts[slot + 1]]
        place.view(grad.bits.dtype)[...] = grad.bits

    def parts(self) -> list[NDArray[Any]]:
        """The result, tensor by tensor."""
        flat = self.result.reshape(-1)
        return [
            flat[start:end].reshape(shape)
            for (start, end), (_, shape) in zip(
                pairwise(self._starts.tolist()), self.tensors, strict=True
            )
        ]
