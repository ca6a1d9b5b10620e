"""The pictures of README and docs, from stored results: `python bench/plots.py [--to docs/plots]`.

Nothing is measured: `codec.py`, `training.py`, `curves.py` and `ddp.py` did that.
"""

import argparse
import json
import os
from pathlib import Path

import matplotlib
import numpy as np
from harness import READ, RESULTS
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from gcodec.fusion import Costs, Table, plan
from gcodec.fusion.networks import recorded

PLOTS = Path(__file__).parent.parent / "docs" / "plots"
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#b8a800", "#0072b2", "#d55e00", "#cc79a7",
)  # fmt: skip
"""Told apart by people who do not see all colours (Okabe and Ito), the yellow darker."""
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.hashsalt": "gcodec",
    "svg.fonttype": "none",
    "figure.facecolor": "white",
}


def stored(name):
    return json.loads((RESULTS / f"{name}.json").read_text())["figures"]


def panels(columns, size, **how):
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **how)[0]


LINES = {
    "random k, as they are": (PINK, "o"),
    "top k, as they are": (BLUE, "o"),
    "top k, 4 log levels an octave": (RED, "o"),
    "top k, 2 bits": (ORANGE, "o"),
    "everything, 1 to 3 bits": (YELLOW, "s"),
    "everything, QSGD, blocks of 512": (SKY, "s"),
    "everything, even levels": (GREEN, "s"),
    "everything, log levels": (BLACK, "s"),
}


def rate_distortion():
    """Bits per element against relative error, a line for each family of codecs."""
    figures = stored("curves")
    titles = {"Laplace": "1,048,576 Laplace elements", "transformer": "a transformer's gradient"}
    figure, axes = panels(len(figures["rates"]), (9.5, 4.4), sharey=True)
    for each, (name, lines) in zip(axes, figures["rates"].items(), strict=True):
        for line, (colour, marker) in LINES.items():
            bits, errors = np.transpose(lines[line])
            each.plot(bits, errors, color=colour, marker=marker, markersize=3.5, label=line)
        each.set_xscale("log")
        each.set_xlim(1e-3, 40)
        each.set_ylim(0, 1.03)
        each.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        each.set_title(titles[name])
        each.set_xlabel("bits per element of the gradient, everything counted")
    bits, errors = np.transpose(figures["least"])
    axes[0].fill_between(bits, 0, errors, color="#eeeeee", linewidth=0)
    axes[0].text(0.003, 0.3, "out of reach for independent\nLaplace elements", color="#777777")
    axes[0].set_ylabel("relative error  ‖g - decoded‖ / ‖g‖")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


METHODS = {
    "dense": ("dense", BLACK, "*"),
    "topk": ("topk", BLUE, "o"),
    "reclog": ("reclog", RED, "o"),
    "gradient-dropping 2 bits": ("gradient dropping, 2 bits", ORANGE, "o"),
    "sidco": ("sidco", GREEN, "o"),
    "dgc": ("dgc, momentum in the memory", PINK, "D"),
    "dgc warm-up": ("dgc, ratio warmed up", PINK, "^"),
    "sparseloco": ("sparseloco", YELLOW, "o"),
    "qsgd, 4 bits in buckets of 512": ("qsgd, 4 bits", SKY, "s"),
    "8-bit log codes": ("8-bit log codes", SKY, "^"),
    "onebit, a scale per row and sign": ("1 bit, a scale per row", SKY, "v"),
}
LOCO = {" 1 %": " 64 of 4096", " 0.1 %": " 4 of 4096"}


