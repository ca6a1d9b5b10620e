"""Training with DistributedDataParallel on two ranks over gloo: `python bench/ddp.py`.

A small CNN on scikit-learn's digits (SGD with momentum) and a small transformer on the characters
of this format's specification (AdamW), dense and in four other ways, from the same parameters and
batches for each seed. Learning rates are those best for dense. With momentum in the memory the
optimizer has none for what goes through it. For the first seed a second pair of processes goes on
from checkpoints of half way.

Nothing is timed, so pieces may be run apart (`--tasks`, `--ways`, `--seeds`); each replaces its own
figures in `bench/results/ddp.json`. All of it takes some ten minutes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from harness import RESULTS, store, table
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import gcodec
from gcodec.cli.images import load_digits_images
from gcodec.integrations.torch import HookState, hook

SPEC = Path(__file__).parents[1] / "spec" / "gcodec-1.md"
RANKS, WINDOW = 2, 10
DENSE_STEPS = 15
RECIPES = {
    "topk": "topk:ratio=0.01",
    "reclog": "reclog:ratio=0.01,per_octave=4",
    "gradient dropping, 2 bits": "gradient-dropping:ratio=0.01,bits=2",
}
MOMENTUM = "topk, momentum in memory"
WARM_UP = {"every": 25, "ratios": (0.25, 0.0625, 0.03)}
WAYS = ["dense", *RECIPES, MOMENTUM]
SMALL = 1024
"""Parameters of fewer elements go through the dense allreduce."""


class Images:
    """1,437 images of digits; the score is the accuracy on 360 others."""

    steps, batch, score_of = 300, 16, "test accuracy"

    def __init__(self):
        images = load_digits_images()
        for part in ("train", "test"):
            pixels = torch.from_numpy(images[f"{part}_images"]).float().view(-1, 1, 8, 8) / 255
            setattr(self, part, (pixels, torch.from_numpy(images[f"{part}_labels"]).long()))

    def network(self):
        layers = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
        return nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(32 * 36, 64), nn.ReLU(), nn.Linear(64, 10)
        )

    def optimizer(self, groups):
        return torch.optim.SGD([{"params": p, "momentum": m} for p, m in groups], lr=0.05)

    def loss(self, model, draw):
        pixels, labels = self.train
        chosen = torch.randint(len(labels), (self.batch,), generator=draw)
        return cross_entropy(model(pixels[chosen]), labels[chosen])

    def score(self, model):
        pixels, labels = self.test
        return float((model(pixels).argmax(1) == labels).float().mean())


class Text:
    """Characters, each from up to 64 before it; the score is the loss on the last tenth."""

    steps, batch, context, score_of = 300, 16, 64, "validation loss"

    def __init__(self):
        text = SPEC.read_text(encoding="utf-8")
        self.letters = sorted(set(text))
        number = {letter: i for i, letter in enumerate(self.letters)}
        codes = torch.tensor([number[letter] for letter in text])
        self.train, self.test = codes[: len(codes) * 9 // 10], codes[len(codes) * 9 // 10 :]

    def network(self):
        return Transformer(len(self.letters), self.context)

    def optimizer(self, groups):
        return torch.optim.AdamW([{"params": p, "betas": (m, 0.999)} for p, m in groups], lr=6e-3)

    def windows(self, codes, starts):
        part = codes[starts[:, None] + torch.arange(self.context + 1)]
        return part[:, :-1], part[:, 1:]

    def loss(self, model, draw):
        starts = torch.randint(len(self.train) - self.context, (self.batch,), generator=draw)
        inputs, targets = self.windows(self.train, starts)
        return cross_entropy(model(inputs).flatten(0, 1), targets.flatten())

    def score(self, model):
        starts = torch.arange(0, len(self.test) - self.context, self.context)
        inputs, targets = self.windows(self.test, starts)
        return float(cross_entropy(model(inputs).flatten(0, 1), targets.flatten()))


class Transformer(nn.Module):
    """Two layers of width 64, four heads each, normalised first."""

    def __init__(self, letters, context, width=64):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(width, letters)
        mask = nn.Transformer.generate_square_subsequent_mask(context)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, codes):
        x = self.letters(codes) + self.places(torch.arange(codes.shape[1]))
        return self.out(self.layers(x, mask=self.mask, is_causal=True))


TASKS = {"CNN, digits": Images, "transformer, text": Text}


def bits(model):
    """The hash of all parameters."""
    whole = hashlib.sha256()
    for parameter in model.parameters():
        whole.update(parameter.detach().reshape(-1).view(torch.uint8).numpy())
    return whole.hexdigest()


def groups(network, way):
    """Parameters with the optimizer's momentum: none where the memory has it."""
    large = [each for each in network.parameters() if each.numel() >= SMALL]
    small = [each for each in network.parameters() if each.numel() < SMALL]
    return (large, 0.0 if way == MOMENTUM else 0.9), (small, 0.9)


def hook_state(network, way):
    """None for dense; else dense first steps or, with momentum, more of the gradient in them."""
    if way == "dense":
        return None
    codec = gcodec.get_codec(RECIPES["topk" if way == MOMENTUM else way])
    if way == MOMENTUM:
        codec = gcodec.Exclude(gcodec.WarmUp(codec, **WARM_UP), smaller_than=SMALL)
        memory = gcodec.MomentumFeedback(codec, momentum=0.9)
        return HookState(network, codec, feedback=memory)
    codec = gcodec.Exclude(codec, smaller_than=SMALL)
    return HookState(network, codec, dense_steps=DENSE_STEPS)


