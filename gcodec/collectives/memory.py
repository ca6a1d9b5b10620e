"""What an `Allreduce` asks of its error feedback."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..format.frame import Frame
from ..policy import Policy
from ..request import Layout, Sender


class Feedback(Protocol):
    """What encodes a rank's frames, and is told what became of them: as `ErrorFeedback` is."""

    @property
    def codec(self) -> Policy:
        """What it encodes by."""

    def encode(
        self,
        name: str,
        grad: Any,
        *,
        step: int = 0,
        tensors: Layout | None = None,
        sender: Sender | None = None,
    ) -> Frame:
        """The message of `name`, which is open until `commit` or `rollback`."""

    def retain(self, name: str, keys: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Some of what the open message set out with goes no further."""

    def commit(self, name: str, *, final: bool = True) -> None:
        """There is a sum; `revoke` may follow before `settle` if that is not final."""

    def rollback(self, name: str) -> None:
        """There is none."""

    def revoke(self, name: str) -> None:
        """There is none after all."""

    def settle(self, name: str) -> None:
        """What was committed is final."""
