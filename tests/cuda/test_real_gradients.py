"""Gradients of real training, from the folder that GCODEC_TEST_GRADIENTS names, on a device.

If there is a `layers.json` in it, `{stem: {"layers": [[name, shape], ...]}}`, frames know the
shapes of their tensors.
"""

import json
from math import prod

import numpy as np
import pytest
from ptx.host import OnDevice, check_feedback, host_device

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
BY_COLUMNS = ("topk:ratio=0.001,keys=columns", "reclog:ratio=0.03,per_octave=4,keys=columns")
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


def layers(file):
    """Names and shapes of the first tensors of a gradient, the last of whole rows; or None."""
    described, found, left = file.parent / "layers.json", [], MOST
    said = json.loads(described.read_text()) if described.exists() else {}
    if file.stem not in said:
        return None
    for name, (rows, *rest) in said[file.stem]["layers"]:
        fit = min(rows, left // prod(rest))
        found.append((name, (fit, *rest)))
        left -= fit * prod(rest)
        if fit < rows:
            break
    return found


def check(file, recipe):
    """The CPU's frame, which is made on a device too."""
    array, tensors, codec = load(file), layers(file), gcodec.get_codec(recipe)
    if tensors:
        array = array[: sum(prod(shape) for _, shape in tensors)]
    expected = codec.encode(array, name="w", step=7, tensors=tensors)
    frame = codec.encode(OnDevice(array), name="w", step=7, tensors=tensors)
    assert frame.tobytes() == expected.tobytes()
    return expected


@pytest.fixture(autouse=True)
def device():
    """The launchers that calls made."""
    with host_device() as made:
        yield made


@pytest.mark.parametrize("recipe", ALL)
def test_frames(gradient_file, recipe):
    check(gradient_file, recipe)


def test_active_columns(gradient_file):
    """Of matrices, which each of these gradients has that are smaller by them."""
    seen = set()
    for recipe in BY_COLUMNS:
        seen |= set(gcodec.inspect(check(gradient_file, recipe)).key_codecs)
    assert ("columns" in seen) == (layers(gradient_file) is not None)


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
    check_feedback(gcodec.get_codec(recipe), [load(gradient_file)] * 3)
