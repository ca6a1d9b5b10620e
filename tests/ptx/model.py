"""What kernels cost on a device, worked out and not measured: a table for docs/cuda.md.

Instructions, bytes and sectors are counted while the PTX runs on the CPU. Time is the longer one of
sectors at the rate of a device copy and instructions at 65 % of what the multiprocessors can start.
`PYTHONPATH=tests python -m ptx.model` prints it.
"""

from typing import NamedTuple

import numpy as np

import gcodec
from gcodec.arrays import aligned
from gcodec.kernels.cuda import selection

from .compiled import launch
from .host import OnDevice, host_device

COPY = 3.0e12
"""Bytes a second that a copy on an H100 reads and writes."""

ISSUE = 30e12 * 0.65
"""Instructions of threads a second that are planned with, of an H100."""

N = 1 << 18
CHUNK_LOG2 = 15


class Cost(NamedTuple):
    """Of one launch over N elements; `least` are the bytes that have to move."""

    name: str
    instructions: int
    moved: int
    least: int

    @property
    def per_byte(self):
        return self.instructions / self.least

    @property
    def seconds(self):
        return max(self.moved / COPY, self.instructions / ISSUE)

    @property
    def share(self):
        """Of the rate of a copy, counting the bytes that have to move."""
        return self.least / COPY / self.seconds


def _of(name, grid, least, *arguments):
    counts = launch(name, grid, *arguments, counting=True)
    return Cost(name, counts.instructions, 32 * counts.sectors, least)


def _numbers(seed=0):
    numbers = aligned((N + 32,), np.float32)
    numbers = numbers[-numbers.ctypes.data % 128 // 4 :][:N]
    numbers[:] = np.random.default_rng(seed).laplace(size=N)
    return numbers


def _frame(numbers, threshold):
    """What comes after `collect` where the frame is made on the device.

    Both have to read what was kept; `measure_chunks` writes what is before the payload, and
    `write_chunks` the payload.
    """
    recipe = f"reclog:threshold={threshold},per_octave=4"
    with host_device(counting=True) as device:
        frame = gcodec.get_codec(recipe).encode_on_device(OnDevice(numbers))
        meta = gcodec.inspect(frame.get()).header["payload_offset"]
        least = 8 * frame.stored + meta, 8 * frame.stored + frame.nbytes - meta
    ran = device[0].launched[1:], device[0].counts[1:], least
    for name, counts, moved in zip(*ran, strict=True):
        yield Cost(name, counts.instructions, 32 * counts.sectors, moved)


def costs():
    """Of the kernels that look at every element, at 1 % kept, and of one that looks at those."""
    numbers, other = _numbers(), _numbers(1)
    floor = np.quantile(np.abs(numbers), 0.99).astype(np.float32).view(np.uint32)
    tiles, kind = -(-N // selection.tile_of(4)), np.uint32
    room, chunks = N // 16, N >> CHUNK_LOG2

    def kept():
        return (np.zeros(tiles + 1, np.uint64), np.empty(room, kind), np.empty(room, kind),
                np.zeros(chunks + 1, np.uint64), np.zeros(1, kind))  # fmt: skip

    bits, work = numbers.view(kind), kept()
    yield _of("collect_uint32", tiles, 4 * N + 8 * N // 100, bits, floor, 1, CHUNK_LOG2, *work)
    _, keys, values, starts, _ = work
    given = bits, other.view(kind), np.float32(1), np.float32(1), aligned((N,), kind)
    yield _of("collect_sum_uint32", tiles, 12 * N + 8 * N // 100, *given, floor, 1, CHUNK_LOG2,
              *kept())  # fmt: skip
    one = np.zeros(1, np.uint64)
    yield _of("count_above_uint32", tiles, 4 * N, bits, floor, 1, one, np.zeros(1, kind))
    bins = np.zeros(selection.BINS, np.uint64)
    yield _of("histogram_uint32", tiles // 8, 4 * N, bits, 0, (1 << 31) - 1, 20, 1, bins)
    parts = np.empty((N // selection.SUMMED, 2, selection.SUMS))
    grid = parts.shape[0] // (selection.THREADS // selection.SUMS)
    yield _of("tail_sums_float32", grid, 4 * N, numbers, floor.view(np.float32), parts, one)
    yield from _frame(numbers, floor.view(np.float32))
    number = int(starts[-1])
    found = values[:number].view(np.float32)
    yield _of("accumulate_float32", chunks, 16 * number, keys[:number], starts, CHUNK_LOG2, found,
              1.0, other)  # fmt: skip


def table():
    """Rows of Markdown."""
    head = ("kernel", "instructions per byte", "bytes moved over least", "elements per us",
            "share of a copy")  # fmt: skip
    rows = [" | ".join(head), " | ".join(["---"] * len(head))]
    for cost in costs():
        rows.append(
            f"`{cost.name}` | {cost.per_byte:.1f} | {cost.moved / cost.least:.2f} | "
            f"{N / cost.seconds / 1e6:,.0f} | {min(cost.share, 1):.0%}"
        )
    return "\n".join(f"| {row} |" for row in rows)


if __name__ == "__main__":
    print(table())
