"""Calibrate, plan and exchange fused buckets, against one allreduce for each; then the command."""

import sys

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec.cli.main import main
from gcodec.fusion import Buckets, Layers, calibrate, plan
from gcodec.mpi import Allreduce, MPICommunicator

comm = MPI.COMM_WORLD
communicator, codec = MPICommunicator(comm), gcodec.get_codec("reclog:ratio=0.05")
layout = [("head", (50, 40)), ("bias", (40,)), ("first", (30, 50))]
layers = Layers([name for name, _ in layout], [2000, 40, 1500], [1e-4, 1e-5, 1e-4])
found = plan(layers, calibrate(communicator, codec, 3540))
assert len(set(comm.allgather((found.ends, found.seconds)))) == 1
for ends in (found.ends, (1, 3)):
    memory, shadow = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
    buckets = Buckets(communicator, codec, layout, ends, feedback=memory)
    allreduce = Allreduce(comm, codec, feedback=shadow)
    rng = np.random.default_rng(comm.rank)
    for step in range(4):
        grads = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in layout}
        for name, grad in grads.items():
            buckets.put(name, grad, step=step)
        means = buckets.finish()
        if ends == (1, 3):
            assert means["head"].tobytes() == allreduce("head", grads["head"], step=step).tobytes()
            flat = np.concatenate([grads["bias"], grads["first"].reshape(-1)])
            mean = allreduce("bias..first", flat, step=step, tensors=layout[1:])
            assert means["bias"].tobytes() + means["first"].tobytes() == mean.tobytes()
        assert len(set(comm.allgather(b"".join(m.tobytes() for m in means.values())))) == 1
sys.exit(main(["plan", sys.argv[1], "--mpi", "--codec", "topk:ratio=0.1"]))
