"""Frames made whole on a device: the CPU's bytes, by three launches, and no wait before."""

from itertools import product

import numpy as np
import pytest
from kinds import KINDS, make
from ptx.compiled import SCHEDULES
from ptx.host import OnDevice, host_device

import gcodec
from gcodec.format.elements import FLOAT32
from gcodec.kernels.cuda import planes

pytestmark = pytest.mark.cuda

HOW = [{"seed": seed, "resident": resident} for seed, resident in SCHEDULES]
PACKINGS = ("blocks", "bitmap", "coo")
RAW = "threshold:threshold=2"
LEVELS = "reclog:threshold=2,per_octave=8,values=fixed"


def gradient(n, seed=0, share=0.02):
    """Numbers of which a share is above 2, in runs and alone."""
    rng = np.random.default_rng(seed)
    array = rng.uniform(-1, 1, n).astype(np.float32)
    large = rng.random(n) < share * np.repeat(rng.choice([0.2, 1, 4], n // 64 + 1), 64)[:n]
    array[large] = rng.standard_t(2, large.sum()) * 5
    return array


def made(codec, array, how=HOW[1], **what):
    """The frame that is made on the device, which must not be made of parts."""
    given = OnDevice(array.view(np.uint16) if array.dtype.name == "bfloat16" else array)
    with host_device(**how) as device:
        frame = codec.encode_on_device(given, **what)
        assert frame.stored is not None
    assert [name.partition("_uint")[0] for name in device[0].launched][-2:] == [
        "write_chunks", "seal",
    ]  # fmt: skip
    return frame.get()


def check(recipe, array, how=HOW[1], **what):
    codec = gcodec.get_codec(recipe)
    assert made(codec, array, how, **what).tobytes() == codec.encode(array, **what).tobytes()


@pytest.mark.parametrize("recipe", [RAW, LEVELS])
@pytest.mark.parametrize("keys", PACKINGS)
def test_the_bytes_of_the_cpu(keys, recipe):
    for n, how in product((1, 63, 64, 65, 4_097, 70_001), HOW):
        check(f"{recipe},keys={keys}", gradient(n, seed=n), how, name="w", step=1 << 40)


@pytest.mark.parametrize("keys", PACKINGS)
def test_types(keys):
    for kind in KINDS.values():
        for recipe in ("threshold:threshold=3", "reclog:threshold=3,values=fixed"):
            check(f"{recipe},keys={keys}", make(kind, 3, 9_000))


@pytest.mark.parametrize("keys", PACKINGS)
def test_selectors(keys):
    for recipe in ("topk:k=129", "reclog:k=64,values=fixed", "quantile:ratio=0.02"):
        check(f"{recipe},keys={keys}", gradient(40_000))


def runs(counts, chunk=4_096):
    """As many elements above 2 in each chunk, wherever."""
    array = np.zeros(len(counts) * chunk, np.float32)
    rng = np.random.default_rng(1)
    for at, count in enumerate(counts):
        own = array[at * chunk : (at + 1) * chunk]
        own[rng.permutation(chunk)[:count]] = rng.uniform(2, 9, count) + 0.1
    return array


COUNTS = (0, 1, 2, 127, 128, 129, 0, 255, 256, 257, 1024, 1025, 0)


class Many(gcodec.Threshold):
    """Says that it keeps most, so that chunks have 4,096 elements."""

    def density(self, n):
        return 0.75


@pytest.mark.parametrize("keys", PACKINGS)
def test_edges_of_blocks_and_empty_chunks(keys):
    array = runs(COUNTS)
    for recipe, how in product((RAW, LEVELS), HOW):
        plain = gcodec.get_codec(recipe)
        codec = gcodec.Codec(Many(2.0), plain.quantize, keys=keys, values=plain.values)
        frame = made(codec, array, how)
        assert frame.tobytes() == codec.encode(array).tobytes()
    assert gcodec.inspect(frame).header["n_chunks"] == len(COUNTS)


@pytest.mark.parametrize("keys", PACKINGS)
def test_nothing_is_kept(keys):
    for recipe in (RAW, LEVELS):
        check(f"{recipe},keys={keys}", np.ones(9_000, np.float32))


@pytest.mark.parametrize("keys", PACKINGS)
def test_shapes_and_tensors_and_senders(keys):
    array = gradient(12_000)
    layout = [("a", (3_000,)), ("b", ()), ("c", (8_999, 1))]
    for recipe in (f"{RAW},keys={keys}", f"{LEVELS},keys={keys}"):
        check(recipe, array.reshape(3, 40, 100), sender=(3, 8))
        check(recipe, np.array(7, np.float32))  # no dimensions: no section of them
        check(recipe, array, tensors=layout, name="bucket")


def test_levels_at_the_ends_of_their_ranges():
    """Numbers of each level, and the nearest to either side of where it begins."""
    starts, levels, _ = gcodec.ReciprocalLog(per_octave=4).ranges(FLOAT32)
    bits = np.concatenate([levels, starts[1:-1], starts[1:-1] - 1, starts[1:-1] + 1])
    bits = bits[(bits > 1 << 29) & (bits < 1 << 30)]
    array = bits.view(np.float32) * np.where(np.arange(bits.size) % 3, 1, -1).astype(np.float32)
    for keys, threshold in product(PACKINGS, (0, 1e-3, float(array.max()))):
        check(f"reclog:threshold={threshold},per_octave=4,values=fixed,keys={keys}", array)


def test_launches_and_no_wait():
    array, codec = gradient(40_000), gcodec.get_codec(f"{LEVELS},keys=blocks")
    with host_device() as device:
        frame = codec.encode_on_device(OnDevice(array))
        assert device[0].launched == ["collect_uint32", "write_chunks_uint32", "seal_uint32"]
        assert device[0].waits == device[0].copied == 0
        expected = codec.encode(array)
        assert frame.nbytes == len(frame) == expected.nbytes
        assert device[0].copied == 24
        there = frame.__cuda_array_interface__
        assert there["shape"] == (expected.nbytes,)
        assert there["data"][1]
        assert device[0].waits == 1
        assert frame.get().tobytes() == expected.tobytes()
        assert device[0].copied == 24 + expected.nbytes


def test_where_the_frame_goes():
    array, codec = gradient(5_000), gcodec.get_codec(f"{RAW},keys=coo")
    with host_device():
        frame = codec.encode_on_device(OnDevice(array))
        out = np.zeros(frame.nbytes + 64, np.uint8)
        found = frame.get(out)
        assert np.shares_memory(found, out)
        assert found.tobytes() == codec.encode(array).tobytes()
        assert not out[frame.nbytes :].any()
        for bad in (out[: frame.nbytes - 1], out[::2], out[1:], out.view(np.int8)):
            with pytest.raises(gcodec.Mismatch, match="uint8 in a row"):
                frame.get(bad)


OF_PARTS = {
    "no room": (f"{RAW},keys=blocks", np.full(9_000, 3, np.float32)),
    "ties": ("topk:k=70,keys=coo", np.ones(9_000, np.float32)),
    "one tie more": ("topk:k=70,keys=coo", np.float32(runs([71]) > 0)),
    "codes of keys": (f"{RAW},keys=delta", gradient(9_000)),
    "codes of values": ("reclog:ratio=0.01,keys=coo", gradient(9_000)),
    "all": ("signum:keys=coo", gradient(900)),
    "nothing": ("topk:k=9,keys=coo", gradient(0)),
}


@pytest.mark.parametrize("case", OF_PARTS)
def test_what_is_made_of_parts(case):
    recipe, array = OF_PARTS[case]
    codec = gcodec.get_codec(recipe)
    with host_device():
        frame = codec.encode_on_device(OnDevice(array))
        expected = codec.encode(array)
        assert frame.get().tobytes() == expected.tobytes()
        assert frame.stored is None
        assert frame.__cuda_array_interface__["shape"] == (expected.nbytes,)
        assert codec.encode(OnDevice(array)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("n", [1, 4_096, 4_097])
def test_as_many_as_there_is_room_for(n):
    """Of 9,000 elements 4,096 have room."""
    array = np.where(np.arange(9_000) < n, 3, 0).astype(np.float32)
    codec = gcodec.get_codec(f"{RAW},keys=blocks")
    with host_device():
        frame = codec.encode_on_device(OnDevice(array))
        assert frame.get().tobytes() == codec.encode(array).tobytes()
        assert frame.stored == (n if n <= 4_096 else None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite(bad):
    """Found when the frame is asked for."""
    array = gradient(9_000)
    array[[77, 4_000]] = bad
    with host_device():
        frame = gcodec.get_codec(f"{RAW},keys=coo").encode_on_device(OnDevice(array), name="w")
        with pytest.raises(gcodec.NonFiniteError, match=r"'w' has 2 NaN .* flat index 77"):
            len(frame)


def test_a_block_is_what_the_format_says():
    assert planes.PER_LANE * 32 == planes.BLOCK
