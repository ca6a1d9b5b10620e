"""Compiling ahead: kernels are compiled, or loaded from disk, when they are first called."""

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

import numpy as np

from . import whole
from .arrays import Numbers, read_only
from .codec import Codec
from .decoder import accumulate, decode
from .feedback import ErrorFeedback
from .kernels import load
from .policy import Policy
from .quantize import Cast, Raw, ReciprocalLog
from .select import TopK

SIZES: Final = (64, 1 << 17)
"""One that is sorted whole, and one that is sampled first."""


def warmup(codecs: Sequence[Policy] = (), dtypes: Sequence[Any] = ("float32",)) -> None:
    """Compile, or load from disk, all kernels that codecs need, so that no later call has to wait.

    Compiling takes half a minute to one and a half of CPU time, loading a second or less. Compiled
    kernels are kept in `__pycache__` beside the package if that can be written, else in the user's
    cache folder; without any such place each process compiles its own.

    Parameters
    ----------
    codecs : sequence of Codec, WarmUp or Exclude
        That will be used; by default the one of `Codec()` with log levels and without.
    dtypes : sequence of dtypes
        Of the gradients: float16, float32, float64, or uint16 for the bits of bfloat16.

    Examples
    --------
    >>> import gcodec
    >>> gcodec.warmup([gcodec.get_codec("reclog:ratio=0.01")])
    """
    for policy in codecs or (Codec(), Codec(quantize=ReciprocalLog())):
        if not hasattr(policy, "at"):
            raise TypeError(f"codecs are objects such as get_codec(recipe), not {policy!r}")
        for size in SIZES:
            numbers = -np.log(np.linspace(0.999, 1 / size, size, dtype=np.float32))
            numbers[1::2] *= -1
            bits = (numbers.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
            for dtype in map(np.dtype, dtypes):
                grad = bits if dtype == np.uint16 else numbers.astype(dtype)
                codec = policy.at("", size, 0)
                exact = replace(codec, select=TopK(ratio=0.01))  # estimates fall back on it
                values = "auto" if isinstance(codec.quantize, Raw | Cast) else "fixed"
                full = replace(codec, select=TopK(ratio=1.0), values=values)  # read another way
                for each in (replace(codec), exact, full):  # which have no plans yet
                    frame = each.encode(grad.reshape(8, -1))
                    for plan in each.plans.values():  # as several threads do
                        whole.in_ranges(plan, read_only(grad.view(plan.pattern)), 0)
                    each.encode(grad, step=1 << 63)  # of parts, since that is a rare one
                    decode(frame)
                    sums = np.float64 if dtype == np.float64 else np.float32
                    accumulate(frame, np.zeros(size, sums))
                    _add_up(load(codec.backend), np.zeros(1, sums))
                    if not getattr(each.select, "unbiased", False):
                        ErrorFeedback(each).encode("", grad)


def _add_up(kernels: ModuleType, out: Numbers) -> None:
    """What sums over ranks need besides."""
    keys, counts = [np.zeros(1, np.uint32)], np.ones((1, 1), np.int64)
    kernels.put_sums(keys, counts, [out.copy()], 6, 0, 1, out.dtype.type(1), out)
