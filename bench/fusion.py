"""Fused layers on a shaped network: `python bench/fusion.py`, measured beside predicted.

Four ranks of MPICH talk over the loopback of a network namespace of their own, which lets 4 Gbit/s
through: 1 Gbit/s for each (no root needed). The backward pass is one that was recorded: ranks wait
as long as it took, layer by layer, then put the gradient, encode where a bucket is full, and go on
waiting; so compression delays it, as the plan assumes. Every iteration is timed from a barrier to
the last rank's end; groupings take turns. Gradients follow a Laplace law.

Four ranks and their exchanging threads share the cores: with fewer than eight, what one does
delays the others, which the costs that are measured one at a time do not show.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter, sleep

import numpy as np

import gcodec
from gcodec.fusion import RULES, Buckets, calibrate, plan, simulate
from gcodec.fusion.networks import RECORDED, recorded

RANKS, GBIT = 4, 1
CODECS = ("reclog:ratio=0.01,per_octave=4", "topk:ratio=0.001", "sidco:ratio=0.001", "u8bit")
COMPARED = ("layer-wise", "25 MiB (DDP)", "64 MiB (Horovod)")
PLANNED = "planned"
TICK = 2e-4
"""Seconds; shorter waits are put off until they add up."""
OVER_TCP = {
    "MPIR_CVAR_NOLOCAL": "1",
    "MPIR_CVAR_CH4_NETMOD": "ofi",
    "FI_PROVIDER": "tcp",
    "FI_TCP_IFACE": "lo",
}


def shaped(command, gbit):
    """A command in a network namespace of its own, whose loopback lets `gbit` Gbit/s through."""
    shape = (
        "ip link set lo mtu 1500 up && "
        f"tc qdisc add dev lo root tbf rate {gbit}gbit burst {128 * gbit}kb latency 100ms && "
        'exec "$@"'
    )
    return ["unshare", "-Urn", "sh", "-c", shape, "sh", *command]


def backward(layers, gradients, buckets, step):
    """One pass that makes gradients when they were made in the recorded one."""
    due = perf_counter()
    for name, seconds in zip(layers.names, layers.seconds, strict=True):
        due += seconds
        if (left := due - perf_counter()) > TICK:
            sleep(left)
        began = perf_counter()
        buckets.put(name, gradients[name], step=step)
        due += perf_counter() - began
    return buckets.finish()


def measure(comm, name, recipe, rounds):
    """Measured and predicted seconds of an iteration by grouping, on all ranks alike."""
    from gcodec.mpi import MPICommunicator

    communicator, codec, layers = MPICommunicator(comm), gcodec.get_codec(recipe), recorded(name)
    costs = calibrate(communicator, codec, sum(layers.sizes))
    began = perf_counter()
    found = plan(layers, costs, "inline")
    planning = perf_counter() - began
    ends = {rule: RULES[rule](layers, costs, "inline") for rule in COMPARED}
    ends[PLANNED] = found.ends
    rng = np.random.default_rng(comm.rank)
    flat = rng.standard_exponential(sum(layers.sizes), np.float32)
    flat[1::2] *= -1
    parts = np.split(flat, layers.elements_before[1:-1])
    gradients = dict(zip(layers.names, parts, strict=True))
    layout = [(name, (size,)) for name, size in zip(layers.names, layers.sizes, strict=True)]
    ways = {way: Buckets(communicator, codec, layout, cuts) for way, cuts in ends.items()}
    seconds = {way: [] for way in ways}
    for step in range(-1, rounds):
        turn = step % len(ways)
        for way in [*ways][turn:] + [*ways][:turn]:
            comm.Barrier()
            began = perf_counter()
            backward(layers, gradients, ways[way], step + 1)
            took = comm.allreduce(perf_counter() - began, op=max)
            if step >= 0:
                seconds[way].append(took)
    return {
        "network": name,
        "codec": recipe,
        "layers": len(layers),
        "backward": sum(layers.seconds),
        "planning": planning,
        "proven": found.bound >= found.seconds,
        "costs": {stage: [cost.sizes, cost.seconds] for stage, cost in costs._asdict().items()},
        "ways": {
            way: {
                "messages": len(cuts),
                "measured": median(seconds[way]),
                "spread": [min(seconds[way]), max(seconds[way])],
                "predicted": simulate(layers, costs, "inline", cuts)[-1].decompress[1],
            }
            for way, cuts in ends.items()
        },
    }


def dense(comm, name, rounds):
    """Seconds of a dense allreduce of the whole gradient, which nothing overlaps."""
    mine = np.ones(sum(recorded(name).sizes), np.float32)
    total, seconds = np.empty_like(mine), []
    for _ in range(rounds):
        comm.Barrier()
        began = perf_counter()
        comm.Allreduce(mine, total)
        seconds.append(comm.allreduce(perf_counter() - began, op=max))
    return median(seconds)


def rank_program(options):
    """What each rank does; rank 0 prints a line for each network and codec."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    gcodec.set_threads(1)
    for name in options["networks"]:
        alone = dense(comm, name, 3)
        for recipe in options["codecs"]:
            found = measure(comm, name, recipe, options["rounds"])
            if comm.rank == 0:
                print(json.dumps({**found, "dense": alone}), flush=True)


