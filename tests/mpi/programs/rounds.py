"""Messages of different sizes, some empty, in one and in many rounds; sub-communicators."""

import numpy as np
from mpi4py import MPI

from gcodec.mpi import MPICommunicator

world = MPI.COMM_WORLD
half = world.Split(color=world.rank % 2)
for comm in (world, half):
    lengths = [(r * 37) % 101 for r in range(comm.size)]
    expected = [np.arange(n, dtype=np.uint8) + r for r, n in enumerate(lengths)]
    for piece_bytes in (1 << 30, 64, 1):
        communicator = MPICommunicator(comm, piece_bytes=piece_bytes)
        assert (communicator.rank, communicator.size) == (comm.rank, comm.size)
        got = communicator.allgatherv(expected[comm.rank], np.array(lengths))
        assert [m.tolist() for m in got] == [m.tolist() for m in expected]
try:
    MPICommunicator("not a communicator")
except ValueError:
    if world.rank == 0:
        print("gathered")
