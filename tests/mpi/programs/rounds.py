"""Messages of different sizes, some empty, whole and in many pieces; sub-communicators."""

import numpy as np
from mpi4py import MPI

from gcodec.mpi import MPICommunicator

world = MPI.COMM_WORLD
half = world.Split(color=world.rank % 2)
for comm in (world, half):
    lengths = [(r * 37) % 101 for r in range(comm.size)]
    expected = [np.arange(n, dtype=np.uint8) + r for r, n in enumerate(lengths)]
    for piece_bytes in (1 << 30, 64, 8):
        communicator = MPICommunicator(comm, piece_bytes=piece_bytes)
        assert (communicator.rank, communicator.size) == (comm.rank, comm.size)
        got = communicator.allgatherv(expected[comm.rank], np.array(lengths))
        assert [m.tolist() for m in got] == [m.tolist() for m in expected]
        mine = [expected[to][: to + comm.rank] for to in range(comm.size)]
        sizes = np.array([min(comm.rank + r, lengths[comm.rank]) for r in range(comm.size)])
        got = list(communicator.alltoallv(mine, sizes))
        assert [m.tolist() for m in got] == [expected[comm.rank][:s].tolist() for s in sizes]
        numbers = np.arange(100, dtype=np.float64) + comm.rank
        total = communicator.allreduce(numbers)
        assert (total == comm.size * np.arange(100) + sum(range(comm.size))).all()
        stopped = communicator.allgatherv(expected[comm.rank], np.array(lengths))
        assert next(stopped).size == lengths[0]
        stopped.close()  # what was sent arrives all the same
    inside, across = communicator.nodes()
    assert (inside.size, across is not None) == (comm.size, comm.rank == 0)
try:
    MPICommunicator("not a communicator")
except ValueError:
    if world.rank == 0:
        print("gathered")
