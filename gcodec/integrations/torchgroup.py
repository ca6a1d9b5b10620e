"""A process group of torch.distributed as a communicator of `gcodec.collectives`."""

from collections.abc import Sequence
from hashlib import sha256
from socket import gethostname
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import missing

try:
    import torch
    import torch.distributed as dist
except ImportError as error:
    raise missing("torch", "torch") from error


class TorchCommunicator:
    """A process group of torch.distributed with the methods that `gcodec.collectives` calls.

    Messages go through host memory with gloo and MPI, and through that of the current CUDA device
    with NCCL. They are broadcast rank by rank, all at once, and never padded. Ranks on hosts of the
    same name are a node.

    Parameters
    ----------
    group : ProcessGroup, optional
        All its ranks must take part; the default group if it is left out.
    """

    def __init__(self, group: Any = None) -> None:
        self._group = group
        on_host = "cpu:" in dist.get_backend_config(group)
        self._device = torch.device("cpu" if on_host else "cuda")
        self._members: Sequence[int] = range(dist.get_world_size(group))
        self._parts: tuple[_Part, _Part | None] | None = None

    @property
    def rank(self) -> int:
        return self._members.index(dist.get_rank(self._group))

    @property
    def size(self) -> int:
        return len(self._members)

    def announce(
        self, head: NDArray[np.uint8], rider: NDArray[np.uint8]
    ) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Without riders: who receives must know the size."""
        return [(each, rider[:0]) for each in self.allgather(head)]

    def allgather(self, message: NDArray[np.uint8]) -> NDArray[np.uint8]:
        mine = torch.from_numpy(np.array(message)).to(self._device)
        received = torch.empty((self.size, *mine.shape), dtype=torch.uint8, device=self._device)
        dist.all_gather(list(received), mine, group=self._group)
        everyone: NDArray[np.uint8] = received.cpu().numpy()
        return everyone

    def allgatherv(
        self, message: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> Sequence[NDArray[np.uint8]]:
        room = [np.empty(size, np.uint8) for size in sizes]
        room[self.rank][:] = message
        tensors = [torch.from_numpy(part).to(self._device) for part in room]
        sent = [
            dist.broadcast(tensor, group_src=source, group=self._group, async_op=True)
            for source, tensor in enumerate(tensors)
            if tensor.numel()
        ]
        for work in sent:
            work.wait()
        return [tensor.cpu().numpy() for tensor in tensors]

    def alltoallv(
        self, messages: Sequence[NDArray[np.uint8]], sizes: NDArray[np.int64]
    ) -> Sequence[NDArray[np.uint8]]:
        rank = self.rank
        mine = [torch.from_numpy(np.array(part)).to(self._device) for part in messages]
        room = [torch.empty(int(size), dtype=torch.uint8, device=self._device) for size in sizes]
        room[rank] = mine[rank]
        others = [peer for peer in range(self.size) if peer != rank]
        moves = [
            dist.P2POp(move, part[peer], group=self._group, group_peer=self._members[peer])
            for peer in others
            for move, part in ((dist.isend, mine), (dist.irecv, room))
            if part[peer].numel()
        ]
        for work in dist.batch_isend_irecv(moves) if moves else ():
            work.wait()
        return [part.cpu().numpy() for part in room]

    def nodes(self) -> "tuple[_Part, _Part | None]":
        """Asked of the hosts once, collectively, and kept."""
        if self._parts is None:
            hosts = [host.tobytes() for host in self.allgather(_digest(gethostname()))]
            on: dict[bytes, list[int]] = {}
            for member, host in zip(self._members, hosts, strict=True):
                on.setdefault(host, []).append(member)
            inside = _Part(self._group, on[hosts[self.rank]])
            heads = [members[0] for members in on.values()]
            self._parts = inside, None if inside.rank else _Part(self._group, heads)
        return self._parts

    def allreduce(self, array: NDArray[Any]) -> NDArray[Any]:
        total = torch.from_numpy(array.copy()).to(self._device)
        dist.all_reduce(total, group=self._group)
        result: NDArray[Any] = total.cpu().numpy()
        return result

    def same(self, text: str) -> bool:
        """Whether all ranks say the same."""
        digest = _digest(text)
        return bool((self.allgather(digest) == digest).all())


class _Part(TorchCommunicator):
    """Some ranks of a process group, who send to each other in pairs: no other need take part.

    Not a group of its own, which all ranks of the world would have to make; to make it without them
    takes that all its ranks have made as many groups before.
    """

    def __init__(self, group: Any, members: list[int]) -> None:
        super().__init__(group)
        self._members = members

    def allgather(self, message: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack(self.allgatherv(message, np.full(self.size, message.size)))

    def allgatherv(
        self, message: NDArray[np.uint8], sizes: NDArray[np.int64]
    ) -> Sequence[NDArray[np.uint8]]:
        return self.alltoallv([message] * self.size, sizes)

    def allreduce(self, array: NDArray[Any]) -> NDArray[Any]:
        everyone = self.allgather(array.reshape(-1).view(np.uint8)).view(array.dtype)
        total: NDArray[Any] = everyone.sum(axis=0, dtype=array.dtype).reshape(array.shape)
        return total


def _digest(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(sha256(text.encode()).digest(), np.uint8)
