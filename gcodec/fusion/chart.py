"""When what happens, as a picture: the plan, and layer-wise below it."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import BackendUnavailableError
from .problem import Group, simulate

if TYPE_CHECKING:
    from .plan import Plan

LANES: Final = ("backward", "compress", "communicate", "decompress")
COLOURS: Final = ("#4c72b0", "#dd8452")
"""Of groups, in turn."""


def draw(path: Path, plan: "Plan") -> None:
    """Write a chart.

    Raises
    ------
    BackendUnavailableError
        If matplotlib is missing.
    """
    if find_spec("matplotlib") is None:
        raise BackendUnavailableError('matplotlib is missing: pip install "gcodec[plots]"')
    from matplotlib.figure import Figure

    layers = plan.layers
    singles = simulate(layers, plan.costs, plan.model, range(1, len(layers) + 1))
    figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    shown = (f"{len(plan.groups)} messages, planned", plan.groups), ("layer by layer", singles)
    for each, (title, groups) in zip(axes, shown, strict=True):
        _lanes(each, groups)
        end = groups[-1].decompress[1]
        each.set_title(f"{title}: {1e3 * end:.1f} ms", fontsize=9, loc="left")
        each.axvline(1e3 * end, color="black", linewidth=0.8)
    axes[1].set_xlim(left=0)
    axes[1].set_xlabel("ms since the backward pass began")
    figure.suptitle(f"{len(layers)} layers, {sum(layers.sizes):,} elements", fontsize=10)
    figure.savefig(path)


def _lanes(axes: Any, groups: list[Group]) -> None:
    for row, lane in enumerate(LANES):
        spans = [getattr(group, lane) for group in groups]
        axes.broken_barh(
            [(1e3 * start, 1e3 * (end - start)) for start, end in spans],
            (row - 0.4, 0.8),
            facecolors=[COLOURS[number % 2] for number in range(len(spans))],
        )
    axes.set_yticks(range(len(LANES)), LANES)
    axes.invert_yaxis()
