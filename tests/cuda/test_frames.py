"""Frames made whole on a device: the CPU's bytes, by three launches, and no wait before."""

from itertools import product

import numpy as np
import pytest
from kinds import KINDS, make
from ptx.frames import HOW, made, packed, runs
from ptx.host import OnDevice, host_device

import gcodec
from gcodec.format.elements import FLOAT32

pytestmark = pytest.mark.cuda

PACKINGS = ("auto", "bitmap", "blocks", "columns", "coo", "delta", "rice")
RAW = "threshold:threshold=2"
LEVELS = "reclog:threshold=2,per_octave=8,values=fixed"
CODED = "reclog:threshold=2,per_octave=8"
RECIPES = (RAW, LEVELS, CODED)


def gradient(n, seed=0, share=0.02):
    """Numbers of which a share is above 2, in runs and alone."""
    rng = np.random.default_rng(seed)
    array = rng.uniform(-1, 1, n).astype(np.float32)
    large = rng.random(n) < share * np.repeat(rng.choice([0.2, 1, 4], n // 64 + 1), 64)[:n]
    array[large] = rng.standard_t(2, large.sum()) * 5
    return array


def check(recipe, array, how=HOW[1], **what):
    made(gcodec.get_codec(recipe), array, how, **what)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("keys", PACKINGS)
def test_the_bytes_of_the_cpu(keys, recipe):
    for number, n in enumerate((1, 63, 64, 65, 4_097, 70_001, 70_001, 70_001)):
        array = gradient(n, seed=n)
        check(f"{recipe},keys={keys}", array, HOW[number % len(HOW)], name="w", step=1 << 40)


@pytest.mark.parametrize("keys", PACKINGS)
def test_types(keys):
    for kind in KINDS.values():
        for recipe in (
            "threshold:threshold=3",
            "reclog:threshold=3",
            "reclog:threshold=3,values=fixed",
        ):
            check(f"{recipe},keys={keys}", make(kind, 3, 9_000))


@pytest.mark.parametrize("keys", PACKINGS)
def test_selectors(keys):
    for recipe in ("topk:k=129", "reclog:k=64", "reclog:k=64,values=fixed", "quantile:ratio=0.02"):
        check(f"{recipe},keys={keys}", gradient(40_000))


COUNTS = (0, 1, 2, 127, 128, 129, 0, 255, 256, 257, 1024, 1025, 0)


@pytest.mark.parametrize("keys", PACKINGS)
def test_edges_of_blocks_and_empty_chunks(keys):
    array = runs(COUNTS)
    for recipe, how in product(RECIPES, HOW):
        assert packed(recipe, keys, array, how).header["n_chunks"] == len(COUNTS)


@pytest.mark.parametrize("keys", ["blocks", "coo", "delta", "rice"])
def test_a_chunk_of_more_words_than_threads(keys):
    """Of every plane, those of signs too; and of as many words as there are threads."""
    array = runs([16_384, 1] + [0] * 14, 1 << 15)
    array[np.random.default_rng(0).random(array.size) < 0.5] *= -1
    for recipe in RECIPES:
        packed(recipe, keys, array, density=0.1)


def test_as_many_gaps_of_each_bit_length():
    gaps = np.random.default_rng(0).permutation(np.repeat(2 ** np.arange(18), 2))
    array = np.zeros(gaps.sum(), np.float32)
    array[np.cumsum(gaps) - 1] = 3
    for how in HOW:
        packed(RAW, "delta", array, how, density=0.001)


def test_blocks_of_many_words():
    """Of 32 and 34, so that every lane has one: in more blocks than there are warps."""
    gaps = np.random.default_rng(0).integers(1, 9, 17 * 128)
    gaps[5::128] = np.where(np.arange(17) % 3, 40_000, 70_000)
    array = np.zeros(gaps.sum() + 9, np.float32)
    array[np.cumsum(gaps)] = 3
    for how in HOW:
        packed(RAW, "blocks", array, how, density=0.001)


@pytest.mark.parametrize("keys", ["auto", "rice"])
def test_more_chunks_than_threads(keys):
    array = runs([1, 0, 2] * 86)
    for recipe in RECIPES:
        assert packed(recipe, keys, array).header["n_chunks"] == 258


@pytest.mark.parametrize("recipe", [LEVELS, CODED])
def test_one_level(recipe):
    array = np.where(runs(COUNTS) > 0, 2.05, 0).astype(np.float32)
    for how in HOW:
        packed(recipe, "bitmap", array, how)


def where(kind, rng, chunk=4_096):
    """Positions in a chunk that one packing is good for."""
    match kind:
        case "all":
            return np.arange(chunk)
        case "bitmap":
            return np.flatnonzero(rng.random(chunk) < 0.5)
        case "coo":
            return np.sort(rng.permutation(chunk)[:3])
        case "rice":
            return np.flatnonzero(rng.random(chunk) < 0.04)
        case "blocks":
            return np.arange(0, chunk, 8) + rng.integers(0, 8, chunk // 8)
        case "even":  # as many gaps of each bit length
            gaps = rng.permutation(np.repeat(2 ** np.arange(9), 7))
            return np.cumsum(gaps) - 1
        case "ties":  # two words by positions, of blocks, by Rice and by codes
            return np.arange(6) * 100
        case "delta":
            gaps = 2 ** rng.choice(9, 200, p=[0.5, 0.2, *[0.3 / 7] * 7])
            return np.cumsum(gaps)[np.cumsum(gaps) < chunk]


def mixed(kinds, seed=0):
    """Chunks of these kinds, and elements in them that all differ."""
    rng, chunks = np.random.default_rng(seed), []
    for kind in kinds:
        own, places = np.zeros(4_096, np.float32), where(kind, rng)
        own[places] = rng.uniform(2.1, 9, places.size) * rng.choice([-1, 1], places.size)
        chunks.append(own)
    return np.concatenate(chunks)


MIXTURES = (
    ("all", "bitmap", "coo", "rice", "rice", "delta", "blocks"),
    ("all",),
    ("all", "all"),
    ("coo", "coo", "rice", "blocks"),
    ("delta", "delta", "rice", "delta", "coo", "delta"),
    ("delta", "bitmap", "delta", "rice", "rice", "rice", "delta", "rice", "rice", "rice"),
    *[("delta",) * number + ("rice",) * number for number in (3, 17)],
    ("even", "even"),
    ("ties", "ties"),
)


@pytest.mark.parametrize("recipe", ["topk", "reclog:per_octave=4", "reclog:values=fixed"])
def test_the_smallest_packing_of_each_chunk(recipe):
    seen, codes = set(), set()
    for seed, kinds in enumerate(MIXTURES):
        array = mixed(kinds, seed)
        for keys in ("auto", "delta"):
            said = packed(recipe, keys, array, HOW[seed % len(HOW)], int(np.count_nonzero(array)))
            seen |= set(said.key_codecs)
            codes.add(said.section_bytes.get("KEYCODES", 0) // 16)
    assert seen == {"all", "bitmap", "blocks", "coo", "delta", "rice"}
    assert {0, 1, 2} <= codes


def valued(levels, signs, seed=0, per_chunk=700, chunks=3):
    """Chunks whose elements have levels, of eight an octave, drawn by some law."""
    rng, parts = np.random.default_rng(seed), []
    for number in range(chunks):
        own, places = np.zeros(4_096, np.float32), np.sort(rng.permutation(4_096)[:per_chunk])
        drawn = levels(rng, number, per_chunk)
        own[places] = 2.2 * 2 ** (drawn / 8) * signs(rng, number, per_chunk)
        parts.append(own)
    return np.concatenate(parts)


LAWS = {
    "few are frequent": lambda rng, _, size: rng.geometric(0.4, size) % 60,
    "half of one level": lambda rng, _, size: rng.integers(0, 16, size) * (rng.random(size) < 0.5),
    "about evenly": lambda rng, _, size: rng.integers(0, 50, size),
    "one in each chunk": lambda rng, number, size: np.full(size, 3 * number),
    "far apart": lambda rng, _, size: 2 ** rng.integers(0, 7, size) - 1,
    "very few": lambda rng, _, size: (rng.random(size) < 0.002) * rng.integers(1, 90, size),
}
SIGNS = {
    "any": lambda rng, _, size: rng.choice([-1, 1], size),
    "positive": lambda rng, _, size: np.ones(size),
    "mostly negative": lambda rng, _, size: np.where(rng.random(size) < 0.02, 1, -1),
}


def test_the_smallest_packing_of_values():
    seen = set()
    for seed, (law, signs) in enumerate(product(LAWS.values(), SIGNS.values())):
        for per_chunk in (700, 192, 129, 1) if signs is SIGNS["any"] else (700,):
            array = valued(law, signs, seed, per_chunk)
            seen |= set(packed(CODED, "blocks", array, HOW[seed % len(HOW)]).value_codecs)
    assert seen == {
        "fixed", "huffman", "rice", "sign", "signed_fixed", "signed_huffman", "signed_rice",
    }  # fmt: skip


@pytest.mark.parametrize("levels", [126, 127, 128, 200])
def test_many_levels(levels):
    """With that of the threshold, more than 128 are not counted on the device."""
    drawn = np.append(np.arange(levels), np.zeros(2_000))
    array = (2.2 * 2 ** (drawn / 8)).astype(np.float32)
    array[::3] *= -1
    for recipe in (CODED, LEVELS):
        codec = gcodec.get_codec(f"{recipe},keys=rice")
        with host_device():
            frame = codec.encode_on_device(OnDevice(array))
            assert (frame.stored is None) == (recipe is CODED and levels > 127)
            assert frame.get().tobytes() == codec.encode(array).tobytes()


@pytest.mark.parametrize("share", [0.9, 0.99])
def test_a_chunk_that_is_smaller_whole(share):
    """With zeros where nothing was kept: what the CPU makes of it."""
    rng = np.random.default_rng(0)
    array = np.where(rng.random(4_000) < share, rng.uniform(3, 9, 4_000), 0).astype(np.float32)
    codec = gcodec.get_codec("threshold:threshold=2")
    with host_device():
        frame = codec.encode_on_device(OnDevice(array))
        assert (frame.stored is None) == (share > 0.9)
        assert frame.get().tobytes() == codec.encode(array).tobytes()


@pytest.mark.parametrize("keys", PACKINGS)
def test_nothing_is_kept(keys):
    for recipe in RECIPES:
        check(f"{recipe},keys={keys}", np.ones(9_000, np.float32))


@pytest.mark.parametrize("keys", PACKINGS)
def test_shapes_and_tensors_and_senders(keys):
    array = gradient(12_000)
    layout = [("a", (3_000,)), ("b", ()), ("c", (8_999, 1))]
    many = [(str(number), (80,)) for number in range(150)]  # more words than threads
    for recipe in (f"{name},keys={keys}" for name in RECIPES):
        check(recipe, array.reshape(-1, 1, 1), sender=(3, 8))
        check(recipe, np.array(7, np.float32))  # no dimensions: no section of them
        check(recipe, array, tensors=layout, name="bucket")
        check(recipe, array, tensors=many)


def test_levels_at_the_ends_of_their_ranges():
    """Numbers of each level, and the nearest to either side of where it begins."""
    starts, levels, _ = gcodec.ReciprocalLog(per_octave=4).ranges(FLOAT32)
    bits = np.concatenate([levels, starts[1:-1], starts[1:-1] - 1, starts[1:-1] + 1])
    bits = bits[(bits > 1 << 29) & (bits < 1 << 30)]
    array = bits.view(np.float32) * np.where(np.arange(bits.size) % 3, 1, -1).astype(np.float32)
    for keys, threshold in product(PACKINGS, (0, 1e-3, float(array.max()))):
        for values in ("fixed", "auto") if threshold else ("fixed",):
            check(f"reclog:threshold={threshold},per_octave=4,values={values},keys={keys}", array)


def test_the_least_and_the_largest_begin_a_level():
    starts, _, _ = gcodec.ReciprocalLog(per_octave=4).ranges(FLOAT32)
    least, largest = starts[520:523], starts[530:533]
    array = np.concatenate([least, least - 1, largest[:1]]).astype(np.uint32).view(np.float32)
    for low, high in product(least, largest):
        below = float(np.uint32(low - 1).view(np.float32))
        array[-1] = high.view(np.float32)
        for keys in PACKINGS:
            check(f"reclog:threshold={below},per_octave=4,values=fixed,keys={keys}", array)


def test_launches_and_no_wait():
    array, codec = gradient(40_000), gcodec.get_codec(f"{LEVELS},keys=blocks")
    with host_device() as device:
        frame = codec.encode_on_device(OnDevice(array))
        assert device[0].launched == [
            "collect_uint32", "measure_chunks_uint32", "write_chunks_uint32",
        ]  # fmt: skip
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
    "levels of so many bits": ("reclog:ratio=0.01,bits=4,keys=coo", gradient(9_000)),
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
