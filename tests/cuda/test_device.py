"""Arrays on a device: the same frames and sums, over host memory and PTX that runs on the CPU."""

import ctypes

import numpy as np
import pytest
from kinds import KINDS, make
from ptx.host import OnDevice, host_device

import gcodec
from gcodec.kernels.cuda import target

pytestmark = pytest.mark.cuda


@pytest.fixture
def device():
    """The launchers that calls made."""
    with host_device() as made:
        yield made


def gradient(n, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_t(2, n).astype(dtype)


RECIPES = (
    "threshold:threshold=2.5",
    "threshold:threshold=0.1,relative_to=max",
    "threshold:threshold=2,relative_to=rms",
    "topk:ratio=0.01",
    "topk:k=100",
    "reclog:ratio=0.01,per_octave=4",
    "reclog:threshold=3,per_octave=8,keys=blocks,values=fixed",
    "topk:ratio=0.01,keys=blocks",
    "quantile:ratio=0.01,keys=coo",
    "threshold:threshold=1e-3,keys=bitmap",
    "reclog:ratio=0.01,keys=coo,values=fixed",
    "reclog:ratio=0.05,keys=bitmap",
    "reclog:ratio=0.05,keys=coo",
    "reclog:ratio=0.01,scales=512",
    "sidco:ratio=0.01",
    "gradient-dropping:bits=2",
    "randomk:ratio=0.01",
    "qsgd:levels=255",
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_frames(recipe, device):
    codec = gcodec.get_codec(recipe)
    for n in (0, 1, 33, 4097, 50_000):
        array = gradient(n)
        expected = codec.encode(array, name="w", step=3)
        assert codec.encode(OnDevice(array), name="w", step=3).tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("recipe", ["threshold:threshold=1", "topk:ratio=0.02", "reclog:k=50"])
def test_same_frames_of_every_type(recipe, kind, device):
    codec, array = gcodec.get_codec(recipe), make(kind, 3, 9_000)
    given = OnDevice(array.view(kind.pattern) if kind.name == "bfloat16" else array)
    assert codec.encode(given).tobytes() == codec.encode(array).tobytes()


def test_one_launch_if_the_threshold_is_known(device):
    array = gradient(40_000)
    codec = gcodec.get_codec("reclog:threshold=8,per_octave=4,scales=512")
    assert codec.encode(OnDevice(array)).tobytes() == codec.encode(array).tobytes()
    assert device[0].launched == ["collect_uint32"]
    assert device[0].copied < array.nbytes / 10


def test_buckets_of_tensors(device):
    """Selections of their own begin anywhere, not where vectors and chunks do."""
    array = gradient(20_011)
    layout = [("a", (33, 7)), ("b", (4_001,)), ("c", (20_011 - 231 - 4_001,))]
    for per_tensor in (False, True):
        codec = gcodec.Codec(gcodec.TopK(ratio=0.02), per_tensor=per_tensor)
        expected = codec.encode(array, tensors=layout)
        assert codec.encode(OnDevice(array), tensors=layout).tobytes() == expected.tobytes()


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_views_that_start_anywhere(shift, device):
    array, codec = gradient(30_000)[shift:], gcodec.get_codec("topk:ratio=0.01")
    assert codec.encode(OnDevice(array)).tobytes() == codec.encode(array).tobytes()


def test_ties_and_nothing_but_zeros(device):
    codec = gcodec.get_codec("topk:ratio=0.1")
    for array in (np.zeros(9_000, np.float32), np.ones(9_000, np.float32), -np.ones(7, np.float32)):
        assert codec.encode(OnDevice(array)).tobytes() == codec.encode(array).tobytes()


def test_the_array_is_not_written(device):
    array = gradient(5_000)
    array.setflags(write=False)
    expected = gcodec.Codec().encode(array)
    assert gcodec.Codec().encode(OnDevice(array)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(bad, device):
    array = gradient(5_000)
    array[[77, 4_000]] = bad
    with pytest.raises(gcodec.NonFiniteError, match=r"'w' has 2 NaN .* flat index 77"):
        gcodec.Codec().encode(OnDevice(array), name="w")


ALL_FIXED = gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(per_octave=4), values="fixed")


@pytest.mark.parametrize(
    ("codec", "what"),
    [(gcodec.get_codec("sparseloco"), "largest_between"), (ALL_FIXED, "every element")],
    ids=["largest of blocks", "all fixed"],
)
def test_what_there_is_no_kernel_for(codec, what, device):
    with pytest.raises(gcodec.BackendUnavailableError, match=what):
        codec.encode(OnDevice(gradient(9_000)))


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_moments_of_sixteen_bits(kind, device):
    """Laws are fitted to the numbers as float32."""
    codec, array = gcodec.get_codec("sidco:ratio=0.01"), make(KINDS[kind], 3, 9_000)
    assert codec.encode(OnDevice(array)).tobytes() == codec.encode(array).tobytes()
    assert "tail_sums_float32" in device[0].launched


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"version": 1}, "version 1"),
        ({"mask": object()}, "masked"),
        ({"strides": (8,)}, "C-contiguous"),
        ({"strides": (-4,)}, "C-contiguous"),
        ({"stream": 0}, "stream 0"),
        ({"shape": "left out"}, "no shape"),
        ({"version": "left out", "data": "left out"}, "no data, version"),
        ({"data": (0, False)}, "no address"),
        ({"data": (4_099, False)}, "no multiple"),
    ],
)
def test_interfaces_that_are_refused(said, what, device):
    with pytest.raises(gcodec.Mismatch, match=what):
        gcodec.Codec().encode(OnDevice(gradient(10), **said))
    assert device == []


