"""What a message does not carry stays behind and goes into the next one.

Error feedback: Seide et al. (Interspeech 2014), Aji and Heafield (EMNLP 2017), Karimireddy et al.
(ICML 2019).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrays, device, encoder, whole
from .arrays import Gradient, Numbers
from .errors import StateError
from .format.frame import Frame
from .policy import Policy
from .request import Layout, Recipe, Sender, check_finite, origin
from .select.contract import Decision
from .statistics import Sum

Buffers = dict[str, Any]
"""NumPy arrays, or `device.Buffer` where gradients are on a device."""


@dataclass
class TensorState:
    """One tensor's buffers as committed, those of its open message, and the selector's states.

    What a revocable commit replaced is in `then`, or, once a message was encoded, in `before`.
    """

    now: Buffers
    then: Buffers
    selector: list[Any] | None = None
    next_selector: list[Any] | None = None
    open: bool = False
    revocable: bool = False
    aside: bool = False
    before: Buffers = field(default_factory=dict)
    selector_before: list[Any] | None = None


@dataclass
class Counters:
    """Messages so far, elements they held, and how often an estimated threshold was replaced."""

    messages: int = 0
    kept: int = 0
    fallbacks: int = 0


class ErrorFeedback:
    """Residuals of one rank, by tensor name: `residual = gradient + residual - decoded message`.

    `encode` writes the new residual beside the old one; `commit` makes it current once the message
    was really delivered, `rollback` forgets it. A failed `encode` changes nothing.

    With u = gradient + residual and v the decoded message, the new residual u - v is exact where v
    = 0, v = u, or u/2 <= v <= 2u: for selection with `Raw` values and every rounding to nearest
    that reaches u. Then residual + decoded message gives u back bit for bit; else it is off by at
    most one unit in the last place of the larger of the two.

    Residuals are float32, also where gradients have 16 bits, and float64 where they are. State: two
    such buffers of the tensor's size for each name, or three (`commit`). Residuals are in gradient
    units, so a change of the learning rate does not touch them.

    Parameters
    ----------
    codec : Codec, WarmUp or Exclude
    beta, gamma : float
        u = gamma * gradient + beta * residual.

    Attributes
    ----------
    counters : Counters

    Examples
    --------
    >>> import numpy, gcodec
    >>> memory = gcodec.ErrorFeedback(gcodec.get_codec("topk:k=1"))
    >>> frame = memory.encode("w", numpy.array([3, 2], numpy.float32))
    >>> memory.commit("w")
    >>> memory.residual("w")
    array([0., 2.], dtype=float32)
    """

    BUFFERS: tuple[str, ...] = ("residual",)

    def __init__(self, codec: Policy, *, beta: float = 1.0, gamma: float = 1.0) -> None:
        if not hasattr(codec, "at"):
            raise TypeError(f"codec is a Codec, WarmUp or Exclude, not {codec!r}")
        if not (isfinite(beta) and isfinite(gamma)):
            raise ValueError(f"beta and gamma are finite, not {beta} and {gamma}")
        self.codec, self.beta, self.gamma = codec, beta, gamma
        self.counters = Counters()
        self._tensors: dict[str, TensorState] = {}

    def encode(
        self,
        name: str,
        grad: Any,
        *,
        step: int = 0,
        tensors: Layout | None = None,
        sender: Sender | None = None,
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
        sender : (rank, world), optional
            As for `Codec.encode`.

        Raises
        ------
        StateError
            If the last message of `name` was neither committed nor rolled back, or the shape
            changed.
        NonFiniteError
            If the gradient, or its sum with the residual, is not finite. The residual stays as it
            was.
        ValueError
            If the codec scales values to be right on average: what it adds would come back.
        """
        on_device = arrays.on_device(grad)
        gradient = (device.gradient if on_device else arrays.gradient)(grad).widened()
        codec = self.codec.at(name, gradient.bits.size, step)
        recipe = codec.recipe()
        if on_device:
            recipe = device.at_device(recipe)
        if getattr(recipe.select, "unbiased", False):
            raise ValueError("unbiased scaling and error feedback exclude each other")
        state = self._state(name, gradient)
        total = state.then["residual"].reshape(-1)
        bits = total.view(gradient.bits.dtype)
        pending = self._compensate(gradient.numbers(), state, recipe, total)
        summed = gradient._replace(bits=arrays.read_only(bits))
        encoded = None
        if not on_device:
            encoded = whole.encode_sum(codec, summed, pending, total, name, step, tensors, sender)
        if encoded is None:
            whence = origin(recipe, name, gradient.shape, step, tensors, sender)
            what = "the sum of gradient and residual of"
            check = partial(check_finite, gradient=summed, name=name, what=what)
            encode = device.encode_sum if on_device else encoder.encode_dense
            encoded = encode(
                recipe, summed, check, whence, residual=total, pending=pending,
                states=state.selector,
            )  # fmt: skip
        self._sent(state, encoded, recipe)
        choices = encoded.choices
        state.next_selector = [getattr(choice, "state", None) for choice in choices]
        state.open = True
        self._tensors[name] = state
        self.counters.messages += 1
        self.counters.kept += total.size if encoded.kept is None else encoded.kept.keys.size
        self.counters.fallbacks += sum(
            choice.fallback for choice in choices if isinstance(choice, Decision)
        )
        return encoded.frame

    def commit(self, name: str, *, final: bool = True) -> None:
        """The last message of `name` was delivered: its residual is now the current one.

        If it is not final, `revoke` can take it back until `settle`; encode between takes a buffer.
        """
        state = self._close(name)
        state.now, state.then = state.then, state.now
        state.selector_before, state.selector = state.selector, state.next_selector
        state.revocable, state.aside = not final, False

    def rollback(self, name: str) -> None:
        """The last message of `name` was not delivered: the residual from before it stays."""
        self._close(name)

    def revoke(self, name: str) -> None:
        """Take the last commit back unless it is final; a message encoded since is for naught."""
        state = self._tensors.get(name)
        if state is None or not state.revocable:
            return
        if state.aside:
            state.now, state.before = state.before, state.now
        else:
            state.now, state.then = state.then, state.now
        state.selector, state.revocable = state.selector_before, False

    def settle(self, name: str) -> None:
        """The last commit of `name` is final."""
        if name in self._tensors:
            self._tensors[name].revocable = False

    def retain(self, name: str, keys: NDArray[np.int64], values: Numbers) -> None:
        """Keep some of what the open message of `name` set out with, as part of its new residual.

        For sums that a collective drops on the way: whoever drops one owes it. `rollback` forgets
        it with the message.

        Parameters
        ----------
        keys : int64 array
            Flat positions, each at most once.
        values : float32 or float64 array
            What to add to the residual there.

        Raises
        ------
        StateError
            If there is no open message.
        """
        state = self._tensors.get(name)
        if state is None or not state.open:
            raise StateError(f"no open message of {name!r}: encode comes before retain")
        state.then["residual"].reshape(-1)[keys] += values

    def __iter__(self) -> Iterator[str]:
        """Names of the tensors that have a residual."""
        return iter(list(self._tensors))

    def residual(self, name: str) -> NDArray[Any]:
        """The committed residual of `name`: a read-only view, good until the next `encode`.

        By the CUDA array interface if gradients are on a device.
        """
        if name not in self._tensors:
            raise StateError(f"no residual of {name!r}; there are {sorted(self._tensors)}")
        return arrays.read_only(self._tensors[name].now["residual"])

    def reset(self, name: str) -> None:
        """Forget the residual of `name`, and an open message of it."""
        self._tensors.pop(name, None)

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """By name: copies of the committed buffers, and the selector's state, a JSON value.

        Per rank: every rank saves its own. Tensors may be loaded into a world of another size: the
        residual is what this rank still owes, whatever the others do.
        """
        return {
            name: {
                **{buffer: state.now[buffer].copy() for buffer in self.BUFFERS},
                "selector": state.selector,
            }
            for name, state in self._tensors.items()
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all state by that of `state_dict`; open messages are forgotten.

        Raises
        ------
        StateError
            If a buffer is missing, or buffers of a name differ in shape or type. Nothing changes.
        NonFiniteError
            If one is not finite.
        """
        loaded = {}
        for name, saved in state.items():
            buffers: Buffers = {}
            for buffer in self.BUFFERS:
                if buffer not in saved:
                    raise StateError(f"the state of {name!r} has no {buffer}")
                value = arrays.gradient(saved[buffer]).widened()
                top = int(value.element.magnitudes(value.bits).max(initial=0))
                check_finite(top, value, name, f"the {buffer} of")
                buffers[buffer] = arrays.aligned(value.shape, value.numbers().dtype)
                buffers[buffer][...] = value.numbers().reshape(value.shape)
            kinds = {(buffer.shape, buffer.dtype) for buffer in buffers.values()}
            if len(kinds) > 1:
                raise StateError(f"the buffers of {name!r} differ in shape or type")
            spare = {name: arrays.aligned(old.shape, old.dtype) for name, old in buffers.items()}
            loaded[name] = TensorState(buffers, spare, saved.get("selector"))
        self._tensors = loaded

    def _state(self, name: str, gradient: Gradient) -> TensorState:
        """The tensor's state, or a new one that is not kept yet."""
        dtype = arrays.NUMBERS[gradient.element.type]
        state = self._tensors.get(name)
        on_device = not isinstance(gradient.bits, np.ndarray)
        if state is None:
            now = self._buffers(gradient, dtype)
            if not on_device:
                for buffer in now.values():
                    buffer.fill(0)
            return TensorState(now, self._buffers(gradient, dtype))
        if state.open:
            raise StateError(f"the last message of {name!r} is open: commit or rollback it first")
        residual: Any = state.now["residual"]
        if residual.shape != gradient.shape or residual.dtype != dtype:
            raise StateError(
                f"{name!r} has shape {gradient.shape} of {dtype}, its residual "
                f"{residual.shape} of {residual.dtype}: reset it first"
            )
        if on_device:
            state.now, state.then, state.before = (
                {buffer: device.buffer(gradient, dtype, old) for buffer, old in buffers.items()}
                for buffers in (state.now, state.then, state.before)
            )
        elif not isinstance(residual, np.ndarray):
            raise StateError(f"the residual of {name!r} is on a device, the gradient is not")
        if state.revocable and not state.aside:
            free = state.before or self._buffers(gradient, dtype)
            state.before, state.then, state.aside = state.then, free, True
        return state

    def _buffers(self, gradient: Gradient, dtype: Any) -> Buffers:
        """New ones where the gradient is; zeros if that is a device."""
        bits: Any = gradient.bits
        if isinstance(bits, np.ndarray):
            return {buffer: arrays.aligned(gradient.shape, dtype) for buffer in self.BUFFERS}
        return {buffer: device.buffer(gradient, dtype) for buffer in self.BUFFERS}

    def _compensate(
        self, numbers: Numbers, state: TensorState, recipe: Recipe, total: Numbers
    ) -> Sum | None:
        """Write what is to be sent, or say of what it is the sum."""
        kind = total.dtype.type
        before = arrays.read_only(state.now["residual"].reshape(-1))
        return Sum(numbers, before, kind(self.gamma), kind(self.beta), total)

    def _sent(self, state: TensorState, encoded: encoder.Encoded, recipe: Recipe) -> None:
        """What else changes once it is known what goes."""

    def _close(self, name: str) -> TensorState:
        state = self._tensors.get(name)
        if state is None or not state.open:
            raise StateError(f"no open message of {name!r}: encode comes before commit or rollback")
        state.open = False
        return state
