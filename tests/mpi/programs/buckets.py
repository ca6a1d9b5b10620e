"""Four buckets in flight at once, and the memory that an allgather takes; rank 0 prints faults."""

import tracemalloc

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec import scratch
from gcodec.mpi import Allreduce

comm = MPI.COMM_WORLD
codec = gcodec.get_codec("topk:ratio=0.01")
wrong = []
grads = [
    np.random.default_rng(7 * comm.rank + bucket).standard_normal(200_000, np.float32)
    for bucket in range(4)
]
results = {}
for ahead in (True, False):
    allreduce = Allreduce(comm, codec, feedback=gcodec.ErrorFeedback(codec))
    for step in range(2):
        pending = []
        for bucket, grad in enumerate(grads):
            pending.append(allreduce.start(str(bucket), grad, step=step))
            if not ahead:
                results[step, bucket, ahead] = pending[-1].wait().tobytes()
        if ahead:
            for bucket, each in enumerate(pending):
                results[step, bucket, ahead] = each.wait().tobytes()
for step, bucket, ahead in results:
    if results[step, bucket, ahead] != results[step, bucket, not ahead]:
        wrong.append(f"bucket {bucket} of step {step}")

n = 1 << 21
grad, out = np.random.default_rng(comm.rank).standard_normal(n, np.float32), np.empty(n, np.float32)
allreduce = Allreduce(comm, codec)
frame = codec.encode(grad)
allreduce("big", grad, out=out)
scratch.forget()
tracemalloc.start()
allreduce("big", grad, out=out)
peak = tracemalloc.get_traced_memory()[1]
stated = comm.size * (len(frame) + 8 * (n // 100)) + grad.nbytes // 16
if peak > stated:
    wrong.append(f"{peak:,} bytes at most, not {stated:,}")
wrong = [what for own in comm.allgather(wrong) for what in own]
if comm.rank == 0:
    print(wrong)
