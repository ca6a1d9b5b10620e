"""Training with DistributedDataParallel on two ranks over gloo: `python bench/ddp.py`.

A small CNN on scikit-learn's digits (SGD with momentum) and a small transformer on the characters
of this format's specification (AdamW), dense and with three recipes, from the same parameters and
batches for each seed. Learning rates are those best for dense. For the first seed a second pair of
processes goes on from checkpoints of half way. Some minutes. `bench/results/ddp.json`
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
from harness import store, table
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
    "dense": None,
    "topk": "topk:ratio=0.01",
    "reclog": "reclog:ratio=0.01,per_octave=4",
    "gradient dropping, 2 bits": "gradient-dropping:ratio=0.01,bits=2",
}
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

    def optimizer(self, model):
        return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

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

    def optimizer(self, model):
        return torch.optim.AdamW(model.parameters(), lr=6e-3)

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


def train(task, recipe, seed, half, *, resume):
    """One run on this rank, from the start or from the checkpoint `half`, which it else writes."""
    torch.manual_seed(seed)
    network = task.network()
    kept = torch.load(half, weights_only=True) if resume else None
    if kept:
        network.load_state_dict(kept["model"])
    optimizer = task.optimizer(network)
    state = None
    if recipe is not None:
        codec = gcodec.Exclude(gcodec.get_codec(recipe), smaller_than=SMALL)
        state = HookState(network, codec, dense_steps=DENSE_STEPS)
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


def one_rank(name, folder, seeds, *, resume):
    """What one process does: all recipes; a line of JSON for each run."""
    torch.set_num_threads(1)
    gcodec.set_threads(1)
    rank, task = int(os.environ["RANK"]), TASKS[name]()
    store = f"file://{folder}/store-{resume}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=RANKS)
    for seed in range(1 if resume else seeds):
        for way, recipe in RECIPES.items():
            half = None if seed else Path(folder) / f"{way}-{rank}.pt"
            told = train(task, recipe, seed, half, resume=resume)
            print(json.dumps({"way": way, "seed": seed, **told}), flush=True)
    dist.destroy_process_group()


def launch(name, folder, seeds, *, resume):
    """What both ranks told, run by run."""
    command = [sys.executable, __file__, "--task", name, "--folder", folder, "--seeds", str(seeds)]
    ranks = [
        subprocess.Popen(
            [*command, *(["--resume"] if resume else [])],
            env={
                **os.environ,
                "GLOO_SOCKET_IFNAME": "lo",
                "RANK": str(r),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for r in range(RANKS)
    ]
    outputs = [rank.communicate()[0] for rank in ranks]
    ends = [rank.returncode for rank in ranks]
    assert ends == [0] * RANKS, f"ranks ended with {ends}"
    lines = [[json.loads(line) for line in output.splitlines()] for output in outputs]
    return list(zip(*lines, strict=True))


def windows(losses):
    """Means of so many steps."""
    losses = list(losses)
    return [mean(losses[i : i + WINDOW]) for i in range(0, len(losses), WINDOW)]


def compare(name, seeds):
    """All recipes on one task."""
    with TemporaryDirectory() as folder:
        runs = launch(name, folder, seeds, resume=False)
        resumed = {told[0]["way"]: told for told in launch(name, folder, seeds, resume=True)}
    rows = {}
    for way in RECIPES:
        own = [told for told in runs if told[0]["way"] == way]
        scores = [told[0]["score"] for told in own]
        curves = [
            windows(map(mean, zip(*(r["losses"] for r in told), strict=True))) for told in own
        ]
        rows[way] = {
            "score": mean(scores),
            "standard error": stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0,
            "bytes per rank": mean(told[0]["bytes"] for told in own),
            "times smaller": mean(told[0]["bytes dense"] / told[0]["bytes"] for told in own),
            "replicas equal": all(len({rank["hash"] for rank in told}) == 1 for told in own),
            "resumed equal": {rank["hash"] for rank in (*own[0], *resumed[way])}
            == {own[0][0]["hash"]},
            "hash": own[0][0]["hash"],
            "losses": [mean(points) for points in zip(*curves, strict=True)],
        }
    task = TASKS[name]
    columns = ["", task.score_of, "MB per rank", "times smaller", "replicas", "resumed"]
    cells = [
        [way, f"{row['score']:.4f} ± {row['standard error']:.4f}", row["bytes per rank"] / 1e6,
         row["times smaller"], row["replicas equal"], row["resumed equal"]]
        for way, row in rows.items()
    ]  # fmt: skip
    print(table(f"\n{name}: {task.steps} steps, {seeds} seeds", columns, cells), flush=True)
    settings = {"steps": task.steps, "batch": task.batch, "window": WINDOW, "seeds": seeds}
    return {"settings": settings, "score": task.score_of, "ways": rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--task", choices=TASKS, help="as one of the ranks, only")
    parser.add_argument("--folder", help="of checkpoints, for a rank")
    parser.add_argument("--resume", action="store_true", help="from checkpoints, as a rank")
    arguments = parser.parse_args()
    if arguments.task:
        one_rank(arguments.task, arguments.folder, arguments.seeds, resume=arguments.resume)
        return
    figures = {name: compare(name, arguments.seeds) for name in TASKS}
    print(store("ddp", figures, ["torch"]))


if __name__ == "__main__":
    main()
