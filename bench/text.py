"""Sparse gradients of a linear model: `OPENBLAS_NUM_THREADS=1 python bench/text.py`.

The case of SketchML (Jiang, Fu, Yang, Cui, SIGMOD 2018) and FastSGD (arXiv 2112.04291): logistic
regression on hashed text, where a gradient is key-value pairs. The text is the source of Python's
standard library in pieces of ten lines; the question is whether a piece comes from a test. Files
are either trained on or tested on. Features are 1 to 3 words in a row, hashed to 2^22. The corpus,
and so every figure, depends on the Python version.

Seconds are medians for one message in turns, on gradients of the run itself, and leave out a
residual's upkeep, which is listed by itself. Peers carry neither checks nor a header.
"""

import argparse
import sysconfig
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from harness import interleave, store, table
from sketchml import SketchML
from sklearn.feature_extraction.text import HashingVectorizer

import gcodec

FEATURES = 1 << 22
LINES = 10
RANKS = 4
RATE = 300.0
SHARES = (0.5, 0.1)
TIMED = 6
"""Messages that are timed: of rank 0, evenly from the whole run."""

EXACT = "64-bit pairs"


def corpus(pieces):
    """(features, labels) to train on and to test on; no file is in both."""
    library = Path(sysconfig.get_path("stdlib"))
    random = np.random.default_rng(0)
    texts, labels, tests = [], [], []
    for path in sorted(library.rglob("*.py")):
        parts = path.relative_to(library).parts
        if "site-packages" in parts:
            continue
        lines = path.read_text("utf-8", errors="replace").splitlines()
        cut = ["\n".join(lines[i : i + LINES]) for i in range(0, len(lines), LINES)]
        texts += cut
        labels += [any("test" in part for part in parts)] * len(cut)
        tests += [random.random() < 0.2] * len(cut)
    chosen = np.sort(random.permutation(len(texts))[:pieces])
    hashing = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 3), dtype=np.float32)
    features = hashing.transform(texts[i] for i in chosen)
    labels, tests = np.array(labels)[chosen].astype(np.float32), np.array(tests)[chosen]
    return (features[~tests], labels[~tests]), (features[tests], labels[tests])