@pytest.mark.parametrize("typestr", ["<i4", ">f4", "<c8", "|u1"])
def test_types_that_are_refused(typestr, device):
    with pytest.raises(gcodec.UnsupportedDtypeError, match="float32"):
        gcodec.Codec().encode(OnDevice(gradient(10), typestr=typestr))


def test_the_stream_is_handed_on(device):
    array = gradient(100)
    gcodec.Codec().encode(OnDevice(array, stream=7))
    gcodec.Codec().encode(OnDevice(array, version=2))
    assert [each.stream for each in device] == [7, None]


def test_dlpack_is_told_the_stream(device):
    class Asked(ByDLPack):
        def __dlpack__(self, *, stream):
            asked.append(stream)
            return super().__dlpack__()

    asked = []
    gcodec.Codec().encode(Asked(gradient(100)))
    assert asked == [1]
    assert [each.stream for each in device] == [1]


class Table(ctypes.Structure):
    """DLTensor, up to the number of dimensions."""

    _fields_ = (("data", ctypes.c_void_p), ("device", ctypes.c_int32), ("number", ctypes.c_int32))


class ByDLPack:
    """Claims, by DLPack, that a NumPy array is on a device."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, **_):
        capsule = self.array.__dlpack__()
        read = ctypes.pythonapi.PyCapsule_GetPointer
        read.restype, read.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        Table.from_address(read(capsule, b"dltensor")).device = 2
        return capsule


def test_dlpack(device):
    for array in (gradient(4_500).reshape(45, 100), gradient(7, dtype=np.float64), gradient(0)):
        expected = gcodec.Codec().encode(array)
        assert gcodec.Codec().encode(ByDLPack(array)).tobytes() == expected.tobytes()
    with pytest.raises(gcodec.Mismatch, match="C-contiguous"):
        gcodec.Codec().encode(ByDLPack(gradient(10)[::2]))
    with pytest.raises(gcodec.UnsupportedDtypeError, match="cast to float32"):
        gcodec.Codec().encode(ByDLPack(np.arange(5)))


@pytest.mark.parametrize(
    "recipe", ["topk:ratio=0.02", "reclog:ratio=0.02", "reclog:k=300,scales=64"]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_decode_and_accumulate(recipe, dtype, device):
    array = gradient(20_000, dtype=dtype).reshape(100, 200)
    frame = gcodec.get_codec(recipe).encode(array)
    out = np.full(array.shape, 7, dtype)
    there = OnDevice(out)
    assert gcodec.decode(frame, out=there) is there
    assert out.tobytes() == gcodec.decode(frame).tobytes()
    sums, wide = gradient(20_000, 5), np.float64 if dtype is np.float64 else np.float32
    expected, found = sums.astype(wide), sums.astype(wide)
    gcodec.accumulate(frame, expected, scale=1 / 3)
    gcodec.accumulate(frame, OnDevice(found), scale=1 / 3)
    assert found.tobytes() == expected.tobytes()


def test_sixteen_bits_fill_float32(device):
    frame, out = gcodec.Codec().encode(gradient(900, dtype=np.float16)), np.ones(900, np.float32)
    gcodec.decode(frame, out=OnDevice(out))
    assert out.tobytes() == gcodec.decode(frame, out=np.ones(900, np.float32)).tobytes()


def test_frames_of_nothing(device):
    for n in (0, 50):
        frame = gcodec.Codec().encode(np.zeros(n, np.float32))
        out = np.ones(n, np.float32)
        gcodec.accumulate(frame, OnDevice(out))
        assert (out == 1).all()
        gcodec.decode(frame, out=OnDevice(out))
        assert (out == 0).all()


def test_outputs_that_are_refused_stay_as_they_are(device):
    frame = gcodec.Codec().encode(gradient(500))
    broken = np.array(frame)
    broken[-40] ^= 1
    out = np.full(500, 7, np.float32)
    with pytest.raises(gcodec.FrameError):
        gcodec.decode(broken.tobytes(), out=OnDevice(out))
    with pytest.raises(gcodec.Mismatch, match="499 elements"):
        gcodec.accumulate(frame, OnDevice(out[1:]))
    with pytest.raises(gcodec.Mismatch, match="float64"):
        gcodec.decode(frame, out=OnDevice(np.zeros(500)))
    with pytest.raises(gcodec.Mismatch, match="read-only"):
        gcodec.decode(frame, out=OnDevice(out, data=(out.ctypes.data, True)))
    assert (out == 7).all()


def test_calls_that_take_no_device_yet(device):
    with pytest.raises(gcodec.BackendUnavailableError, match="copy it to the host"):
        gcodec.Codec().encode_sparse([1], OnDevice(gradient(1)), 10)


def test_threads_are_as_before(device):
    before = gcodec.get_threads()
    gcodec.Codec().encode(OnDevice(gradient(100)))
    assert gcodec.get_threads() == before


def test_no_driver_is_named():
    if target.load().is_available():
        pytest.skip("there is a device")
    with pytest.raises(gcodec.BackendUnavailableError, match="driver"):
        gcodec.Codec().encode(OnDevice(gradient(10)))
    frame = gcodec.Codec().encode(gradient(10))
    with pytest.raises(gcodec.BackendUnavailableError, match="driver"):
        gcodec.decode(frame, out=OnDevice(gradient(10)))


def test_no_compiler_is_named(monkeypatch):
    monkeypatch.setattr(target, "find_spec", lambda name: None)
    with pytest.raises(gcodec.BackendUnavailableError, match="pip install"):
        gcodec.Codec().encode(OnDevice(gradient(10)))
