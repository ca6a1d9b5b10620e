"""Heads with riders of any size up to the longest, and frames that ride; rank 0 prints a word."""

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.collectives.communicator import RIDES
from gcodec.mpi import Allreduce, MPICommunicator

comm = MPI.COMM_WORLD
link = MPICommunicator(comm)
for sizes in ([0, 1, RIDES], [RIDES] * 3, [0] * 3, [8, RIDES - 1, 0]):
    head = np.full(64, comm.rank, np.uint8)
    rider = np.arange(sizes[comm.rank % 3], dtype=np.uint64).astype(np.uint8) + comm.rank
    for rank, (first, rest) in enumerate(link.announce(head, rider.astype(np.uint8))):
        assert (first == rank).all()
        assert first.size == 64
        wanted = np.arange(sizes[rank % 3], dtype=np.uint64).astype(np.uint8) + rank
        assert rest.tobytes() == wanted.astype(np.uint8).tobytes()
    next(iter(link.announce(head, rider)))  # what was sent arrives all the same

grad = np.random.default_rng(comm.rank).standard_normal(1 << 20, np.float32)
for ratio in (0.001, 0.01, 0.1):  # frames that ride, may, and do not
    codec = gcodec.get_codec(f"reclog:ratio={ratio}")
    results = []
    for algorithm in ("allgather", "split"):
        memory = gcodec.ErrorFeedback(codec)
        allreduce = Allreduce(comm, codec, feedback=memory, algorithm=algorithm)
        for step in range(3):
            results.append(allreduce("w", grad, step=step).tobytes())
        allreduce.finish()
    assert results[:3] == results[3:]
if comm.rank == 0:
    print("announced")
