"""Count-sketches: what they cost, what they find, and training: `python bench/sketch.py`.

Speed: one thread, CPU time, contenders in turn; nanoseconds for an element and row to insert, for
an element to decode. Beside a plain pass, a scatter-add whose indices are there already, and what
CSVec does in each step: hashes for all elements kept (12 bytes for each and row), a prime number of
columns, bincount to insert, the median of all estimates and a sort of the largest to decode. Its
hashes are drawn here, since only what is done in a step is timed.

Recall: the share of the 0.1 % largest that are among 1 and 4 candidates for each, mean of four
seeds. Training: four ranks on digits, the network and schedule of `gcodec demo`, and with
`--mnist FILE` on MNIST, two epochs of the ten; bytes are what a rank sends on the wire,
dense as a ring allreduce, gathered messages to each other rank. Stability: a quadratic, 600 steps,
with what is offered and what is not.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from statistics import mean, stdev
from threading import Barrier

import numba
import numpy as np
from data import real
from harness import RESULTS, interleave, read_pass, store, table

import gcodec
from gcodec.cli.demo import DIGITS, MNIST
from gcodec.cli.images import load_digits_images, load_npz
from gcodec.cli.training import Network
from gcodec.collectives import Allreduce, FetchSGD, SketchAllreduce

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

PRIMES = {1 << 14: 16381, 1 << 16: 65521, 1 << 18: 262139}
SIZES = (
    (1 << 20, 1 << 14), (1 << 20, 1 << 16), (1 << 24, 1 << 16), (1 << 24, 1 << 18),
)  # fmt: skip
RANKS, MOMENTUM = 4, 0.9
SHORT = MNIST._replace(epochs=2)
PARTS = ("speed", "recall", "digits", "MNIST", "stability")


@numba.njit(nogil=True)
def scatter_add(values, indices, cells):
    """What is left of inserting where the hash costs nothing: 64 K indices, again and again."""
    last = np.uint64(indices.size - 1)
    for i in range(np.uint64(values.size)):
        cells[indices[i & last]] += values[i]


class Kept:
    """What CSVec keeps and does, in NumPy, or in torch as it does itself."""

    def __init__(self, d, rows, columns, rng, library):
        self.library = library
        self.buckets = rng.integers(0, columns, (rows, d))
        self.signs = rng.choice(np.array([-1, 1], np.float32), (rows, d))
        self.cells = np.zeros((rows, columns), np.float32)
        if library is torch:
            self.buckets, self.signs, self.cells = map(
                torch.from_numpy, (self.buckets, self.signs, self.cells)
            )

    def insert(self, grad):
        columns = self.cells.shape[1]
        for buckets, signs, cells in zip(self.buckets, self.signs, self.cells, strict=True):
            if self.library is torch:
                cells += torch.bincount(buckets, signs * grad, columns)
            else:
                cells += np.bincount(buckets, signs * grad, columns).astype(np.float32)

    def heavy_hitters(self, k):
        if self.library is torch:
            said = torch.gather(self.cells, 1, self.buckets) * self.signs
            estimates = said.median(dim=0).values
            return torch.topk(estimates**2, k, sorted=False).indices
        said = np.take_along_axis(self.cells, self.buckets, 1) * self.signs
        estimates = np.sort(said, axis=0)[len(said) // 2]
        return np.argpartition(np.square(estimates), estimates.size - k)[-k:]


def speed(rounds):
    """Rows of figures for each size."""
    gcodec.set_threads(1)
    figures, rows_of_table = {}, []
    for d, columns in SIZES:
        rng = np.random.default_rng(0)
        grad = rng.standard_t(3, d).astype(np.float32)
        indices = rng.integers(0, columns, 1 << 16).astype(np.uint32)
        target = np.zeros(columns, np.float32)
        k = d // 1000
        for rows in (3, 5):
            sketch = gcodec.CountSketch(d, columns=columns, rows=rows)
            filled = gcodec.CountSketch(d, columns=columns, rows=rows).insert(grad)
            contenders = {
                "pass": lambda i, grad=grad: read_pass(grad.view(np.uint32)),
                "scatter": lambda i, g=grad, x=indices, t=target: scatter_add(g, x, t),
                "insert": lambda i, s=sketch, g=grad: s.insert(g),
                "decode": lambda i, s=filled, k=k: s.heavy_hitters(k),
                "decode agree": lambda i, s=filled, k=k: s.heavy_hitters(k, how="agree"),
            }
            for name, library in (("NumPy", np), ("torch", torch)):
                if library is None:
                    continue
                kept = Kept(d, rows, PRIMES[columns], rng, library)
                given = torch.from_numpy(grad) if library is torch else grad
                contenders[f"{name} insert"] = lambda i, c=kept, g=given: c.insert(g)
                contenders[f"{name} decode"] = lambda i, c=kept, k=k: c.heavy_hitters(k)
            own = rounds if d < 1 << 22 else max(rounds // 3, 3)
            pick = min  # others use these cores too
            seconds = interleave(
                contenders, rounds=own, warmups=1, clock=time.thread_time_ns, pick=pick
            )
            ns = {name: value / d * 1e9 for name, value in seconds.items()}
            for name in ns:
                if name.endswith("insert"):
                    ns[name] /= rows
            figures[f"d=2^{d.bit_length() - 1} c=2^{columns.bit_length() - 1} r={rows}"] = ns
            print(list(figures)[-1], {name: round(x, 2) for name, x in ns.items()}, file=sys.stderr)
            slower = [
                f"{ns[f'{peer} {what}'] / ns[what]:.1f}" if f"{peer} {what}" in ns else "-"
                for what in ("insert", "decode")
                for peer in ("NumPy", "torch")
            ]
            rows_of_table.append([
                list(figures)[-1], ns["pass"], ns["scatter"], ns["insert"],
                f"{ns['insert'] / ns['scatter']:.2f}", ns["decode"], ns["decode agree"], *slower,
            ])  # fmt: skip
    columns = ["pass", "scatter", "insert", "to scatter", "decode", "agree"]
    columns += ["NumPy insert", "torch insert", "NumPy decode", "torch decode"]
    print(table("\nns, and how many times longer others take", ["", *columns], rows_of_table))
    gcodec.set_threads(None)
    return figures


def zipf(rng, n, exponent):
    values = rng.permutation(np.arange(1, n + 1.0) ** -exponent)
    return values * rng.choice([-1, 1], n)


LAWS = {
    "Zipf 1.1": lambda rng, n: zipf(rng, n, 1.1),
    "Zipf 0.6": lambda rng, n: zipf(rng, n, 0.6),
    "Student t3": lambda rng, n: rng.standard_t(3, n),
    "Laplace": lambda rng, n: rng.laplace(size=n),
}
WAYS = ((2, "agree"), (3, "agree"), (3, "median"), (5, "median"), (7, "median"))


def recall(folder, n=1 << 20, seeds=4):
    """For each gradient: columns for each element wanted, rows, and what was found."""
    grads = {law: make(np.random.default_rng(7), n) for law, make in LAWS.items()}
    grads |= {path.stem: np.load(path).reshape(-1) for path in real(folder)} if folder else {}
    figures = {}
    for name, grad in grads.items():
        grad = grad.astype(np.float32)
        k = grad.size // 1000
        largest = np.argpartition(-np.abs(grad), k)[:k]
        for each in (4, 16, 64):
            columns = 1 << (each * k - 1).bit_length()
            for rows, how in WAYS:
                shares = {1: [], 4: []}
                for seed in range(seeds):
                    sketch = gcodec.CountSketch(grad.size, columns=columns, rows=rows, seed=seed)
                    sketch.insert(grad)
                    for candidates, of in shares.items():
                        keys, _ = sketch.heavy_hitters(candidates * k, how=how)
                        of.append(float(np.isin(largest, keys).mean()))
                found = {candidates: mean(of) for candidates, of in shares.items()}
                figures.setdefault(name, {})[f"{each} columns, {rows} rows, {how}"] = found
    ways = list(next(iter(figures.values())))
    cells = [
        [way, *(f"{own[way][1]:.2f} / {own[way][4]:.2f}" for own in figures.values())]
        for way in ways
    ]
    print(table("\nrecall of 0.1 %, 1 / 4 candidates", ["columns for each", *figures], cells))
    return figures


class Rank:
    """One rank's end of a group of threads, which counts what it sends to others."""

    def __init__(self, rank, size, barrier, slots):
        self.rank, self.size, self._barrier, self._slots = rank, size, barrier, slots
        self.sent = 0

    def _exchange(self, message):
        self._slots[self.rank] = message
        self._barrier.wait()
        messages = deepcopy(self._slots)
        self._barrier.wait()
        return messages

    def announce(self, head, rider):
        self.sent += (self.size - 1) * (head.size + rider.size)
        return self._exchange((head, rider))

    def allgatherv(self, message, sizes):
        self.sent += (self.size - 1) * message.size
        return self._exchange(message)

    def allgather(self, message):
        return np.stack(self.allgatherv(message, None))

    def alltoallv(self, messages, sizes):
        self.sent += sum(message.size for message in messages) - messages[self.rank].size
        return [everyone[self.rank] for everyone in self._exchange(list(messages))]


