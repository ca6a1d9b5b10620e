"""Gradients to time codecs on: two laws, and real ones tiled, each in three buffers."""

from pathlib import Path

import numpy as np

BUFFERS = 3
"""Taken in turn, 64 MiB each at n = 2**24: what was read last is out of the cache again."""
CHUNK = 1 << 16


def laplace(rng, n):
    """Independent, scale 1e-3."""
    return rng.laplace(scale=1e-3, size=n).astype(np.float32)


def heavy(rng, n):
    """90 % N(0, 1e-4), 9 % N(0, 1e-3), 1 % Student t(2.5) x 5e-3; chunks times log-normal(0, 1)."""
    grad = rng.standard_normal(n, np.float32) * np.float32(1e-4)
    part = rng.random(n, np.float32)
    grad[part < 0.1] *= np.float32(10)
    tail = np.flatnonzero(part < 0.01)
    grad[tail] = 5e-3 * rng.standard_t(2.5, tail.size)
    factors = rng.lognormal(size=-(-n // CHUNK)).astype(np.float32)
    return grad * np.repeat(factors, CHUNK)[:n]


LAWS = {"Laplace": laplace, "heavy": heavy}


def buffers(law, n, seed=0):
    """Three independent gradients as rows of one array."""
    rng = np.random.default_rng(seed)
    return np.stack([law(rng, n) for _ in range(BUFFERS)])


def tiled(path, n):
    """A real gradient, repeated to n elements, in three buffers that start at different places."""
    grad = np.load(path).astype(np.float32).reshape(-1)
    return np.stack([np.resize(np.roll(grad, 4099 * i), n) for i in range(BUFFERS)])


def real(folder):
    """Dense gradients of a folder."""
    return sorted(Path(folder).glob("*.npy"))


def window(pool, i):
    """n elements of the three buffers from a place that moves: a new gradient for every step."""
    n = pool.shape[1]
    places = (BUFFERS - 1) * n // 16 + 1  # whole cache lines
    start = (i * 0x9E3779B1 % places) * 16
    return pool.reshape(-1)[start : start + n]


def cut(grad, density):
    """The magnitude above which a share `density` of a gradient lies."""
    kept = max(1, round(density * grad.size))
    return float(np.partition(np.abs(grad), grad.size - kept - 1)[grad.size - kept - 1])
