"""Choices between what takes the same, and tables that are as full as they can be."""

from contextlib import contextmanager

import numpy as np
import pytest
from ptx.frames import CHUNK, HOW, Above, made, packed, runs
from ptx.host import HostLauncher, OnDevice, host_device

import gcodec

pytestmark = pytest.mark.cuda

CODED = "reclog:threshold=2,per_octave=8"


def spread(classes, size=CHUNK):
    """A chunk whose gaps have these bit lengths, in some order."""
    own = np.zeros(size, np.float32)
    gaps = 1 << np.random.default_rng(len(classes)).permutation(classes) - 1
    own[np.cumsum(gaps) - 1] = 3
    return own


def test_one_code_for_two_densities_that_takes_as_much_as_two():
    """Each of two classes, of which the frequent ones have 1 and 2 bits together, the others 3."""
    sizes = []
    for number in (63, 64, 65):
        often, seldom = spread([1, 2] * number), spread([3, 4] * 16)
        said = packed("topk", "delta", np.append(often, seldom), k=2 * number + 32)
        sizes.append(said.section_bytes["KEYCODES"] // 16)
    assert sizes == [1, 1, 2]


def test_codes_of_as_many_densities_as_there_can_be():
    """A class for each: more codes than fields of theirs that a thread block has threads for."""
    chunks = []
    for bits in range(1, 10):
        for _ in range(-(-512 >> 12 - bits)):
            chunks.append(spread([bits + 1] * (CHUNK >> bits + 1)))
    array = np.concatenate(chunks)
    said = packed("topk", "delta", array, k=np.count_nonzero(array))
    assert said.section_bytes["KEYCODES"] == 9 * 16


def test_codes_that_save_as_much_as_they_take():
    """More and more keys that are good for a code, beside some that are not."""
    sizes = set()
    for number in range(60, 110):
        array = np.append(spread([1] * number + [6] * (number // 4)), runs([7]))
        said = packed("topk", "auto", array, k=np.count_nonzero(array))
        sizes.add(said.section_bytes.get("KEYCODES", 0) // 16)
    assert sizes == {0, 1}


@pytest.mark.parametrize(("kept", "whole"), [(3_966, False), (3_968, False), (3_970, True)])
def test_a_chunk_that_takes_as_much_whole(kept, whole):
    """Half of a word for a value, and a bit for a position, against half of a word for each."""
    array = np.full(CHUNK, 3, np.float32)
    array[np.linspace(0, CHUNK - 1, CHUNK - kept).astype(int)] = 0
    codec = gcodec.Codec(Above(), keys="auto")
    with host_device():
        frame = codec.encode_on_device(OnDevice(array))
        assert (frame.stored is None) == whole
        assert frame.get().tobytes() == codec.encode(array).tobytes()


def levels_of(numbers, per_chunk):
    """Elements of such levels, of eight an octave, with such signs, as many in each chunk."""
    levels, signs = np.array(numbers).T
    array = np.zeros(-(-levels.size // per_chunk) * CHUNK, np.float32)
    at = np.arange(levels.size)
    where = at // per_chunk * CHUNK + at % per_chunk * (CHUNK // per_chunk)
    array[where] = 2.2 * 2 ** (levels / 8) * signs
    return array


@pytest.mark.parametrize("often", [43, 44, 45])
def test_signs_with_levels_where_they_may_pay(often):
    """Two levels, one of one sign: from 44 of 64 on, codes do not say whether numbers do."""
    numbers = [(0, 1)] * often + [(0, -1)] * ((64 - often) // 2) + [(1, 1)] * ((65 - often) // 2)
    numbers = np.random.default_rng(0).permutation(numbers)
    said = packed(CODED, "blocks", levels_of(numbers, 8), k=64)
    assert set(said.value_codecs) == {"fixed" if often < 45 else "signed_fixed"}


def test_every_level_with_both_signs():
    """As many numbers as are counted, all but four; the first level is not the most frequent."""
    numbers = [(level, sign) for level in range(126) for sign in (-1, 1)]
    for often, codec in ((2_000, "huffman"), (15_000, "signed_huffman")):
        chosen = np.random.default_rng(0).permutation(numbers + [(3, -1)] * often)
        said = packed(CODED, "blocks", levels_of(chosen, 512), k=len(chosen))
        assert set(said.value_codecs) == {codec}


def test_codes_of_values_as_long_as_they_may_be():
    """Many as often, and others each half as often as the one before: up to 14 bits, of 12."""
    counts = [512] * 24 + [512 >> i for i in range(10)] + [1]
    numbers = [(level, 1) for level, count in enumerate(counts) for _ in range(count)]
    numbers = np.random.default_rng(0).permutation(numbers)
    said = packed(CODED, "blocks", levels_of(numbers, 512), k=len(numbers))
    assert "signed_huffman" in said.value_codecs


@pytest.mark.parametrize("levels", [40, 70, 100, 126])
def test_codes_of_more_levels_than_lanes(levels):
    """Each once more often than the one before, and the last very often."""
    counts = [*range(20, 19 + levels), 4_000]
    numbers = [(level, 1) for level, count in enumerate(counts) for _ in range(count)]
    numbers = np.random.default_rng(0).permutation(numbers)
    said = packed(CODED, "blocks", levels_of(numbers, 512), k=len(numbers))
    assert "signed_huffman" in said.value_codecs


def test_fewer_levels_than_classes_of_gaps():
    """Codes of values are made where those of keys were, of which something is left."""
    array = np.concatenate([spread([1, 2, 3, 4, 5, 6, 7] * 4)] * 6)
    array[np.flatnonzero(array)[::3]] = 2.2
    packed(CODED, "delta", array)


@contextmanager
def collected():
    """Elements from 2 on are collected by NumPy: PTX would take long for so many."""
    launch = HostLauncher.launch

    def take_over(self, name, grid, *arguments):
        if name != "collect_uint32":
            launch(self, name, grid, *arguments)
            return
        bits, _, _, log2, _, keys, values, starts, top = arguments
        found = np.flatnonzero(bits)
        keys[: found.size], values[: found.size] = found & ((1 << int(log2)) - 1), bits[found]
        starts[:] = np.searchsorted(found, np.arange(starts.size) << int(log2))
        top[0] = bits[found].max()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostLauncher, "launch", take_over)
        yield


def test_gaps_of_every_class():
    """A chunk of 2^24 elements with a gap of each power of two, and one with the longest gap."""
    array = np.zeros(2 << 24, np.float32)
    array[np.cumsum(1 << np.arange(24)) - 1] = 3
    array[-1] = 3
    with pytest.MonkeyPatch.context() as patch, collected():
        for module in ("deviceframes", "gathering", "plans"):
            patch.setattr(f"gcodec.{module}.choose_chunk_log2", lambda n, density: 24)
        for keys in ("delta", "rice", "auto"):
            said = gcodec.inspect(made(gcodec.Codec(Above(1e-4), keys=keys), array, HOW[1]).get())
            assert said.header["n_chunks"] == 2
