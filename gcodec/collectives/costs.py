"""Which algorithm takes least: a model fed with what ranks told each other and what was measured.

Latency and bandwidth of the network and the speed of the codec are measured once, on all ranks
together, and the slowest rank's count for all. With that and the descriptors, every rank works out
the same times from the same numbers. Candidates are the algorithms that give the same bits, so the
choice changes the time only.
"""

from collections.abc import Callable
from math import ceil, log2, prod
from time import perf_counter
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import decoder
from ..codec import Codec
from ..format.directory import count_chunks
from ..select import TopK
from .communicator import Communicator

PROBES: Final = 8
FIRST_PROBE, LAST_PROBE = 1 << 13, 1 << 21
PROBE_SECONDS: Final = 5e-3
"""How much longer a message must take than a shorter one, for what that says of a byte to count."""
TRIES: Final = 3
SAMPLE: Final = 1 << 18


class Costs(NamedTuple):
    """Seconds, of the slowest rank.

    latency : of an exchange of a few bytes between all ranks
    byte : for a byte that leaves a rank, or comes in
    kept : to check a kept element of a frame and add it
    number : to add one number of a plain array
    """

    latency: float
    byte: float
    kept: float
    number: float


class Load(NamedTuple):
    """What is to be summed, as all ranks know it.

    n, itemsize : elements of the gradient, bytes of each in a sum
    chunk_log2 : of the frames
    bytes, stored : of each rank's frame
    """

    n: int
    itemsize: int
    chunk_log2: int
    bytes: list[int]
    stored: list[int]


class Plan(NamedTuple):
    """What was chosen for a call and why.

    Attributes
    ----------
    algorithm : str
    seconds : dict of str to float
        Predicted for each candidate, without encoding; empty if there was no choice.
    grounds : str or (Costs, Load)
        What it follows from; in words it is `reason`.
    """

    algorithm: str
    seconds: dict[str, float]
    grounds: str | tuple[Costs, Load]

    @property
    def reason(self) -> str:
        """Why this one, in a sentence."""
        if isinstance(self.grounds, str):
            return self.grounds
        costs, load = self.grounds
        times = ", ".join(f"{name} {1e3 * each:.3g} ms" for name, each in self.seconds.items())
        return (
            f"of {times}, for {len(load.bytes)} ranks with frames of {max(load.bytes):,} bytes "
            f"at most, {sum(load.stored):,} elements of {load.n:,} in all, "
            f"{1e6 * costs.latency:.0f} us an exchange and {1e-6 / costs.byte:.0f} MB/s a rank"
        )

    def __str__(self) -> str:
        return f"{self.algorithm}: {self.reason}"


def choose(costs: Costs, load: Load) -> Plan:
    """The algorithm that takes least by the model; the first of equals."""
    seconds = {name: model(costs, load) for name, model in MODELS.items()}
    return Plan(min(seconds, key=seconds.__getitem__), seconds, (costs, load))


def allgather_seconds(costs: Costs, load: Load) -> float:
    """Every frame to every rank, and all of it decoded by each."""
    out = (len(load.bytes) - 1) * max(load.bytes)
    into = sum(load.bytes) - min(load.bytes)
    return 2 * costs.latency + max(out, into) * costs.byte + sum(decoding(costs, load))


def split_seconds(costs: Costs, load: Load) -> float:
    """Shards to their owners, who decode one of each; sums to everybody, in frames or not."""
    ranks, share = len(load.bytes), owners_share(load)
    union = load.n * (1 - prod(1 - stored / max(load.n, 1) for stored in load.stored))
    key_bytes = (log2(load.n / union) + 2) / 8 if union else 0.0
    framed, plain = union * (load.itemsize + key_bytes), float(load.n * load.itemsize)
    first = (1 - 1 / ranks) * max(load.bytes)
    second = (ranks - 1) * share * min(framed, plain)
    reading = union * costs.kept if framed < plain else 2 * load.n * costs.number
    adding = share * (sum(decoding(costs, load)) + 2 * load.n * costs.number)
    cutting = 2 * costs.number * max(load.bytes) / load.itemsize
    return 6 * costs.latency + (first + second) * costs.byte + cutting + adding + reading