def methods():
    """For each name: what makes a rank's allreduce, and whether that has the momentum."""
    topk = gcodec.get_codec("topk:ratio=0.01")
    return {
        "dense": (None, False),
        "top-k of each rank, 1 %": (
            lambda c: Allreduce(c, topk, feedback=gcodec.ErrorFeedback(topk)),
            False,
        ),
        "sketch, 3 rows that agree, 1 %": (lambda c: SketchAllreduce(c, ratio=0.01), False),
        "sketch, 3 rows that agree, all candidates, 4 %": (
            lambda c: SketchAllreduce(c, ratio=0.04, candidates=1),
            False,
        ),
        "sketch, median of 5 rows, 1 %": (
            lambda c: SketchAllreduce(c, ratio=0.01, rows=5, how="median"),
            False,
        ),
        "sketch, 3 rows, masked momentum, 1 %": (
            lambda c: SketchAllreduce(c, ratio=0.01, momentum=MOMENTUM),
            True,
        ),
        "fetchsgd, 1 %": (lambda c: FetchSGD(c, ratio=0.01, momentum=MOMENTUM), True),
    }


def train(make, own_momentum, images, schedule, seed):
    """Accuracy on the test images, and bytes that a rank sent: the run of `gcodec demo`."""
    pixels = np.divide(images["train_images"], 255, dtype=np.float32)
    labels = images["train_labels"]
    network = Network([pixels.shape[1], *schedule.hidden, 10], seed)
    barrier, slots = Barrier(RANKS), [None] * RANKS
    ends = [Rank(rank, RANKS, barrier, slots) for rank in range(RANKS)]
    ranks = [make(end) for end in ends] if make else []
    velocity, random, step = np.zeros_like(network.parameters), np.random.default_rng(seed), 0
    steps = len(labels) // (RANKS * schedule.batch)
    with ThreadPoolExecutor(RANKS) as pool:
        for _ in range(schedule.epochs):
            order = random.permutation(len(labels))[: steps * RANKS * schedule.batch]
            for drawn in order.reshape(steps, RANKS, schedule.batch):
                grads = [network.backward(pixels[own], labels[own]).copy() for own in drawn]
                total = np.mean(grads, axis=0)
                if ranks:
                    calls = [
                        pool.submit(allreduce, "model", grad, step=step)
                        for allreduce, grad in zip(ranks, grads, strict=True)
                    ]
                    means = [call.result() for call in calls]
                    assert len({each.tobytes() for each in means}) == 1
                    total = means[0]
                velocity *= 0 if own_momentum else MOMENTUM
                velocity += total
                rate = schedule.learning_rate * (1 - step / (steps * schedule.epochs))
                network.parameters -= np.float32(rate) * velocity
                step += 1
    tests = np.divide(images["test_images"], 255, dtype=np.float32)
    guesses = network.forward(tests)[-1].argmax(axis=1)
    accuracy = float((guesses == images["test_labels"]).mean())
    ring = 2 * (RANKS - 1) / RANKS * network.parameters.nbytes
    return accuracy, ends[0].sent if ranks else step * ring


