"""Rules of public systems, to compare with: none is optimal, whatever some say of themselves.

Each gives the ends of its groups. Those that weigh costs see them as their papers do, with the
layers in the order of readiness.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from .cost import Affine
from .problem import Costs, Ends, Layers, prices

MIB: Final = 1 << 20
Rule = Callable[[Layers, Costs, str], Ends]


def layer_wise(layers: Layers, costs: Costs, model: str) -> Ends:
    """Every layer by itself."""
    return tuple(range(1, len(layers) + 1))


def one_bucket(layers: Layers, costs: Costs, model: str) -> Ends:
    """All layers in one message."""
    return (len(layers),)


def ddp_25_mib(layers: Layers, costs: Costs, model: str) -> Ends:
    """PyTorch's DistributedDataParallel: a bucket ends once it holds 25 MiB, the first 1 MiB."""
    ends: list[int] = []
    held = 0
    for number, size in enumerate(layers.sizes, 1):
        held += size * layers.itemsize
        if held >= (25 if ends else 1) * MIB:
            ends.append(number)
            held = 0
    return _closed(ends, layers)


def horovod_64_mib(layers: Layers, costs: Costs, model: str) -> Ends:
    """Horovod's fusion buffer: what does not fit into 64 MiB any more starts the next."""
    ends: list[int] = []
    held = 0
    for number, size in enumerate(layers.sizes):
        if held and held + size * layers.itemsize > 64 * MIB:
            ends.append(number)
            held = 0
        held += size * layers.itemsize
    return _closed(ends, layers)


def mg_wfbp(layers: Layers, costs: Costs, model: str) -> Ends:
    """MG-WFBP (Shi, Chu, Li, INFOCOM 2019), which knows of no compression.

    A layer is merged into the next if that is ready sooner than a message's start-up time after
    this one could be sent. Start-up times come from a line fitted to the costs.
    """
    before, ready = layers.elements_before, layers.ready
    sizes = np.concatenate([np.diff(before), before])
    start_up = Affine.fit(costs.communicate, sizes.tolist()).start
    ends: list[int] = []
    first, busy = 0, 0.0
    for last in range(1, len(layers)):
        start = max(busy, float(ready[last]))
        if ready[last + 1] < start + start_up:
            continue
        held = before[last : last + 1] - before[first]
        busy = start + float(prices(costs, "free", held)[1][0])
        ends.append(last)
        first = last
    return _closed(ends, layers)


def omgs(layers: Layers, costs: Costs, model: str) -> Ends:
    """OMGS-SGD (Shi et al., INFOCOM 2020), for compression that delays the backward pass.

    A layer is merged into the next if what is saved in sending, q(x) + q(y) - q(x + y), is more
    than the wait for it: its backward time and what compressing both takes longer than one after
    the other, less what this one would have to wait for the network.
    """
    before, ready = layers.elements_before, layers.ready
    ends: list[int] = []
    first, compressed, busy = 0, 0.0, 0.0
    for last in range(1, len(layers)):
        sizes = before[[last, last + 1, last + 1]] - before[[first, last, first]]
        h, q, u = prices(costs, "inline", sizes)
        q = q + u
        end = compressed + float(ready[last] - ready[first] + h[0])
        start = max(busy, end)
        wait = layers.seconds[last] + h[2] - h[0] - h[1] - (start - end)
        if wait < q[0] + q[1] - q[2]:
            continue
        compressed, busy, first = end, start + float(q[0]), last
        ends.append(last)
    return _closed(ends, layers)


def _closed(ends: list[int], layers: Layers) -> Ends:
    """With a last group of what is left."""
    return tuple(ends) if ends and ends[-1] == len(layers) else (*ends, len(layers))


RULES: Final[dict[str, Rule]] = {
    "layer-wise": layer_wise,
    "one bucket": one_bucket,
    "25 MiB (DDP)": ddp_25_mib,
    "64 MiB (Horovod)": horovod_64_mib,
    "MG-WFBP": mg_wfbp,
    "OMGS": omgs,
}
