"""Sparse allreduce on shaped networks: `python bench/collectives.py [--gradients DIR]`.

Ranks run in a private namespace with a shaped loopback, one queue for all ranks, or with a line for
each (`--star`; see `gcodec/cli/network.py`), and take turns at contenders in one run. A time is the
median over rounds of the slowest rank's, and "best" the least, selection, codec and residual
included. "wire" is what the bytes alone would take at the rate, "share" wire over time. An
MPI_Allreduce that is not 0.95 to 1.3 of its model says that the link is not what it should be.
"16 bits" are float16, cast before and after. "raw pairs" are int32 keys and float32 values through
two Allgatherv, selected before the clock starts, and so are the pairs of "Gloo sparse", which
PyTorch gathers. Gloo is there where PyTorch is. On slow links, what sends every element takes part
in few rounds. Real gradients are tiled to n and differ between ranks by factors of 0.5 to 1.5.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
from data import BUFFERS, laplace, tiled, window
from harness import store, table

import gcodec
from gcodec.cli import network
from gcodec.collectives import Allreduce
from gcodec.collectives.costs import Load, choose

CODEC = "reclog:ratio={},per_octave=4"
ALGORITHMS = ("auto", "allgather", "split", "dense", "quantized", "gtopk", "oktopk")
BUCKETS = {"4 buckets, one by one": False, "4 buckets, ahead": True}
EXACT = ("auto", "allgather", "split", "dense")
WHOLE = ("MPI_Allreduce", "16 bits", "Gloo dense", "Gloo bfloat16", "dense")
"""What sends every element."""
LINKS = ("10mbit", "100mbit", "1gbit", "unshaped")
ROUNDS = {"10mbit": (5, 1, 0), "100mbit": (11, 3, 1), "1gbit": (21, 11, 2)}
"""On a link: rounds, those of WHOLE, and warm-ups of WHOLE."""
MOST_ROUNDS = 21, 21, 2
SELF_CHECK = 0.95, 1.3
MODELLED = 8, 16


class Counting:
    """A communicator that counts the bytes that leave this rank."""

    def __init__(self, inner):
        self.inner, self.rank, self.size, self.moved = inner, inner.rank, inner.size, 0

    def announce(self, head, rider):
        self.moved += (self.size - 1) * (head.size + rider.size)
        return self.inner.announce(head, rider)

    def allgather(self, message):
        self.moved += (self.size - 1) * message.size
        return self.inner.allgather(message)

    def allgatherv(self, message, sizes):
        self.moved += (self.size - 1) * message.size
        return self.inner.allgatherv(message, sizes)

    def alltoallv(self, messages, sizes):
        self.moved += sum(m.size for m in messages) - messages[self.rank].size
        return self.inner.alltoallv(messages, sizes)


def gradient_pool(source, n, rank):
    """Three buffers of this rank's gradients."""
    rng = np.random.default_rng(rank)
    if source == "i.i.d.":
        return np.stack([laplace(rng, n) for _ in range(BUFFERS)])
    pool = tiled(source, n)
    return pool * rng.uniform(0.5, 1.5, pool.shape).astype(np.float32)


class Sparse:
    """gcodec with error feedback, by one algorithm."""

    def __init__(self, comm, pool, density, algorithm):
        from gcodec.mpi import MPICommunicator

        codec = gcodec.get_codec(CODEC.format(density))
        self.pool, self.link = pool, Counting(MPICommunicator(comm))
        memory = gcodec.ErrorFeedback(codec)
        self.call = Allreduce(self.link, codec, feedback=memory, op="sum", algorithm=algorithm)
        self.out = np.empty(pool.shape[1], np.float32)

    def __call__(self, i):
        before = self.link.moved, self.call.codec_seconds
        self.call("w", window(self.pool, i), step=i, out=self.out)
        return self.link.moved - before[0], self.call.codec_seconds - before[1]


