"""What methods do to training: `OPENBLAS_NUM_THREADS=1 python bench/training.py [--data MNIST]`.

Four ranks, simulated in one process, train a small convolutional network (`models.py`); every rank
has its own batches and memory, and what it sends is really encoded and decoded. One message a step
holds the whole gradient. For each seed all methods start from the same parameters and see the same
batches, so differences to dense are paired. Learning rates are those best for dense on other seeds,
and momentum is 0.9 for all: in the optimizer, but for dgc, which has its own.

Not the published systems but their compressors: sparseloco without local steps, dgc without
clipping. At 0.1 % a message has 23 elements on digits
and 109 on MNIST: sidco (digits) and gradient-dropping are exact there, and dgc mostly falls back.
Some 15 minutes of one core, a quarter of it for the digits.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

import numpy as np
from harness import store, table
from models import Network, check

import gcodec
from gcodec.cli.images import load_digits_images, load_npz

RANKS = 4
MOMENTUM = 0.9
RATIOS = (0.01, 0.001)
WARM_UP = (0.25, 0.0625, 0.015625, 0.004)
WARM_UP_PHASES = 20
"""A ratio of the warm-up lasts this part of the training."""


class Plain:
    """No feedback: what a message leaves out is lost."""

    def __init__(self, codec):
        self.codec = codec

    def encode(self, name, grad, *, step, tensors):
        return self.codec.encode(grad, name=name, step=step, tensors=tensors)

    def commit(self, name):
        """Nothing to keep."""


def feedback(recipe):
    return lambda rank, steps: gcodec.ErrorFeedback(gcodec.get_codec(recipe))


def momentum(recipe, *, masking=True, warm=False):
    def make(rank, steps):
        codec = gcodec.get_codec(recipe)
        if warm:
            ratios = [ratio for ratio in WARM_UP if ratio > codec.select.ratio]
            codec = gcodec.WarmUp(codec, steps // WARM_UP_PHASES, ratios)
        return gcodec.MomentumFeedback(codec, momentum=MOMENTUM, masking=masking)

    return make


def methods():
    """For each name: what makes a rank's memory, None for no compression."""
    found = {"dense": None}
    for ratio in RATIOS:
        shown = f"{ratio:.1%}".replace(".0%", "%").replace("%", " %")
        for recipe in ("topk", "reclog", "sidco"):
            found[f"{recipe} {shown}"] = feedback(f"{recipe}:ratio={ratio}")
        found[f"sidco as published {shown}"] = feedback(f"sidco:ratio={ratio},stages=0,verified=0")
        for bits in (32, 2, 1):
            recipe = f"gradient-dropping:ratio={ratio},bits={bits}"
            found[f"gradient-dropping {bits} bits {shown}"] = feedback(recipe)
        found[f"dgc {shown}"] = momentum(f"dgc:ratio={ratio}")
        found[f"dgc unmasked {shown}"] = momentum(f"dgc:ratio={ratio}", masking=False)
        found[f"dgc warm-up {shown}"] = momentum(f"dgc:ratio={ratio}", warm=True)
        found[f"randomk {shown}"] = feedback(f"randomk:ratio={ratio}")
    found["sparseloco 64 of 4096"] = feedback("sparseloco")
    found["sparseloco 4 of 4096"] = feedback("sparseloco:k=4")
    found["qsgd"] = lambda rank, steps: Plain(gcodec.get_codec("qsgd"))
    found["qsgd, a seed per rank"] = lambda rank, steps: Plain(
        gcodec.get_codec(f"qsgd:seed={rank}")
    )
    found["qsgd, 4 bits in buckets of 512"] = lambda rank, steps: Plain(
        gcodec.get_codec(f"qsgd:levels=7,norm=max,scales=512,seed={rank}")
    )
    found["efsignsgd"] = feedback("efsignsgd")
    found["efsignsgd, a scale per tensor"] = feedback("efsignsgd:scales=tensor")
    found["onebit, a scale per row and sign"] = feedback("onebit:scales=row")
    found["8-bit log codes"] = lambda rank, steps: Plain(
        gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(16, bits=8), values="fixed")
    )
    return found


