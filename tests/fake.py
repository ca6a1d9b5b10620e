"""Ranks as threads of this process, to test the collectives without a launcher."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np


class FakeCommunicator:
    """One rank's end of a group that exchanges messages through a shared list."""

    def __init__(self, rank, size, barrier, slots):
        self.rank, self.size = rank, size
        self._barrier, self._slots = barrier, slots

    def allgather(self, message):
        return np.stack(self._exchange(message))

    def allgatherv(self, message, sizes):
        messages = self._exchange(message)
        assert [len(m) for m in messages] == sizes.tolist()
        return messages

    def _exchange(self, message):
        self._slots[self.rank] = np.array(message)
        self._barrier.wait()
        messages = list(self._slots)
        self._barrier.wait()
        return messages


def run_ranks(size, program):
    """`program(communicator)` on all ranks at once; what each returned or raised."""
    barrier, slots = Barrier(size, timeout=30), [None] * size

    def guarded(rank):
        try:
            return program(FakeCommunicator(rank, size, barrier, slots))
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(guarded, range(size)))
