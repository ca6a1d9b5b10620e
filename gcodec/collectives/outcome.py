"""Whether all ranks have the last sum, of which a rank hears with the next descriptors only.

An allgather needs no exchange after its frames: a rank that cannot decode one raises at once, and
says so in its next descriptor, upon which all others raise as well. Until then residuals are
committed so that they can be revoked. That is safe where no other call is on its way: else the rank
that failed might leave its loop of waits, and the others in one.
"""

import numpy as np
from numpy.typing import NDArray

from .descriptor import LATE, READY, alike, check_order, check_statuses, failure_status
from .memory import Feedback

Memory = tuple[Feedback, str]


class Outcome:
    """Of the last call of an `Allreduce`.

    Attributes
    ----------
    unknown : bool
        Whether the next descriptors say how it ended; the same on all ranks.
    """

    def __init__(self) -> None:
        self.unknown = False
        self._in_flight = 0
        self._memories: list[Memory] = []
        self._failure: BaseException | None = None

    def begin(self) -> None:
        """One more call is on its way."""
        self._in_flight += 1

    def end(self, late: bool) -> bool:
        """One less; whether how it ends is told later, which `late` says is possible."""
        self._in_flight -= 1
        self.unknown = late and not self._in_flight
        return self.unknown

    def here(self, memories: list[Memory]) -> None:
        """This rank has the sum, and has committed to these memories."""
        self._memories = memories

    def failed(self, error: BaseException) -> None:
        """This rank has no sum, and must tell the others."""
        self._failure = error

    def status(self) -> int:
        """What the next descriptor says of it; READY if nothing."""
        return READY if self._failure is None else LATE | failure_status(self._failure)

    def learn(self, descriptors: NDArray[np.void]) -> bool:
        """Take what all ranks' descriptors say of it; whether they agree on all else as well.

        Raises
        ------
        RankMismatchError
            On all ranks, if they are not of one call, or if one has no sum: then no rank's residual
            has changed.
        """
        if alike(descriptors):
            self.close(kept=True)
            return True
        statuses = descriptors["status"]
        late = np.where(statuses & LATE, statuses & ~np.uint8(LATE), READY)
        failure = self._failure
        self.close(kept=not late.any())  # whatever else is wrong: no rank waits for it any more
        check_order(descriptors)
        try:
            check_statuses(late, "decoding the sum before this one")
        except Exception as error:
            raise error from failure
        return False

    def close(self, kept: bool) -> None:
        """All ranks have the sum, or there is none."""
        for memory, name in self._memories:
            (memory.settle if kept else memory.revoke)(name)
        self._memories, self._failure, self.unknown = [], None, False
