"""Whether the vector code of this CPU is sound: asked of a child process once, and kept on disk.

LLVM lowers compressions to what a CPU has, and has been wrong about it; what it makes may crash. So
before a tier above MASK is used for the first time, a child compiles it and runs it beside NumPy.
Unless that ends well, the tier is MASK. The answer is kept where Numba keeps our kernels; without
such a place every process asks.
"""

import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock
from warnings import warn

import llvmlite
import numba
import numpy as np

from .checksum import xxh64
from .jit import STAMP
from .vector import LANES, LINE_BITS, MASK, best_tier

LIMIT_S = 120
SOUND = "sound"
CHILD = """
import sys
_, tier, *sys.path[:] = sys.argv
from gcodec.kernels.cpu.probe import compare
compare(int(tier))
"""
_one_at_a_time = Lock()


def sound_tier():
    """The fastest tier that this CPU has, or MASK if that is not sound."""
    with _one_at_a_time:
        return _sound_tier()


@cache
def _sound_tier():
    tier = best_tier()
    return tier if tier <= MASK or _answer(tier) == SOUND else MASK


def _answer(tier):
    """What `_ask` says, from the file if there is one."""
    place = _place()
    with suppress(OSError):
        if place:
            return place.read_text()
    answer = _ask(tier)
    if answer == _too_long():  # a machine may have more to do today than tomorrow
        place = None
    with suppress(OSError):
        if place:
            part = place.with_suffix(f".{os.urandom(8).hex()}")
            part.write_text(answer)
            part.replace(place)
    if answer != SOUND:
        what = f"vector code for this CPU {answer}; gcodec goes on with slower code"
        warn(f"{what}, as {place} says" if place else what, RuntimeWarning, stacklevel=2)
    return answer


def _place():
    """A file named after sources, compilers, CPU and features; None if kernels are not kept."""
    folder = xxh64._cache.cache_path
    compiler = numba.__version__, llvmlite.__version__, xxh64.targetctx.codegen().magic_tuple()
    name = sha256(repr(compiler).encode()).hexdigest()[:16]
    return folder and Path(folder, f"probe-{STAMP}-{name}.txt")


def _command(tier):
    return [sys.executable, "-c", CHILD, str(tier), *map(str, sys.path)]


def _ask(tier):
    """SOUND, or what became of the child."""
    if not Path(sys.executable or "").name.startswith("python"):  # a program that embeds Python
        return "cannot be probed without an interpreter"
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    how = {"stdin": nothing, "stdout": pipe, "stderr": nothing, "timeout": LIMIT_S}
    try:
        child = subprocess.run(_command(tier), **how, check=False)
    except subprocess.TimeoutExpired:
        return _too_long()
    except OSError as error:
        return f"cannot be probed ({error})"
    if child.stdout.split()[-1:] == [SOUND.encode()]:
        return SOUND
    return f"failed its probe, which ended with status {child.returncode}"


def _too_long():
    return f"took more than {LIMIT_S} s to be probed"


def compare(tier):
    """Print SOUND if a tier finds what NumPy finds. For the child."""
    from .selection import STRIDE, collect_sum_with, collect_with

    rng, n = np.random.default_rng(0), 2 * STRIDE + LANES + 1
    odds = np.resize(np.repeat([0, 1 / LANES, 1 / 4, 1], 2 * LANES), n)
    sign = rng.choice([-1, 1], n)
    large = sign * np.where(rng.random(n) < odds, 2, 0.5)
    for kind in (np.float16, np.float32, np.float64):
        grad, residual = large.astype(kind), (sign * rng.random(n)).astype(kind)
        gamma, beta = kind(0.75), kind(0.5)
        sums = grad * gamma + residual * beta
        bits = sums.view(f"u{sums.itemsize}")
        for given in (grad, residual, bits):  # as callers give them: the same kernels
            given.flags.writeable = False
        same = _finds(sums, bits, collect_with, tier)
        room = np.empty(n + LINE_BITS, kind)
        aligned = -room.ctypes.data % (LINE_BITS // 8) // room.itemsize
        for start in (aligned, aligned + 1) if kind != np.float16 else ():
            out = room[start : start + n]
            what = tier, grad, residual, gamma, beta, out, out.ctypes.data
            same &= _finds(sums, out.view(bits.dtype), collect_sum_with, *what)
            same &= np.array_equal(out, sums)
        if not same:
            return
    print(SOUND)


def _finds(numbers, bits, collect, *given):
    """Whether those of at least one are collected; `bits` are patterns of the numbers by then."""
    keys, values = np.empty(bits.size + LANES, np.uint32), np.empty(bits.size + LANES, bits.dtype)
    floor, counts = numbers.dtype.type(1).view(bits.dtype), np.zeros(1, np.int64)
    _, kept, _ = collect(*given, bits, 0, floor, 24, 0, 0, keys, values, counts)
    expected = np.flatnonzero(np.abs(numbers) >= 1)
    return np.array_equal(keys[:kept], expected) and np.array_equal(values[:kept], bits[expected])
