"""What `Allreduce` sees of its launcher: prints the error, or the threads that each rank has."""

import os

from mpi4py import MPI

import gcodec
from gcodec.mpi import Allreduce, warmup

comm, codec = MPI.COMM_WORLD, gcodec.get_codec("topk:k=5")
try:
    Allreduce(comm, codec)
except gcodec.RankMismatchError as error:
    if comm.rank == 0:
        print(error)
else:
    warmup(comm, [codec])
    share = max((os.cpu_count() or 1) // comm.size, 1)
    assert all(threads <= share for threads in comm.allgather(gcodec.get_threads()))
    gcodec.set_threads(3)
    Allreduce(comm, codec)
    assert gcodec.get_threads() == 3
    for wrong in (MPI.COMM_NULL, "a string", None):
        try:
            Allreduce(wrong, codec)
        except ValueError as error:
            refused = str(error)
        else:
            refused = "not at all"
        assert "comm is" in refused, refused
    if comm.rank == 0:
        print("as it should be")