def train(task, way, seed, half, *, resume):
    """One run on this rank, from the start or from the checkpoint `half`, which it else writes."""
    torch.manual_seed(seed)
    network = task.network()
    kept = torch.load(half, weights_only=True) if resume else None
    if kept:
        network.load_state_dict(kept["model"])
    optimizer = task.optimizer(groups(network, way))
    state = hook_state(network, way)
    if kept:
        optimizer.load_state_dict(kept["optimizer"])
        if state is not None:
            state.load_state_dict(kept["hook"])
    model = DistributedDataParallel(network)
    if state is not None:
        model.register_comm_hook(state, hook)
    losses = []
    for step in range(task.steps // 2 if resume else 0, task.steps):
        if step == task.steps // 2 and half is not None and not resume:
            parts = {"model": network, "optimizer": optimizer, "hook": state}
            there = {name: part for name, part in parts.items() if part is not None}
            torch.save({name: part.state_dict() for name, part in there.items()}, half)
        draw = torch.Generator().manual_seed((seed * 100_000 + step) * RANKS + dist.get_rank())
        optimizer.zero_grad()
        loss = task.loss(model, draw)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        score = task.score(network.eval())
    dense = task.steps * sum(parameter.nbytes for parameter in network.parameters())
    return {
        "hash": bits(network),
        "losses": losses,
        "score": score,
        "bytes": state.statistics()["bytes_sent"] if state else dense,
        "bytes dense": dense,
    }


def one_rank(name, folder, seed, ways, *, resume):
    """What one process does: a line of JSON for each way."""
    torch.set_num_threads(1)
    gcodec.set_threads(1)
    rank, task = int(os.environ["RANK"]), TASKS[name]()
    store = f"file://{folder}/store-{resume}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
    for way in ways:
        half = None if seed else Path(folder) / f"{WAYS.index(way)}-{rank}.pt"
        print(json.dumps(train(task, way, seed, half, resume=resume)), flush=True)
    dist.destroy_process_group()


def launch(name, folder, seed, ways, *, resume):
    """What both ranks told, way by way."""
    told = {"task": name, "folder": folder, "seed": seed, "ways": ways, "resume": resume}
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__, "--rank", json.dumps(told)],
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    outputs = [rank.communicate()[0] for rank in ranks]
    ends = [rank.returncode for rank in ranks]
    assert ends == [0] * RANKS, f"ranks ended with {ends}"
    lines = [[json.loads(line) for line in output.splitlines()] for output in outputs]
    return dict(zip(ways, zip(*lines, strict=True), strict=True))


def windows(losses):
    """Means of so many steps, over both ranks."""
    both = [mean(step) for step in zip(*losses, strict=True)]
    return [mean(both[i : i + WINDOW]) for i in range(0, len(both), WINDOW)]


def measure(name, seed, ways):
    """A run of each way; of the first seed, also one that new processes end."""
    with TemporaryDirectory() as folder:
        runs = launch(name, folder, seed, ways, resume=False)
        resumed = {} if seed else launch(name, folder, seed, ways, resume=True)
    found = {}
    for way, ranks in runs.items():
        hashes = {rank["hash"] for rank in ranks}
        found[way] = {
            **{key: ranks[0][key] for key in ("score", "bytes", "bytes dense", "hash")},
            "replicas equal": len(hashes) == 1,
            "losses": windows([rank["losses"] for rank in ranks]),
        }
        if way in resumed:
            found[way]["resumed equal"] = {rank["hash"] for rank in resumed[way]} == hashes
    return found


def show(name, runs):
    """Print what is stored of a task; `runs` are by way and seed."""
    task = TASKS[name]
    columns = ["", task.score_of, "seeds", "MB per rank", "times smaller", "replicas", "resumed"]
    cells = []
    for way in filter(runs.__contains__, WAYS):
        own = runs[way].values()
        scores = [run["score"] for run in own]
        error = stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0
        cells.append(
            [way, f"{mean(scores):.4f} ± {error:.4f}", len(own),
             mean(run["bytes"] for run in own) / 1e6,
             mean(run["bytes dense"] / run["bytes"] for run in own),
             all(run["replicas equal"] for run in own),
             all(run.get("resumed equal", True) for run in own)]
        )  # fmt: skip
    print(table(f"\n{name}: {task.steps} steps", columns, cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rank", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank:
        told = arguments.rank
        name, folder, seed = told["task"], told["folder"], told["seed"]
        one_rank(name, folder, seed, told["ways"], resume=told["resume"])
        return
    path = RESULTS / "ddp.json"
    figures = json.loads(path.read_text())["figures"] if path.exists() else {}
    for name in arguments.tasks:
        task = TASKS[name]
        settings = {"steps": task.steps, "batch": task.batch, "window": WINDOW}
        found = figures.setdefault(name, {"runs": {}})
        found |= {"settings": settings, "score": task.score_of}
        for seed in arguments.seeds:
            for way, run in measure(name, seed, arguments.ways).items():
                found["runs"].setdefault(way, {})[str(seed)] = run
            store("ddp", figures, ["torch"])
        show(name, found["runs"])


if __name__ == "__main__":
    main()
