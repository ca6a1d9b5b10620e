"""What an encode takes beside gradient, residuals and frame: under 5 % of the gradient.

Where every element goes and its level is drawn: keys, values and levels.
"""

import tracemalloc

import numpy as np
import pytest

import gcodec
from gcodec import scratch

N = 1 << 23
LOG = gcodec.ReciprocalLog()


@pytest.fixture(scope="module")
def grad():
    return np.random.default_rng(0).laplace(size=N).astype(np.float32)


def peak(function):
    """Most bytes that a second call has at a time, without those of the frame it returns.

    Memory that the first has left counts as well.
    """
    function()
    scratch.forget()
    tracemalloc.start()
    try:
        frame = function()
        return tracemalloc.get_traced_memory()[1] - len(frame)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("keys", ["auto", "blocks", "delta"])
@pytest.mark.parametrize("what", ["known", "sampled", "exact", "feedback"])
def test_one_percent_takes_five(what, keys, threads, grad):
    threshold = -float(np.log(0.01))
    select = {"known": gcodec.Threshold(threshold), "sampled": gcodec.SampledQuantile(0.01)}
    codec = gcodec.Codec(select.get(what, gcodec.TopK(0.01)), LOG, keys)
    memory = gcodec.ErrorFeedback(codec)

    def with_memory():
        frame = memory.encode("w", grad)
        memory.rollback("w")
        return frame

    gcodec.set_threads(threads)
    try:
        taken = peak(with_memory if what == "feedback" else lambda: codec.encode(grad))
    finally:
        gcodec.set_threads(None)
    assert taken < 0.05 * grad.nbytes


@pytest.mark.parametrize("recipe", ["natural", "qsgd:levels=100", "terngrad"])
def test_what_is_drawn_takes_what_is_kept(recipe, grad):
    codec = gcodec.get_codec(recipe)
    keys_and_values, levels = 2 * grad.nbytes, grad.size
    assert peak(lambda: codec.encode(grad)) < 1.05 * (keys_and_values + levels)
