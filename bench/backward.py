"""Record when gradients are ready: `python bench/backward.py` (needs torch, on the CPU).

Each parameter's backward time is the time between its gradient and the one before, the least of
`--rounds` passes: what others do on the machine adds, and never takes away. Batches are small, so
that a pass takes about as long as one of 32 images, or of a few thousand tokens, on a GPU.
Writes the lists that `gcodec plan` has built in.
"""

import argparse
import csv
from functools import partial
from pathlib import Path
from time import perf_counter

import gcodec.fusion
from gcodec.fusion.networks.lists import FIELDS

BLOCKS = (3, 4, 6, 3)
"""ResNet-50: He, Zhang, Ren, Sun (CVPR 2016)."""
DEPTH, WIDTH, HEADS, TOKENS = 12, 512, 8, 32_000
IMAGE, SEQUENCE = 112, 32
FOLDER = Path(gcodec.fusion.__file__).parent / "networks"


def resnet50(nn):
    class Bottleneck(nn.Module):
        def __init__(self, above, width, stride):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(above, width, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, 4 * width, 1, bias=False),
                nn.BatchNorm2d(4 * width),
            )
            same = stride == 1 and above == 4 * width
            self.short = (
                nn.Identity()
                if same
                else nn.Sequential(
                    nn.Conv2d(above, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
                )
            )

        def forward(self, x):
            return nn.functional.relu(self.main(x) + self.short(x))

    above, layers = 64, []
    for stage, blocks in enumerate(BLOCKS):
        width = 64 << stage
        for block in range(blocks):
            layers.append(Bottleneck(above, width, 2 if stage and not block else 1))
            above = 4 * width
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *layers,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(above, 1000),
    )


def transformer12(nn):
    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(TOKENS, WIDTH)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    WIDTH, HEADS, 4 * WIDTH, 0.0, batch_first=True, norm_first=True
                )
                for _ in range(DEPTH)
            )
            self.norm = nn.LayerNorm(WIDTH)

        def forward(self, x):
            x = self.tokens(x)
            for layer in self.layers:
                x = layer(x)
            return self.norm(x) @ self.tokens.weight.T

    return Transformer()


def record(model, batch, rounds):
    """(name, elements, seconds) in the order of readiness."""
    order, times, least = [], [], {}

    def note(name, parameter):
        times.append(perf_counter())
        order.append(name)

    for name, parameter in model.named_parameters():
        parameter.register_post_accumulate_grad_hook(partial(note, name))
    for _ in range(rounds):
        model.zero_grad()
        order.clear()
        times.clear()
        loss = model(batch).square().mean()
        before = perf_counter()
        loss.backward()
        for name, time in zip(order, times, strict=True):
            least[name] = min(least.get(name, time), time - before)
            before = time
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return [(name, sizes[name], f"{least[name]:.7f}") for name in order]


def main():
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--networks", nargs="+", default=["resnet50", "transformer12"])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    networks = {
        "resnet50": (resnet50(torch.nn), torch.randn(1, 3, IMAGE, IMAGE)),
        "transformer12": (transformer12(torch.nn), torch.randint(TOKENS, (1, SEQUENCE))),
    }
    for name in arguments.networks:
        model, batch = networks[name]
        model.eval()  # one image has no spread that batch normalisation could divide by
        rows = record(model, batch, arguments.rounds)
        with (FOLDER / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([FIELDS, *rows])
        elements, seconds = sum(row[1] for row in rows), sum(float(row[2]) for row in rows)
        print(f"{name}: {len(rows)} tensors, {elements:,} elements, {seconds:.3f} s")


if __name__ == "__main__":
    main()