class Buckets(Sparse):
    """The same in four buckets, each started while the last is on its way, or after it."""

    def __init__(self, comm, pool, density, ahead):
        super().__init__(comm, pool, density, "allgather")
        self.ahead = ahead

    def __call__(self, i):
        before = self.link.moved, self.call.codec_seconds
        pending = []
        parts = np.split(window(self.pool, i), 4), np.split(self.out, 4)
        for name, (part, out) in enumerate(zip(*parts, strict=True)):
            if self.ahead:
                pending.append(self.call.start(str(name), part, step=i, out=out))
            else:
                self.call(str(name), part, step=i, out=out)
        for each in pending:
            each.wait()
        return self.link.moved - before[0], self.call.codec_seconds - before[1]


class Dense:
    """MPI_Allreduce; counted as a ring moves it."""

    def __init__(self, comm, pool):
        self.comm, self.pool, self.out = comm, pool, np.empty(pool.shape[1], np.float32)

    def __call__(self, i):
        self.comm.Allreduce(np.ascontiguousarray(window(self.pool, i)), self.out)
        return 2 * (self.comm.size - 1) * self.out.nbytes // self.comm.size, 0.0


class Half(Dense):
    """MPI_Allreduce in float16, added up as MPI does it."""

    def __call__(self, i):
        total = np.empty(self.out.size, np.float16)
        self.comm.Allreduce(window(self.pool, i).astype(np.float16), total)
        self.out[:] = total
        return 2 * (self.comm.size - 1) * total.nbytes // self.comm.size, 0.0


class Gloo:
    """PyTorch's all_reduce; counted as a ring moves it."""

    def __init__(self, comm, pool, dtype):
        self.comm, self.pool, self.dtype = comm, pool, dtype
        self.out = np.empty(pool.shape[1], np.float32)

    def __call__(self, i):
        import torch

        grad = torch.from_numpy(np.array(window(self.pool, i)))
        total = grad.to(getattr(torch, self.dtype))
        torch.distributed.all_reduce(total)
        torch.from_numpy(self.out).copy_(total)
        return 2 * (self.comm.size - 1) * total.nbytes // self.comm.size, 0.0


class RawPairs:
    """int32 keys and float32 values, selected beforehand, through two Allgatherv."""

    def __init__(self, comm, pool, density):
        self.comm, self.out = comm, np.empty(pool.shape[1], np.float32)
        k = round(density * pool.shape[1])
        self.keys = np.sort(np.argpartition(-np.abs(pool[0]), k)[:k]).astype(np.int32)
        self.values = pool[0][self.keys]

    def __call__(self, i):
        comm = self.comm
        counts = np.empty(comm.size, np.int64)
        comm.Allgather(np.array([self.keys.size]), counts)
        places = np.cumsum(counts) - counts
        keys, values = np.empty(counts.sum(), np.int32), np.empty(counts.sum(), np.float32)
        comm.Allgatherv(self.keys, [keys, counts, places, self._mpi().INT32_T])
        comm.Allgatherv(self.values, [values, counts, places, self._mpi().FLOAT])
        self.out.fill(0)
        for start, count in zip(places, counts, strict=True):
            own = slice(start, start + count)
            self.out[keys[own]] += values[own]
        return 8 * (comm.size - 1) * self.keys.size, 0.0

    @staticmethod
    def _mpi():
        from mpi4py import MPI

        return MPI


class GlooSparse(RawPairs):
    """PyTorch's all_reduce of a sparse tensor: int64 keys, padded to the longest rank's."""

    def __call__(self, i):
        import torch

        keys, values = torch.from_numpy(self.keys[None].astype(np.int64)), self.values
        total = torch.sparse_coo_tensor(keys, torch.from_numpy(values), self.out.shape)
        torch.distributed.all_reduce(total)
        self.out[:] = total.to_dense().numpy()
        return 12 * (self.comm.size - 1) * self.keys.size, 0.0


