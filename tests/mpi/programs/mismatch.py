"""The last rank differs in one thing after another; all ranks must raise the same error."""

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.mpi import Allreduce

comm = MPI.COMM_WORLD
last = comm.rank == comm.size - 1
codec = gcodec.get_codec("topk:k=5")
grad = np.ones(100, np.float32)
told = []
for fault in ("shape", "codec", "step", "nan"):
    mine = gcodec.get_codec("topk:k=6") if last and fault == "codec" else codec
    bad = {"nan": np.full(100, np.nan, np.float32), "shape": grad[:99]}.get(fault, grad)
    try:
        Allreduce(comm, mine)("w", bad if last else grad, step=int(last and fault == "step"))
    except gcodec.RankMismatchError as error:
        told.append(str(error))
assert len(told) == 4
assert all(other == told for other in comm.allgather(told))
result = Allreduce(comm, codec)("w", grad)
assert np.count_nonzero(result) == 5
if comm.rank == 0:
    print("agreed")
