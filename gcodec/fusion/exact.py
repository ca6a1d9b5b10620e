"""The plan that ends first, for any costs: label setting over (layers sent, state).

A label is a state in which the first e layers are sent. Since `advance` is monotone, one that is
nowhere earlier than another of the same e cannot lead to a better end, and is dropped; what is left
is the whole front, so the best label of e = L is optimal. Three things keep fronts small, and none
of them loses every optimal plan:

- what a stage does before the next group can reach it makes no difference, so states are rounded
  up to then;
- lower bounds on what is left to do, from sums of costs alone, drop labels that cannot beat the
  best plan found by a search that keeps only a few;
- labels that are equal after that are one.

For `free` one label is left for each e: the dynamic program f(e) = min over s of
max(f(s), B(e)) + q. For the others, fronts can grow exponentially in contrived cases, so they are
cut at a number that ordinary ones of 400 layers do not reach. What is cut has bounds, too: either
they prove that nothing is lost, or they say how much at most.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .problem import Costs, Ends, Layers, Seconds, State, advance, prices, simulate

FEW: Final = 8
"""Labels that a first search keeps of each e, to have a plan to beat."""
SAME: Final = 1e-12
"""Plans that differ by less, relatively, are equal: sums of floats in another order are not."""
AT_ONCE: Final = 64
"""States that are compared with each other, before the others with what is left of them."""

_BEFORE: Final = np.triu(np.ones((AT_ONCE, AT_ONCE), bool), 1)
LABELS: Final = 1 << 16
"""Labels that the last search keeps of all e."""


class Solution(NamedTuple):
    """A plan, when it ends, and a time before which no plan ends: the same if that is proven."""

    ends: Ends
    seconds: float
    bound: float


def optimal(layers: Layers, costs: Costs, model: str) -> Solution:
    """The groups of a plan that no other beats under the model.

    Parameters
    ----------
    layers : Layers
    costs : Costs
        Any functions of 0 or more: lines, steps, measured tables.
    model : {"free", "inline", "worker"}

    Returns
    -------
    Solution
        Its `ends` say how many layers there are up to the end of each group.

    Examples
    --------
    >>> from gcodec.fusion import Affine, Costs, Layers, optimal
    >>> layers = Layers(("a", "b", "c"), (1, 1, 1), (0.0, 0.5, 1.6))
    >>> optimal(layers, Costs(communicate=Affine(1.0, 1.0)), "free").ends
    (1, 3)
    """
    task = _Task.of(layers, costs, model)
    best: Ends = (len(layers),)
    end, bound = np.inf, 0.0
    for width in (FEW, max(LABELS // len(layers), FEW)):
        found, dropped = _search(task, end, width)
        if found is not None:
            best, end = found, simulate(layers, costs, model, found)[-1].decompress[1]
        if dropped >= end * (1 - SAME):
            return Solution(best, float(end), float(end))
        bound = max(bound, dropped)
    return Solution(best, float(end), float(bound))


@dataclass(frozen=True)
class _Task:
    """What groups take, as arrays [last, first], and the least that follows a state."""

    model: str
    ready: Seconds
    compress: Seconds
    communicate: Seconds
    decompress: Seconds
    soonest: Seconds
    """[first]: the least that a group takes to compress."""
    shortest: Seconds
    """[first]: the least that a group takes to communicate."""
    left: State
    """[first]: from each part of a state to the end of everything it is at least so long."""
    floor: Seconds
    """[first]: whatever the state, the end is not before."""

    @classmethod
    def of(cls, layers: Layers, costs: Costs, model: str) -> "_Task":
        before, ready = layers.elements_before, layers.ready
        last, first = np.tril_indices(len(before), -1)
        sizes, where = np.unique(before[last] - before[first], return_inverse=True)
        tables = np.full((3, len(before), len(before)), np.inf)
        for table, taken in zip(tables, prices(costs, model, sizes), strict=True):
            table[last, first] = taken[where]
        h, q, u = tables
        none, column = np.zeros_like(h), ready[:, None]
        if model == "inline":  # ready is then counted from when compression was through
            channel = _least(q + u, none)
            left = State(_least(h, column + h + q + u + channel[:, None]) - ready, channel, channel)
            floor = np.zeros_like(ready)
        else:
            done = _least(u, none)
            communicated = _least(q, q + u + done[:, None])
            sent = h + q + np.maximum(communicated[:, None], u + done[:, None])
            compressed = _least(h, sent)
            left = State(compressed, communicated, done)
            floor = _least(none, column + np.maximum(h + compressed[:, None], sent))
        return cls(model, ready, h, q, u, h.min(axis=0), q.min(axis=0), left, floor)

    def start(self) -> State:
        """The only state in which nothing is sent."""
        return self._rounded(State(*np.zeros((3, 1))), 0)

    def after(self, state: State, first: NDArray[np.int64], last: int) -> State:
        """States after one more group, from those in which so many layers are sent."""
        ready = self.ready[first], self.ready[last]
        tables = self.compress, self.communicate, self.decompress
        own = tuple(table[last][first] for table in tables)
        return self._rounded(advance(self.model, state, ready, own), last)

    def _rounded(self, state: State, sent: int) -> State:
        """The latest states that the next group cannot tell from these."""
        if sent + 1 == len(self.ready):
            return state
        compressed, communicated, done = state
        if self.model == "inline":
            step = self.ready[sent + 1] - self.ready[sent]
            done = np.maximum(done, compressed + step + self.soonest[sent])
            return State(compressed, done, done)
        compressed = np.maximum(compressed, self.ready[sent + 1])
        communicated = np.maximum(communicated, compressed + self.soonest[sent])
        return State(compressed, communicated, np.maximum(done, communicated + self.shortest[sent]))

    def bound(self, state: State, sent: int) -> Seconds:
        """No plan that goes on from these states ends before."""
        bound: Seconds = np.full(len(state.done), self.floor[sent])
        for part, left in zip(state, self.left, strict=True):
            np.maximum(bound, part + left[sent], out=bound)
        return bound


def _least(each: Seconds, whole: Seconds) -> Seconds:
    """[first]: the least, over all ways to group what is left, of the longest chain of work.

    A chain is what some groups take `each`, one after another, and then for the next one `whole`.
    """
    layers = len(each) - 1
    least = np.zeros(layers + 1)
    for first in range(layers - 1, -1, -1):
        after = slice(first + 1, None)
        least[first] = np.maximum(each[after, first] + least[after], whole[after, first]).min()
    return least


def _search(task: _Task, end: float, width: int) -> tuple[Ends | None, float]:
    """The plan that ends first, if any does before `end`, of `width` labels of each e.

    Also what no plan beats that it has not looked at.
    """
    labels, dropped = _Labels(), np.inf
    labels.add(task.start(), np.zeros(1, np.int64), 0)
    layers = len(task.ready) - 1
    for last in range(1, layers + 1):
        state = task.after(labels.state(), labels.sent(), last)
        bound = task.bound(state, last)
        parent = np.flatnonzero(bound < end * (1 - SAME))
        alive = State(*(part[parent] for part in state))
        parent = parent[front(alive, bound[parent], width + 1)]
        if len(parent) > width:
            dropped = min(dropped, float(bound[parent[width]]))
            parent = parent[:width]
        labels.add(State(*(part[parent] for part in state)), parent, last)
    return labels.best(layers), dropped


def front(state: State, bound: Seconds, most: int) -> NDArray[np.int64]:
    """Numbers of states that none is nowhere later than, one of those that are equal, by bound.

    At most `most` of them: those of the least bounds, which never fall as states get later.
    """
    order = np.argsort(bound, kind="stable")
    parts = [part[order] for part in state]
    kept, number = [order[:0]], 0
    while order.size and number < most:
        head = [part[:AT_ONCE] for part in parts]
        better = _nowhere_later(head, head)
        better &= ~better.T | _BEFORE[: len(better), : len(better)]
        new = np.flatnonzero(~better.any(axis=0))
        kept.append(order[new])
        number += new.size
        rest = [part[AT_ONCE:] for part in parts]
        alive = ~_nowhere_later([part[new] for part in head], rest).any(axis=0)
        order, parts = order[AT_ONCE:][alive], [part[alive] for part in rest]
    return np.concatenate(kept)[:most]


def _nowhere_later(these: list[Seconds], those: list[Seconds]) -> NDArray[np.bool_]:
    """Whether each of these states is nowhere later than each of those."""
    found = these[0][:, None] <= those[0]
    for mine, theirs in zip(these[1:], those[1:], strict=True):
        found &= mine[:, None] <= theirs
    return found


class _Labels:
    """All labels so far, in arrays that grow."""

    def __init__(self) -> None:
        self.number = 0
        self._parts = np.empty((3, 256))
        self._links = np.empty((2, 256), np.int64)

    def state(self) -> State:
        return State(*self._parts[:, : self.number])

    def sent(self) -> NDArray[np.int64]:
        return self._links[0, : self.number]

    def add(self, state: State, parent: NDArray[np.int64], sent: int) -> None:
        until = self.number + len(parent)
        while until > self._parts.shape[1]:
            self._parts = np.concatenate([self._parts, np.empty_like(self._parts)], axis=1)
            self._links = np.concatenate([self._links, np.empty_like(self._links)], axis=1)
        self._parts[:, self.number : until] = state
        self._links[0, self.number : until] = sent
        self._links[1, self.number : until] = parent
        self.number = until

    def best(self, layers: int) -> Ends | None:
        """The way to the label of all layers that is done first."""
        found = np.flatnonzero(self.sent() == layers)
        if not found.size:
            return None
        at, ends = int(found[np.argmin(self.state().done[found])]), []
        while self._links[0, at]:
            ends.append(int(self._links[0, at]))
            at = int(self._links[1, at])
        return tuple(reversed(ends))
