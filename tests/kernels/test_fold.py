"""Fields and codes that registers put together: the bits that an oracle of integers has."""

import numba
import numpy as np
import pytest
from backends import as_integer
from hypothesis import given, settings
from hypothesis import strategies as st

from gcodec.format.directory import BLOCK
from gcodec.kernels.cpu import planes, write
from gcodec.kernels.cpu.entries import FOLDED, write_entries, write_unary
from gcodec.kernels.cpu.fold import LENGTH
from gcodec.kernels.cpu.grid import quantize

COUNTS = st.sampled_from([0, 1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 256, 300, 1000])
SEEDS = st.integers(0, 2**32 - 1)
CANARY = 0xAAAA_AAAA_AAAA_AAAA


@numba.njit
def fields(numbers, width, words):
    """`write_fields`, which Python cannot call."""
    write.write_fields(numbers, width, words)


@numba.njit
def entries_of(entries, block, words, ends):
    write_entries(entries, block, words, ends, np.empty(FOLDED, np.uint64))


@numba.njit
def unary(numbers, shift, entries, words):
    write_unary(numbers, shift, entries, np.empty(FOLDED, np.uint64), words)


@numba.njit
def taken_apart(payload, at, width, numbers):
    planes.read_fields(payload, np.uint64(at), np.uint64(width), numbers)


def written(bits, write_to):
    """What is written to a plane of so many bits, as an integer; nothing beyond its last word."""
    size = (bits + 63) // 64
    words = np.full(size + 3, CANARY, np.uint64)
    write_to(words[:size])
    assert (words[size:] == CANARY).all()
    return as_integer(words[:size])


@given(SEEDS, COUNTS, st.integers(1, 32), st.sampled_from([np.uint8, np.uint32]))
def test_fields(seed, count, width, kind):
    """Of every width, of numbers that have more bits as well."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, np.iinfo(kind).max, count, kind, endpoint=True)
    expected = sum((int(x) & (1 << width) - 1) << j * width for j, x in enumerate(numbers))
    assert written(count * width, lambda words: fields(numbers, width, words)) == expected


@given(SEEDS, COUNTS, st.integers(0, 32), st.integers(0, 200))
def test_fields_taken_apart(seed, count, width, at):
    """From any bit on, with one word after them and nothing written beyond what is wanted."""
    rng = np.random.default_rng(seed)
    size = (at + count * width + 63) // 64 + 1
    payload = rng.integers(0, 2**64 - 1, size, np.uint64, endpoint=True)
    numbers = np.full(count + 3, 7, np.uint32)
    taken_apart(payload, at, width, numbers[:count])
    bits = as_integer(payload) >> at
    assert numbers[:count].tolist() == [bits >> j * width & (1 << width) - 1 for j in range(count)]
    assert (numbers[count:] == 7).all()


@given(SEEDS, COUNTS, st.integers(1, 26), st.integers(1, 26), st.sampled_from([BLOCK // 2, BLOCK]))
def test_codes(seed, count, one, other, block):
    """Eights, fours and single ones, by how long they are; with the end of each full block."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(min(one, other), max(one, other), count, endpoint=True)
    codes = rng.integers(0, 1 << lengths)
    entries = (codes << LENGTH | lengths).astype(np.uint32)
    starts = np.cumsum(np.append(0, lengths)).tolist()
    expected = sum(int(code) << start for code, start in zip(codes, starts, strict=False))
    ends = np.zeros(count // block, np.uint32)
    found = written(starts[-1], lambda words: entries_of(entries, block, words, ends))
    assert found == expected
    assert ends.tolist() == starts[block::block]


@given(SEEDS, COUNTS, st.integers(0, 8), st.sampled_from([1, 20, 200, 1 << 14]), st.integers(0, 40))
def test_unary(seed, count, shift, most, some):
    """By entries, several for a number that is too long for one, or bit by bit if many are."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, most, count, dtype=np.uint32)
    numbers[some:] //= 12
    ends = np.cumsum((numbers >> shift).astype(np.int64) + 1).tolist()
    expected = sum(1 << end - 1 for end in ends)
    scratch = np.empty(count + count // 8, np.uint32)
    bits = ends[-1] if ends else 0
    assert written(bits, lambda words: unary(numbers, shift, scratch, words)) == expected


@settings(max_examples=40)
@given(
    SEEDS,
    st.sampled_from([1, 2, 3, 4, 8, 16, 32]),
    st.sampled_from([(np.uint16, 7), (np.uint16, 10), (np.uint32, 23), (np.uint64, 52)]),
    st.integers(0, 40),
    st.booleans(),
)
def test_levels_that_repeat_each_octave(seed, per_octave, kind_and_bits, number, broken):
    """As counted by NumPy, if the last octave is not whole and if one boundary is out of step."""
    rng = np.random.default_rng(seed)
    kind, octave = kind_and_bits
    within = np.sort(rng.choice(1 << octave, per_octave, replace=False)).astype(object)
    most = (1 << 8 * np.dtype(kind).itemsize - 1 - octave) - 2
    boundaries = [
        int(within[j % per_octave]) + ((1 + j // per_octave) << octave)
        for j in range(min(number, per_octave * min(most, 200)))
    ]
    if broken and len(boundaries) > 2:
        boundaries[-1] += 1
    edges = np.array(boundaries, kind)
    top = (1 << 8 * np.dtype(kind).itemsize - 1) - 1
    bits = rng.integers(0, top, 5000, kind)
    if edges.size:
        near = rng.choice(edges, 5000) + rng.integers(-1, 2, 5000).astype(kind)
        bits = np.where(rng.random(5000) < 0.5, np.minimum(near, kind(top)), bits)
    signs = rng.integers(0, 2, 5000)
    signed = bits | signs.astype(kind) << kind(8 * np.dtype(kind).itemsize - 1)
    joint = np.empty(5000, np.uint32)
    quantize(signed, edges, joint)
    expected = 2 * np.searchsorted(edges, bits, side="right") + signs
    assert np.array_equal(joint, expected)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_fields_without_bits(size):
    """Take no words."""
    fields(np.arange(size, dtype=np.uint32), 0, np.empty(0, np.uint64))
