"""What a sum is made of, once everything is received and proved, and how it is written."""

from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import NamedTuple

import numpy as np

from .. import decoder
from ..arrays import Numbers
from ..decoder import Content
from ..dense import Fields
from ..parallel import LEAST, run, split

Sound = Content | Fields


class Part(NamedTuple):
    """Elements [start, stop) of a sum: as numbers, or as sound frames that are to be added."""

    start: int
    stop: int
    content: Sequence[Sound] | Numbers

    def put(self, flat: Numbers, divisor: int, kernels: ModuleType) -> None:
        """Write it, divided, to its place in a flat array of all elements."""
        own = flat[self.start : self.stop]
        if not isinstance(self.content, np.ndarray):
            put_sum(self.content, own, divisor, kernels)
        elif divisor == 1:
            np.copyto(own, self.content)
        else:
            np.divide(self.content, own.dtype.type(divisor), out=own)


def put_sum(contents: Sequence[Sound], out: Numbers, divisor: int, kernels: ModuleType) -> None:
    """`out` = the sum of what frames of all its elements hold, in order, over `divisor`."""
    kept = [content for content in contents if isinstance(content, Content)]
    by = out.dtype.type(divisor)
    if not kept or len(kept) < len(contents) or len({each.chunk_log2 for each in kept}) > 1:
        out.view(np.uint8).fill(0)  # which is memset, twice as fast
        for content in contents:
            decoder.add(content, out, 1.0, kernels)
        if divisor > 1:
            np.divide(out, by, out=out)
        return
    log2, counts = kept[0].chunk_log2, np.stack([each.counts for each in kept])
    keys = [each.keys for each in kept]
    values = [each.values() for each in kept]
    put = partial(kernels.put_sums, keys, counts, values, log2)
    run(partial(put, divisor=by, out=out), split(counts.shape[1], max(LEAST >> log2, 1)))
