"""Error feedback with residuals on a device: the CPU's frames and residuals, bit for bit."""

import numpy as np
import pytest
from kinds import KINDS
from ptx.host import HostLauncher, OnDevice, check_feedback, host_device

import gcodec

pytestmark = pytest.mark.cuda

MADE_THERE = (
    "threshold:threshold=4,keys=coo",
    "reclog:threshold=4,per_octave=4,values=fixed,keys=blocks",
    "topk:ratio=0.02,keys=bitmap",
    "quantile:ratio=0.02,keys=blocks",
    "topk:ratio=0.02",
    "reclog:ratio=0.02,per_octave=4",
    "reclog:threshold=4,keys=delta",
    "topk:k=90,keys=coo",
)
OF_PARTS = (
    "reclog:ratio=0.02,scales=512",
    "threshold:threshold=0.1,keys=coo",
    "randomk:ratio=0.01",
    "gradient-dropping:bits=2",
)


def gradient(step, n=20_011, dtype=np.float32):
    return np.random.default_rng(step).standard_t(2, n).astype(dtype)


def held(memory, name="w"):
    """The residual, on the host."""
    return memory.state_dict()[name]["residual"]


@pytest.fixture(autouse=True)
def device():
    """The launchers that calls made."""
    with host_device() as made:
        yield made


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("recipe", [*MADE_THERE, *OF_PARTS])
def test_frames_and_residuals_of_the_cpu(recipe, dtype):
    arrays = [gradient(step, dtype=dtype) for step in range(4)]
    with host_device():
        check_feedback(gcodec.get_codec(recipe), arrays, rolled_back=(1,), beta=0.9, gamma=1.1)


def test_three_launches_and_one_frame_if_the_threshold_is_known(device):
    array, memory = gradient(0, 40_000), gcodec.ErrorFeedback(gcodec.get_codec(MADE_THERE[1]))
    frame = memory.encode("w", OnDevice(array))
    (first,) = device
    assert first.launched == [
        "collect_sum_uint32", "measure_chunks_uint32", "write_chunks_uint32",
    ]  # fmt: skip
    assert first.copied == 24 + frame.nbytes


@pytest.mark.parametrize("recipe", ["topk:ratio=0.01", "topk:ratio=0.01,keys=bitmap"])
def test_the_sum_is_worked_out_in_one_pass(recipe, device):
    gcodec.ErrorFeedback(gcodec.get_codec(recipe)).encode("w", OnDevice(gradient(0, 200_000)))
    assert device[0].launched.count("collect_sum_uint32") == 1
    assert device[0].launched[:2] == ["take_uint32", "take_uint32"]


def test_shapes_and_views_of_the_residual():
    memory = gcodec.ErrorFeedback(gcodec.get_codec(MADE_THERE[0]))
    array = gradient(0).reshape(-1, 1)
    memory.encode("w", OnDevice(array))
    memory.commit("w")
    seen = memory.residual("w").__cuda_array_interface__
    assert seen["shape"] == array.shape
    assert seen["data"][1]
    assert list(memory) == ["w"]


def test_what_is_retained():
    keys, more = np.array([5, 0, 20_010]), np.array([1.5, -2, 3], np.float32)
    codec, array = gcodec.get_codec(MADE_THERE[0]), gradient(0)
    ours, theirs = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
    for memory, given in ((ours, array), (theirs, OnDevice(array))):
        memory.encode("w", given)
        memory.retain("w", keys, more)
        memory.retain("w", keys[:0], more[:0])
        memory.commit("w")
    assert held(theirs).tobytes() == held(ours).tobytes()


def test_a_state_goes_on_where_the_gradient_is():
    codec, array = gcodec.get_codec(MADE_THERE[1]), gradient(0)
    saved = gcodec.ErrorFeedback(codec)
    saved.encode("w", array)
    saved.commit("w")
    memory = gcodec.ErrorFeedback(codec)
    memory.load_state_dict(saved.state_dict())
    assert memory.encode("w", OnDevice(array)).tobytes() == saved.encode("w", array).tobytes()
    memory.commit("w")
    with pytest.raises(gcodec.StateError, match="on a device"):
        memory.encode("w", array)


def test_another_stream_waits_for_the_one_before(device):
    memory = gcodec.ErrorFeedback(gcodec.get_codec(MADE_THERE[0]))
    for stream in (7, 7, 8):
        before = [each.waits for each in device]
        memory.encode("w", OnDevice(gradient(0), stream=stream))
        memory.commit("w")
        waited = [each.waits > count for each, count in zip(device, before, strict=False)]
        assert any(waited) == (stream == 8)
    assert isinstance(device[-1], HostLauncher)


def test_what_fails_changes_nothing():
    memory = gcodec.ErrorFeedback(gcodec.get_codec(MADE_THERE[0]))
    memory.encode("w", OnDevice(gradient(0)))
    memory.commit("w")
    before = held(memory).copy()
    bad = gradient(1)
    bad[9] = np.inf
    with pytest.raises(gcodec.NonFiniteError, match=r"sum of .* 'w' has 1 NaN"):
        memory.encode("w", OnDevice(bad))
    with pytest.raises(gcodec.StateError, match="shape"):
        memory.encode("w", OnDevice(bad[1:]))
    assert held(memory).tobytes() == before.tobytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_16_bits(dtype):
    """Residuals are float32."""
    for recipe in ("topk:ratio=0.02", "reclog:threshold=4,per_octave=4,keys=delta"):
        codec = gcodec.get_codec(recipe)
        ours, theirs = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
        for step in range(3):
            array = gradient(step)
            array[:9] = [0, -0.0, 6e-8, -6e-8, 6.1e-5, -6e-5, 6.5e4, 5.96e-8, 1e-7]
            array = KINDS[dtype].nearest(array)
            frame = theirs.encode("w", OnDevice(array), step=step)
            assert frame.tobytes() == ours.encode("w", array, step=step).tobytes()
            ours.commit("w")
            theirs.commit("w")
            assert held(theirs).tobytes() == held(ours).tobytes()


MOMENTA = ({}, {"nesterov": True}, {"masking": False, "momentum": 0.5})


@pytest.mark.parametrize(
    "recipe", ["topk:ratio=0.02", MADE_THERE[0], "randomk:ratio=0.01", "dense"]
)
@pytest.mark.parametrize("how", MOMENTA)
def test_momentum(recipe, how):
    codec = gcodec.get_codec(recipe)
    ours, theirs = (gcodec.MomentumFeedback(codec, **how) for _ in range(2))
    for step in range(3):
        array = gradient(step)
        frame = theirs.encode("w", OnDevice(array), step=step)
        assert frame.tobytes() == ours.encode("w", array, step=step).tobytes()
        ours.commit("w")
        theirs.commit("w")
        left, right = (memory.state_dict()["w"] for memory in (ours, theirs))
        for buffer in ("residual", "velocity"):
            assert left[buffer].tobytes() == right[buffer].tobytes()


def test_what_there_is_no_kernel_for():
    memory = gcodec.MomentumFeedback(gcodec.get_codec(MADE_THERE[0]), clip=1.0)
    with pytest.raises(gcodec.BackendUnavailableError, match="copy the gradient to the host"):
        memory.encode("w", OnDevice(gradient(0)))
