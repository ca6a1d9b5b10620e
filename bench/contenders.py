"""What `bench/collectives.py` compares: each sums the gradients of all ranks, in its way."""

import numpy as np
from data import BUFFERS, laplace, tiled, window

import gcodec
from gcodec import arrays
from gcodec.collectives import Allreduce
from gcodec.collectives.communicator import RIDES
from gcodec.format.elements import FLOAT32
from gcodec.format.ids import MAX_CHUNK_LOG2
from gcodec.kernels import load

CODEC = "reclog:ratio={},per_octave=4"


class Counting:
    """A communicator that counts the bytes that leave this rank."""

    def __init__(self, inner):
        self.inner, self.rank, self.size, self.moved = inner, inner.rank, inner.size, 0

    def announce(self, head, rider):
        self.moved += (self.size - 1) * (head.size + rider.size)
        return self.inner.announce(head, rider)

    def allgather(self, message):
        self.moved += (self.size - 1) * message.size
        return self.inner.allgather(message)

    def allgatherv(self, message, sizes):
        self.moved += (self.size - 1) * message.size
        return self.inner.allgatherv(message, sizes)

    def alltoallv(self, messages, sizes):
        self.moved += sum(m.size for m in messages) - messages[self.rank].size
        return self.inner.alltoallv(messages, sizes)


def gradient_pool(source, n, rank):
    """Three buffers of this rank's gradients."""
    rng = np.random.default_rng(rank)
    if source == "i.i.d.":
        return np.stack([laplace(rng, n) for _ in range(BUFFERS)])
    pool = tiled(source, n)
    return pool * rng.uniform(0.5, 1.5, pool.shape).astype(np.float32)


class Sparse:
    """gcodec with error feedback, by one algorithm."""

    def __init__(self, comm, pool, density, algorithm):
        from gcodec.mpi import MPICommunicator

        codec = gcodec.get_codec(CODEC.format(density))
        self.pool, self.link = pool, Counting(MPICommunicator(comm))
        memory = gcodec.ErrorFeedback(codec)
        self.call = Allreduce(self.link, codec, feedback=memory, op="sum", algorithm=algorithm)
        self.out = np.empty(pool.shape[1], np.float32)

    def __call__(self, i):
        before = self.link.moved, self.call.codec_seconds
        self.call("w", window(self.pool, i), step=i, out=self.out)
        return self.link.moved - before[0], self.call.codec_seconds - before[1]


class Bound:
    """The same exchange around the least that memory must do, without choosing or coding anything.

    Gradient and residual are read and their sum written by the kernel that the codec has for it,
    which finds nothing to keep; the frames that go were encoded before the clock started; what they
    hold is not proved or added, and the result is written by the kernel that writes sums, which has
    nothing to add.
    """

    def __init__(self, comm, pool, density):
        from gcodec.mpi import MPICommunicator

        codec = gcodec.get_codec(CODEC.format(density))
        self.pool, self.link = pool, Counting(MPICommunicator(comm))
        self.frame = np.asarray(codec.encode(pool[0]))
        self.kernels = load(codec.backend)
        self.residual, self.then = (arrays.aligned(pool[0].shape, np.float32) for _ in range(2))
        self.residual.fill(0)
        self.out = np.empty(pool.shape[1], np.float32)
        self.none = np.empty(1024, np.uint32)
        self.counts = np.zeros((pool.shape[1] >> MAX_CHUNK_LOG2) + 1, np.int64)

    def __call__(self, i):
        before, grad, factors = self.link.moved, window(self.pool, i), np.float32([1, 0.5])
        sums = grad, self.residual, *factors, self.then, self.then.view(np.uint32)
        floor = np.uint32(FLOAT32.infinity)
        whole = 0, floor, MAX_CHUNK_LOG2, 0, 0, self.none, self.none, self.counts
        assert self.kernels.collect_sum(*sums, *whole)[0] == grad.size
        self.residual, self.then = self.then, self.residual
        head = np.zeros(64, np.uint8)
        if self.frame.size <= RIDES:
            list(self.link.announce(head, self.frame))
        else:
            head[:8] = np.array([self.frame.size]).view(np.uint8)
            told = [each[:8].view(np.int64) for each, _ in self.link.announce(head, head[:0])]
            list(self.link.allgatherv(self.frame, np.concatenate(told)))
        none = [self.none[:0]], self.counts[None], [self.out[:0]]
        self.kernels.put_sums(*none, MAX_CHUNK_LOG2, 0, self.counts.size, np.float32(1), self.out)
        return self.link.moved - before, 0.0


