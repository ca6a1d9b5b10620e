"""A plan that says what it chose, why, and what it expects to gain."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from .exact import optimal
from .greedy import RULES
from .problem import Costs, Ends, Group, Layers, simulate

MOST_GROUPS: Final = 24
"""Groups that are listed one by one."""
CLOSE: Final = 0.005
"""Ends that differ by less are told as the same: nothing that is measured is more exact."""
MEANING: Final = {
    "free": "compression costs nothing",
    "inline": "compression delays the backward pass",
    "worker": "compression and decompression run beside the backward pass",
}


@dataclass(frozen=True)
class Plan:
    """Which layers go together, and when what happens.

    Attributes
    ----------
    layers : Layers
    costs : Costs
    model : {"free", "inline", "worker"}
    ends : tuple of int
        How many layers there are up to the end of each group.
    bound : float
        No plan ends before so many seconds; equal to `seconds` if the plan is proven optimal.
    """

    layers: Layers
    costs: Costs
    model: str
    ends: Ends
    bound: float

    @cached_property
    def groups(self) -> list[Group]:
        """When what happens to each group."""
        return simulate(self.layers, self.costs, self.model, self.ends)

    @property
    def seconds(self) -> float:
        """From the start of the backward pass to the end of the last group."""
        return self.groups[-1].decompress[1]

    @cached_property
    def others(self) -> dict[str, float]:
        """When plans by the rules of public systems would end, by name."""
        rules = {name: rule(self.layers, self.costs, self.model) for name, rule in RULES.items()}
        return {
            name: simulate(self.layers, self.costs, self.model, ends)[-1].decompress[1]
            for name, ends in rules.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values; times in seconds."""
        return {
            "model": self.model,
            "layers": len(self.layers),
            "elements": sum(self.layers.sizes),
            "backward_seconds": sum(self.layers.seconds),
            "seconds": self.seconds,
            "bound_seconds": self.bound,
            "proven_optimal": self.bound >= self.seconds,
            "groups": [
                {**group._asdict(), "names": self.layers.names[group.first : group.last]}
                for group in self.groups
            ],
            "others_seconds": self.others,
        }

    def draw(self, path: str | Path) -> None:
        """A chart of what happens when, beside layer-wise, as .png, .svg or .pdf.

        Raises
        ------
        BackendUnavailableError
            If matplotlib is missing: it comes with the extra `plots`.
        """
        from .chart import draw

        draw(Path(path), self)

    def __str__(self) -> str:
        layers, groups = self.layers, self.groups
        backward = sum(layers.seconds)
        lines = [
            f"{_count(len(layers), 'layer')} of {sum(layers.sizes):,} elements in "
            f"{_count(len(groups), 'message')}; model {self.model}: {MEANING[self.model]}",
            f"all is there {_ms(self.seconds)} after the backward pass starts, which takes "
            f"{_ms(backward)}: {_ms(self.seconds - backward)} are not hidden behind it",
            self._proof(),
            "",
            *self._why(),
            "",
            *self._gains(),
            "",
            *self._listed(),
        ]
        return "\n".join(lines)

    def _proof(self) -> str:
        if self.bound >= self.seconds:
            return "no way to group these layers takes less, under this model and these costs"
        gap = self.seconds / self.bound - 1 if self.bound else float("inf")
        return f"not proven optimal: at most {gap:.1%} longer than the best possible"

    def _why(self) -> list[str]:
        """What merging saves, and what nothing hides."""
        singles = simulate(self.layers, self.costs, self.model, range(1, len(self.layers) + 1))
        told = []
        for field, title in (
            ("compress", "compressing"),
            ("communicate", "communicating"),
            ("decompress", "decompressing"),
        ):
            apart, together = _busy(singles, field), _busy(self.groups, field)
            if apart or together:
                told.append(f"  {title:14} {_ms(together):>10}, layer by layer {_ms(apart):>10}")
        if told:
            told.insert(0, "what all messages take:")
        last = self.groups[-1]
        share = last.elements / max(sum(self.layers.sizes), 1)
        told.append(
            f"the last message holds {_count(last.last - last.first, 'layer')} and {share:.1%} of "
            f"the elements, since nothing hides what it takes"
        )
        return told

    def _gains(self) -> list[str]:
        rows = []
        for name, seconds in sorted(self.others.items(), key=lambda item: -item[1]):
            gain = seconds / self.seconds - 1 if self.seconds else 0.0
            tells = f"{1 + gain:.2f}x as long" if gain >= CLOSE else "as long"
            rows.append(f"  {name:18} {_ms(seconds):>10}  {tells}")
        return ["instead, by rule:", *rows]

    def _listed(self) -> list[str]:
        rows = [
            f"  {number:3}  {self.layers.names[group.first]} .. "
            f"{self.layers.names[group.last - 1]}: {_count(group.last - group.first, 'layer')}, "
            f"{group.elements:,} elements, sent at {_ms(group.communicate[0])}"
            for number, group in enumerate(self.groups[:MOST_GROUPS], 1)
        ]
        left = len(self.groups) - MOST_GROUPS
        if left > 0:
            rows.append(f"  and {left} more")
        return ["messages:", *rows]


def plan(layers: Layers, costs: Costs, model: str = "inline") -> Plan:
    """The plan that no other beats.

    Parameters
    ----------
    layers : Layers
    costs : Costs
        Measured by `calibrate`, or any functions of 0 or more.
    model : {"free", "inline", "worker"}
        What compression costs the backward pass; see `gcodec.fusion.problem`.

    Examples
    --------
    >>> from gcodec.fusion import Affine, Costs, Layers, plan
    >>> layers = Layers(("last", "middle", "first"), (10, 10, 10), (0.0, 0.5, 1.6))
    >>> found = plan(layers, Costs(communicate=Affine(1.0, 0.1)), "free")
    >>> found.ends, round(found.seconds, 3), round(found.others["layer-wise"], 3)
    ((1, 3), 5.1, 6.0)
    """
    found = optimal(layers, costs, model)
    return Plan(layers, costs, model, found.ends, found.bound)


def _busy(groups: list[Group], field: str) -> float:
    spans = [getattr(group, field) for group in groups]
    return float(sum(end - start for start, end in spans))


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.2f} ms"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + "s" * (number != 1)