def join_gloo(comm, store):
    import torch

    torch.set_num_threads(1)
    where = {"init_method": f"file://{store}", "rank": comm.rank, "world_size": comm.size}
    torch.distributed.init_process_group("gloo", **where)


def rank_main(task):
    """What each rank runs; rank 0 prints a line of JSON."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    gcodec.set_threads(1)
    pool = gradient_pool(task["source"], task["n"], comm.rank)
    contenders = {
        "MPI_Allreduce": Dense(comm, pool),
        "16 bits": Half(comm, pool),
        "raw pairs": RawPairs(comm, pool, task["density"]),
    }
    if task["store"]:
        join_gloo(comm, task["store"])
        contenders["Gloo dense"] = Gloo(comm, pool, "float32")
        contenders["Gloo bfloat16"] = Gloo(comm, pool, "bfloat16")
        contenders["Gloo sparse"] = GlooSparse(comm, pool, task["density"])
    for algorithm in task["algorithms"]:
        contenders[algorithm] = Sparse(comm, pool, task["density"], algorithm)
    for name, ahead in BUCKETS.items():
        contenders[name] = Buckets(comm, pool, task["density"], ahead)
    records = {name: [] for name in contenders}
    rounds, whole_rounds, warmups = task["rounds"]
    steps = dict.fromkeys(contenders, range(-2, rounds))
    steps |= dict.fromkeys(WHOLE, range(-warmups, whole_rounds))
    for i in range(-2, rounds):
        for name, contender in contenders.items():
            if i not in steps[name]:
                continue
            comm.Barrier()
            started = perf_counter()
            moved, codec = contender(i % (BUFFERS * 4))
            seconds = perf_counter() - started
            slowest = np.array([seconds, moved, codec])
            comm.Allreduce(MPI.IN_PLACE, slowest, MPI.MAX)
            if i >= 0:
                records[name].append(slowest)
    same = all(
        len(set(comm.allgather(c.out.tobytes()[: 1 << 20]))) == 1 for c in contenders.values()
    )
    exact = [
        contenders[name].out.tobytes()
        for name in task["algorithms"]
        if name in EXACT and steps[name] == range(-2, rounds)
    ]
    if comm.rank == 0:
        assert same, "ranks differ"
        assert len(set(exact)) <= 1, "algorithms that should give the same bits do not"
        medians = {
            name: [*np.median(times, axis=0).tolist(), min(each[0] for each in times)]
            for name, times in records.items()
        }
        plans = [c.call.plan().seconds for name, c in contenders.items() if name == "auto"]
        found = {"library": MPI.Get_library_version().split("\n")[0], "medians": medians}
        found["more ranks"] = more_ranks(contenders["auto"].call, pool[0]) if plans else {}
        print(json.dumps({**found, "plan": plans[0] if plans else {}}))


def more_ranks(call, grad):
    """What `auto` would predict with the costs that it measured, for ranks that are not here."""
    frame = call.codec.encode(grad)
    header, plans = gcodec.inspect(frame).header, {}
    for ranks in MODELLED:
        sizes = [frame.size] * ranks, [header["n_stored"]] * ranks
        load = Load(grad.size, grad.itemsize, header["chunk_log2"], *sizes)
        plans[f"P = {ranks}"] = choose(call._costs, load).seconds
    return plans


def measure(link, ranks, task, star):
    """Start ranks on a link; what rank 0 found."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"{folder}/store" if find_spec("torch") else None
        return start(link, ranks, {**task, "store": store}, star)


