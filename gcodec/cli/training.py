"""Data-parallel training, dense or with gcodec: what each MPI rank of `gcodec demo` runs.

    mpirun -n 4 python -m mpi4py -m gcodec.cli.training CONFIG

Every rank holds the whole network and takes its share of each batch. All parameters lie in one flat
vector, so one message a step carries the whole gradient. What gcodec needs of a training loop is in
three lines: `ErrorFeedback` and `Allreduce` in `main`, the call `allreduce(...)` in `train`.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import RankMismatchError

Vector = NDArray[np.float32]


class Config(NamedTuple):
    """One comparison: the same network, data and schedule in both modes."""

    data: str  # .npz of uint8 images and labels, as MNIST's
    widths: Sequence[int]  # of the layers, pixels and classes included
    codec: str
    ranks: int
    seeds: int
    epochs: int
    batch: int  # images per rank and step
    learning_rate: float  # falls linearly to 0
    momentum: float
    network: str | None = None  # bits per second of each rank, such as 100mbit; None: as it is


class Epoch(NamedTuple):
    """Where a run stands after an epoch; rank 0 prints it as a line of JSON."""

    mode: str
    seed: int
    epoch: int
    steps: int
    accuracy: float  # on the test images
    identical: bool  # all ranks hold the same parameter bits
    bytes_sent: float  # handed to MPI so far: mean of the ranks, as are the seconds
    codec_seconds: float
    step_seconds: float


class Network:
    """A multilayer perceptron: relu, then softmax and cross entropy.

    `parameters` and `gradient` are flat; `layers` and `slopes` are (weights, bias) views of them.
    """

    def __init__(self, widths: Sequence[int], seed: int) -> None:
        n = sum((above + 1) * below for above, below in pairwise(widths))
        self.parameters, self.gradient = np.zeros(n, np.float32), np.zeros(n, np.float32)
        self.layers, self.slopes = _views(self.parameters, widths), _views(self.gradient, widths)
        random = np.random.default_rng(seed)
        for weights, _ in self.layers:  # He et al. (ICCV 2015)
            weights[:] = random.normal(0, np.sqrt(2 / len(weights)), weights.shape)

    def forward(self, inputs: Vector) -> list[Vector]:
        """The inputs of every layer, and last the logits."""
        activations = [inputs]
        for weights, bias in self.layers:
            activations.append(activations[-1] @ weights + bias)
            if len(activations) <= len(self.layers):
                np.maximum(activations[-1], 0, out=activations[-1])
        return activations

    def backward(self, inputs: Vector, labels: NDArray[np.int64]) -> Vector:
        """The gradient of the mean cross entropy, in `gradient`."""
        *activations, logits = self.forward(inputs)
        delta = np.exp(logits - logits.max(axis=1, keepdims=True))
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(len(labels)), labels] -= 1
        delta /= len(labels)
        for (weights, _), (weights_slope, bias_slope), activation in zip(
            self.layers[::-1], self.slopes[::-1], activations[::-1], strict=True
        ):
            np.matmul(activation.T, delta, out=weights_slope)
            np.sum(delta, axis=0, out=bias_slope)
            delta = (delta @ weights.T) * (activation > 0)
        return self.gradient


class DenseAllreduce:
    """What gcodec is compared with: the mean of the gradients, every element sent as float32."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.bytes_sent, self.codec_seconds = comm, 0.0, 0.0

    def __call__(self, name: str, gradient: Vector, *, step: int) -> Vector:
        mean = np.empty_like(gradient)
        self.comm.Allreduce(gradient, mean)
        mean /= self.comm.size
        self.bytes_sent += 2 * (self.comm.size - 1) / self.comm.size * gradient.nbytes  # a ring's
        return mean


def train(
    comm: Any, config: Config, data: dict[str, NDArray[Any]], mode: str, seed: int, allreduce: Any
) -> Iterator[Epoch]:
    """Stochastic gradient descent with momentum; the same seed gives the same run on all ranks."""
    network = Network(config.widths, seed)
    velocity = np.zeros_like(network.parameters)
    random = np.random.default_rng(seed)
    images, labels = data["train_images"], data["train_labels"]
    steps = len(labels) // (comm.size * config.batch)
    step, step_seconds = 0, 0.0
    for epoch in range(config.epochs):
        started = perf_counter()
        order = random.permutation(len(labels))[: steps * comm.size * config.batch]
        for mine in order.reshape(steps, comm.size, config.batch)[:, comm.rank]:
            gradient = network.backward(_inputs(images[mine]), labels[mine])
            mean = allreduce("model", gradient, step=step)
            velocity *= config.momentum
            velocity += mean
            rate = config.learning_rate * (1 - step / (steps * config.epochs))
            network.parameters -= rate * velocity
            step += 1
        step_seconds += perf_counter() - started
        yield Epoch(
            mode,
            seed,
            epoch,
            step,
            _accuracy(comm, network, data["test_images"], data["test_labels"]),
            _identical(comm, network.parameters),
            comm.allreduce(allreduce.bytes_sent) / comm.size,
            comm.allreduce(allreduce.codec_seconds) / comm.size,
            comm.allreduce(step_seconds) / comm.size,
        )


def main(config: Config) -> None:
    """Train in both modes with every seed; rank 0 prints an `Epoch` a line."""
    from mpi4py import MPI

    from .. import ErrorFeedback, get_codec
    from ..mpi import Allreduce

    comm, codec = MPI.COMM_WORLD, get_codec(config.codec)
    if comm.size != config.ranks:
        raise RankMismatchError(
            f"{config.ranks} ranks were started, but MPI says {comm.size}: "
            "mpirun belongs to another MPI library than the one mpi4py loads"
        )
    for compiles in (comm.rank == 0, comm.rank != 0):  # the others find rank 0's work in the cache
        if compiles:
            alone = Allreduce(MPI.COMM_SELF, codec, feedback=ErrorFeedback(codec))
            alone("warm-up", np.arange(1, 1000, dtype=np.float32))
        comm.Barrier()
    modes: dict[str, Callable[[], Any]] = {
        "dense": lambda: DenseAllreduce(comm),
        "gcodec": lambda: Allreduce(comm, codec, feedback=ErrorFeedback(codec)),
    }
    with np.load(config.data) as file:
        data = {name: file[name] for name in file}
    for seed in range(config.seeds):
        for mode, allreduce in modes.items():
            for epoch in train(comm, config, data, mode, seed, allreduce()):
                if comm.rank == 0:
                    print(json.dumps(epoch._asdict()), flush=True)


def _views(flat: Vector, widths: Sequence[int]) -> list[tuple[Vector, Vector]]:
    layers = []
    for above, below in pairwise(widths):
        layer, flat = np.split(flat, [(above + 1) * below])
        layers.append((layer[:-below].reshape(above, below), layer[-below:]))
    return layers


def _inputs(images: NDArray[np.uint8]) -> Vector:
    return np.divide(images, 255, dtype=np.float32)


def _accuracy(comm: Any, network: Network, images: Any, labels: Any) -> float:
    """Over all images, of which each rank classifies its share."""
    mine = slice(comm.rank, None, comm.size)
    guesses = network.forward(_inputs(images[mine]))[-1].argmax(axis=1)
    return float(comm.allreduce(np.count_nonzero(guesses == labels[mine])) / len(labels))


def _identical(comm: Any, parameters: Vector) -> bool:
    """Whether all ranks hold the same bits."""
    return len(set(comm.allgather(hashlib.sha256(parameters.tobytes()).digest()))) == 1


if __name__ == "__main__":
    main(Config(**json.loads(sys.argv[1])))