class Buckets(Sparse):
    """The same in four buckets, each started while the last is on its way, or after it."""

    def __init__(self, comm, pool, density, ahead):
        super().__init__(comm, pool, density, "allgather")
        self.ahead = ahead

    def __call__(self, i):
        before = self.link.moved, self.call.codec_seconds
        pending = []
        parts = np.split(window(self.pool, i), 4), np.split(self.out, 4)
        for name, (part, out) in enumerate(zip(*parts, strict=True)):
            if self.ahead:
                pending.append(self.call.start(str(name), part, step=i, out=out))
            else:
                self.call(str(name), part, step=i, out=out)
        for each in pending:
            each.wait()
        return self.link.moved - before[0], self.call.codec_seconds - before[1]


class Dense:
    """MPI_Allreduce; counted as a ring moves it."""

    def __init__(self, comm, pool):
        self.comm, self.pool, self.out = comm, pool, np.empty(pool.shape[1], np.float32)

    def __call__(self, i):
        self.comm.Allreduce(np.ascontiguousarray(window(self.pool, i)), self.out)
        return 2 * (self.comm.size - 1) * self.out.nbytes // self.comm.size, 0.0


class Half(Dense):
    """MPI_Allreduce in float16, added up as MPI does it."""

    def __call__(self, i):
        total = np.empty(self.out.size, np.float16)
        self.comm.Allreduce(window(self.pool, i).astype(np.float16), total)
        self.out[:] = total
        return 2 * (self.comm.size - 1) * total.nbytes // self.comm.size, 0.0


class Gloo:
    """PyTorch's all_reduce; counted as a ring moves it."""

    def __init__(self, comm, pool, dtype):
        self.comm, self.pool, self.dtype = comm, pool, dtype
        self.out = np.empty(pool.shape[1], np.float32)

    def __call__(self, i):
        import torch

        grad = torch.from_numpy(np.array(window(self.pool, i)))
        total = grad.to(getattr(torch, self.dtype))
        torch.distributed.all_reduce(total)
        torch.from_numpy(self.out).copy_(total)
        return 2 * (self.comm.size - 1) * total.nbytes // self.comm.size, 0.0


class RawPairs:
    """int32 keys and float32 values, selected beforehand, through two Allgatherv."""

    def __init__(self, comm, pool, density):
        self.comm, self.out = comm, np.empty(pool.shape[1], np.float32)
        k = round(density * pool.shape[1])
        self.keys = np.sort(np.argpartition(-np.abs(pool[0]), k)[:k]).astype(np.int32)
        self.values = pool[0][self.keys]

    def __call__(self, i):
        comm = self.comm
        counts = np.empty(comm.size, np.int64)
        comm.Allgather(np.array([self.keys.size]), counts)
        places = np.cumsum(counts) - counts
        keys, values = np.empty(counts.sum(), np.int32), np.empty(counts.sum(), np.float32)
        comm.Allgatherv(self.keys, [keys, counts, places, self._mpi().INT32_T])
        comm.Allgatherv(self.values, [values, counts, places, self._mpi().FLOAT])
        self.out.fill(0)
        for start, count in zip(places, counts, strict=True):
            own = slice(start, start + count)
            self.out[keys[own]] += values[own]
        return 8 * (comm.size - 1) * self.keys.size, 0.0

    @staticmethod
    def _mpi():
        from mpi4py import MPI

        return MPI


class GlooSparse(RawPairs):
    """PyTorch's all_reduce of a sparse tensor: int64 keys, padded to the longest rank's."""

    def __call__(self, i):
        import torch

        keys, values = torch.from_numpy(self.keys[None].astype(np.int64)), self.values
        total = torch.sparse_coo_tensor(keys, torch.from_numpy(values), self.out.shape)
        torch.distributed.all_reduce(total)
        self.out[:] = total.to_dense().numpy()
        return 12 * (self.comm.size - 1) * self.keys.size, 0.0


def join_gloo(comm, store):
    import torch

    torch.set_num_threads(1)
    where = {"init_method": f"file://{store}", "rank": comm.rank, "world_size": comm.size}
    torch.distributed.init_process_group("gloo", **where)
