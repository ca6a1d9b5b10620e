"""One rank is killed while the others wait in the collective."""

import os
import signal

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.mpi import Allreduce

allreduce = Allreduce(MPI.COMM_WORLD, gcodec.get_codec("topk:k=5"))
allreduce("w", np.ones(10, np.float32))
if MPI.COMM_WORLD.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
allreduce("w", np.ones(10, np.float32))
print("went on")