class Pairs:
    """A 32-bit key and a 32-bit value each."""

    residual = None

    def encode(self, keys, values, step):
        return keys.astype(np.uint32).tobytes() + values.tobytes()

    def decode(self, message):
        half = len(message) // 2
        keys = np.frombuffer(message, np.uint32, half // 4)
        return keys.astype(np.int64), np.frombuffer(message, np.float32, offset=half)


class Gcodec:
    """A recipe; with feedback, what was not sent waits in a dense residual."""

    def __init__(self, recipe, *, feedback=False):
        self.codec = gcodec.get_codec(recipe)
        self.residual = np.zeros(FEATURES, np.float32) if feedback else None

    def encode(self, keys, values, step):
        return self.codec.encode_sparse(keys, values, FEATURES, name="w", step=step)

    def decode(self, message):
        return gcodec.decode_sparse(message)


def makers(nonzeros):
    """For each method what makes one for a rank; ratios are of the mean number of nonzeros."""
    found = {
        EXACT: Pairs,
        "SketchML-style": SketchML,
        "reclog, all nonzeros": lambda: Gcodec("reclog:threshold=0,per_octave=4"),
    }
    for share in SHARES:
        recipe = f"reclog:ratio={share * nonzeros / FEATURES!r},per_octave=4"
        found[f"reclog, {share:.0%}, feedback"] = lambda r=recipe: Gcodec(r, feedback=True)
    return found


def gradient(features, labels, weights):
    """Keys and values of the mean logistic loss's gradient."""
    errors = 1 / (1 + np.exp(-(features @ weights))) - labels
    each = features.data * np.repeat(errors, np.diff(features.indptr)) / len(labels)
    keys, place = np.unique(features.indices, return_inverse=True)
    values = np.bincount(place, each, keys.size).astype(np.float32)
    return keys[values != 0].astype(np.int64), values[values != 0]


def with_residual(residual, keys, values):
    """Pairs of the gradient added to what has been waiting."""
    residual[keys] += values
    waiting = np.flatnonzero(residual)
    return waiting, residual[waiting]


def train(make, data, seed, *, epochs, batch):
    """One run: its figures, and some of the pairs that went into messages."""
    (features, labels), (test_features, test_labels) = data
    weights, random = np.zeros(FEATURES, np.float32), np.random.default_rng(seed)
    methods = [make() for _ in range(RANKS)]
    steps = len(labels) // (RANKS * batch)
    nonzeros = kept = sent = 0
    pairs = []
    for epoch in range(epochs):
        order = random.permutation(len(labels))[: steps * RANKS * batch]
        for step, drawn in enumerate(order.reshape(steps, RANKS, batch), epoch * steps):
            messages = []
            for method, mine in zip(methods, drawn, strict=True):
                keys, values = gradient(features[mine], labels[mine], weights)
                nonzeros += keys.size
                if method.residual is not None:
                    keys, values = with_residual(method.residual, keys, values)
                messages.append(method.encode(keys, values, step))
                if method is methods[0] and (step + 1) % (epochs * steps // TIMED) == 0:
                    pairs.append((keys, values))
            for method, message in zip(methods, messages, strict=True):
                keys, values = method.decode(message)
                weights[keys] -= np.float32(RATE / RANKS) * values
                if method.residual is not None:
                    method.residual[keys] -= values
                sent, kept = sent + len(message), kept + keys.size
    right = (test_features @ weights > 0) == (test_labels > 0.5)
    return {
        "accuracy": float(right.mean()),
        "nonzeros": nonzeros / (epochs * steps * RANKS),
        "kept": kept / nonzeros,
        "bytes per nonzero": sent / nonzeros,
        "bytes per kept": sent / kept,
        "to dense": 4 * FEATURES * epochs * steps * RANKS / sent,
        "to pairs": 8 * nonzeros / sent,
    }, pairs


def seconds(made, inputs, rounds):
    """Of one encode and one decode of each method, and of adding to a residual and scanning it."""
    contenders = {}
    for name, make in made.items():
        method, own = make(), inputs[name]
        messages = [method.encode(*pairs, 0) for pairs in own]
        contenders[name, "encode"] = lambda i, m=method, own=own: m.encode(*own[i % TIMED], 0)
        contenders[name, "decode"] = lambda i, m=method, own=messages: m.decode(own[i % TIMED])
    residual = np.zeros(FEATURES, np.float32)
    residual[inputs[list(made)[-1]][-1][0]] = 1
    exact = inputs[EXACT]
    contenders["residual", "scan"] = lambda i: with_residual(residual, *exact[i % TIMED])
    return interleave(contenders, rounds=rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pieces", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256, help="pieces per rank and step")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=22)
    arguments = parser.parse_args()
    settings = {"epochs": arguments.epochs, "batch": arguments.batch}
    data = corpus(arguments.pieces)
    (features, labels), (_, test_labels) = data
    mine = features[np.random.default_rng(0).permutation(len(labels))[: arguments.batch]]
    made = makers(np.unique(mine.indices).size)
    runs = {
        name: [train(make, data, seed, **settings) for seed in range(arguments.seeds)]
        for name, make in made.items()
    }
    took = seconds(made, {name: own[0][1] for name, own in runs.items()}, arguments.rounds)
    rows = {}
    for name, own in runs.items():
        found = [figures for figures, _ in own]
        gaps = [run["accuracy"] - other["accuracy"]
                for run, (other, _) in zip(found, runs[EXACT], strict=True)]  # fmt: skip
        rows[name] = {
            **{key: mean(run[key] for run in found) for key in found[0]},
            "to exact": mean(gaps),
            "standard error": stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0,
            **{f"{way} ms": 1e3 * took[name, way] for way in ("encode", "decode")},
        }
    rows = dict(sorted(rows.items(), key=lambda item: item[1]["accuracy"]))
    columns = list(next(iter(rows.values())))
    cells = [[name, *(f"{row[key]:.4g}" for key in columns)] for name, row in rows.items()]
    title = (
        f"{len(labels)} pieces, {labels.mean():.1%} of tests; to test on {len(test_labels)}, "
        f"{test_labels.mean():.1%}; {RANKS} ranks of {arguments.batch}, {arguments.seeds} seeds"
    )
    print(table(title, ["", *columns], cells))
    scan = 1e3 * took["residual", "scan"]
    print(f"a dense residual's upkeep: {scan:.2f} ms a message")
    figures = {"settings": settings, "seeds": arguments.seeds, "methods": rows, "residual ms": scan}
    print(store("text", figures))


if __name__ == "__main__":
    main()
