"""Recipes: every documented one works, and every mistake is named with what is valid."""

import numpy as np
import pytest
from strategies import KEYS, make_gradient

import gcodec
from gcodec.recipes import RECIPES

VALID = {
    "dense": gcodec.Codec(gcodec.Dense(), gcodec.Raw()),
    "dense:keys=rice": gcodec.Codec(gcodec.Dense(), gcodec.Raw(), "rice"),
    "topk": gcodec.Codec(gcodec.TopK(ratio=0.01), gcodec.Raw()),
    "topk:ratio=0.1": gcodec.Codec(gcodec.TopK(ratio=0.1), gcodec.Raw()),
    "topk:k=10": gcodec.Codec(gcodec.TopK(k=10), gcodec.Raw()),
    "topk:k=10,keys=rice": gcodec.Codec(gcodec.TopK(k=10), gcodec.Raw(), "rice"),
    "topk:ratio=1": gcodec.Codec(gcodec.TopK(ratio=1.0), gcodec.Raw()),
    "topk:ratio=0.1,per_tensor=1": gcodec.Codec(gcodec.TopK(ratio=0.1), per_tensor=True),
    "topk:per_tensor=0": gcodec.Codec(),
    "quantile:per_tensor=1": gcodec.Codec(gcodec.SampledQuantile(0.01), per_tensor=True),
    "reclog:k=3,per_tensor=1": gcodec.Codec(
        gcodec.TopK(k=3), gcodec.ReciprocalLog(4), per_tensor=True
    ),
    "threshold:threshold=1e-3": gcodec.Codec(gcodec.Threshold(1e-3), gcodec.Raw()),
    "threshold:threshold=0": gcodec.Codec(gcodec.Threshold(0.0), gcodec.Raw()),
    "quantile": gcodec.Codec(gcodec.SampledQuantile(0.01), gcodec.Raw()),
    "quantile:ratio=0.5,seed=-3": gcodec.Codec(gcodec.SampledQuantile(0.5, -3), gcodec.Raw()),
    "reclog": gcodec.Codec(gcodec.TopK(ratio=0.01), gcodec.ReciprocalLog(4)),
    "reclog:per_octave=16,k=3,keys=coo": gcodec.Codec(
        gcodec.TopK(k=3), gcodec.ReciprocalLog(16), "coo"
    ),
    "reclog:threshold=0.5,per_octave=1": gcodec.Codec(
        gcodec.Threshold(0.5), gcodec.ReciprocalLog(1)
    ),
    "reclog:tau=12,per_octave=4": gcodec.Codec(gcodec.LogThreshold(12, 4), gcodec.ReciprocalLog(4)),
    "reclog:tau=-1,base=1.5": gcodec.Codec(
        gcodec.LogThreshold(-1, base=1.5), gcodec.ReciprocalLog(base=1.5)
    ),
    "reclog:tau=0": gcodec.Codec(gcodec.LogThreshold(0, 4), gcodec.ReciprocalLog(4)),
    "reclog:base=2,bits=5,k=9": gcodec.Codec(
        gcodec.TopK(k=9), gcodec.ReciprocalLog(base=2.0, bits=5)
    ),
    "adaq:k=5": gcodec.Codec(gcodec.TopK(k=5), gcodec.FewBit(1)),
    "dense:keys=bitmap": gcodec.Codec(gcodec.Dense(), keys="bitmap"),
    "dgc:ratio=0.2,seed=4": gcodec.Codec(gcodec.DGCSampling(0.2, seed=4)),
    "efsignsgd": gcodec.Codec(gcodec.Dense(), gcodec.FewBit(1, per_sign=False)),
    "signum": gcodec.Codec(gcodec.Dense(), gcodec.FewBit(1, per_sign=False)),
    "gaussiank": gcodec.Codec(gcodec.GaussianK(0.01)),
    "gradient-dropping": gcodec.Codec(gcodec.SampledQuantile(0.01)),
    "gradient-dropping:bits=2": gcodec.Codec(gcodec.SampledQuantile(0.01), gcodec.FewBit(2)),
    "inceptionn:bound=0.125": gcodec.Codec(gcodec.Threshold(0.125), gcodec.Cast("bfloat16")),
    "mstopk:k=3,rounds=9": gcodec.Codec(gcodec.MSTopK(k=3, rounds=9)),
    "natural:seed=1": gcodec.Codec(gcodec.Dense(), gcodec.Natural(1)),
    "onebit": gcodec.Codec(gcodec.Dense(), gcodec.FewBit(1)),
    "qsgd:levels=3": gcodec.Codec(gcodec.Dense(), gcodec.QSGD(3, "l2")),
    "randomblock:k=9": gcodec.Codec(gcodec.RandomBlock(k=9)),
    "randomk:ratio=0.5,unbiased=1": gcodec.Codec(gcodec.RandomK(0.5, unbiased=True)),
    "redsync:ratio=0.1": gcodec.Codec(gcodec.RedSync(0.1)),
    "reclog:stochastic=1,seed=2": gcodec.Codec(
        gcodec.TopK(0.01), gcodec.ReciprocalLog(4, stochastic=True, seed=2)
    ),
    "sidco": gcodec.Codec(gcodec.SIDCo(0.01)),
    "sidco:law=exponential,stages=0,verified=0": gcodec.Codec(
        gcodec.SIDCo(0.01, law="exponential", stages=0, verified=False)
    ),
    "sparseloco:k=2,block=64": gcodec.Codec(gcodec.BlockTopK(2, 64), gcodec.FewBit(2)),
    "terngrad": gcodec.Codec(gcodec.Dense(), gcodec.TernGrad(2.5)),
    "threshold:threshold=2,relative_to=rms": gcodec.Codec(gcodec.Threshold(2, "rms")),
    "u8bit": gcodec.Codec(gcodec.Dense(), gcodec.Uniform(8)),
    "u8bit:scales=512": gcodec.Codec(gcodec.Dense(), gcodec.Uniform(8), scales=512),
    "qsgd:norm=max,scales=tensor": gcodec.Codec(gcodec.Dense(), gcodec.QSGD(), scales="tensor"),
    "onebit:scales=row,values=fixed": gcodec.Codec(
        gcodec.Dense(), gcodec.FewBit(1), values="fixed", scales="row"
    ),
}


