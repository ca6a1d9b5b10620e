"""Momentum correction: Deep Gradient Compression, Lin et al. (ICLR 2018)."""

from math import isfinite, sqrt

import numpy as np

from . import arrays, encoder
from .arrays import Numbers
from .feedback import ErrorFeedback, TensorState
from .policy import Policy
from .request import Recipe
from .statistics import Sum


class MomentumFeedback(ErrorFeedback):
    """Error feedback with the momentum of Deep Gradient Compression, by tensor name.

    The gradient goes through momentum u = m u + g before it is added to what is still to be sent,
    v = v + u, so that an element that waits a hundred steps arrives with the momentum it would have
    had. The optimizer must have no momentum of its own for these tensors; at ratio 1 and without
    masking the messages are then the updates of SGD with momentum.

    State: four float32 or float64 buffers of the tensor's size for each name, or six (`commit`).

    Parameters
    ----------
    codec : Codec, WarmUp or Exclude
    momentum : float
        m, from 0 on and below 1.
    nesterov : bool
        v = v + g + m u with the new u.
    masking : bool
        Whether u forgets the elements that are sent (momentum factor masking), so that they do not
        go on in a direction that is out of date.
    clip : float, optional
        The gradient is first scaled to a norm of at most clip / sqrt(world), as if the sum over all
        ranks were clipped to `clip` (local gradient clipping).
    world : int
        Ranks, for `clip`.
    """

    BUFFERS = ("residual", "velocity")

    def __init__(
        self,
        codec: Policy,
        *,
        momentum: float = 0.9,
        nesterov: bool = False,
        masking: bool = True,
        clip: float | None = None,
        world: int = 1,
    ) -> None:
        super().__init__(codec)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is from 0 on and below 1, not {momentum}")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip is a norm above 0, not {clip}")
        if world < 1:
            raise ValueError(f"world is at least 1, not {world}")
        self.momentum, self.nesterov, self.masking = momentum, nesterov, masking
        self.clip, self.world = clip, world

    def _compensate(
        self, numbers: Numbers, state: TensorState, recipe: Recipe, total: Numbers
    ) -> Sum | None:
        kind = total.dtype.type
        if self.clip is not None:
            numbers = self._clipped(numbers)
        old = {name: arrays.read_only(state.now[name].reshape(-1)) for name in self.BUFFERS}
        recipe.kernels.correct(
            arrays.read_only(numbers),
            old["velocity"],
            old["residual"],
            kind(self.momentum),
            self.nesterov,
            state.then["velocity"].reshape(-1),
            total,
        )
        return None

    def _clipped(self, numbers: Numbers) -> Numbers:
        assert self.clip is not None
        wide = numbers.astype(np.float64)
        largest = float(np.abs(wide).max(initial=0.0))
        if not largest or not isfinite(largest):
            return numbers
        norm = largest * sqrt(float(np.square(wide / largest).sum()))
        limit = self.clip / sqrt(self.world)
        return numbers if norm <= limit else numbers * numbers.dtype.type(limit / norm)

    def _sent(self, state: TensorState, encoded: encoder.Encoded, recipe: Recipe) -> None:
        kept, velocity = encoded.kept, state.then["velocity"].reshape(-1)
        if not self.masking:
            return
        if kept is None:
            velocity.fill(0)
        else:
            zeros = np.zeros(kept.keys.size, velocity.dtype)
            recipe.kernels.scatter(kept.keys, kept.counts, kept.chunk_log2, zeros, velocity)
