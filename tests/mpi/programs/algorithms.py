"""Every algorithm for three steps with error feedback, over MPI; rank 0 prints what went
wrong, the number of nodes, and whether this is MPICH."""

import hashlib

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.collectives import ALGORITHMS
from gcodec.mpi import Allreduce, MPICommunicator

world = MPI.COMM_WORLD
half = world.Split(color=world.rank % 2)
codec = gcodec.get_codec("topk:ratio=0.02")
steps, n = 3, 30_001
wrong = []
for comm in (world, half):
    rng = np.random.default_rng(world.rank)
    grads = [rng.integers(-99, 99, n).astype(np.float32) for _ in range(steps)]
    given = comm.allreduce(np.sum(grads, axis=0))
    digests = {}
    for algorithm in (*ALGORITHMS, "auto"):
        memory = None if algorithm == "plain" else gcodec.ErrorFeedback(codec)
        call = Allreduce(comm, codec, feedback=memory, op="sum", algorithm=algorithm)
        results = [call("w", grad, step=step) for step, grad in enumerate(grads)]
        digests[algorithm] = hashlib.sha256(b"".join(r.tobytes() for r in results)).hexdigest()
        if len(set(comm.allgather(digests[algorithm]))) != 1:
            wrong.append(f"{algorithm} differs between ranks")
        owed = np.zeros(n)
        for state in (memory, call.server):
            if state is not None and "w" in state.state_dict():
                left = state.residual("w")
                owed[: left.size] += left if left.size == n else 0
        if algorithm != "quantized" and (sum(results) + comm.allreduce(owed) != given).any():
            wrong.append(f"{algorithm} loses something")
        assert call.plan().algorithm in ALGORITHMS
    if len({digests[name] for name in ("allgather", "split", "dense", "auto")}) != 1:
        wrong.append("bits depend on the algorithm")
wrong = [what for own in world.allgather(wrong) for what in own]
inside, across = MPICommunicator(world).nodes()
if world.rank == 0:
    print(wrong, across.size, "MPICH" in MPI.Get_library_version())
