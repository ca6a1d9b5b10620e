"""Layer fusion as an optimisation problem: which layers go together into one message.

Layers i = 1..L in the order in which their gradients are ready: backward time t_i, size n_i. With
B(e) = t_1 + ... + t_e, a plan is 0 = e_0 < e_1 < ... < e_m = L: group g holds the layers after
e_{g-1} up to e_g, x_g elements, and takes h(x_g) to compress, q(x_g) to communicate and u(x_g) to
decompress, any non-negative functions. Groups go in order through stages that take one at a time.
When the last is done depends on the model:

`free` (model A: MG-WFBP, Shi, Chu, Li, INFOCOM 2019): compression costs nothing.
    F_g = max(F_{g-1}, B(e_g)) + q(x_g); minimise F_m.
`inline` (model B: OMGS-SGD, Shi et al., INFOCOM 2020): compression runs where the backward pass
runs, which waits for it. What is received is decompressed before more is sent.
    C_g = C_{g-1} + B(e_g) - B(e_{g-1}) + h(x_g); F_g = max(F_{g-1}, C_g) + q(x_g) + u(x_g).
`worker` (model C): compression and decompression run beside the backward pass, each by itself.
    K_g = max(K_{g-1}, B(e_g)) + h(x_g); F_g = max(F_{g-1}, K_g) + q(x_g);
    U_g = max(U_{g-1}, F_g) + u(x_g); minimise U_m.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isfinite
from operator import index
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cost import Affine

MODELS: Final = ("free", "inline", "worker")
Seconds = NDArray[np.float64]
Cost = Callable[[NDArray[np.int64]], Any]
"""Seconds for groups of so many elements, for an array of such numbers at once."""

Ends = tuple[int, ...]
"""How many layers there are up to the end of each group: a plan."""

NOTHING: Final = Affine(0.0, 0.0)


@dataclass(frozen=True)
class Layers:
    """What a backward pass makes, in the order in which it is ready.

    Parameters
    ----------
    names : sequence of str
    sizes : sequence of int
        Elements of each gradient.
    seconds : sequence of float
        Time of the backward pass that each takes.
    itemsize : int
        Bytes of an element, for rules that count bytes.

    Raises
    ------
    ValueError
        If there is no layer, lengths differ, or a number is negative or not finite.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    itemsize: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        object.__setattr__(self, "sizes", tuple(map(index, self.sizes)))
        object.__setattr__(self, "seconds", tuple(map(float, self.seconds)))
        numbers = len(self.names), len(self.sizes), len(self.seconds)
        if len(set(numbers)) > 1:
            raise ValueError("{} names, {} sizes and {} times: give as many".format(*numbers))
        if not self.names:
            raise ValueError("there is no layer to plan for")
        for name, size, seconds in zip(self.names, self.sizes, self.seconds, strict=True):
            if size < 0:
                raise ValueError(f"layer {name!r} has {size} elements: give 0 or more")
            if not (isfinite(seconds) and seconds >= 0):
                raise ValueError(f"layer {name!r} takes {seconds} s: give 0 or more")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def elements_before(self) -> NDArray[np.int64]:
        """Elements of the first 0..L layers."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])

    @cached_property
    def ready(self) -> Seconds:
        """B(0..L): when the first 0..L layers are ready if nothing delays the backward pass."""
        return np.concatenate([[0.0], np.cumsum(self.seconds)])


class Costs(NamedTuple):
    """Seconds to compress, communicate and decompress a group, by its number of elements."""

    compress: Cost = NOTHING
    communicate: Cost = NOTHING
    decompress: Cost = NOTHING


class State(NamedTuple):
    """When each stage is through with what it got so far: numbers, or arrays of such."""

    compressed: Any
    communicated: Any
    done: Any


START: Final = State(0.0, 0.0, 0.0)


def advance(model: str, state: State, ready: tuple[Any, Any], costs: tuple[Any, Any, Any]) -> State:
    """After one more group, whose backward pass takes from `ready[0]` to `ready[1]` if undelayed.

    Monotone in every part of `state`: a state that is nowhere later never ends later.
    """
    (before, after), (compress, communicate, decompress) = ready, costs
    if model == "inline":
        compressed = state.compressed + (after - before) + compress
        communicated = np.maximum(state.done, compressed) + communicate
    else:
        compressed = np.maximum(state.compressed, after) + compress
        communicated = np.maximum(state.communicated, compressed) + communicate
    return State(compressed, communicated, np.maximum(state.done, communicated) + decompress)


def prices(costs: Costs, model: str, sizes: NDArray[np.int64]) -> tuple[Seconds, Seconds, Seconds]:
    """What groups of these sizes take to compress, communicate and decompress under a model.

    Raises
    ------
    ValueError
        If there is no such model, or a cost is not as many finite numbers of 0 or more.
    """
    if model not in MODELS:
        raise ValueError(f"model is one of {', '.join(MODELS)}, not {model!r}")
    if model == "free":
        costs = Costs(communicate=costs.communicate)
    return (
        _price(costs.compress, sizes, "compressing"),
        _price(costs.communicate, sizes, "communicating"),
        _price(costs.decompress, sizes, "decompressing"),
    )


def _price(cost: Cost, sizes: NDArray[np.int64], what: str) -> Seconds:
    seconds = np.asarray(cost(sizes), np.float64)
    if seconds.shape != sizes.shape:
        raise ValueError(
            f"the cost of {what} gives times of shape {seconds.shape} for sizes of shape "
            f"{sizes.shape}: it gets an array, and gives one of that shape"
        )
    wrong = ~(np.isfinite(seconds) & (seconds >= 0))
    if wrong.any():
        raise ValueError(
            f"the cost of {what} {sizes[wrong][0]} elements is {seconds[wrong][0]} s: give finite "
            "numbers of 0 or more"
        )
    return seconds


class Group(NamedTuple):
    """One message of a plan: its layers first..last - 1, and when what happens to it, in seconds.

    Each interval is (start, end) from the start of the backward pass.
    """

    first: int
    last: int
    elements: int
    backward: tuple[float, float]
    compress: tuple[float, float]
    communicate: tuple[float, float]
    decompress: tuple[float, float]


def check_ends(ends: Sequence[int], layers: int) -> Ends:
    """A plan as whole numbers.

    Raises
    ------
    ValueError
        If they do not ascend from above 0 to the number of layers.
    """
    whole = tuple(map(index, ends))
    if not whole or whole[-1] != layers or any(a >= b for a, b in pairwise((0, *whole))):
        raise ValueError(f"a plan ascends from above 0 to {layers}, which {list(whole)} does not")
    return whole


def simulate(layers: Layers, costs: Costs, model: str, ends: Sequence[int]) -> list[Group]:
    """When what happens, under a model, if layers are sent in these groups."""
    chosen, ready = check_ends(ends, len(layers)), layers.ready.tolist()
    sizes = np.diff(layers.elements_before[[0, *chosen]])
    taken = np.transpose(prices(costs, model, sizes)).tolist()
    state, groups = START, []
    for (first, last), size, (h, q, u) in zip(
        pairwise((0, *chosen)), sizes.tolist(), taken, strict=True
    ):
        begin = state.compressed if model == "inline" else ready[first]
        state = State(*map(float, advance(model, state, (ready[first], ready[last]), (h, q, u))))
        groups.append(
            Group(
                first,
                last,
                size,
                (begin, begin + ready[last] - ready[first]),
                (state.compressed - h, state.compressed),
                (state.communicated - q, state.communicated),
                (state.done - u, state.done),
            )
        )
    return groups
