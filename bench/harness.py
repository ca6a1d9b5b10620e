"""Timing on a busy machine: contenders take turns in one run; what counts is a ratio of medians."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np

RESULTS = Path(__file__).parent / "results"
READ = "one-pass read"
WARMUPS = 2
PACKAGES = ("numpy", "numba", "llvmlite", "gcodec")


@numba.njit(nogil=True)
def read_pass(words):
    """The limit: every element read once, at vector width."""
    total = np.uint32(0)
    for i in range(words.size):
        total = max(total, words[i])
    return total


def interleave(
    contenders: Mapping[str, Callable[[int], Any]],
    *,
    rounds: int,
    warmups: int = WARMUPS,
    clock: Callable[[], int] = time.process_time_ns,
    pick: Callable[[list[float]], float] = median,
) -> dict[str, float]:
    """Median seconds of each contender; in every round all of them run once, in rotating order.

    A contender is called with the number of the round, so that it can take another input each time
    (cold data). CPU time of the process: what a preempted thread waits for does not count, what
    threads of the contender do, does. Wall time, with `time.perf_counter_ns`, is for threads.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for round_number in range(-warmups, rounds):
        turn = round_number % len(names)
        for name in names[turn:] + names[:turn]:
            start = clock()
            contenders[name](round_number % (rounds + warmups))
            if round_number >= 0:
                seconds[name].append((clock() - start) / 1e9)
    return {name: pick(times) for name, times in seconds.items()}


def table(title: str, columns: list[str], rows: list[list[Any]]) -> str:
    """Aligned plain text."""
    cells = [
        columns,
        *([f"{c:.3g}" if isinstance(c, float) else str(c) for c in row] for row in rows),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([title, *lines])


def machine(packages: Iterable[str] = ()) -> dict[str, str]:
    """What a figure must be read beside; `packages` are more that took part."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parent,
    )  # fmt: skip
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cpu": cpu,
        "python": platform.python_version(),
        "load": "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()),
        **{package: version(package) for package in (*PACKAGES, *packages)},
    }


def store(name: str, figures: Any, packages: Iterable[str] = ()) -> Path:
    """Write figures beside the machine, date and versions they were measured with."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(packages), "figures": figures}, indent=1) + "\n")
    return path