def accuracy():
    """Test accuracy against bytes sent; the two ratios of a method are joined."""
    figures = stored("training")
    figure, axes = panels(len(figures), (9.5, 4.2))
    for each, (name, found) in zip(axes, figures.items(), strict=True):
        settings = found["settings"]
        for method, (label, colour, marker) in METHODS.items():
            loco = method == "sparseloco"
            names = [method, *(method + (LOCO[end] if loco else end) for end in LOCO)]
            rows = [found["methods"][key] for key in names if key in found["methods"]]
            x = [row["bytes per rank"] / settings["steps"] for row in rows]
            y = [row["accuracy"] for row in rows]
            bars = [row["standard error"] for row in rows]
            each.errorbar(
                x, y, bars, color=colour, marker=marker, markersize=9 if marker == "*" else 5,
                linewidth=1, label=label,
            )  # fmt: skip
        dense = found["methods"]["dense"]["accuracy"]
        each.axhline(dense, color=BLACK, linewidth=0.6, linestyle=":")
        each.set_xscale("log")
        each.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        each.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        each.set_title(
            f"{name}: a CNN on 4 ranks, {settings['steps']} steps, {found['seeds']} seeds"
        )
        each.set_xlabel("bytes that a rank sends in a step")
    axes[0].set_ylabel("test accuracy")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


CONTENDERS = {
    READ: ("one pass that only reads", BLACK, ":", ""),
    "decode + accumulate": ("gcodec, decode + accumulate", GREEN, "-", "o"),
    "encode, threshold known": ("gcodec, encode above a known threshold", RED, "-", "o"),
    "encode, exact top-k": ("gcodec, encode the exact top 1 %", BLUE, "-", "o"),
    "numpy: flatnonzero, COO": ("NumPy, pairs above a known threshold", RED, "--", "x"),
    "numpy: argpartition, COO": ("NumPy, pairs of the exact top 1 %", BLUE, "--", "x"),
}


def throughput():
    """Gigabytes of gradient a second against its size."""
    figure, (axes,) = panels(1, (8, 4.2))
    for name, (label, colour, line, marker) in CONTENDERS.items():
        n, seconds = np.transpose(stored("curves")["speeds"][name])
        axes.plot(
            n, 4 * n / seconds / 1e9, color=colour, linestyle=line, marker=marker, markersize=4,
            label=label,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(n, [f"{int(size):,}" for size in n])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("elements (float32, 1 % kept)")
    axes.set_ylabel("GB of gradient per second, one thread")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


WAYS = {
    "dense": BLACK,
    "topk": BLUE,
    "reclog": RED,
    "gradient dropping, 2 bits": ORANGE,
    "topk, momentum in memory": GREEN,
}


def ddp_loss():
    """Training loss by step with DistributedDataParallel, a line for each way to send gradients."""
    figures = stored("ddp")
    figure, axes = panels(len(figures), (9.5, 3.9))
    for each, (name, found) in zip(axes, figures.items(), strict=True):
        window, seeds = found["settings"]["window"], len(found["runs"]["dense"])
        for way, colour in WAYS.items():
            runs = found["runs"][way].values()
            losses = np.mean([run["losses"] for run in runs], axis=0)
            steps = (np.arange(len(losses)) + 0.5) * window
            label = f"{way}: {np.mean([run['bytes'] for run in runs]) / 1e6:.3g} MB"
            each.plot(steps, losses, color=colour, linewidth=1.3, label=label)
        each.set_title(f"{name}: mean of {seeds} seeds")
        each.set_xlabel("step")
        each.legend(title="sent by a rank", alignment="left")
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0].set_ylabel(f"training loss, means of {window} steps")
    return figure


def fused_step(path):
    """When what happens in a step, planned and layer by layer."""
    costs = stored("curves")["costs"]["tables"]
    tables = {name: Table(tuple(sizes), tuple(seconds)) for name, (sizes, seconds) in costs.items()}
    plan(recorded("resnet50"), Costs(**tables)).draw(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=PLOTS, help="folder (default: docs/plots)")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    arguments = parser.parse_args()
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the same figures give the same bytes
    arguments.to.mkdir(exist_ok=True, parents=True)
    with matplotlib.rc_context(STYLE):
        for draw in (rate_distortion, accuracy, throughput, ddp_loss):
            path = arguments.to / f"{draw.__name__.replace('_', '-')}.{arguments.format}"
            draw().savefig(path, dpi=150)
        fused_step(arguments.to / f"fused-step.{arguments.format}")


if __name__ == "__main__":
    main()
