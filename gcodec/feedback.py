"""Error feedback: what a message does not carry stays behind and goes into the next one.

Seide et al. (Interspeech 2014), Aji and Heafield (EMNLP 2017), Karimireddy et al. (ICML 2019).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, encoder
from .codec import Codec
from .encoder import Layout
from .errors import StateError
from .format.frame import Frame


class ErrorFeedback:
    """Residuals of one rank, by tensor name: `residual = gradient + residual - decoded message`.

    `encode` writes the new residual beside the old one; `commit` makes it current once the message
    was really delivered, `rollback` forgets it. A failed `encode` changes nothing.

    With u = gradient + residual and v the decoded message, the new residual u - v is exact for
    every method of this version (v = 0, v = u, or u/2 <= v <= 2u), so residual + decoded message
    gives u back bit for bit.

    Residuals and messages are float32, also where gradients have 16 bits, and float64 where they
    are. State: two such buffers of the tensor's size for each name. Residuals are in gradient
    units, so a change of the learning rate does not touch them.

    Parameters
    ----------
    codec : Codec

    Examples
    --------
    >>> import numpy, gcodec
    >>> memory = gcodec.ErrorFeedback(gcodec.get_codec("topk:k=1"))
    >>> frame = memory.encode("w", numpy.array([3, 2], numpy.float32))
    >>> memory.commit("w")
    >>> memory.residual("w")
    array([0., 2.], dtype=float32)
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._residuals: dict[str, NDArray[Any]] = {}
        self._spare: dict[str, NDArray[Any]] = {}
        self._pending: set[str] = set()

    def encode(
        self, name: str, grad: Any, *, step: int = 0, tensors: Layout | None = None
    ) -> Frame:
        """Encode gradient + residual; `commit(name)` or `rollback(name)` must follow.

        Parameters
        ----------
        name : str
            The tensor's name; its shape must not change while there is a residual.
        grad : array
            As for `Codec.encode`; its type must not change either.
        step : int
        tensors : sequence of (name, shape), optional
            As for `Codec.encode`.

        Raises
        ------
        StateError
            If the last message of `name` was neither committed nor rolled back, or the shape
            changed.
        NonFiniteError
            If the gradient, or its sum with the residual, is not finite. The residual stays as it
            was.
        """
        if name in self._pending:
            raise StateError(f"the last message of {name!r} is open: commit or rollback it first")
        gradient, recipe = arrays.gradient(grad).widened(), self.codec.recipe()
        origin = encoder.origin(recipe, name, gradient.shape, step, tensors)
        numbers = gradient.numbers()
        residual = self._residuals.get(name)
        if residual is None:
            residual = np.zeros(gradient.shape, numbers.dtype)
        elif residual.shape != gradient.shape or residual.dtype != numbers.dtype:
            raise StateError(
                f"{name!r} has shape {gradient.shape} of {numbers.dtype}, its residual "
                f"{residual.shape} of {residual.dtype}: reset it first"
            )
        spare = self._spare.get(name)
        if spare is None:
            spare = np.empty_like(residual)
        total = spare.reshape(-1)
        bits = total.view(gradient.bits.dtype)
        before = arrays.read_only(residual.reshape(-1))
        top = int(recipe.kernels.compensate(numbers, before, total, bits))
        summed = gradient._replace(bits=arrays.read_only(bits))
        encoder.check_finite(top, summed, name, "the sum of gradient and residual of")
        frame = encoder.encode_dense(recipe, summed, top, origin, residual=total)
        self._residuals[name], self._spare[name] = residual, spare
        self._pending.add(name)
        return frame

    def commit(self, name: str) -> None:
        """The last message of `name` was delivered: its residual is now the current one."""
        self._close(name)
        self._residuals[name], self._spare[name] = self._spare[name], self._residuals[name]

    def rollback(self, name: str) -> None:
        """The last message of `name` was not delivered: the residual from before it stays."""
        self._close(name)

    def residual(self, name: str) -> NDArray[Any]:
        """The committed residual of `name`: a read-only view, good until the next `encode`."""
        if name not in self._residuals:
            raise StateError(f"no residual of {name!r}; there are {sorted(self._residuals)}")
        return arrays.read_only(self._residuals[name])

    def reset(self, name: str) -> None:
        """Forget the residual of `name`, and an open message of it."""
        for state in (self._residuals, self._spare):
            state.pop(name, None)
        self._pending.discard(name)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of the committed residuals, by name. Per rank: every rank saves its own."""
        return {name: residual.copy() for name, residual in self._residuals.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replace all residuals by those of `state_dict`; open messages are forgotten."""
        residuals = {}
        for name, value in state.items():
            residual = arrays.gradient(value).widened()
            top = int(self.codec.recipe().kernels.magnitude_max(residual.bits))
            encoder.check_finite(top, residual, name, "the residual of")
            residuals[name] = np.array(residual.numbers()).reshape(residual.shape)
        self._residuals, self._spare, self._pending = residuals, {}, set()

    def _close(self, name: str) -> None:
        if name not in self._pending:
            raise StateError(f"no open message of {name!r}: encode comes before commit or rollback")
        self._pending.remove(name)
