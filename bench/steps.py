"""Training steps on a shaped network: `python bench/steps.py` (needs torch).

Four ranks of MPICH, 1 Gbit/s each (`fusion.py` says how), train a ResNet-18 on scikit-learn's
digits: forward, backward, sum over ranks and update are all real. Without compression, gradients
are one MPI_Allreduce after the backward pass; with it, they go into buckets as they are made, each
layer by itself or as planned from backward times and costs measured on the same ranks. Each way has
its own network; all see the same images, ways take turns, and a step is timed from a barrier to the
last rank's update. Medians; losses are means of the ranks in the first and the last five steps.
"""

import argparse
import json
import os
from functools import partial
from statistics import mean, median
from time import perf_counter

import numpy as np
from fusion import CODECS, PLANNED, RANKS, launch

import gcodec
from gcodec.cli.images import load_digits_images
from gcodec.fusion import RULES, Buckets, Layers, calibrate, plan, simulate

BATCH, RATE, MOMENTUM = 8, 0.02, 0.9
SCALE = 4
"""An image of 8 x 8 becomes one of 32 x 32."""
DENSE, LAYERWISE = "no compression", "layer-wise"
PASSES = 5
"""Backward passes that layers are timed in; the least counts."""


def resnet18(nn):
    """For images of 32 x 32 (He, Zhang, Ren, Sun, CVPR 2016)."""

    class Block(nn.Module):
        def __init__(self, above, width, stride):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(above, width, 3, stride, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, bias=False),
                nn.BatchNorm2d(width),
            )
            self.short = (
                nn.Identity()
                if stride == 1
                else nn.Sequential(
                    nn.Conv2d(above, width, 1, stride, bias=False), nn.BatchNorm2d(width)
                )
            )

        def forward(self, x):
            return nn.functional.relu(self.main(x) + self.short(x))

    above, blocks = 64, []
    for stage in range(4):
        width = 64 << stage
        blocks += [Block(above, width, 2 if stage else 1), Block(width, width, 1)]
        above = width
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(above, 10)
    return nn.Sequential(
        nn.Conv2d(1, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), *blocks, *head
    )


class Trainee:
    """A network and its optimizer; `ready(name, gradient)` is called as gradients are made."""

    def __init__(self, torch):
        self.torch = torch
        torch.manual_seed(0)
        self.model = resnet18(torch.nn)
        self.parameters = dict(self.model.named_parameters())
        self.optimizer = torch.optim.SGD(self.parameters.values(), RATE, MOMENTUM)
        self.ready = None
        for name, parameter in self.parameters.items():
            parameter.register_post_accumulate_grad_hook(partial(self._made, name))

    def _made(self, name, parameter):
        if self.ready:
            self.ready(name, parameter.grad.numpy())

    def loss(self, images, labels):
        self.optimizer.zero_grad()
        return self.torch.nn.functional.cross_entropy(self.model(images), labels)

    def update(self, means):
        for name, each in means.items():
            self.parameters[name].grad.copy_(self.torch.from_numpy(each))
        self.optimizer.step()


def timed_layers(comm, trainee, batch):
    """Layers in the order in which they are ready, timed while all ranks compute: rank 0's."""
    least = {}
    for _ in range(PASSES):
        made, times = [], []
        trainee.ready = lambda name, grad, made=made, times=times: (
            made.append(name), times.append(perf_counter())
        )  # fmt: skip
        loss = trainee.loss(*batch)
        comm.Barrier()
        began = perf_counter()
        loss.backward()
        for name, seconds in zip(made, np.diff([began, *times]), strict=True):
            least[name] = min(least.get(name, seconds), float(seconds))
    trainee.ready = None
    sizes = [trainee.parameters[name].numel() for name in made]
    return Layers(*comm.bcast((made, sizes, [least[name] for name in made])))


class Dense:
    """No compression: one sum of the whole gradient after the backward pass."""

    def __init__(self, comm, in_place, layers):
        self.comm, self.in_place = comm, in_place
        self.flat = np.empty(sum(layers.sizes), np.float32)
        self.parts = dict(
            zip(layers.names, np.split(self.flat, layers.elements_before[1:-1]), strict=True)
        )

    def put(self, name, grad, step):
        self.parts[name][...] = grad.reshape(-1)

    def finish(self):
        self.comm.Allreduce(self.in_place, self.flat)
        self.flat /= self.comm.size
        return self.parts