def start(link, ranks, task, star):
    """The same, with the gradients and contenders of a whole task."""
    mpirun = str(Path(sys.executable).with_name("mpirun"))
    program = [sys.executable, "-m", "mpi4py", __file__, "--task", json.dumps(task)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [mpirun, "-n", str(ranks), *program]
    if link != "unshaped":
        rate = network.bits_per_second(link)
        interface = "eth0" if star else "lo"
        environment |= network.OVER_TCP
        environment |= {"FI_TCP_IFACE": interface, "GLOO_SOCKET_IFNAME": interface}
        if star:
            command = network.star(mpirun, program, rate, ranks)
        else:
            command = network.shaped(command, rate, ranks)
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode:
        raise SystemExit(f"{link}, {ranks} ranks: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def summarize(link, found):
    """Rows of one run; "model" is what `auto` predicts, selection and encoding not included."""
    rate = network.bits_per_second(link) if link != "unshaped" else None
    medians, rows = found["medians"], {}
    dense, dense_bytes, *_ = medians["MPI_Allreduce"]
    for name, (seconds, moved, codec, best) in medians.items():
        row = {"ms": seconds * 1e3, "best": best * 1e3, "times faster": dense / seconds,
               "codec ms": codec * 1e3, "MB sent": moved / 1e6}  # fmt: skip
        if rate:
            wire = moved * 8 / rate
            row |= {"wire ms": wire * 1e3, "share": wire / seconds}
        else:
            row["pays below Gbit/s"] = max(dense_bytes - moved, 0) * 8e-9 / seconds
        row["model ms"] = found["plan"].get(name, 0) * 1e3 or ""
        rows[name] = row
    if rate:
        over = 1 / rows["MPI_Allreduce"]["share"]
        if not SELF_CHECK[0] <= over <= SELF_CHECK[1]:
            print(f"self-check failed: MPI_Allreduce takes {over:.2f} of its model on {link}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gradients", type=Path, help="a folder of float32 .npy; the last by name is used"
    )
    parser.add_argument("--links", nargs="+", default=LINKS, help="default: %(default)s")
    parser.add_argument("--ranks", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--densities", nargs="+", type=float, default=[0.01, 0.001])
    parser.add_argument(
        "--log2", nargs="+", type=int, default=[22], help="n is 2 to the power of this"
    )
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--star", action="store_true", help="a namespace and a line for each rank")
    parser.add_argument("--store", action="store_true", help="keep the figures, by n and --star")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        rank_main(arguments.task)
        return
    reason = network.why_not()
    if reason:
        print(f"unshaped only: {reason}")
    sources = ["i.i.d."]
    if arguments.gradients:
        sources.append(str(max(arguments.gradients.glob("*.npy"))))
    links = [link for link in arguments.links if not reason or link == "unshaped"]
    figures = {}
    for log2, link, ranks, density, source in product(
        arguments.log2, links, arguments.ranks, arguments.densities, sources
    ):
        rounds, whole, warmups = ROUNDS.get(link, MOST_ROUNDS)
        rounds = arguments.rounds or rounds
        task = {
            "n": 1 << log2, "density": density, "source": source,
            "algorithms": arguments.algorithms, "rounds": (rounds, min(rounds, whole), warmups),
        }  # fmt: skip
        found = measure(link, ranks, task, arguments.star)
        rows = summarize(link, found)
        title = f"{link}, P = {ranks}, {density:.1%} of 2^{log2}, {Path(source).stem}"
        figures[title] = {key: found[key] for key in ("library", "more ranks")} | {"rows": rows}
        columns = list(rows["MPI_Allreduce"])
        lines = [[name, *row.values()] for name, row in rows.items()]
        print(table(f"\n{title}", ["", *columns], lines), flush=True)
        for more, seconds in found["more ranks"].items():
            print(f"model, {more}:", *(f"{name} {1e3 * s:.3g} ms" for name, s in seconds.items()))
    if arguments.store:
        kinds = [str(log2) for log2 in arguments.log2 if [log2] != parser.get_default("log2")]
        name = "-".join(["collectives", *kinds, *(["star"] if arguments.star else [])])
        print(store(name, figures, ["mpi4py", *(["torch"] if find_spec("torch") else [])]))


if __name__ == "__main__":
    main()
