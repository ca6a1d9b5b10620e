"""Sum or mean of every rank's gradient, through a codec, with the same bits on every rank.

Every rank sends its frame to every other and adds all frames in rank order (TopkA in Ok-Topk's
terms: Li and Hoefler, PPoPP 2022): two collectives, one of 64 bytes and one of frames, never
padded.
"""

from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import arrays, decoder
from ..errors import Mismatch
from ..feedback import ErrorFeedback
from ..format.elements import FLOAT32
from ..format.frame import Frame
from ..kernels import load
from ..policy import Policy
from ..request import Layout
from .communicator import Communicator
from .descriptor import DESCRIPTOR, MAGIC, READY, VERSION, check_agreement, failure_status


class Allreduce:
    """A sparse allreduce over one communicator; called like a function, alike on all ranks.

    Parameters
    ----------
    communicator : Communicator
    codec : Codec, WarmUp or Exclude
        The same on every rank.
    feedback : ErrorFeedback, optional
        Of the same codec; its residual is committed when the exchange succeeded, else rolled back.
    op : {"mean", "sum"}

    Attributes
    ----------
    bytes_sent : int
        Bytes this rank has handed over so far: its frames and 64 bytes for each call.
    codec_seconds : float
        Seconds spent encoding and decoding so far.

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
        feedback: ErrorFeedback | None = None,
        op: Literal["mean", "sum"] = "mean",
    ) -> None:
        if op not in ("mean", "sum"):
            raise ValueError(f"op is 'mean' or 'sum', not {op!r}")
        if feedback is not None and feedback.codec != codec:
            raise ValueError(f"feedback is for {feedback.codec}, not for {codec}")
        self.codec, self.feedback, self.op = codec, feedback, op
        self.bytes_sent = 0
        self.codec_seconds = 0.0
        self._communicator = communicator
        self._kernels = load(codec.at("", 0, 0).backend)
        self._sequence = 0

    def __call__(
        self,
        name: str,
        grad: Any,
        *,
        step: int = 0,
        tensors: Layout | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
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
            `grad`, not sharing memory with it.

        Returns
        -------
        float32 array, or float64 array if `grad` is that
            `out`, or a new array of `grad`'s shape: the same bits on every rank.

        Raises
        ------
        RankMismatchError
            On every rank, with the same text, if ranks disagree on codec, name, shape, step or the
            number of calls, or if encoding failed on one; there the error is chained to its cause.
            No residual changed.
        """
        started = perf_counter()
        shape, element, frame, failure = (), FLOAT32, Frame(b""), None
        sender = self._communicator.rank, self._communicator.size
        try:
            shape = np.shape(grad)
            element = arrays.gradient(grad).widened().element
            result = np.empty(shape, arrays.NUMBERS[element.type]) if out is None else out
            flat = arrays.output(result, element, int(np.prod(shape)), [shape], exact=False)
            if self.feedback is not None:
                frame = self.feedback.encode(name, grad, step=step, tensors=tensors, sender=sender)
            else:
                codec = self.codec.at(name, flat.size, step)
                frame = codec.encode(grad, name=name, step=step, tensors=tensors, sender=sender)
        except (
            Exception
        ) as error:  # whatever it is, the others must hear of it, or they wait for ever
            failure = error
        self.codec_seconds += perf_counter() - started
        opened = self.feedback is not None and failure is None
        try:
            frames = self._exchange(name, (shape, tensors, element.name), step, frame, failure)
            started = perf_counter()
            contents = [decoder.prove(received, flat.dtype, self._kernels) for received in frames]
            for rank, content in enumerate(contents):
                if content.parsed.tensors != contents[self._communicator.rank].parsed.tensors:
                    raise Mismatch(f"the frame of rank {rank} holds other tensors than ours")
        except BaseException:
            if self.feedback is not None and opened:
                self.feedback.rollback(name)
            raise
        flat.fill(0)
        for content in contents:
            decoder.add(content, flat, 1.0, self._kernels)
        if self.op == "mean":
            np.divide(flat, flat.dtype.type(self._communicator.size), out=flat)
        if self.feedback is not None:
            self.feedback.commit(name)
        self.codec_seconds += perf_counter() - started
        return result

    def _exchange(
        self, name: str, layout: Any, step: int, frame: Frame, failure: Exception | None
    ) -> list[NDArray[np.uint8]]:
        """All ranks' frames in rank order, once all agree."""
        mine = np.zeros(1, DESCRIPTOR)
        mine["magic"], mine["version"], mine["sequence"] = MAGIC, VERSION, self._sequence
        mine["status"] = READY if failure is None else failure_status(failure)
        mine["codec"], mine["name"] = self._hash(f"{self.op} {self.codec!r}"), self._hash(str(name))
        mine["shape"], mine["elements"] = (
            self._hash(repr(layout)),
            np.prod(layout[0], dtype=np.uint64),
        )
        mine["bytes"] = frame.size
        mine["step"] = step if failure is None else 0
        self._sequence += 1
        everyone = self._communicator.allgather(mine.view(np.uint8)).view(DESCRIPTOR).reshape(-1)
        self.bytes_sent += DESCRIPTOR.itemsize
        try:
            check_agreement(everyone)
        except Exception as error:
            raise error from failure
        sizes = everyone["bytes"].astype(np.int64)
        frames = self._communicator.allgatherv(np.asarray(frame), sizes)
        self.bytes_sent += frame.size
        return list(frames)

    def _hash(self, text: str) -> int:
        return int(
            self._kernels.xxh64(
                arrays.read_only(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)), 0
            )
        )
