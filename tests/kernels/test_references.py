"""Compiled code gives back all memory that it takes, though most of it counts no references."""

import gc

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import gcodec
from gcodec.kernels.cpu import jit

RECIPES = (
    "reclog:ratio=0.01",
    "topk:ratio=0.01,keys=delta",
    "reclog:threshold=0.002,values=fixed",
    "reclog:ratio=0.3",
    "topk:ratio=1.0",
    "qsgd:levels=4",
)


def alive():
    """Arrays that compiled code has made and not given back."""
    gc.collect()
    statistics = rtsys.get_allocation_stats()
    return statistics.mi_alloc - statistics.mi_free


@pytest.fixture(autouse=True)
def counting():
    _nrt_python.memsys_enable_stats()
    yield
    _nrt_python.memsys_disable_stats()


@pytest.mark.parametrize("recipe", RECIPES)
def test_nothing_is_kept(recipe):
    rng = np.random.default_rng(0)
    codec, memory = gcodec.get_codec(recipe), gcodec.ErrorFeedback(gcodec.get_codec(recipe))
    grads = [rng.laplace(scale=1e-3, size=(size // 20, 20)).astype(np.float32)
             for size in (1000, 90_000)]  # fmt: skip

    def work():
        for grad in grads:
            frame = codec.encode(grad)
            gcodec.accumulate(frame, gcodec.decode(frame))
            gcodec.decode_sparse(frame)
            memory.encode(str(grad.size), grad)
            memory.commit(str(grad.size))

    work()
    before = alive()
    for _ in range(5):
        work()
    assert alive() == before


def test_it_would_be_seen():
    @jit.maker
    def make(n):
        return np.empty(n, np.uint8)

    @jit.inner
    def forgetful(n):
        return make(n).size

    @numba.njit
    def call(n):
        return forgetful(n)

    call(3)
    before = alive()
    call(3)
    assert alive() == before + 1