@pytest.mark.parametrize("recipe", VALID)
def test_valid(recipe, backend):
    codec = gcodec.get_codec(recipe, backend=backend)
    assert codec == VALID[recipe]
    assert hash(codec) == hash(VALID[recipe])
    assert codec.backend == backend
    dense = make_gradient(0, 4000 if backend == "cpu" else 200)
    assert gcodec.decode(codec.encode(dense)).size == dense.size


def test_every_recipe_is_tested_and_documented():
    assert {recipe.partition(":")[0] for recipe in VALID} == set(RECIPES)
    assert all(make.__doc__ for make in RECIPES.values())


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("", "reclog"),
        ("TopK", "topk"),
        ("nothing:ratio=1", "quantile"),
        ("topk:rat=0.1", "ratio="),
        ("topk:ratio", "ratio="),
        ("topk:ratio:0.1", "ratio="),
        ("topk:seed=1", "ratio="),
        ("topk: ratio=0.1", "ratio="),
        ("reclog:bit=4", "per_octave="),
        ("topk:ratio=0", "ratio"),
        ("topk:ratio=2", "ratio"),
        ("topk:ratio=nan", "ratio"),
        ("topk:ratio=", "ratio"),
        ("topk:ratio=much", "ratio"),
        ("topk:k=0", "k"),
        ("topk:k=1.5", "k"),
        ("topk:k=3,ratio=0.1", "one of"),
        ("topk:keys=zip", "auto"),
        ("topk:per_tensor=2", "per_tensor"),
        ("qsgd:scales=0", "scales"),
        ("qsgd:scales=column", "row or tensor"),
        ("topk:scales=512", "leave scales out"),
        ("sketch", "no recipe"),
        ("topk:per_tensor=yes", "per_tensor"),
        ("threshold:threshold=1,relative_to=mean", "relative_to"),
        ("dense:ratio=0.1", "keys="),
        ("threshold", "threshold"),
        ("threshold:threshold=-1", "threshold"),
        ("threshold:threshold=inf", "threshold"),
        ("threshold:threshold=x", "threshold"),
        ("reclog:threshold=1,k=1", "one of"),
        ("reclog:threshold=1,tau=1", "one of"),
        ("reclog:ratio=0.1,tau=1", "one of"),
        ("reclog:tau=1.5", "tau"),
        ("reclog:tau=few", "tau"),
        ("reclog:per_octave=4,base=2", "one of"),
        ("reclog:base=1", "1.03"),
        ("reclog:base=e", "base"),
        ("reclog:bits=1", "12"),
        ("reclog:bits=32", "12"),
        ("reclog:per_octave=3", "16"),
        ("reclog:per_octave=4.0", "16"),
        ("reclog:per_octave=four", "16"),
        ("quantile:ratio=0", "ratio"),
        ("quantile:seed=abc", "seed"),
        ("quantile:seed=1.5", "seed"),
    ],
)
def test_mistakes_are_named(recipe, told):
    with pytest.raises(gcodec.UnknownRecipeError) as caught:
        gcodec.get_codec(recipe)
    assert told in str(caught.value)
    assert recipe.partition(":")[0] in str(caught.value)


@pytest.mark.parametrize("recipe", VALID)
def test_repr_evaluates_back(recipe):
    codec = gcodec.get_codec(recipe)
    assert eval(repr(codec), {name: getattr(gcodec, name) for name in gcodec.__all__}) == codec


def test_backend_is_not_identity():
    cpu, reference = (gcodec.get_codec("topk", backend=b) for b in ("cpu", "reference"))
    assert cpu == reference
    assert hash(cpu) == hash(reference)
    with pytest.raises(ValueError):
        gcodec.get_codec("topk", backend="abacus")


@pytest.mark.parametrize("keys", ["", "RICE", "all", "huffman", None])
def test_unknown_packings(keys):
    with pytest.raises(ValueError, match="auto"):
        gcodec.Codec(keys=keys)


@pytest.mark.parametrize("keys", KEYS)
def test_every_packing_has_a_name(keys):
    assert gcodec.get_codec(f"topk:keys={keys}") == gcodec.Codec(keys=keys)
    with pytest.raises(ValueError, match=rf"\b{keys}\b"):
        gcodec.Codec(keys="zip")


def test_codecs_are_frozen():
    codec = gcodec.Codec()
    for part, field in (
        (codec, "keys"),
        (codec.select, "ratio"),
        (gcodec.ReciprocalLog(), "per_octave"),
    ):
        with pytest.raises(AttributeError):
            setattr(part, field, 1)


def test_default_is_topk_of_one_percent():
    dense = np.arange(1, 501, dtype=np.float32)
    assert gcodec.decode_sparse(gcodec.Codec().encode(dense))[0].tolist() == list(range(495, 500))
