"""What `gcodec demo` shows: the comparison as numbers, as a table and as a plot."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import BackendUnavailableError
from .files import FileError
from .images import Images
from .training import Config, Epoch


def summarize(data: str, images: Images, config: Config, history: list[Epoch]) -> dict[str, Any]:
    """Everything that the table, the plot and `--json` show."""
    modes: dict[str, dict[str, Any]] = {}
    for mode in ("dense", "gcodec"):
        runs = [epoch for epoch in history if epoch.mode == mode]
        ends = [epoch for epoch in runs if epoch.epoch + 1 == config.epochs]
        steps = sum(end.steps for end in ends)
        sent = sum(end.bytes_sent for end in ends) / config.seeds
        points = [[epoch for epoch in runs if epoch.epoch == at] for at in range(config.epochs)]
        moved = config.ranks - 1 if mode == "gcodec" else 1  # a ring passes every frame on
        modes[mode] = {
            "accuracy": sum(end.accuracy for end in ends) / config.seeds,
            "accuracies": [end.accuracy for end in ends],
            "identical": all(end.identical for end in ends),
            "bytes_handed_over": sent,
            "bytes_moved": sent * moved,
            "codec_seconds_per_step": sum(end.codec_seconds for end in ends) / steps,
            "seconds_per_step": sum(end.step_seconds for end in ends) / steps,
            "curve": [
                {
                    "bytes_moved": moved * sum(epoch.bytes_sent for epoch in point) / config.seeds,
                    "accuracy": sum(epoch.accuracy for epoch in point) / config.seeds,
                    "seconds": sum(epoch.step_seconds for epoch in point) / config.seeds,
                }
                for point in points
            ],
        }
    dense, sparse = modes["dense"], modes["gcodec"]
    target = min(max(point["accuracy"] for point in found["curve"]) for found in modes.values())
    for found in modes.values():
        reached = (point["seconds"] for point in found["curve"] if point["accuracy"] >= target)
        found["seconds_to_target"] = next(reached)
    return {
        **config._asdict(),
        "data": data,
        "train_images": len(images["train_labels"]),
        "test_images": len(images["test_labels"]),
        "parameters": sum((above + 1) * below for above, below in pairwise(config.widths)),
        "cores": os.cpu_count(),
        "steps": max(epoch.steps for epoch in history),
        "modes": modes,
        "target_accuracy": target,
        "accuracy_difference": sparse["accuracy"] - dense["accuracy"],
        "ratio_handed_over": dense["bytes_handed_over"] / sparse["bytes_handed_over"],
        "ratio_moved": dense["bytes_moved"] / sparse["bytes_moved"],
    }


def table(summary: dict[str, Any]) -> str:
    dense, sparse = summary["modes"]["dense"], summary["modes"]["gcodec"]

    def row(title: str, field: str, show: Callable[[Any], str], note: str = "") -> list[str]:
        return [title, show(dense[field]), show(sparse[field]), note]

    def megabytes(count: float) -> str:
        return f"{count / 1e6:,.2f} MB"

    def milliseconds(seconds: float) -> str:
        return f"{1e3 * seconds:.2f} ms" if seconds else "-"

    points = f"{100 * summary['accuracy_difference']:+.2f} points"
    handed_over = f"{summary['ratio_handed_over']:.0f}x fewer"
    moved = f"{summary['ratio_moved']:.0f}x fewer"
    rows = [
        ["", "dense", "gcodec", ""],
        row("test accuracy", "accuracy", "{:.2%}".format, points),
        row("bytes moved in a ring, per rank", "bytes_moved", megabytes, moved),
        row("bytes handed to MPI, per rank", "bytes_handed_over", megabytes, handed_over),
        row("compression (encode + decode), per step", "codec_seconds_per_step", milliseconds),
        row("whole step", "seconds_per_step", milliseconds),
        row("same parameter bits on all ranks", "identical", lambda same: "yes" if same else "NO"),
    ]
    if summary["network"] is not None:
        gain = f"{dense['seconds_to_target'] / sparse['seconds_to_target']:.1f}x faster"
        title = f"until {summary['target_accuracy']:.2%} are right"
        rows.insert(-1, row(title, "seconds_to_target", "{:.1f} s".format, gain))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        f"{title:{widths[0]}}  {left:>{widths[1]}}  {right:>{widths[2]}}  {note}".rstrip()
        for title, left, right, note in rows
    ]
    heading = """\
data     {data}: {train_images:,} images to train, {test_images:,} to test
network  {layers}, {parameters:,} parameters
ranks    {ranks}, on {cores} cores
runs     {seeds} in each mode, of {epochs} epochs or {steps:,} steps
codec    {codec}
{link}"""
    layers = "-".join(map(str, summary["widths"]))
    rate = summary["network"]
    link = f"link     {rate} for each rank, TCP over a shaped loopback\n" if rate else ""
    return "\n".join([heading.format(**summary, layers=layers, link=link), *table])


def draw(path: Path, summary: dict[str, Any]) -> None:
    """Test accuracy against bytes sent, one line a mode."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    axes = figure.subplots()
    for mode, values in summary["modes"].items():
        sent = [point["bytes_moved"] / 1e6 for point in values["curve"]]
        axes.plot(sent, [100 * point["accuracy"] for point in values["curve"]], ".-", label=mode)
    axes.set_xscale("log")
    axes.set_xlabel("MB moved per rank (ring)")
    axes.set_ylabel("test accuracy, %")
    axes.set_title(f"{summary['data']}, {summary['ranks']} ranks, {summary['codec']}", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error


def check_plot(path: Path) -> None:
    """Refuse before the training what could not be drawn after it."""
    if find_spec("matplotlib") is None:
        raise BackendUnavailableError('matplotlib is missing: pip install "gcodec[plots]"')
    if path.suffix != ".png" or not path.parent.is_dir():
        raise FileError(f"cannot plot to {path}: give a .png in a folder that exists")
