"""Five steps with error feedback, against the rank-order sum; prints how many results differ."""

import hashlib

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.mpi import Allreduce

comm = MPI.COMM_WORLD
codec = gcodec.get_codec("reclog:ratio=0.01,per_octave=4")
memory, shadow = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
allreduce = Allreduce(comm, codec, feedback=memory, op="sum")
rng = np.random.default_rng(comm.rank)
for step in range(5):
    grad = rng.standard_normal((50, 400)).astype(np.float32)
    total = allreduce("w", grad, step=step)
    frame = shadow.encode("w", grad, step=step)
    shadow.commit("w")
    expected = np.zeros_like(total)
    for other in comm.allgather(bytes(frame)):
        expected += gcodec.decode(other)
    assert total.tobytes() == expected.tobytes()
    assert memory.residual("w").tobytes() == shadow.residual("w").tobytes()
hashes = comm.allgather(hashlib.sha256(total.tobytes()).hexdigest())
if comm.rank == 0:
    print(len(hashes), len(set(hashes)), np.count_nonzero(total) > 0)
