"""Gradients of real training, from the folder that GCODEC_TEST_GRADIENTS names, on a device."""

import numpy as np
import pytest
from ptx.host import OnDevice, host_device

import gcodec
from gcodec.recipes import RECIPES

pytestmark = pytest.mark.cuda

NOT_THERE = ("sparseloco",)
"""Recipes that need a kernel which is not there."""

PACKED_THERE = (
    "threshold:threshold=1e-3,keys=coo",
    "reclog:threshold=1e-3,per_octave=4,keys=blocks,values=fixed",
    "topk:ratio=0.01,keys=blocks",
    "topk:ratio=0.001,keys=bitmap",
    "reclog:ratio=0.01,per_octave=8,keys=coo,values=fixed",
    "quantile:ratio=0.01,keys=blocks",
    "topk:ratio=0.01",
    "reclog:ratio=0.01,per_octave=4",
    "reclog:threshold=1e-3,keys=delta",
    "topk:ratio=0.001,keys=rice",
)
ALL = (
    *(name for name in RECIPES if name not in ("threshold", *NOT_THERE)),
    "threshold:threshold=1e-3",
    "reclog:ratio=0.01,scales=512",
    *PACKED_THERE,
)


MOST = 1 << 20
"""Elements that are looked at."""


def load(file):
    """The first elements of a gradient; of key-value pairs, with the zeros between."""
    loaded = np.load(file)
    if file.suffix == ".npy":
        return loaded.reshape(-1)[:MOST].astype(np.float32)
    dense = np.zeros(int(loaded["dimension"]), np.float32)
    dense[loaded["keys"]] = loaded["values"]
    return dense[:MOST]


@pytest.fixture(autouse=True)
def device():
    """The launchers that calls made."""
    with host_device() as made:
        yield made


@pytest.mark.parametrize("recipe", ALL)
def test_frames(gradient_file, recipe, device):
    array, codec = load(gradient_file), gcodec.get_codec(recipe)
    expected = codec.encode(array, name="w", step=7)
    assert codec.encode(OnDevice(array), name="w", step=7).tobytes() == expected.tobytes()


@pytest.mark.parametrize("recipe", ["topk:ratio=0.01", "reclog:ratio=0.01", "natural"])
def test_decoded_and_added(gradient_file, recipe):
    array = load(gradient_file)
    frame = gcodec.get_codec(recipe).encode(array)
    expected, out, sums = np.empty_like(array), np.empty_like(array), array.copy()
    gcodec.decode(frame, out=OnDevice(out))
    assert out.tobytes() == gcodec.decode(frame, out=expected).tobytes()
    gcodec.accumulate(frame, OnDevice(sums), scale=-0.5)
    gcodec.accumulate(frame, array, scale=-0.5)
    assert sums.tobytes() == array.tobytes()


@pytest.mark.parametrize("recipe", PACKED_THERE)
def test_error_feedback(gradient_file, recipe):
    array, codec = load(gradient_file), gcodec.get_codec(recipe)
    ours, theirs = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
    for step in range(3):
        frame = theirs.encode("w", OnDevice(array), step=step)
        assert frame.tobytes() == ours.encode("w", array, step=step).tobytes()
        ours.commit("w")
        theirs.commit("w")
    left = (memory.state_dict()["w"]["residual"].tobytes() for memory in (ours, theirs))
    assert next(left) == next(left)
