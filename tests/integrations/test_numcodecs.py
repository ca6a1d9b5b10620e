"""The numcodecs codec: its contract, its registration, and what it refuses."""

import json

import numpy as np
import pytest

import gcodec

RECIPES = ("topk:ratio=0.2", "reclog:ratio=0.5,per_octave=16,keys=delta", "qsgd:scales=row")


@pytest.fixture
def numcodecs(framework):
    return framework("numcodecs", "zarr")


@pytest.fixture
def make(numcodecs):
    from gcodec.integrations.numcodecs import GCodec

    return GCodec


def gradient(dtype="float32", order="C"):
    numbers = np.random.default_rng(0).laplace(size=(30, 40))
    return np.asarray(numbers, dtype, order=order)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_encode_decode(make, recipe, dtype):
    codec, grad = make(recipe), gradient(dtype)
    frame = codec.encode(grad)
    assert bytes(frame) == bytes(gcodec.get_codec(recipe).encode(grad))
    expected = gcodec.decode(frame)
    out = np.full_like(grad, 7)
    raw = bytearray(grad.nbytes)
    assert codec.decode(frame, out) is out
    codec.decode(bytes(frame), raw)
    for decoded in (codec.decode(frame), codec.decode(bytes(frame)), out):
        assert decoded.dtype == dtype
        assert np.array_equal(decoded, expected)
    assert raw == expected.tobytes()


def test_memory_order_comes_back(make):
    """Readers of Zarr format 2 flatten what is decoded and give it the order of the array."""
    codec, grad = make("topk:ratio=1"), gradient(order="F")
    decoded = codec.decode(codec.encode(grad))
    assert np.array_equal(decoded.reshape(-1).reshape(grad.shape, order="F"), grad)
    out = np.empty_like(grad)
    assert np.array_equal(codec.decode(codec.encode(grad), out), grad)


@pytest.mark.parametrize("recipe", RECIPES)
def test_configuration_goes_round(make, numcodecs, recipe):
    codec = make(recipe)
    config = json.loads(json.dumps(codec.get_config()))
    assert config["id"] == "gcodec"
    again = numcodecs.get_codec(config)
    assert again == codec
    assert again.codec == gcodec.get_codec(recipe) == codec.codec
    assert eval(repr(codec), {"GCodec": make}) == codec
    assert codec != make("topk:k=1")


def test_a_fresh_process_finds_it(numcodecs, make, fresh, tmp_path):
    grad = gradient()
    frame = make("topk:ratio=0.2").encode(grad)
    (tmp_path / "frame").write_bytes(frame)
    code = """
import sys, json, pathlib, numcodecs
folder = pathlib.Path(sys.argv[1])
assert "gcodec" not in sys.modules
codec = numcodecs.get_codec(json.loads(sys.argv[2]))
(folder / "dense").write_bytes(codec.decode((folder / "frame").read_bytes()))
"""
    fresh(code, tmp_path, json.dumps({"id": "gcodec", "codec": "topk:ratio=0.2"}))
    assert (tmp_path / "dense").read_bytes() == gcodec.decode(frame).tobytes()


@pytest.mark.parametrize(
    "array", [np.arange(5), np.ones(5, np.uint16), b"bytes", np.zeros(2, "c8")]
)
def test_what_is_no_gradient_is_refused(make, array):
    with pytest.raises(gcodec.UnsupportedDtypeError, match="floats only"):
        make("dense").encode(array)


def test_mistakes(make):
    with pytest.raises(ValueError, match="changes the type"):
        make("inceptionn")
    with pytest.raises(gcodec.UnknownRecipeError, match="valid recipes"):
        make("nope")
    with pytest.raises(gcodec.UnknownRecipeError, match="not the configuration"):
        make({"id": "gcodec"})
    with pytest.raises(TypeError, match="not 3"):
        make(3)
    with pytest.raises(gcodec.NonFiniteError):
        make("dense").encode(np.array([np.nan], np.float32))
    out = np.full(5, 7, np.float32)
    frame = bytearray(make("topk:k=2").encode(np.arange(5, dtype=np.float32)))
    frame[-1] ^= 1
    with pytest.raises(gcodec.FrameError):
        make("topk:k=2").decode(frame, out)
    assert (out == 7).all()
