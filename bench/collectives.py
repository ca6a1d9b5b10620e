"""Sparse allreduce on shaped networks: `python bench/collectives.py [--gradients DIR]`.

Ranks run in a private namespace with a shaped loopback, one queue for all ranks, or with a line for
each (`--star`; see `gcodec/cli/network.py`), and take turns at contenders in one run, each time in
another order. A time is the median over rounds of the slowest rank's, and "best" the least,
selection, codec and residual included. "wire" is what the bytes alone would take at the rate,
"share" wire over time. An MPI_Allreduce that is not 0.95 to 1.3 of its model says that the link is
not what it should be.
"bound" exchanges the same bytes around the least that memory must do: gradient and residual read,
the next residual and the result written, nothing chosen, coded, checked or added.
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
from contenders import (
    Bound,
    Buckets,
    Dense,
    Gloo,
    GlooSparse,
    Half,
    RawPairs,
    Sparse,
    gradient_pool,
    join_gloo,
)
from data import BUFFERS
from harness import store, table

import gcodec
from gcodec.cli import network
from gcodec.collectives.costs import Load, choose

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
    contenders["bound"] = Bound(comm, pool, task["density"])
    for algorithm in task["algorithms"]:
        contenders[algorithm] = Sparse(comm, pool, task["density"], algorithm)
    for name, ahead in BUCKETS.items():
        contenders[name] = Buckets(comm, pool, task["density"], ahead)
    records = {name: [] for name in contenders}
    rounds, whole_rounds, warmups = task["rounds"]
    steps = dict.fromkeys(contenders, range(-2, rounds))
    steps |= dict.fromkeys(WHOLE, range(-warmups, whole_rounds))
    names = list(contenders)
    for i in range(-2, rounds):
        # drawn alike by all ranks: who comes after another may find the gradient in a cache
        for name in np.random.default_rng(i + 2).permutation(names).tolist():
            contender = contenders[name]
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