def training(name, images, schedule, seeds, wanted):
    """Methods beside dense, paired by seed."""
    figures = {}
    for method, (make, own) in methods().items():
        if make and not any(part in method for part in wanted):
            continue
        runs = [train(make, own, images, schedule, seed) for seed in range(seeds)]
        accuracies = [accuracy for accuracy, _ in runs]
        dense = figures.get("dense", {"accuracies": accuracies})["accuracies"]
        gaps = [100 * (a - b) for a, b in zip(accuracies, dense, strict=True)]
        figures[method] = {
            "accuracies": accuracies,
            "to dense": mean(gaps),
            "standard error": stdev(gaps) / seeds**0.5 if seeds > 1 else 0.0,
            "bytes per rank": runs[0][1],
        }
        print(method, figures[method], file=sys.stderr, flush=True)
    cells = [
        [name, f"{mean(f['accuracies']):.2%}", f"{f['to dense']:+.2f} ± {f['standard error']:.2f}",
            f"{f['bytes per rank'] / 1e6:.2f}"]
        for name, f in figures.items()
    ]  # fmt: skip
    columns = ["", "test accuracy", "to dense, points", "MB per rank"]
    print(table(f"\n{name}, {seeds} seeds", columns, cells))
    return figures


class ReadOff(SketchAllreduce):
    """What is not offered: values read off the sketch, with the same residual."""

    def total(self, sketch, cells):
        self.sketch_of_sum = super().total(sketch, cells)
        return self.sketch_of_sum

    def _exact(self, keys, mine, failure):
        super()._exact(keys, mine, failure)
        return self.sketch_of_sum.estimate(keys)


