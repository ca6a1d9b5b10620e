"""Sum or mean of every rank's gradient, through a codec, with the same bits on every rank."""

from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from .. import arrays
from ..arrays import Gradient, Numbers
from ..errors import Mismatch, StateError
from ..feedback import ErrorFeedback
from ..format.elements import FLOAT32
from ..format.frame import Frame
from ..kernels import load
from ..policy import Policy
from ..request import Layout
from . import allgather, dense, gtopk, hierarchical, oktopk, plain, quantized, split
from .communicator import RIDES, Communicator
from .costs import MODELS, Costs, Load, Plan, choose, measure
from .descriptor import (
    check_agreement,
    descriptor,
    failure_status,
    hash_of,
    held_by,
    received,
)
from .exchange import NOTHING, Bytes, Call, Exchange, sum_type
from .memory import Feedback
from .outcome import Outcome
from .parts import Part
from .pending import FORMS, Pending, Wanted, origin_of

Algorithm = Callable[[Exchange], list[Part]]
ALGORITHMS: Final[dict[str, Algorithm]] = {
    "allgather": allgather.reduce,
    "split": split.reduce,
    "dense": dense.reduce,
    "gtopk": gtopk.reduce,
    "oktopk": oktopk.reduce,
    "quantized": quantized.reduce,
    "hierarchical": hierarchical.reduce,
    "plain": plain.reduce,
}
AUTO: Final = "auto"
LATE: Final = "allgather"
"""The algorithm after which ranks hear only with the next call that one could not decode."""
WITHOUT_FRAME: Final = ("hierarchical", "plain")
"""Algorithms that start from the gradient itself."""
NO_GRADIENT: Final = Gradient(arrays.read_only(np.empty(0, FLOAT32.pattern)), FLOAT32, (0,))


def check_algorithm(algorithm: str, feedback: Feedback | None) -> None:
    """Refuse an algorithm that there is not, or that has no use for a memory."""
    if algorithm != AUTO and algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm is one of {', '.join((*ALGORITHMS, AUTO))}, not {algorithm!r}")
    if algorithm == "plain" and feedback is not None:
        raise ValueError("plain sends everything and leaves no residual: leave feedback out")