def train(make, images, seed, *, steps, batch, rate, pad):
    """One run: its accuracy on the test images, and what its messages were."""
    side = int(np.sqrt(images["train_images"].shape[1]))
    pixels = images["train_images"].reshape(-1, side, side)
    network = Network(side, seed, pad=pad)
    memories = [make(rank, steps) for rank in range(RANKS)] if make else []
    own_momentum = bool(memories) and isinstance(memories[0], gcodec.MomentumFeedback)
    velocity, total = (np.zeros_like(network.parameters) for _ in range(2))
    random = np.random.default_rng(seed)
    sent = 0
    for step in range(steps):
        drawn = random.choice(len(pixels), (RANKS, batch), replace=False)
        inputs = np.divide(pixels[drawn], 255, dtype=np.float32)
        grads = network.gradients(inputs, images["train_labels"][drawn])
        total[:] = 0
        for rank, memory in enumerate(memories):
            frame = memory.encode("model", grads[rank], step=step, tensors=network.layout)
            gcodec.accumulate(frame, total)
            memory.commit("model")
            sent += len(frame)
        if not memories:
            sent += grads.nbytes
            for grad in grads:
                total += grad
        np.divide(total, RANKS, out=total)
        velocity *= 0 if own_momentum else MOMENTUM
        velocity += total
        network.parameters -= np.float32(rate * (1 - step / steps)) * velocity
    tests = np.divide(images["test_images"].reshape(-1, side, side), 255, dtype=np.float32)
    counters = [memory.counters for memory in memories if hasattr(memory, "counters")]
    messages = sum(counter.messages for counter in counters)
    return {
        "accuracy": network.accuracy(tests, images["test_labels"]),
        "bytes": sent / RANKS,
        "dense bytes": steps * network.parameters.nbytes,
        "kept": sum(c.kept for c in counters) / messages / total.size if messages else 1.0,
        "fallbacks": sum(counter.fallbacks for counter in counters),
        "messages": messages,
    }


def summary(runs, dense):
    """Of one method's runs, beside the dense runs of the same seeds."""
    gaps = [run["accuracy"] - other["accuracy"] for run, other in zip(runs, dense, strict=True)]
    messages = sum(run["messages"] for run in runs)
    return {
        "accuracy": mean(run["accuracy"] for run in runs),
        "to dense": mean(gaps),
        "standard error": stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0,
        "bytes per rank": mean(run["bytes"] for run in runs),
        "times smaller": mean(run["dense bytes"] / run["bytes"] for run in runs),
        "kept": mean(run["kept"] for run in runs),
        "fallbacks": sum(run["fallbacks"] for run in runs) / messages if messages else 0.0,
        "accuracies": [run["accuracy"] for run in runs],
    }


def compare(name, images, settings, seeds, wanted):
    """All methods on one set of images, the worst first."""
    started = perf_counter()
    makes = {
        method: make
        for method, make in methods().items()
        if not make or any(part in method for part in wanted)
    }
    runs = {method: [] for method in makes}
    for seed in range(seeds):
        for method, make in makes.items():
            runs[method].append(train(make, images, seed, **settings))
            accuracy = runs[method][-1]["accuracy"]
            print(f"{perf_counter() - started:5.0f} s {method}: {accuracy:.2%}", file=sys.stderr)
    rows = {method: summary(own, runs["dense"]) for method, own in runs.items()}
    rows = dict(sorted(rows.items(), key=lambda item: item[1]["accuracy"]))
    columns = ["test accuracy", "to dense, points", "KB per rank", "times smaller", "kept", "fell"]
    cells = [
        [
            method,
            f"{row['accuracy']:.2%}",
            f"{100 * row['to dense']:+.2f} ± {100 * row['standard error']:.2f}",
            f"{row['bytes per rank'] / 1e3:,.1f}",
            f"{row['times smaller']:,.1f}",
            f"{row['kept']:.2%}",
            f"{row['fallbacks']:.1%}",
        ]
        for method, row in rows.items()
    ]
    ranks = f"{RANKS} ranks of {settings['batch']}"
    title = f"{name}: {settings['steps']} steps, {ranks}, {seeds} seeds"
    print(table(f"\n{title}", ["", *columns], cells), flush=True)
    return {"settings": settings, "seeds": seeds, "methods": rows}


def keep(figures, wanted):
    """Store a comparison of all methods."""
    if not any(wanted):
        print(store("training", figures))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=".npz of MNIST's arrays, for a second comparison")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=[""], help="only those with such a part")
    parser.add_argument("--check", action="store_true", help="of the network's gradients, only")
    arguments = parser.parse_args()
    check()
    if arguments.check:
        return
    few = (arguments.seeds, arguments.methods)
    settings = {"steps": 150, "batch": 16, "rate": 0.08, "pad": 1}
    figures = {"digits": compare("digits", load_digits_images(), settings, *few)}
    keep(figures, arguments.methods)
    if arguments.data:
        settings = {"steps": 300, "batch": 8, "rate": 0.04, "pad": 0}
        figures["MNIST"] = compare("MNIST", load_npz(arguments.data), settings, *few)
        keep(figures, arguments.methods)


if __name__ == "__main__":
    main()
