"""One rank dies of an exception while the others wait in the collective."""

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.mpi import Allreduce

allreduce = Allreduce(MPI.COMM_WORLD, gcodec.get_codec("topk:k=5"))
if MPI.COMM_WORLD.rank == 1:
    raise RuntimeError("rank 1 gives up")
allreduce("w", np.ones(10, np.float32))