class Allreduce:
    """A sparse allreduce over one communicator; called like a function, alike on all ranks.

    Parameters
    ----------
    communicator : Communicator
    codec : Codec, WarmUp or Exclude
        The same on every rank.
    feedback : ErrorFeedback, optional
        Of the same codec; its residual is committed when the exchange succeeded, else rolled back.
        Of one `Allreduce` at a time: `finish` before another one takes it over.
    op : {"mean", "sum"}
    algorithm : {"allgather", "split", "dense", "auto", "gtopk", "oktopk", "quantized", \
"hierarchical", "plain"}
        How the sum is formed. The first three give the same bits, the rank-order sum of all frames,
        and `auto` takes the fastest of them by a model (`plan` says why); the others give what
        their files in `gcodec.collectives` say, the same on all ranks.

    Attributes
    ----------
    bytes_sent : int
        Bytes this rank has handed over so far, each once however many ranks receive it: 64 for each
        call, its frames or parts of them, and 8 or more whenever ranks agree again.
    codec_seconds : float
        Seconds spent encoding and decoding so far.
    server : ErrorFeedback or None
        What owners still owe where `quantized` is used with feedback: part of a rank's state.

    Notes
    -----
    The result is the sum in rank order, in float32 or float64 (for the mean, divided once by the
    number of ranks). One rank alone goes through the codec too.
    """

    def __init__(
        self,
        communicator: Communicator,
        codec: Policy,
        *,
        feedback: Feedback | None = None,
        op: Literal["mean", "sum"] = "mean",
        algorithm: str = "allgather",
    ) -> None:
        if not hasattr(codec, "at"):
            raise TypeError(f"codec is a Codec, WarmUp or Exclude, not {codec!r}")
        if op not in ("mean", "sum"):
            raise ValueError(f"op is 'mean' or 'sum', not {op!r}")
        if feedback is not None and feedback.codec != codec:
            raise ValueError(f"feedback is for {feedback.codec}, not for {codec}")
        check_algorithm(algorithm, feedback)
        owes = algorithm == "quantized" and feedback is not None
        self.server = ErrorFeedback(codec) if owes else None
        self.codec, self.feedback, self.op, self.algorithm = codec, feedback, op, algorithm
        self.bytes_sent, self.codec_seconds = 0, 0.0
        self._communicator = communicator
        self._kernels = load(codec.at("", 0, 0).backend)
        self._sequence = 0
        self._outcome = Outcome()
        self._says = f"{op} {algorithm} {codec!r}"
        self._heads: Allreduce | None = None
        self._costs: Costs | None = None
        self._plan: Plan | None = None

    def __call__(
        self,
        name: str,
        grad: Any,
        *,
        step: int = 0,
        tensors: Layout | None = None,
        out: NDArray[Any] | None = None,
        form: str = "dense",
    ) -> Any:
        """The mean (or sum) of `grad` over all ranks.

        Parameters
        ----------
        name : str
            The tensor's name: the same on all ranks, and the key of its residual.
        grad : array
            As for `Codec.encode`; of the same shape and type on all ranks.
        step : int
            The training step, the same on all ranks.
        tensors : sequence of (name, shape), optional
            As for `Codec.encode`; the same on all ranks.
        out : array, optional
            Where to put the result: of its type, C-contiguous, writable, of as many elements as
            `grad`, not sharing memory with it. For the dense form.
        form : {"dense", "sparse", "frame"}
            Whether the result is an array, the ascending flat positions (int64) and values of what
            is not zero, or a frame that decodes to the array, losing nothing.

        Returns
        -------
        float32 array, or float64 array if `grad` is that
            `out`, or a new array of `grad`'s shape: the same bits on every rank. Or, if asked for,
            a pair of arrays or a `Frame`.

        Raises
        ------
        RankMismatchError
            On every rank, with the same text, if ranks disagree on codec, algorithm, name, shape,
            step or the number of calls, or if encoding or decoding failed on one; there the error
            is chained to its cause. No residual and no `out` changed.

            Where decoding fails after an `allgather`, ranks that could decode return the sum, and
            raise in their next call or `finish`. Residuals are then those from before this call.
        """
        return self._start(name, grad, step, tensors, out, form, at_once=True).wait()

    def start(
        self,
        name: str,
        grad: Any,
        *,
        step: int = 0,
        tensors: Layout | None = None,
        out: NDArray[Any] | None = None,
        form: str = "dense",
    ) -> Pending:
        """Encode, agree, and begin to send: the result is that of `wait`.

        Meanwhile the next tensor can be encoded and started. All ranks must start and wait in the
        same order. Only `allgather` sends before `wait`; others do all of it there.

        Parameters
        ----------
        name, grad, step, tensors, out, form
            As of a call; `out` is written by `wait`.

        Raises
        ------
        RankMismatchError
            As of a call, unless it is a failure to decode, which `wait` raises.
        """
        return self._start(name, grad, step, tensors, out, form, at_once=False)

    def finish(self) -> None:
        """Wait until all ranks have said that they have the last sum; all of them must call it.

        Before residuals are saved, handed to another `Allreduce`, or relied on otherwise.

        Raises
        ------
        RankMismatchError
            On every rank, if one could not decode, or made another call meanwhile. Residuals are
            those from before the last call.
        """
        if self._outcome.unknown:
            self._agree(self._describe(None, codec=hash_of("finish", self._kernels)))

    def _start(
        self,
        name: str,
        grad: Any,
        step: int,
        tensors: Layout | None,
        out: NDArray[Any] | None,
        form: str,
        *,
        at_once: bool,
    ) -> Pending:
        """Begin a call; if it is waited for at once, a short frame goes with the descriptor."""
        started = perf_counter()
        gradient, frame, failure = NO_GRADIENT, Frame(b""), None
        rank, size = self._communicator.rank, self._communicator.size
        try:
            gradient = arrays.gradient(grad)
            if form not in FORMS or (out is not None and form != "dense"):
                raise Mismatch(f"form is one of {', '.join(FORMS)}, and out for dense: {form!r}")
            kind = sum_type(gradient)
            if out is None:
                result = np.empty(gradient.shape if form == "dense" else 0, kind)
            else:
                element = FLOAT32 if kind == np.float32 else gradient.element
                shapes = [gradient.shape]
                arrays.output(out, element, gradient.bits.size, shapes, exact=False)
                result = out
            codec = self.codec.at(name, gradient.bits.size, step)
            whence = partial(origin_of, codec, name, gradient.shape, step, tensors)
            if self.algorithm in WITHOUT_FRAME:
                whence()  # refuses what an encoder would
            elif self.feedback is not None:
                frame = self.feedback.encode(
                    name, grad, step=step, tensors=tensors, sender=(rank, size)
                )
            else:
                frame = codec.encode(
                    grad, name=name, step=step, tensors=tensors, sender=(rank, size)
                )
        except Exception as error:  # whatever it is, the others must hear of it, or wait for ever
            failure = error
        self._account(0, perf_counter() - started)
        memories = [(self.feedback, name)] if self.feedback is not None and frame.size else []
        exchange = None
        try:
            if failure is not None:
                self._agree(self._describe(failure), failure)
            mine = self._described(name, gradient, tensors, step, form, frame)
            call = Call(codec, self.feedback, self.server, name, step, gradient, frame)
            between = partial(self._between, name, gradient, step, tensors)
            exchange = Exchange(self._communicator, call, memories, between)
            rider = frame if at_once and self._rides(frame) else NOTHING
            exchange.agreed(self._agree(mine, None, np.asarray(rider), exchange))
            self._plan = self._choose(exchange)
            finish = self._begin(exchange, self._plan.algorithm)
        except BaseException:
            if exchange is not None:
                exchange.leave()
            for memory, opened in memories:
                memory.rollback(opened)
            raise
        wanted = Wanted(form, result, size if self.op == "mean" else 1, whence)
        late = self._plan.algorithm == LATE
        return Pending(exchange, finish, late, self._outcome, self._account, wanted)

    def plan(self) -> Plan:
        """The algorithm of the last call, the times that were predicted for all, and the reason.

        Raises
        ------
        StateError
            If no ranks have agreed on a call yet.
        """
        if self._plan is None:
            raise StateError("no call has been made, so nothing was chosen: call the allreduce")
        return self._plan

    def _begin(self, exchange: Exchange, algorithm: str) -> Callable[[], list[Part]]:
        """Send what can be sent ahead; what is left to do."""
        if algorithm == "allgather":
            return partial(allgather.finish, exchange, allgather.start(exchange))
        return partial(ALGORITHMS[algorithm], exchange)

    def _account(self, bytes_sent: int, codec_seconds: float) -> None:
        self.bytes_sent += bytes_sent
        self.codec_seconds += codec_seconds

    def _described(
        self,
        name: str,
        gradient: Gradient,
        tensors: Layout | None,
        step: int,
        form: str,
        frame: Frame,
    ) -> NDArray[np.uint8]:
        """This rank's descriptor of a call."""
        parts = [(part, tuple(map(int, shape))) for part, shape in tensors or ()]
        return self._describe(
            None,
            codec=hash_of(f"{form} {self._says}", self._kernels),
            name=hash_of(name, self._kernels),
            layout=hash_of(f"{gradient.shape} {parts}", self._kernels),
            elements=gradient.bits.size,
            dtype=gradient.element.type,
            step=step,
            size=frame.size,
            held=held_by(np.asarray(frame)) if frame.size else (0, 0),
        )

    def _describe(self, failure: Exception | None, **what: Any) -> NDArray[np.uint8]:
        """A descriptor that says how this rank is, and `what`."""
        self._sequence += 1
        status = self._outcome.status() or failure_status(failure)
        return descriptor(self._sequence - 1, status, **what)

    def _rides(self, frame: Frame) -> bool:
        """Whether a frame is short, and would be sent to all ranks anyway."""
        last = self._plan.algorithm if self.algorithm == AUTO and self._plan else self.algorithm
        return last == LATE and frame.size <= RIDES

    def _agree(
        self,
        mine: NDArray[np.uint8],
        failure: Exception | None = None,
        rider: Bytes = NOTHING,
        exchange: Exchange | None = None,
    ) -> NDArray[np.void]:
        """All ranks' descriptors, once they agree; frames that come with them are admitted."""
        heads, announced = [], self._communicator.announce(mine, rider)
        arriving: Iterable[tuple[int, tuple[Bytes, Bytes]]] = enumerate(announced)
        if exchange is not None and rider.size:
            exchange.prove_own()
            arriving = exchange.arrivals(announced)
        for rank, (head, frame) in arriving:
            heads.append(head)
            if frame.size and exchange is not None:
                exchange.admit(rank, frame)
            if rank == self._communicator.rank:
                self.bytes_sent += head.size + frame.size
        everyone = received(heads)
        if not self._outcome.learn(everyone):
            try:
                check_agreement(everyone)
            except Exception as error:
                raise error from failure
        return everyone

    def _choose(self, exchange: Exchange) -> Plan:
        """The same on all ranks, since all it depends on is."""
        if self.algorithm != AUTO:
            return Plan(self.algorithm, {}, "as asked")
        if exchange.size == 1:
            return Plan(next(iter(MODELS)), {}, "there is one rank")
        if self._costs is None:
            self._costs = measure(self._communicator, self._kernels, exchange.codec.backend)
        frames = exchange.sizes.tolist(), exchange.stored.tolist()
        size = exchange.n, exchange.dtype.itemsize, exchange.chunk_log2
        return choose(self._costs, Load(*size, *frames))

    def _between(
        self,
        name: str,
        gradient: Gradient,
        step: int,
        tensors: Layout | None,
        communicator: Communicator,
        total: Numbers | None,
        inner: list[Outcome],
    ) -> Numbers:
        """The sum over the ranks of another communicator, of the same tensor at the same step."""
        if self._heads is None:
            self._heads = Allreduce(communicator, self.codec, feedback=self.feedback, op="sum")
        heads, before = self._heads, (self._heads.bytes_sent, self._heads.codec_seconds)
        inner.append(heads._outcome)
        grad = None if total is None else total.reshape(gradient.shape)
        try:
            result: Numbers = heads(name, grad, step=step, tensors=tensors)
            return result
        finally:
            self.bytes_sent += heads.bytes_sent - before[0]
            self.codec_seconds += heads.codec_seconds - before[1]
