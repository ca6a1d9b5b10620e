"""Random layers and costs, and the end of the best plan of all, found by trying each."""

import numpy as np

from gcodec.fusion import Affine, Costs, Layers, PowerOfTwo, Table

FAMILIES = ("affine", "step", "measured")


def layers(rng, number):
    """Sizes over three orders of magnitude; some layers take no time, or are empty."""
    sizes = np.ceil(rng.lognormal(2, 1.2, number)).astype(int)
    sizes[rng.random(number) < 0.05] = 0
    seconds = np.round(rng.exponential(size=number) * 64 * rng.choice([0.1, 1, 4]))
    seconds[rng.random(number) < 0.1] = 0
    return Layers([f"layer{i}" for i in range(number)], sizes, seconds)


def cost(rng, family):
    """Multiples of 1/64 below 2**30, so that sums are exact and plans equal or clearly not."""
    start, each = rng.integers(0, 128), rng.integers(0, 512) / 64
    if family == "affine":
        return Affine(float(start), each)
    if family == "step":
        return PowerOfTwo(float(start), each, float(rng.choice([0.25, 0.5, 1, 2])))
    sizes = np.unique(np.concatenate([[1], 2 ** rng.integers(1, 9, 5)]))
    table = Table(sizes, rng.integers(0, 400, len(sizes)))
    return lambda numbers: np.round(64 * table(numbers)) / 64


def costs(rng, family):
    return Costs(*(cost(rng, family) for _ in Costs._fields))


def best_end(problem, cost, model):
    """The end of the best of all 2**(L-1) plans: every recurrence as published, all at once."""
    number = len(problem)
    plans = np.arange(2 ** (number - 1))
    ready = np.cumsum(problem.seconds)
    compressed, sent, done = (np.zeros(len(plans)) for _ in range(3))
    size, began = np.zeros(len(plans), np.int64), np.zeros(len(plans))
    for i in range(number):
        size = size + problem.sizes[i]
        ends = (plans >> i & 1 == 1) | (i == number - 1)
        h, q, u = (np.broadcast_to(each(size), size.shape) for each in cost)
        if model == "free":
            after = np.maximum(done, ready[i]) + q
            done = np.where(ends, after, done)
        elif model == "inline":
            after = compressed + (ready[i] - began) + h
            done = np.where(ends, np.maximum(done, after) + q + u, done)
            compressed = np.where(ends, after, compressed)
        else:
            compressed = np.where(ends, np.maximum(compressed, ready[i]) + h, compressed)
            sent = np.where(ends, np.maximum(sent, compressed) + q, sent)
            done = np.where(ends, np.maximum(done, sent) + u, done)
        began = np.where(ends, ready[i], began)
        size = np.where(ends, 0, size)
    return done.min()