def rank_program(options):
    """What each rank does; rank 0 prints a line for each codec."""
    import torch
    from mpi4py import MPI

    from gcodec.mpi import MPICommunicator

    comm = MPI.COMM_WORLD
    communicator = MPICommunicator(comm)
    torch.set_num_threads(1)
    gcodec.set_threads(1)
    digits = load_digits_images()
    images = np.kron(digits["train_images"].reshape(-1, 1, 8, 8), np.ones((SCALE, SCALE)))
    images = torch.from_numpy(np.divide(images, 255, dtype=np.float32))
    labels = torch.from_numpy(digits["train_labels"].astype(np.int64))

    def batch(step):
        drawn = np.random.default_rng(step).integers(0, len(labels), (RANKS, BATCH))[comm.rank]
        return images[drawn], labels[drawn]

    layers = timed_layers(comm, Trainee(torch), batch(0))
    for recipe in options["codecs"]:
        codec = gcodec.get_codec(recipe)
        costs = calibrate(communicator, codec, sum(layers.sizes))
        ends = {
            LAYERWISE: RULES[LAYERWISE](layers, costs, "inline"),
            PLANNED: plan(layers, costs, "inline").ends,
        }
        trainees = {way: Trainee(torch) for way in (DENSE, *ends)}
        shapes = {name: tuple(each.shape) for name, each in trainees[DENSE].parameters.items()}
        layout = [(name, shapes[name]) for name in layers.names]
        sums = {DENSE: Dense(comm, MPI.IN_PLACE, layers)}
        for way, cuts in ends.items():
            memory = gcodec.ErrorFeedback(codec)
            sums[way] = Buckets(communicator, codec, layout, cuts, feedback=memory)
        seconds, losses = ({way: [] for way in sums} for _ in range(2))
        for step in range(-1, options["steps"]):
            own, turn = batch(step + 1), step % len(sums)
            for way in [*sums][turn:] + [*sums][:turn]:
                took, loss = one_step(comm, trainees[way], sums[way], own, step + 1, shapes)
                if step >= 0:
                    seconds[way].append(took)
                    losses[way].append(loss)
        if comm.rank == 0:
            found = {
                "codec": recipe,
                "layers": len(layers),
                "elements": sum(layers.sizes),
                "backward": sum(layers.seconds),
                "predicted": {
                    way: simulate(layers, costs, "inline", cuts)[-1].decompress[1]
                    for way, cuts in ends.items()
                },
                "messages": {way: len(cuts) for way, cuts in ends.items()},
                "seconds": {way: median(each) for way, each in seconds.items()},
                "spread": {way: [min(each), max(each)] for way, each in seconds.items()},
                "losses": {way: [mean(e[:5]), mean(e[-5:])] for way, e in losses.items()},
            }
            print(json.dumps(found), flush=True)


def one_step(comm, trainee, sums, batch, step, shapes):
    """Seconds to the last rank's update, and the mean loss before it."""
    comm.Barrier()
    began = perf_counter()
    trainee.ready = partial(sums.put, step=step)
    loss = trainee.loss(*batch)
    loss.backward()
    means = sums.finish()
    trainee.update({name: each.reshape(shapes[name]) for name, each in means.items()})
    took = comm.allreduce(perf_counter() - began, op=max)
    return took, comm.allreduce(loss.item()) / comm.size


def show(found):
    from harness import table

    rows = []
    for way, seconds in found["seconds"].items():
        spread = "{:.0f} .. {:.0f}".format(*(1e3 * end for end in found["spread"][way]))
        gain = f"{seconds / found['seconds'][PLANNED]:.2f}x"
        losses = "{:.2f} .. {:.2f}".format(*found["losses"][way])
        rows.append(
            [way, found["messages"].get(way, 1), f"{1e3 * seconds:.0f}", spread, gain, losses]
        )
    title = f"\n{found['codec']}, {found['elements']:,} elements, {found['layers']} layers"
    print(table(title, ["", "messages", "ms a step", "spread", "to planned", "loss"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codecs", nargs="+", default=CODECS[:2])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rank", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank:
        rank_program(arguments.rank)
        return
    from harness import store

    figures = []
    for found in launch(__file__, {"codecs": arguments.codecs, "steps": arguments.steps}):
        show(found)
        figures.append({**found, "steps": arguments.steps, "load": os.getloadavg()[0]})
    print(store("steps", figures, ("mpi4py", "mpich", "torch")))


if __name__ == "__main__":
    main()
