"""What compressing, communicating and decompressing take here: measured, and the same on all ranks.

What `Buckets` does is what is measured: tensors copied into a bucket and encoded, while the frame
before is exchanged, decoded and added by another thread; on all ranks at the same time. So what
threads and ranks take from each other, where cores are few, counts.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np

from ..collectives import Allreduce, Communicator
from ..policy import Policy
from .buckets import Prepared
from .cost import Table
from .problem import Costs

SMALLEST: Final = 256
"""Elements; what is smaller takes as long."""
ENOUGH: Final = 0.1
"""Seconds that a size is measured for, within `ROUNDS`."""
ROUNDS: Final = (3, 15)


def calibrate(
    communicator: Communicator,
    codec: Policy,
    largest: int,
    *,
    dtype: Any = np.float32,
    begin: Callable[[int], object] | None = None,
) -> Costs:
    """Measure, on a gradient that is drawn from a Laplace law, and agree on what rank 0 measured.

    Parameters
    ----------
    communicator : Communicator
        All its ranks call this, with the same arguments.
    codec : Codec, WarmUp or Exclude
    largest : int
        Elements of all layers together.
    dtype : dtype
        float16, float32 or float64.
    begin : callable, optional
        Told each of `sizes(largest)` before it is measured, to show how far this is.

    Returns
    -------
    Costs
        Tables: medians at powers of two from 256 elements on, made to never fall with the size.

    Examples
    --------
    >>> import gcodec
    >>> from gcodec.fusion import Link, calibrate
    >>> costs = calibrate(Link(2), gcodec.get_codec("topk:ratio=0.01"), 1000)
    >>> costs.communicate.sizes
    (256, 512, 1000)
    """
    of = sizes(largest)
    grad = np.random.default_rng(communicator.rank).standard_exponential(largest, np.float32)
    grad[1::2] *= -1
    grad = grad.astype(dtype, copy=False)
    measured = np.empty((len(of), 3))
    for row, size in zip(measured, of, strict=True):
        if begin is not None:
            begin(size)
        row[:] = _measure(communicator, codec, grad[:size])
    agreed = _broadcast(communicator, measured)
    return Costs(*(Table(of, tuple(rising(column).tolist())) for column in agreed.T))


def sizes(largest: int) -> tuple[int, ...]:
    """The elements that are measured: powers of two, and the largest.

    >>> sizes(1000)
    (256, 512, 1000)
    """
    if largest < 1:
        raise ValueError(f"largest is 1 or more elements, not {largest}")
    powers = (1 << log2 for log2 in range(SMALLEST.bit_length() - 1, largest.bit_length()))
    return *(power for power in powers if power < largest), largest


def rising(seconds: Any) -> Any:
    """The nearest times that never fall: runs that do are replaced by their means."""
    runs: list[tuple[float, int]] = []
    for value in np.asarray(seconds, np.float64).tolist():
        runs.append((value, 1))
        while len(runs) > 1 and runs[-2][0] > runs[-1][0]:
            (high, ahead), (low, behind) = runs[-2:]
            runs[-2:] = [((high * ahead + low * behind) / (ahead + behind), ahead + behind)]
    return np.repeat([value for value, _ in runs], [number for _, number in runs])


def _measure(communicator: Communicator, codec: Policy, grad: Any) -> list[float]:
    """Median seconds to compress, communicate and decompress."""
    prepared = Prepared(codec)
    allreduce = Allreduce(communicator, codec, feedback=prepared)
    bucket, result = np.empty_like(grad), np.empty(grad.size, np.result_type(grad, np.float32))
    sender, name = (communicator.rank, communicator.size), "calibration"

    def encode() -> float:
        began = perf_counter()
        bucket[...] = grad
        prepared.put(name, codec.at(name, grad.size, 0).encode(bucket, name=name, sender=sender))
        return perf_counter() - began

    def exchange() -> list[float]:
        began, before = perf_counter(), allreduce.codec_seconds
        allreduce(name, grad, out=result)
        decompressed = allreduce.codec_seconds - before
        return [max(perf_counter() - began - decompressed, 0.0), decompressed]

    def once() -> list[float]:
        encode()
        _meet(communicator)
        beside = pool.submit(exchange)
        return [encode(), *beside.result()]

    with ThreadPoolExecutor(1) as pool:
        once()
        rounds = np.clip(ENOUGH / max(sum(once()), 1e-9), *ROUNDS)
        number = int(_broadcast(communicator, np.array([rounds]))[0])
        return [median(column) for column in zip(*(once() for _ in range(number)), strict=True)]


def _meet(communicator: Communicator) -> None:
    communicator.allgather(np.zeros(1, np.uint8))


def _broadcast(communicator: Communicator, values: Any) -> Any:
    """What rank 0 has, on all ranks."""
    received = communicator.allgather(np.ascontiguousarray(values).view(np.uint8).reshape(-1))
    return received[0].view(np.float64).reshape(values.shape)
