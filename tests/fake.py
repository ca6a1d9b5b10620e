"""Ranks as threads of this process, to test the collectives without a launcher."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from gcodec.collectives.communicator import RIDES


class Group:
    """What the ranks of a communicator share."""

    def __init__(self, size, timeout=240):  # kernels may be compiled meanwhile
        self.barrier, self.slots = Barrier(size, timeout=timeout), [None] * size


class FakeCommunicator:
    """One rank's end of a group that exchanges messages through a shared list.

    What is received is checked against the sizes that were announced, and is a copy.
    """

    def __init__(self, rank, group, nodes=None):
        self.rank, self.size, self._group = rank, len(group.slots), group
        self._nodes = nodes

    def announce(self, head, rider):
        assert rider.size <= RIDES
        everyone = self._exchange((np.array(head), np.array(rider)))
        assert {each.size for each, _ in everyone} == {head.size}
        return iter([(each.copy(), rider.copy()) for each, rider in everyone])

    def allgather(self, message):
        messages = self._exchange(np.array(message))
        assert {m.size for m in messages} == {message.size}
        return np.stack(messages)

    def allgatherv(self, message, sizes):
        messages = self._exchange(np.array(message))
        assert [m.size for m in messages] == sizes.tolist()
        return iter([m.copy() for m in messages])

    def alltoallv(self, messages, sizes):
        assert len(messages) == self.size
        everyone = self._exchange([np.array(m) for m in messages])
        mine = [theirs[self.rank] for theirs in everyone]
        assert all(m.dtype == np.uint8 for m in mine)
        assert [m.size for m in mine] == sizes.tolist()
        return iter(mine)

    def nodes(self):
        return self._nodes

    def allreduce(self, array):
        return np.sum(self._exchange(array.copy())[::-1], axis=0, dtype=array.dtype)

    def _exchange(self, message):
        self._group.slots[self.rank] = message
        self._group.barrier.wait()
        messages = list(self._group.slots)
        self._group.barrier.wait()
        return messages


def raised(work, *arguments, **named):
    """The error that a call ends with, if it does."""
    try:
        work(*arguments, **named)
    except Exception as error:
        return error
    return None


def run_ranks(size, program, per_node=None):
    """`program(communicator)` on all ranks at once; what each returned or raised.

    per_node : how many ranks there are on a node; the last one has what is left
    """
    group, ends = Group(size), []
    firsts = range(0, size, per_node or size)
    heads = Group(len(firsts))
    for node, first in enumerate(firsts):
        local = min(per_node or size, size - first)
        inside = Group(local)
        for i in range(local):
            across = None if i else FakeCommunicator(node, heads)
            nodes = FakeCommunicator(i, inside), across
            ends.append(FakeCommunicator(first + i, group, nodes))

    def guarded(end):
        try:
            return program(end)
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(guarded, ends))