def dense_seconds(costs: Costs, load: Load) -> float:
    """Every element to its owner, as a number, and every sum to everybody."""
    ranks, all_bytes = len(load.bytes), load.n * load.itemsize
    wire = 2 * (1 - 1 / ranks) * all_bytes * costs.byte
    own = max(decoding(costs, load))
    return 6 * costs.latency + wire + own + 6 * load.n * costs.number


MODELS: Final[dict[str, Callable[[Costs, Load], float]]] = {
    "allgather": allgather_seconds,
    "split": split_seconds,
    "dense": dense_seconds,
}


def decoding(costs: Costs, load: Load) -> list[float]:
    """Seconds to check and add each rank's frame; without keys it is as reading numbers twice."""
    whole = 2 * load.n * costs.number
    return [whole if stored == load.n else stored * costs.kept for stored in load.stored]


def owners_share(load: Load) -> float:
    """The share of the whole that the owner of most chunks has."""
    chunks = count_chunks(load.n, load.chunk_log2)
    return ceil(chunks / len(load.bytes)) / chunks if chunks else 1.0


def measure(communicator: Communicator, kernels: ModuleType, backend: str) -> Costs:
    """Measure a network and the codec: all ranks together, some milliseconds."""
    own = np.array([_codec_seconds(kernels, backend), _number_seconds()])
    latency = min(_slowest(communicator, 8) for _ in range(PROBES))
    byte = _byte_seconds(communicator)
    kept, number = _largest(communicator, own)
    return Costs(latency, byte, float(kept), float(number))


def _byte_seconds(communicator: Communicator) -> float:
    """By how much an exchange takes longer for each byte more that leaves a rank.

    From two lengths: what both take, which a busy core or a long way may make far more than a byte
    does, says nothing of bytes, nor does what a network lets through at once.
    """
    size, seconds = FIRST_PROBE, _fastest(communicator, FIRST_PROBE)
    while True:
        longer = 4 * size
        more = _fastest(communicator, longer)
        if more - seconds >= PROBE_SECONDS or longer >= LAST_PROBE:
            return max(more - seconds, 1e-9) / ((longer - size) * max(communicator.size - 1, 1))
        size, seconds = longer, more


def _fastest(communicator: Communicator, size: int) -> float:
    """The least seconds of some exchanges."""
    return min(_slowest(communicator, size) for _ in range(TRIES))


def _slowest(communicator: Communicator, size: int) -> float:
    """Seconds of an exchange of messages of so many bytes: the slowest rank's."""
    message = np.zeros(size, np.uint8)
    sizes = np.full(communicator.size, size, np.int64)
    _largest(communicator, np.zeros(1))  # all begin at once
    started = perf_counter()
    for _ in communicator.allgatherv(message, sizes):
        pass
    return float(_largest(communicator, np.array([perf_counter() - started]))[0])


def _largest(communicator: Communicator, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest of all ranks' numbers, one by one."""
    everyone = communicator.allgather(numbers.view(np.uint8)).reshape(-1).view(np.float64)
    largest: NDArray[np.float64] = everyone.reshape(communicator.size, -1).max(axis=0)
    return largest


def _codec_seconds(kernels: ModuleType, backend: str) -> float:
    """For a kept element, to check and add it: the best of three, at 1 %."""
    numbers = np.random.default_rng(0).standard_normal(SAMPLE, np.float32)
    frame = Codec(TopK(ratio=0.01), backend=backend).encode(numbers)

    def add() -> None:
        decoder.add(decoder.prove(frame, numbers.dtype, kernels), numbers, 1.0, kernels)

    return _best(add) / (SAMPLE // 100)


def _number_seconds() -> float:
    numbers = np.zeros(SAMPLE, np.float32)
    return _best(np.add, numbers, np.float32(1), numbers) / SAMPLE


def _best(work: Callable[..., Any], *arguments: Any) -> float:
    """Seconds of the fastest of three calls, after one that may compile."""
    seconds = []
    for _ in range(4):
        started = perf_counter()
        work(*arguments)
        seconds.append(perf_counter() - started)
    return min(seconds[1:])
