"""A sum that is on its way, and the forms it may be had in once it is there."""

from collections.abc import Callable
from math import prod
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .. import encoder
from ..arrays import Gradient, Numbers, gradient
from ..codec import Codec
from ..decoder import Content
from ..errors import NonFiniteError, StateError
from ..format.frame import Frame
from ..quantize import Raw
from ..request import Origin
from ..select import Threshold
from .exchange import Exchange, Part

Pairs = tuple[NDArray[np.int64], Numbers]
FORMS: Final = ("dense", "sparse", "frame")


class Pending:
    """What `Allreduce.start` returns: call `wait` once, on all ranks in the same order.

    Until then the tensor's message is open, and the network may still be reading its frame.

    Parameters
    ----------
    exchange : Exchange
    finish : callable
        The rest of the algorithm.
    settle : callable
        Given the bytes sent and the seconds of codec work that `wait` took.
    form : {"dense", "sparse", "frame"}
    result : array
        For the dense form.
    divisor : int
        1 for a sum, the number of ranks for a mean.
    origin : Origin
        Of the sum, for the frame.
    """

    def __init__(
        self,
        exchange: Exchange,
        finish: Callable[[], list[Part]],
        settle: Callable[[int, float], None],
        form: str,
        result: NDArray[Any],
        divisor: int,
        origin: Origin,
    ) -> None:
        self._exchange, self._settle, self._form = exchange, settle, form
        self._finish: Callable[[], list[Part]] | None = finish
        self._result, self._divisor, self._origin = result, divisor, origin

    def wait(self) -> Any:
        """The result, as `Allreduce` says.

        Raises
        ------
        RankMismatchError
            On every rank, if decoding failed on one. No residual and no `out` changed.
        NonFiniteError
            On every rank, if a sum is not finite and a frame was asked for.
        StateError
            If it was waited for before.
        """
        if self._finish is None:
            raise StateError("this sum was waited for already: keep what `wait` returned")
        finish, self._finish = self._finish, None
        exchange = self._exchange
        try:
            parts = finish()
            exchange.agree()
            started = perf_counter()
            result = self._formed(parts)
            exchange.codec_seconds += perf_counter() - started
        except BaseException:
            exchange.rollback()
            raise
        finally:
            self._settle(exchange.bytes_sent, exchange.codec_seconds)
        exchange.commit()
        return result

    def _formed(self, parts: list[Part]) -> Any:
        if self._form == "dense":
            return self._dense(parts)
        keys, values = self._pairs(parts)
        return (keys, values) if self._form == "sparse" else self._frame(keys, values)

    def _dense(self, parts: list[Part]) -> NDArray[Any]:
        flat = self._result.view(np.ndarray).reshape(-1)
        flat.fill(0)
        for part in parts:
            part.add(flat, self._exchange.kernels)
        if self._divisor > 1:
            np.divide(flat, flat.dtype.type(self._divisor), out=flat)
        return self._result

    def _pairs(self, parts: list[Part]) -> Pairs:
        """What is not zero."""
        exchange = self._exchange
        keys, values = np.empty(0, np.int64), np.empty(0, exchange.dtype)
        for part in parts:
            more_keys, more = self._part_pairs(part)
            room = keys.size + more_keys.size
            merged, total = np.empty(room, np.int64), np.empty(room, exchange.dtype)
            size = exchange.kernels.add_pairs(keys, values, more_keys, more, merged, total)
            keys, values = merged[:size], total[:size]
        values = values / exchange.dtype.type(self._divisor)
        stored = values != 0
        return keys[stored], values[stored]

    def _part_pairs(self, part: Part) -> Pairs:
        if isinstance(part.content, Content):
            values = part.content.values().astype(self._exchange.dtype, copy=False)
            return part.content.positions() + part.start, values
        numbers = np.zeros(part.stop - part.start, self._exchange.dtype)
        part._replace(start=0, stop=numbers.size).add(numbers, self._exchange.kernels)
        keys = np.flatnonzero(numbers)
        return keys + part.start, numbers[keys]

    def _frame(self, keys: NDArray[np.int64], values: Numbers) -> Frame:
        recipe = Codec(Threshold(0.0), Raw(), backend=self._exchange.codec.backend).recipe()
        pairs = gradient(values)
        n = sum(prod(tensor.shape) for tensor in self._origin.tensors)
        return encoder.encode_pairs(recipe, keys, pairs, _Finite(pairs), self._origin, n)


class _Finite:
    """Refuses sums that are infinite."""

    def __init__(self, values: Gradient) -> None:
        self.infinity = values.element.infinity

    def __call__(self, top: int) -> None:
        if top >= self.infinity:
            raise NonFiniteError("the sum is not finite, so no frame can hold it: ask for dense")