def launch(program, options):
    """Start ranks of a program, in a shaped namespace if allowed; yields what rank 0 prints."""
    launcher = Path(sys.executable).with_name("mpirun")
    command = [sys.executable, "-m", "mpi4py", program, "--rank", json.dumps(options)]
    start = [str(launcher) if launcher.exists() else shutil.which("mpirun"), "-n", str(RANKS)]
    allowed = subprocess.run(shaped(["true"], GBIT), capture_output=True, check=False)
    if allowed.returncode:
        sys.exit(f"no namespace with a shaped loopback: {allowed.stderr.decode().strip()}")
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    with subprocess.Popen(
        shaped([*start, *command], RANKS * GBIT),
        env={**os.environ, **OVER_TCP, **one},
        stdout=subprocess.PIPE,
        text=True,
    ) as ranks:
        yield from (json.loads(line) for line in ranks.stdout if line.startswith("{"))
    if ranks.returncode:
        sys.exit(f"the ranks failed: exit code {ranks.returncode}")


def show(found):
    from harness import table

    ways, rows = found["ways"], []
    for way, row in ways.items():
        times = [f"{1e3 * row[what]:.0f}" for what in ("measured", "predicted")]
        spread = "{:.0f} .. {:.0f}".format(*(1e3 * end for end in row["spread"]))
        gain = f"{row['measured'] / ways[PLANNED]['measured']:.2f}x"
        wanted = f"{row['predicted'] / ways[PLANNED]['predicted']:.2f}x"
        rows.append([way, row["messages"], *times, spread, gain, wanted])
    title = "\n{network}, {codec}: backward {backward} ms, dense allreduce alone {dense} ms".format(
        **{**found, **{what: round(1e3 * found[what]) for what in ("backward", "dense")}}
    )
    columns = ["", "messages", "measured ms", "predicted ms", "spread", "to planned", "predicted"]
    print(table(title, columns, rows), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=RECORDED, default=list(RECORDED))
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rank", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank:
        rank_program(arguments.rank)
        return
    from harness import RESULTS, store

    stored = RESULTS / "fusion.json"
    figures = json.loads(stored.read_text())["figures"] if stored.exists() else []
    options = {name: getattr(arguments, name) for name in ("networks", "codecs", "rounds")}
    for found in launch(__file__, options):
        show(found)
        same = found["network"], found["codec"]
        figures = [other for other in figures if (other["network"], other["codec"]) != same]
        figures.append({**found, "load": os.getloadavg()[0], "rounds": arguments.rounds})
        print(store("fusion", figures, ["mpi4py", "mpich"]))


if __name__ == "__main__":
    main()
