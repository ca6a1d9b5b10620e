"""On a machine with an NVIDIA device: the same frames there, and how fast. Skipped elsewhere.

`pytest -m gpu`; with compute-sanitizer: `compute-sanitizer python -m pytest -m gpu -k frames`.
"""

import numpy as np
import pytest

import gcodec
from gcodec import arrays
from gcodec.errors import BackendUnavailableError
from gcodec.kernels.cuda import launch, registry, selection, target

pytestmark = pytest.mark.gpu

RECIPES = (
    "threshold:threshold=2.5",
    "topk:ratio=0.01",
    "reclog:ratio=0.01,per_octave=4",
    "sidco:ratio=0.01",
    "randomk:ratio=0.01",
    "reclog:threshold=9,per_octave=4,keys=blocks,values=fixed",
    "topk:ratio=0.01,keys=bitmap",
)


@pytest.fixture(scope="module")
def cuda():
    """The target, where there is a device."""
    try:
        module = target.load()
    except BackendUnavailableError as missing:
        pytest.skip(str(missing))
    if not module.is_available():
        pytest.skip("no CUDA driver or device")
    return module


def gradient(n, seed=0):
    return np.random.default_rng(seed).standard_t(2, n).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 4097, 1 << 20, (1 << 24) + 5])
@pytest.mark.parametrize("recipe", RECIPES)
def test_same_frames(recipe, n, cuda):
    array, codec = gradient(n), gcodec.get_codec(recipe)
    there = cuda.to_device(array)
    assert codec.encode(there).tobytes() == codec.encode(array).tobytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_sums_of_frames(recipe, cuda):
    array, expected = gradient(1 << 20), gradient(1 << 20, 1)
    there, frame = cuda.to_device(expected), gcodec.get_codec(recipe).encode(array)
    gcodec.accumulate(frame, there, scale=1 / 3)
    gcodec.accumulate(frame, expected, scale=1 / 3)
    assert there.copy_to_host().tobytes() == expected.tobytes()
    gcodec.decode(frame, out=there)
    assert there.copy_to_host().tobytes() == gcodec.decode(frame).tobytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_frames_that_stay(recipe, cuda):
    array, codec = gradient(1 << 20), gcodec.get_codec(recipe)
    frame = codec.encode_on_device(cuda.to_device(array))
    expected = codec.encode(array)
    assert cuda.as_cuda_array(frame).copy_to_host().tobytes() == expected.tobytes()
    out = cuda.pinned_array(frame.nbytes, np.uint8)
    assert frame.get(out).tobytes() == expected.tobytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_residuals(recipe, cuda):
    codec = gcodec.get_codec(recipe)
    ours, theirs = gcodec.ErrorFeedback(codec), gcodec.ErrorFeedback(codec)
    for step in range(3):
        array = gradient(1 << 20, step)
        frame = theirs.encode("w", cuda.to_device(array), step=step)
        assert frame.tobytes() == ours.encode("w", array, step=step).tobytes()
        ours.commit("w")
        theirs.commit("w")
    left = [memory.state_dict()["w"]["residual"].tobytes() for memory in (ours, theirs)]
    assert left[0] == left[1]


def test_sketches(cuda):
    array = gradient(100_000)
    ours, theirs = (gcodec.CountSketch(array.size, columns=1 << 12) for _ in range(2))
    theirs.insert(cuda.to_device(array))
    assert theirs.encode().tobytes() == ours.insert(array).encode().tobytes()
    out = cuda.device_array(array.size, np.float32)
    theirs.estimate(out=out)
    assert out.copy_to_host().tobytes() == ours.estimate().tobytes()


@pytest.mark.parametrize("name", registry.kernels())
def test_every_kernel_loads(name, cuda):
    assert launch._kernel(name).get_regs_per_thread()


def _seconds(cuda, function, times=20):
    """The best of some runs, by events."""
    best = np.inf
    for _ in range(times):
        begin, end = cuda.event(), cuda.event()
        begin.record()
        function()
        end.record()
        end.synchronize()
        best = min(best, begin.elapsed_time(end) / 1e3)
    return best


def test_throughput_of_collect_beside_a_copy(cuda, capsys):
    """Printed, not asserted: what the model of docs/cuda.md is to be held against."""
    n = 1 << 26
    source = cuda.to_device(gradient(n))
    other, room = cuda.device_array(n, np.float32), n // 16
    device, tiles = launch.Driver(), -(-n // selection.tile_of(4))
    bits = device.adopt(arrays.device_array(source)._replace(dtype=np.dtype(np.uint32)))
    kept = device.empty(room, np.uint32), device.empty(room, np.uint32)
    starts, top = device.empty((n >> 20) + 1, np.uint64), device.zeros(1, np.uint32)
    progress = device.zeros(tiles + 1, np.uint64)
    floor = np.uint32(np.float32(10).view(np.uint32))

    def collect():
        device.clear(progress)
        given = bits, floor, np.uint32(1), np.uint64(20), progress
        device.launch("collect_uint32", tiles, *given, *kept, starts, top)

    copied = 8 * n / _seconds(cuda, lambda: other.copy_to_device(source))
    read = 4 * n / _seconds(cuda, collect)
    with capsys.disabled():
        name = cuda.get_current_device().name
        print(f"\n{name}: copy {copied / 1e12:.2f} TB/s, collect reads {read / 1e12:.2f} TB/s")
    assert read > 0
