"""Recipes of the common kind, and gradients of several laws."""

import numpy as np

RECIPES = (
    "reclog:ratio=0.3,values=fixed",
    "topk:ratio=0.01",
    "topk:ratio=0.3,keys=rice",
    "topk:k=3,keys=coo",
    "topk:ratio=1.0",
    "reclog:ratio=0.01",
    "reclog:ratio=0.02,per_octave=16,values=fixed,keys=blocks",
    "reclog:ratio=0.05,base=1.5,keys=columns",
    "reclog:k=1,keys=delta",
    "reclog:threshold=0.002",
    "reclog:threshold=0.0005,keys=bitmap",
)


def laplace(rng, shape):
    return rng.laplace(scale=1e-3, size=shape)


def mostly_zero(rng, shape):
    return laplace(rng, shape) * (rng.random(shape) < 0.004)


def zeros(rng, shape):
    return np.zeros(shape)


def ties(rng, shape):
    return rng.integers(-3, 4, shape) * 1e-3


def wide(rng, shape):
    return np.exp(rng.normal(size=shape) * 2) * rng.choice((-1, 1), shape)


LAWS = (laplace, mostly_zero, zeros, ties, wide)


def make(law, shape, kind):
    drawn = np.asarray(law(np.random.default_rng(len(shape)), shape))
    if kind == "bfloat16":
        kind, drawn = np.uint16, drawn.astype(np.float32).view(np.uint32) >> np.uint32(16)
    return np.asarray(drawn.astype(kind))
