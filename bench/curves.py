"""What `plots.py` draws and no other bench stores: `python bench/curves.py [--gradients DIR]`.

Bits per element and relative error of codecs as their parameters vary, on a Laplace law and on a
real gradient; speed by size, in CPU time of one thread; costs of messages on a formula's network.
Under a minute. `bench/results/curves.json`
"""

import argparse
from pathlib import Path

import numpy as np
from data import buffers, cut, laplace
from harness import READ, interleave, read_pass, store

import gcodec
from gcodec.fusion import Link, calibrate
from gcodec.fusion.networks import recorded

N = 1 << 20
REAL = "char_transformer_step0200.npy"
RATIOS = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.35, 0.5, 0.7, 0.99)
SIZES = tuple(1 << log2 for log2 in range(10, 25, 2))
CACHED = 1 << 18
"""Smaller gradients are timed as many in a row as have so many elements."""
RATIO = 0.01
CODEC = "reclog:ratio=0.01,per_octave=4"
RANKS, GBIT, LATENCY = 4, 1.0, 50e-6


def families():
    """Codecs of one line each, from few bits to many."""
    top, everything = gcodec.TopK, gcodec.Dense()
    log, levels = gcodec.ReciprocalLog, (1, 2, 4, 8, 16)
    return {
        "random k, as they are": [gcodec.Codec(gcodec.RandomK(ratio)) for ratio in RATIOS],
        "top k, as they are": [gcodec.Codec(top(ratio)) for ratio in RATIOS],
        "top k, 4 log levels an octave": [gcodec.Codec(top(ratio), log(4)) for ratio in RATIOS],
        "top k, 2 bits": [gcodec.Codec(top(ratio), gcodec.FewBit(2)) for ratio in RATIOS],
        "everything, 1 to 3 bits": [
            gcodec.Codec(everything, gcodec.FewBit(bits)) for bits in (1, 2, 3)
        ],
        "everything, QSGD, blocks of 512": [
            gcodec.Codec(everything, gcodec.QSGD(level, norm="max"), scales=512)
            for level in (1, 3, 7, 15, 31, 63, 127, 255)
        ],
        "everything, even levels": [
            gcodec.Codec(everything, gcodec.Uniform(bits)) for bits in range(2, 10)
        ],
        "everything, log levels": [
            gcodec.Codec(everything, log(number, bits=8)) for number in levels
        ],
    }


def rates(grad):
    """(bits per element, relative error) of every codec of every family."""
    lines = {}
    for family, codecs in families().items():
        lines[family] = points = []
        for codec in codecs:
            frame = codec.encode(grad)
            error = gcodec.verify(frame, grad).error
            points.append([8 * len(frame) / grad.size, error])
    return lines


def least():
    """(bits, relative error) below which no code of independent Laplace elements comes.

    Tangents of the rate-distortion function by Blahut and Arimoto (IEEE Trans. Inf. Theory 1972),
    each of which is a bound however far their iterations got, and Shannon's lower bound, which is
    close where the grid is too coarse.
    """
    errors = 1 - np.geomspace(0.003, 0.98, 80)
    bits = 0.5 * np.log2(np.e / np.pi / errors**2)
    for slope in np.geomspace(0.08, 40, 50):
        x = np.linspace(-1, 1, 501) * (14 if slope > 0.5 else 40)
        source = np.exp(-np.abs(x))
        source /= source.sum()
        kernel, output = np.exp(-slope * (x[:, None] - x) ** 2), np.full(x.size, 1 / x.size)
        for _ in range(1000):
            gain = source @ (kernel / (kernel @ output)[:, None])
            output *= gain
        gain = source @ (kernel / (kernel @ output)[:, None])
        height = -float(source @ np.log(kernel @ output)) - np.log(gain.max())
        tangent = height - slope * errors**2 * float(source @ x**2)
        bits = np.maximum(bits, tangent / np.log(2))
    return [[float(b), float(e)] for b, e in zip(bits, errors, strict=True) if b > 1e-4]


def speeds(rounds):
    """Seconds by size and contender, of a Laplace law of which 1 % goes."""
    pool, found = buffers(laplace, SIZES[-1]), {}
    log = gcodec.ReciprocalLog(4)
    for n in SIZES:
        grads, repeats, kept = pool[:, :n], max(1, CACHED // n), max(1, round(RATIO * n))
        threshold = cut(grads[0], RATIO)
        above = gcodec.Codec(gcodec.Threshold(threshold), log)
        largest = gcodec.Codec(gcodec.TopK(RATIO), log)
        frames, out = [largest.encode(grad) for grad in grads], np.zeros(n, np.float32)

        def coo(grad, limit=threshold):
            keys = np.flatnonzero(np.abs(grad) > limit)
            return keys.astype(np.uint32), grad[keys]

        def partition(grad, kept=kept):
            keys = np.sort(np.argpartition(np.abs(grad), grad.size - kept)[-kept:])
            return keys.astype(np.uint32), grad[keys]

        calls = {
            READ: lambda i, g=grads: read_pass(g[i].view(np.uint32)),
            "encode, threshold known": lambda i, g=grads, c=above: c.encode(g[i]),
            "encode, exact top-k": lambda i, g=grads, c=largest: c.encode(g[i]),
            "decode + accumulate": lambda i, f=frames, o=out: gcodec.accumulate(f[i], o),
            "numpy: flatnonzero, COO": lambda i, g=grads, f=coo: f(g[i]),
            "numpy: argpartition, COO": lambda i, g=grads, f=partition: f(g[i]),
        }

        def often(call, repeats=repeats):
            def repeated(turn):
                for number in range(repeats):
                    call((turn + number) % 3)

            return repeated

        seconds = interleave({name: often(call) for name, call in calls.items()}, rounds=rounds)
        for name, each in seconds.items():
            found.setdefault(name, []).append([n, each / repeats])
    return found


def costs():
    """Tables of what messages cost between ranks of a formula's network."""
    layers, link = recorded("resnet50"), Link(RANKS, GBIT * 1e9, LATENCY)
    tables = calibrate(link, gcodec.get_codec(CODEC), sum(layers.sizes))
    return {name: [table.sizes, table.seconds] for name, table in tables._asdict().items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gradients", type=Path, help=f"a folder that has {REAL}")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    gcodec.set_threads(1)
    found = {"Laplace": rates(laplace(np.random.default_rng(0), N))}
    if arguments.gradients:
        found["transformer"] = rates(np.load(arguments.gradients / REAL))
    figures = {
        "rates": found,
        "least": least(),
        "speeds": speeds(arguments.rounds),
        "costs": {"codec": CODEC, "ranks": RANKS, "gbit": GBIT, "tables": costs()},
    }
    print(store("curves", figures))


if __name__ == "__main__":
    main()