class OneHash(ReadOff):
    """And of one hash for ever."""

    def total(self, sketch, cells):
        self._sequence = 0
        return super().total(sketch, cells)


def stability(steps, n=1 << 11):
    """Loss of a quadratic with curvatures i^-0.7 and noise, over that of the start."""
    curvature = np.arange(1, n + 1) ** -0.7
    start = np.random.default_rng(0).standard_normal(n)
    few = {"k": 16, "columns": 128, "rows": 5, "how": "median"}
    schemes = {
        "exact values": lambda c: SketchAllreduce(c, **few),
        "values read off": lambda c: ReadOff(c, **few),
        "values read off, one hash": lambda c: OneHash(c, **few),
        "fetchsgd, no momentum": lambda c: FetchSGD(c, k=16, columns=128, momentum=0.0),
    }
    figures = {}
    for name, make in ({"dense": None} | schemes).items():
        barrier, slots = Barrier(RANKS), [None] * RANKS
        ranks = [make(Rank(r, RANKS, barrier, slots)) for r in range(RANKS)] if make else []
        noise, x = [np.random.default_rng(rank) for rank in range(RANKS)], start.copy()
        with ThreadPoolExecutor(RANKS) as pool:
            for step in range(steps):
                grads = [curvature * x + own.normal(0, 0.02, n) for own in noise]
                grads = [grad.astype(np.float32) for grad in grads]
                total = np.mean(grads, axis=0)
                if ranks:
                    calls = [
                        pool.submit(allreduce, "x", grad, step=step)
                        for allreduce, grad in zip(ranks, grads, strict=True)
                    ]
                    total, *_ = [call.result() for call in calls]
                x -= 0.3 * total
        figures[name] = float(curvature @ np.square(x) / (curvature @ np.square(start)))
        print(f"{name}: {figures[name]:.4g} of the loss at the start", file=sys.stderr)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gradients", type=Path, help="folder of real gradients, for recall")
    parser.add_argument("--mnist", type=Path, help=".npz of MNIST's arrays, for training")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=[""], help="train those with such a part")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    few = arguments.seeds, arguments.methods
    runs = {
        "speed": lambda: speed(arguments.rounds),
        "recall": lambda: recall(arguments.gradients),
        "digits": lambda: training("digits", load_digits_images(), DIGITS, *few),
        "MNIST": lambda: training("MNIST", load_npz(arguments.mnist), SHORT, *few),
        "stability": lambda: stability(600),
    }
    stored = RESULTS / "sketch.json"
    figures = json.loads(stored.read_text())["figures"] if stored.exists() else {}
    figures = {part: figures[part] for part in PARTS if part in figures}
    for part in arguments.parts:
        if part != "MNIST" or arguments.mnist:
            figures[part] = {"found": runs[part](), "load": os.getloadavg()[0]}
            print(store("sketch", figures, ("torch",) if torch else ()))


if __name__ == "__main__":
    main()
