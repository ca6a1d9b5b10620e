"""What an algorithm has of one call: the ranks, this rank's frame, and how failures are shared.

An algorithm is a file with one function, `reduce(exchange)`, that all ranks run alike and that
returns the sum in parts. What may fail on one rank goes through `attempt`: the rank goes on with
the others up to the next `agree`, where all of them raise the same error.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .. import decoder
from ..arrays import NUMBERS, Gradient, Numbers, read_only
from ..codec import Codec
from ..errors import Corrupt, Mismatch
from ..feedback import ErrorFeedback
from ..format.elements import FLOAT32
from ..format.frame import Frame
from ..kernels import load
from .communicator import Communicator
from .descriptor import READY, check_statuses, failure_status
from .memory import Feedback
from .outcome import Memory, Outcome
from .parts import Sound, put_sum

Result = TypeVar("Result")
Bytes = NDArray[np.uint8]
NOTHING: Bytes = read_only(np.empty(0, np.uint8))


class Call(NamedTuple):
    """What one rank brings to a call.

    codec : of this tensor at this step
    feedback : with an open message of `name`, if the algorithm sends frames
    server : what owners' second rounding leaves, if there is feedback
    frame : this rank's; empty if the algorithm sends none
    """

    codec: Codec
    feedback: Feedback | None
    server: ErrorFeedback | None
    name: str
    step: int
    gradient: Gradient
    frame: Frame


class Exchange:
    """One call on one rank.

    Parameters
    ----------
    communicator : Communicator
    call : Call
        Its fields are attributes here, too.
    memories : list of (Feedback, str)
        Open messages, by their names: committed if all goes well, else rolled back.
    between : callable
        `between(communicator, gradient, inner)` is the sum over the ranks of another communicator,
        by the same codec and feedback; whether that stands is decided here, so its outcome goes
        into the list `inner`.
    """

    def __init__(
        self,
        communicator: Communicator,
        call: Call,
        memories: list[Memory],
        between: Callable[[Communicator, Numbers | None, list[Outcome]], Numbers],
    ) -> None:
        self.communicator, self.memories, self._between = communicator, memories, between
        self.codec, self.feedback, self.server, self.name, self.step = call[:5]
        self.gradient, self.frame = call.gradient, call.frame
        self.n, self.dtype = int(call.gradient.bits.size), sum_type(call.gradient)
        self.rank, self.size = communicator.rank, communicator.size
        self.sizes = self.stored = np.zeros(self.size, np.int64)
        self.chunk_log2 = 0
        self.kernels = load(call.codec.backend)
        self.bytes_sent = 0
        self.codec_seconds = 0.0
        self.failure: Exception | None = None
        self.outdated: list[tuple[ErrorFeedback, str]] = []
        self.contents: dict[int, Sound | None] = {}
        self._own: list[Sound | None] = []
        self._leaving: list[Iterator[Any]] = []
        self._inner: list[Outcome] = []

    def agreed(self, descriptors: NDArray[np.void]) -> None:
        """Take what all ranks said; before that, only `admit` may be called."""
        self.sizes = descriptors["bytes"].astype(np.int64)
        self.stored = descriptors["stored"].astype(np.int64)
        self.chunk_log2 = int(descriptors["chunk_log2"][0])

    def attempt(self, work: Callable[..., Result], *arguments: Any) -> Result | None:
        """What `work` returns; None if it failed, which `agree` then tells all ranks."""
        started = perf_counter()
        try:
            return work(*arguments) if self.failure is None else None
        except Exception as error:  # whatever it is, the others must hear of it, or wait for ever
            self.failure = error
            return None
        finally:
            self.codec_seconds += perf_counter() - started

    def check(self) -> None:
        """Raise what `agree` would if nothing failed on another rank."""
        if self.failure is not None:
            statuses = np.full(self.size, READY)
            statuses[self.rank] = failure_status(self.failure)
            try:
                check_statuses(statuses, "decoding")
            except Exception as error:
                raise error from self.failure

    def agree(self, *numbers: int) -> NDArray[np.int64]:
        """Numbers of all ranks: int64[ranks, numbers]. A word that goes ahead has status and check.

        Raises
        ------
        RankMismatchError
            On all ranks, if something failed on one since the descriptors.
        Corrupt
            On this one, if what another told changed on its way. It cannot go on with the others.
        """
        mine = np.array([0, *numbers], np.int64)
        status, words = failure_status(self.failure), mine.view(np.uint32)
        words[:2] = status, crc32(mine.data[1:], status)
        everyone = self.communicator.allgather(mine.view(np.uint8)).reshape(-1)
        self.bytes_sent += mine.nbytes
        told = everyone.view(np.int64).reshape(self.size, -1)
        statuses, checks = everyone.view(np.uint32).reshape(self.size, -1)[:, :2].T
        for rank, check in enumerate(checks):
            if check != crc32(told[rank].data[1:], int(statuses[rank])):
                raise Corrupt(f"what rank {rank} told does not match its checksum")
        try:
            check_statuses(statuses, "decoding")
        except Exception as error:
            raise error from self.failure
        return told[:, 1:]

    def commit(self, *, final: bool) -> None:
        """There is a sum: what messages did not carry is now the residual."""
        for memory, name in self.memories:
            memory.commit(name, final=final)
        for memory, name in self.outdated:
            memory.reset(name)
        for outcome in self._inner:
            outcome.close(kept=True)

    def rollback(self) -> None:
        """There is no sum: residuals stay as they were."""
        for memory, name in self.memories:
            memory.rollback(name)
        for outcome in self._inner:
            outcome.close(kept=False)

    def allgatherv(self, message: Bytes, sizes: NDArray[np.int64]) -> Iterable[Bytes]:
        """As of `Communicator`, counted."""
        self.bytes_sent += message.size
        return self.communicator.allgatherv(message, sizes)

    def alltoallv(self, messages: Sequence[Bytes], sizes: NDArray[np.int64]) -> Iterable[Bytes]:
        """As of `Communicator`, counted; what this rank sends itself is not."""
        self.bytes_sent += sum(message.size for message in messages) - messages[self.rank].size
        return self.communicator.alltoallv(messages, sizes)

    def admit(self, rank: int, frame: Bytes) -> None:
        """A whole frame of a rank, proved into `contents` unless something has failed before."""
        if rank == self.rank and self._own:
            self.contents[rank] = self._own[0]
        else:
            self.contents[rank] = self.attempt(self._prove, rank, frame, self.n)

    def arrivals(self, received: Iterable[Result]) -> Iterator[tuple[int, Result]]:
        """What comes from each rank; what this one sends need not have left: `leave` sees to it."""
        arriving = iter(received)
        self._leaving.append(arriving)
        return zip(range(self.size), arriving, strict=False)

    def leave(self) -> None:
        """Wait until all has left that others wait for."""
        while self._leaving:
            for _ in self._leaving.pop():
                pass

    def prove_own(self) -> None:
        """Prove this rank's frame, for `admit`, while those of the others are on their way."""
        if not self._own:
            own = np.asarray(self.frame)
            self._own.append(self.attempt(self._prove, self.rank, own, self.n))

    def prove(self, frames: Iterable[Bytes], length: int) -> list[Sound] | None:
        """Frames of `length` elements, proved as they arrive; all are received in any case."""
        proved = [
            None if self.failure else self.attempt(self._prove, rank, frame, length)
            for rank, frame in enumerate(frames)
        ]
        return None if self.failure else [content for content in proved if content is not None]

    def _prove(self, rank: int, frame: Bytes, length: int) -> Sound:
        content = decoder.prove(frame, self.dtype, self.kernels)
        found = content.n
        if found != length:
            raise Mismatch(f"the frame of rank {rank} has {found} elements, not {length}")
        return content

    def digest(self, numbers: Numbers) -> int:
        """XXH64 of plain numbers, as ranks agree on it before these are sent."""
        return int(np.uint64(self.kernels.xxh64(read_only(raw(numbers)), 0)).astype(np.int64))

    def numbers(self, sender: str, message: Bytes, digest: int) -> Numbers | None:
        """Plain numbers as they were sent; None if they are not, or something has failed."""
        return self.attempt(self._unchanged, sender, message, digest)

    def _unchanged(self, sender: str, message: Bytes, digest: int) -> Numbers:
        numbers = np.asarray(message).view(self.dtype)
        if self.digest(numbers) != digest:
            raise Corrupt(f"the numbers of {sender} do not match their checksum")
        return numbers

    def between(self, communicator: Communicator, gradient: Numbers | None) -> Numbers | None:
        """The sum over another communicator, whose ranks all call this whatever happened before."""
        try:
            return self._between(communicator, gradient, self._inner)
        except Exception as error:
            self.failure = self.failure or error
            return None

    def retain(self, keys: NDArray[np.int64], values: Numbers) -> None:
        """Sums that go no further stay in this rank's residual, if it has one."""
        if self.feedback is not None:
            self.feedback.retain(self.name, keys, values)

    def add_up(self, contents: Sequence[Sound], length: int) -> Numbers:
        """The sum of what ranks sent, in rank order."""
        total = np.empty(length, self.dtype)
        put_sum(contents, total, 1, self.kernels)
        return total


def sum_type(gradient: Gradient) -> np.dtype[Any]:
    """The type of sums: float64 of float64, float32 of all else."""
    wide = gradient.element if gradient.element.bits > FLOAT32.bits else FLOAT32
    return NUMBERS[wide.type]


def ends(total: int, ranks: int) -> list[int]:
    """Where [0, total) is cut so that each rank owns its share, perhaps none: ranks + 1 places."""
    return [total * rank // ranks for rank in range(ranks + 1)]


def raw(numbers: Numbers) -> Bytes:
    """The bytes of contiguous numbers, as a message."""
    return numbers.reshape(-1).view(np.uint8)
