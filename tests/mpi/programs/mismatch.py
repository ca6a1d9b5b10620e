"""The last rank differs in one thing after another; all ranks must raise the same error."""

import numpy as np
from mpi4py import MPI

import gcodec
from gcodec import collectives
from gcodec.mpi import Allreduce, MPICommunicator

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


class Damaged(MPICommunicator):
    """The last rank receives a frame with a bit that is another, once."""

    done = not last

    def announce(self, head, rider):
        for rank, (first, rest) in enumerate(super().announce(head, rider)):
            if rank == 0 and not self.done:
                self.done = True
                rest[-70] ^= 1
            yield first, rest


for following in ("finish", "same name", "other name", "started"):
    memory = gcodec.ErrorFeedback(codec)
    allreduce = collectives.Allreduce(Damaged(comm), codec, feedback=memory)
    raised = []
    calls = {
        "finish": allreduce.finish,
        "same name": lambda call=allreduce: call("w", grad),
        "other name": lambda call=allreduce: call("v", grad, step=1),
        "started": lambda call=allreduce: call.start("w", grad).wait(),
    }
    for number, work in enumerate((lambda call=allreduce: call("w", grad), calls[following])):
        try:
            work()
        except gcodec.RankMismatchError as error:
            raised.append((number, str(error)))
    assert [number for number, _ in raised] == ([0, 1] if last else [1])
    assert not any(state["residual"].any() for state in memory.state_dict().values())
    assert len(set(comm.allgather(raised[-1]))) == 1
    assert np.count_nonzero(allreduce("w", grad)) == 5
if comm.rank == 0:
    print("agreed")
