"""Selection applied to each tensor of a bucket by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import KINDS, exact, make
from strategies import check_zeros, largest, same_bits

import gcodec

LAYOUT = [
    ("a", (60, 40)),
    ("b", (7,)),
    ("none", (0, 3)),
    ("c", ()),
    ("d", (80, 5, 10)),
    ("e", (1,)),
]
RECIPES = ("topk:ratio=0.1", "topk:k=5", "topk:k=4000,keys=rice", "quantile:ratio=0.2")


def spans(layout):
    ends = np.cumsum([int(np.prod(shape)) for _, shape in layout])
    return list(zip([0, *ends[:-1]], ends, strict=True))


SIZE = spans(LAYOUT)[-1][1]


def bucket(kind, seed, layout=LAYOUT):
    """Tensors of scales so different that together only the largest would be kept."""
    grad = np.zeros(spans(layout)[-1][1])
    for i, (start, stop) in enumerate(spans(layout)):
        grad[start:stop] = exact(make(KINDS["float32"], seed + i, stop - start)) * 4.0 ** (i % 5)
    return kind.nearest(grad)


def both(recipe, backend="cpu"):
    """A recipe for each tensor, and for all together."""
    alone = gcodec.get_codec(recipe, backend=backend)
    joint = "," if ":" in recipe else ":"
    return gcodec.get_codec(f"{recipe}{joint}per_tensor=1", backend=backend), alone


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_as_if_each_were_alone(kind, recipe, backend):
    grad = bucket(kind, 0)
    each, alone = both(recipe, backend)
    frame = each.encode(grad, tensors=LAYOUT, step=3)
    decoded = gcodec.decode(frame, backend=backend)
    for (name, _), (start, stop) in zip(LAYOUT, spans(LAYOUT), strict=True):
        part = gcodec.decode(alone.encode(grad[start:stop], name=name, step=3))
        assert same_bits(decoded[start:stop], part), name
    together = gcodec.decode(alone.encode(grad, tensors=LAYOUT, step=3))
    assert not same_bits(together, decoded), "a vain test"
    keys, values = gcodec.decode_sparse(frame)
    check_zeros(each, grad, keys, values, gcodec.inspect(frame).header["chunk_log2"])


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_levels_are_shared_and_the_same_as_alone(backend):
    grad = bucket(KINDS["float32"], 1)
    each, alone = both("reclog:ratio=0.1", backend)
    frame = each.encode(grad, tensors=LAYOUT)
    assert bytes(both("reclog:ratio=0.1")[0].encode(grad, tensors=LAYOUT)) == bytes(frame)
    for number, (start, stop) in enumerate(spans(LAYOUT)):
        part = gcodec.decode(alone.encode(grad[start:stop]))
        assert same_bits(gcodec.decode_tensor(frame, number).reshape(-1), part)
    assert gcodec.verify(frame, grad).bound_met


@settings(max_examples=60)
@given(
    sizes=st.lists(st.sampled_from([0, 1, 3, 64, 1000, 6000]), min_size=1, max_size=6),
    k=st.integers(1, 1200),
    seed=st.integers(0, 2**32 - 1),
    quantize=st.sampled_from([gcodec.Raw(), gcodec.ReciprocalLog(2)]),
)
def test_k_of_every_tensor(sizes, k, seed, quantize):
    layout = [(str(i), (size,)) for i, size in enumerate(sizes)]
    grad = bucket(KINDS["float32"], seed, layout)
    codec = gcodec.Codec(gcodec.TopK(k=k), quantize, per_tensor=True)
    frame = codec.encode(grad, tensors=layout)
    slow = gcodec.Codec(gcodec.TopK(k=k), quantize, per_tensor=True, backend="reference")
    assert bytes(slow.encode(grad, tensors=layout)) == bytes(frame)
    expected = [start + largest(grad[start:stop], k) for start, stop in spans(layout)]
    assert np.flatnonzero(gcodec.decode(frame)).tolist() == np.concatenate(expected).tolist()


@pytest.mark.parametrize("recipe", [*RECIPES, "reclog:ratio=0.1"])
def test_one_tensor_is_all(recipe, backend):
    """Then the bytes are those of the plain codec, also from pairs."""
    each, alone = both(recipe, backend)
    grad = make(KINDS["float32"], 0, 6000, 0.5)
    frame = each.encode(grad, name="w", step=1)
    assert bytes(frame) == bytes(alone.encode(grad, name="w", step=1))
    at = np.flatnonzero(grad)
    assert bytes(each.encode_sparse(at, grad[at], 6000, name="w", step=1)) == bytes(frame)
    assert bytes(each.encode(grad[:0])) == bytes(alone.encode(grad[:0]))


@pytest.mark.parametrize("recipe", [*RECIPES, "reclog:k=9"])
def test_merging_selects_in_every_tensor(recipe):
    """A sum is encoded from pairs: the same bytes as from the dense sum."""
    each, _ = both(recipe)
    lossless = gcodec.Codec(gcodec.Threshold(0.0))
    grads = [bucket(KINDS["float32"], seed) for seed in (0, 10)]
    frames = [lossless.encode(grad, tensors=LAYOUT) for grad in grads]
    merged = gcodec.merge(frames, codec=each)
    dense = each.encode(grads[0] + grads[1], tensors=LAYOUT)
    assert gcodec.inspect(merged).header["contributions"] == 2
    assert same_bits(gcodec.decode(merged), gcodec.decode(dense))
    assert merged.size == dense.size
    assert bytes(merged)[128:] == bytes(dense)[128:]


def test_quantiles_are_sampled_tensor_by_tensor():
    """Each from a sample of its own, so that equal tensors may keep different numbers."""
    part = make(KINDS["float32"], 0, 50_000)
    codec = gcodec.Codec(gcodec.SampledQuantile(0.3), per_tensor=True)
    frame = codec.encode(np.tile(part, 3), tensors=[(name, (50_000,)) for name in "abc"])
    counts = [np.count_nonzero(gcodec.decode_tensor(frame, name)) for name in "abc"]
    assert all(abs(count - 15_000) < 3000 for count in counts)
    assert len(set(counts)) > 1
    assert counts[0] == np.count_nonzero(
        gcodec.decode(gcodec.Codec(gcodec.SampledQuantile(0.3)).encode(part, name="a"))
    )


@pytest.mark.parametrize("select", [gcodec.Threshold(0.5), gcodec.Dense()], ids=repr)
def test_selectors_that_see_no_difference(select):
    grad = bucket(KINDS["float32"], 2)
    frames = [
        gcodec.Codec(select, quantize, per_tensor=per_tensor).encode(grad, tensors=LAYOUT)
        for quantize in (gcodec.Raw(), gcodec.ReciprocalLog(4))
        for per_tensor in (False, True)
    ]
    assert bytes(frames[0]) == bytes(frames[1])
    assert bytes(frames[2]) == bytes(frames[3])


def test_feedback_of_a_bucket(backend):
    each, _ = both("reclog:k=5", backend)
    memory, grad = gcodec.ErrorFeedback(each), bucket(KINDS["bfloat16"], 3)
    for step in range(3):
        before = memory.residual("w").copy() if step else np.zeros(SIZE, np.float32)
        u = KINDS["bfloat16"].widened(grad) + before
        frame = memory.encode("w", grad, step=step, tensors=LAYOUT)
        memory.commit("w")
        assert bytes(frame) == bytes(each.encode(u, name="w", step=step, tensors=LAYOUT))
        assert same_bits(memory.residual("w"), u - gcodec.decode(frame))
        counts = [np.count_nonzero(gcodec.decode_tensor(frame, i)) for i in range(len(LAYOUT))]
        assert counts == [5, 5, 0, 1, 5, 1]


def test_is_part_of_the_codec():
    each, alone = both("topk:k=3")
    assert each != alone
    assert hash(each) != hash(alone)
    for codec in (each, alone):
        assert eval(repr(codec), {name: getattr(gcodec, name) for name in gcodec.__all__}) == codec
    assert gcodec.Codec(per_tensor=1).per_tensor is True
    assert gcodec.Codec(per_tensor=np.bool_(True)) == gcodec.Codec(per_tensor=True)
    for wrong in (2, "yes", None):
        with pytest.raises(ValueError, match="per_tensor"):
            gcodec.Codec(per_tensor=wrong)


def test_density_is_that_of_the_tensors():
    """It sets the chunk size, from the request alone: 10 of each, or 10 of all."""
    grad, layout = np.ones(1 << 16, np.float32), [(str(i), (256,)) for i in range(256)]
    each, alone = both("topk:k=10")
    logs = [
        gcodec.inspect(codec.encode(grad, tensors=layout)).header["chunk_log2"]
        for codec in (each, alone)
    ]
    assert logs == [15, 22], "2^17 and more than 2^24, each twice lowered"
