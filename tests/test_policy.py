"""Which codec goes when: warm-up and exclusions."""

import numpy as np
import pytest

import gcodec

LAST = gcodec.Codec(gcodec.TopK(0.001), gcodec.ReciprocalLog(4), keys="rice")


def test_a_ratio_comes_down():
    policy = gcodec.WarmUp(LAST, every=10)
    ratios = [policy.at("w", 1000, step).select.ratio for step in (0, 9, 10, 25, 39, 40, 10**6)]
    assert ratios == [0.25, 0.25, 0.0625, 0.015625, 0.004, 0.001, 0.001]
    assert policy.at("w", 1000, 0).quantize == LAST.quantize
    assert policy.at("w", 1000, 99) == LAST


def test_small_tensors_and_some_names_go_as_they_are():
    policy = gcodec.Exclude(LAST, names=("*.bias", "norm?.*"), smaller_than=100)
    whole = gcodec.Codec(gcodec.Dense(), gcodec.Raw())
    assert policy.at("layer.bias", 1000, 0) == whole
    assert policy.at("norm1.weight", 1000, 0) == whole
    assert policy.at("layer.weight", 99, 0) == whole
    assert policy.at("layer.weight", 100, 0) == LAST


def test_both_at_once_with_error_feedback():
    policy = gcodec.Exclude(gcodec.WarmUp(LAST, every=1, ratios=(0.5,)), names=("b",))
    memory = gcodec.ErrorFeedback(policy)
    grad = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    kept = []
    for name in ("w", "b"):
        for step in range(2):
            frame = memory.encode(name, grad, step=step)
            memory.commit(name)
            kept.append(gcodec.decode_sparse(frame)[0].size)
    assert kept == [2000, 4, 4000, 4000]
    assert not memory.residual("b").any()
    assert memory.counters.messages == 4
    assert memory.counters.kept == sum(kept)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gcodec.Codec("topk"),
        lambda: gcodec.Codec(gcodec.TopK(0.1), "reclog"),
        lambda: gcodec.ErrorFeedback("topk"),
    ],
)
def test_names_are_for_recipes(make):
    with pytest.raises(TypeError, match=r"topk|reclog"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: gcodec.WarmUp(gcodec.Codec(gcodec.TopK(k=3)), every=1),
        lambda: gcodec.WarmUp(gcodec.Codec(gcodec.Dense()), every=1),
        lambda: gcodec.WarmUp(LAST, every=0),
        lambda: gcodec.WarmUp(LAST, every=1, ratios=(2.0,)),
        lambda: gcodec.Exclude(LAST, names="*.bias"),
    ],
)
def test_bad_policies_are_refused(make):
    with pytest.raises(ValueError):
        make()
