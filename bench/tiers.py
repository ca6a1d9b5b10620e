"""Encoding above a known threshold as other CPUs do: `python bench/tiers.py`.

Child processes compile for a CPU each (Numba's settings, a cache of its own) and take turns; a
figure is the median of a CPU's children. Each child interleaves its encodes with a one-pass read
that its setting does not slow: NumPy's maximum of uint32, which picks its instructions by itself
and reads as fast as any loop here. The AVX-512 and AVX2 of other machines may have other clocks.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from data import LAWS, buffers, cut
from harness import READ, store, table
from speed import DENSITIES, PACKINGS, checked, encoding, timed

import gcodec
from gcodec.kernels.cpu.vector import COMPRESS, LOCATE, MASK, best_tier

CPUS = {
    "this CPU": {},
    "AVX-512": {"NUMBA_CPU_NAME": "x86-64-v4", "NUMBA_CPU_FEATURES": "+avx512f"},
    "AVX2": {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""},
    "SSE2": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""},
}
TIERS = {MASK: "mask", COMPRESS: "compress", LOCATE: "locate"}
AIMS = {0.1: 0.28, 0.01: 0.45, 0.001: 0.65}
N, ROUNDS, TURNS = 1 << 24, 9, 3


def shares(n, rounds):
    """Shares of a one-pass read, and what it takes, by law."""
    gcodec.set_threads(1)
    found = {"tier": TIERS[best_tier()]}
    for law, draw in LAWS.items():
        grads = buffers(draw, n)
        codecs = {}
        for density in DENSITIES:
            limit = cut(grads[0], density)
            for title in ("auto", "blocks", "blocks, fixed"):
                recipe = f"reclog:threshold={limit!r},{PACKINGS[title]}"
                codecs[f"{law}, {density:.1%}, {title}"] = gcodec.get_codec(recipe)
        for codec in codecs.values():
            checked(codec, grads[0])
        contenders = {name: encoding(codec, grads) for name, codec in codecs.items()}
        read = {READ: lambda i, grads=grads: np.max(grads[i % 3].view(np.uint32))}
        figures = timed(read | contenders, rounds)
        found |= {name: figures[name]["share"] for name in contenders}
        found[f"{law}, read, ms"] = figures[READ]["ms"]
    return found


def child(cpu, cache, n, rounds):
    """`shares` in a process that compiles for a CPU."""
    settings = {"NUMBA_CACHE_DIR": str(Path(cache) / cpu), **CPUS[cpu]}
    done = subprocess.run(
        [sys.executable, __file__, "--child", f"--n={n}", f"--rounds={rounds}"],
        env=os.environ | settings, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=N)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(shares(arguments.n, arguments.rounds)))
        return
    with TemporaryDirectory() as cache:
        runs = {cpu: [] for cpu in CPUS}
        for _ in range(arguments.turns):
            for cpu, own in runs.items():
                own.append(child(cpu, cache, arguments.n, arguments.rounds))
    figures = {
        cpu: {
            name: own[0][name] if name == "tier" else median(run[name] for run in own)
            for name in own[0]
        }
        for cpu, own in runs.items()
    }
    cells = [[name, *(figures[cpu][name] for cpu in CPUS)] for name in figures["this CPU"]]
    aims = ", ".join(f"{density:.1%}: {aim:.0%}" for density, aim in AIMS.items())
    title = f"encode, threshold known, {arguments.n} elements: share of a read (aims {aims})"
    print(table(title, ["", *CPUS], cells))
    print(store("tiers", figures))


if __name__ == "__main__":
    main()
