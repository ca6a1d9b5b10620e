"""Speed and size of the codec: `python bench/codec.py [--gradients DIR]`.

Speed: shares of a one-pass read over the same float32 data, interleaved with it, in one thread,
CPU time, data in DRAM (three inputs in rotation), beside every peer that is installed. Size: bits
per key and value beside their entropies, on real gradients if a folder is given. Round trips are
asserted before anything is timed. A complete run, with the default n and rounds, is stored.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import peers
import speed
from data import LAWS, buffers, real, tiled
from harness import store, table

import gcodec

N, ROUNDS = 1 << 24, 15
SIZES_RECIPE = "reclog:ratio=0.01,per_octave=4"
ON_LAWS = {
    "known": ("encode, threshold known", speed.known),
    "choosing": ("encode 1 %, threshold found", speed.choosing),
    "feedback": ("error feedback, 1 %, encode + commit", speed.feedback),
    "accumulating": ("decode + accumulate", speed.accumulating),
    "dense": ("every element coded", speed.dense),
    "small": (f"{speed.SMALL:,} elements, 1 %", speed.small),
    "threads": ("two threads, wall time, best round", speed.threads),
    "buckets": ("smaller gradients, 1 %", speed.buckets),
    "sparse peers": ("1 % kept", peers.sparse),
    "dense peers": ("every element", peers.dense),
}
ON_REAL = ("gcodec, threshold known", "numpy flatnonzero COO", "gcodec, exact top-k",
           "gcodec, exact top-k, values as they are", "torch.topk + COO")  # fmt: skip
PARTS = (*ON_LAWS, "first call", "real", "sizes")


def sizes(folder):
    """What each real gradient costs."""
    codec = gcodec.get_codec(SIZES_RECIPE)
    found = {}
    for path in sorted(folder.glob("*.np[yz]")):
        loaded = np.load(path)
        if path.suffix == ".npy":
            frame, dense = codec.encode(loaded), loaded
        else:
            n = int(loaded["dimension"])
            frame = codec.encode_sparse(loaded["keys"], loaded["values"], n)
            dense = np.zeros(n, np.float32)
            dense[loaded["keys"]] = loaded["values"]
        keys, values = gcodec.decode_sparse(frame)
        wanted = min(round(speed.RATIO * dense.size), np.count_nonzero(dense))
        assert keys.size == wanted
        bound = gcodec.inspect(frame).header["bound"]
        assert (np.abs(values - dense[keys]) <= bound * np.abs(dense[keys]) + 2.0**-150).all()
        found[path.stem] = gcodec.inspect(frame).to_dict()
    return found


def show(title, figures, columns=None):
    """A table of rows that need not have the same columns."""
    columns = columns or list(dict.fromkeys(column for row in figures.values() for column in row))
    rows = [[name, *(row.get(column, "") for column in columns)] for name, row in figures.items()]
    print(table(f"\n{title}", ["", *columns], rows), flush=True)


def on_laws(parts, n, rounds):
    """Every wanted group, on every law."""
    figures = {}
    for law, draw in LAWS.items():
        pool = buffers(draw, n)
        figures[law] = {}
        for part in (part for part in ON_LAWS if part in parts):
            title, measure = ON_LAWS[part]
            figures[law][part] = measure(pool, rounds)
            show(f"{title}, {law}", figures[law][part])
    return figures


def on_real(folder, n, rounds):
    """The rows that matter most, on real gradients tiled to n elements."""
    figures = {}
    for path in real(folder):
        figures[path.stem] = peers.sparse(tiled(path, n), max(rounds // 3, 3), ON_REAL)
        show(f"1 % kept, {path.stem}", figures[path.stem])
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gradients", type=Path, help="folder of float32 .npy, and .npz of keys and values"
    )
    parser.add_argument("--n", type=int, default=N, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
        help=f"measure only these of {', '.join(PARTS)}; nothing is stored then",
    )  # fmt: skip
    arguments = parser.parse_args()
    gcodec.set_threads(1)
    here, absent = peers.installed()
    print(f"peers: {', '.join(here) or 'none'}; absent: {', '.join(absent) or 'none'}")
    figures = {"n": arguments.n, "rounds": arguments.rounds, "absent": absent}
    before = os.getloadavg()[0]
    if "first call" in arguments.parts:
        figures["first call"] = speed.first_call()
        show("CPU time of a fresh process, kernels cached", figures["first call"])
    figures["laws"] = on_laws(arguments.parts, arguments.n, arguments.rounds)
    if arguments.gradients and "real" in arguments.parts:
        figures["real"] = on_real(arguments.gradients, arguments.n, arguments.rounds)
    if arguments.gradients and "sizes" in arguments.parts:
        figures["sizes"] = sizes(arguments.gradients)
        show(SIZES_RECIPE, figures["sizes"], [
            "bits_per_key", "key_entropy", "bits_per_value", "value_entropy", "bytes_per_kept",
            "ratio_to_dense",
        ])  # fmt: skip
    figures["load"] = [before, os.getloadavg()[0]]
    print(f"\nload average {figures['load'][0]:.1f} before, {figures['load'][1]:.1f} after")
    if (arguments.n, arguments.parts) == (N, PARTS) and arguments.rounds >= ROUNDS:
        print(store("codec", figures, here))


if __name__ == "__main__":
    main()
