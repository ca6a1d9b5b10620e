"""A sum that is on its way, and the forms it may be had in once it is there."""

from collections.abc import Callable, Iterator
from math import prod
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import encoder
from ..arrays import Gradient, Numbers, gradient
from ..codec import Codec
from ..decoder import Content
from ..errors import NonFiniteError, StateError
from ..format.frame import Frame
from ..quantize import Raw
from ..request import Layout, Origin, origin
from ..select import Threshold
from .exchange import Exchange
from .outcome import Outcome
from .parts import Part

Pairs = tuple[NDArray[np.int64], Numbers]
FORMS: Final = ("dense", "sparse", "frame")


class Wanted(NamedTuple):
    """In what form a sum is to be had.

    form : {"dense", "sparse", "frame"}
    result : for the dense form
    divisor : 1 for a sum, the number of ranks for a mean
    origin : called for what one rank's frame of it says of where it is from
    """

    form: str
    result: NDArray[Any]
    divisor: int
    origin: Callable[[], Origin]


class Pending:
    """What `Allreduce.start` returns: call `wait` once, on all ranks in the same order.

    Until then the tensor's message is open, and the network may still be reading its frame.

    Parameters
    ----------
    exchange : Exchange
    finish : callable
        The rest of the algorithm.
    late : bool
        Whether the algorithm lets ranks hear later that one could not decode.
    outcome : Outcome
        Of the last call, which may be this one.
    account : callable
        Given the bytes sent and the seconds of codec work that `wait` took.
    wanted : Wanted
    """

    def __init__(
        self,
        exchange: Exchange,
        finish: Callable[[], list[Part]],
        late: bool,
        outcome: Outcome,
        account: Callable[[int, float], None],
        wanted: Wanted,
    ) -> None:
        self._exchange, self._late, self._outcome = exchange, late, outcome
        self._account, self._wanted = account, wanted
        self._finish: Callable[[], list[Part]] | None = finish
        self._outcome.begin()

    def wait(self) -> Any:
        """The result, as `Allreduce` says.

        Raises
        ------
        RankMismatchError
            If decoding failed, as `Allreduce` says. No residual and no `out` changed.
        NonFiniteError
            On every rank, if a sum is not finite and a frame was asked for.
        StateError
            If it was waited for before.
        """
        if self._finish is None:
            raise StateError("this sum was waited for already: keep what `wait` returned")
        finish, self._finish = self._finish, None
        exchange, late = self._exchange, self._outcome.end(self._late)
        try:
            parts = finish()
            if late:
                exchange.check()
            else:
                exchange.agree()
            started = perf_counter()
            result = self._formed(parts)
            exchange.codec_seconds += perf_counter() - started
        except BaseException as error:
            exchange.rollback()
            if late and not isinstance(error, NonFiniteError):  # which all ranks raise
                self._outcome.failed(exchange.failure or error)
            raise
        finally:
            exchange.leave()
            self._account(exchange.bytes_sent, exchange.codec_seconds)
        exchange.commit(final=not late)
        if late:
            self._outcome.here(exchange.memories)
        return result

    def _formed(self, parts: list[Part]) -> Any:
        if self._wanted.form == "dense":
            return self._dense(parts)
        keys, values = self._pairs(parts)
        return (keys, values) if self._wanted.form == "sparse" else self._frame(keys, values)

    def _dense(self, parts: list[Part]) -> NDArray[Any]:
        flat = self._wanted.result.view(np.ndarray).reshape(-1)
        for part in parts:
            part.put(flat, self._wanted.divisor, self._exchange.kernels)
        return self._wanted.result

    def _pairs(self, parts: list[Part]) -> Pairs:
        """What is not zero."""
        exchange = self._exchange
        keys, values = np.empty(0, np.int64), np.empty(0, exchange.dtype)
        for more_keys, more in (pairs for part in parts for pairs in self._pairs_of(part)):
            room = keys.size + more_keys.size
            merged, total = np.empty(room, np.int64), np.empty(room, exchange.dtype)
            size = exchange.kernels.add_pairs(keys, values, more_keys, more, merged, total)
            keys, values = merged[:size], total[:size]
        values = values / exchange.dtype.type(self._wanted.divisor)
        stored = values != 0
        return keys[stored], values[stored]

    def _pairs_of(self, part: Part) -> Iterator[Pairs]:
        """What frames hold, each by itself, or the sums that are not zero."""
        contents = part.content
        for content in [contents] if isinstance(contents, np.ndarray) else contents:
            if isinstance(content, Content):
                values = content.values().astype(self._exchange.dtype, copy=False)
                yield content.positions() + part.start, values
            else:
                numbers = np.empty(part.stop - part.start, self._exchange.dtype)
                only = content if isinstance(content, np.ndarray) else [content]
                Part(0, numbers.size, only).put(numbers, 1, self._exchange.kernels)
                keys = np.flatnonzero(numbers)
                yield keys + part.start, numbers[keys]

    def _frame(self, keys: NDArray[np.int64], values: Numbers) -> Frame:
        recipe = Codec(Threshold(0.0), Raw(), backend=self._exchange.codec.backend).recipe()
        pairs = gradient(values)
        origin = self._wanted.origin()._replace(contributions=self._exchange.size)
        n = sum(prod(tensor.shape) for tensor in origin.tensors)
        return encoder.encode_pairs(recipe, keys, pairs, _Finite(pairs), origin, n)


class _Finite:
    """Refuses sums that are infinite."""

    def __init__(self, values: Gradient) -> None:
        self.infinity = values.element.infinity

    def __call__(self, top: int) -> None:
        if top >= self.infinity:
            raise NonFiniteError("the sum is not finite, so no frame can hold it: ask for dense")


def origin_of(
    codec: Codec, name: str, shape: tuple[int, ...], step: int, tensors: Layout | None
) -> Origin:
    """What a frame of a tensor says about where it comes from."""
    return origin(codec.recipe(), name, shape, step, tensors)
