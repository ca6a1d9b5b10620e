"""Prefix codes of at most 12 bits: the best there are, canonical, and tables without holes."""

from functools import cache

import numpy as np
import pytest
from backends import call_both, run_both
from hypothesis import given, settings
from hypothesis import strategies as st

LONGEST = 12
COUNT = st.integers(0, 4) | st.integers(0, 10**6) | st.integers(0, 20).map(lambda k: 1 << k)
HISTOGRAMS = st.lists(COUNT, min_size=1, max_size=40)


def code_lengths(histogram):
    """Lengths from both backends, and the bits that they say the code takes."""
    counts = np.array(histogram, np.int64)
    scratch = np.zeros((16, 2 * counts.size), np.int64)
    given_ = np.full(counts.size, 99, np.uint8)
    (bits, (_, ours, _)), (other, (_, theirs, _)) = call_both(
        "code_lengths", counts, given_, scratch
    )
    assert bits == other
    assert ours.tolist() == theirs.tolist()
    return ours.tolist(), int(bits)


def least_bits(histogram):
    """Bits of the best code of at most 12 bits, by trying every number of leaves at every level.

    A code with n open nodes at a level closes some with the most frequent symbols left; each symbol
    left costs its count for every level that it goes down.
    """
    counts = sorted((count for count in histogram if count), reverse=True)
    if len(counts) < 2:
        return sum(counts)
    below = [*np.cumsum(counts[::-1])[::-1].tolist(), 0]

    @cache
    def best(level, placed, nodes):
        left = len(counts) - placed
        if left <= nodes:
            return 0
        if level == LONGEST or left > nodes << (LONGEST - level):
            return float("inf")
        return min(
            below[placed + leaves] + best(level + 1, placed + leaves, 2 * (nodes - leaves))
            for leaves in range(nodes)
        )

    return min(below[0] + best(1, 0, 2), float("inf"))


def space(lengths):
    return sum(2.0**-n for n in lengths if n)


@settings(max_examples=150)
@given(HISTOGRAMS)
def test_no_code_is_shorter(histogram):
    lengths, bits = code_lengths(histogram)
    used = sum(1 for count in histogram if count)
    assert [n > 0 for n in lengths] == [count > 0 for count in histogram]
    assert max(lengths) <= LONGEST
    assert space(lengths) == {0: 0, 1: 0.5}.get(used, 1)
    assert bits == sum(n * count for n, count in zip(lengths, histogram, strict=True))
    assert bits == least_bits(histogram)


@pytest.mark.parametrize("size", [15, 16, 20, 26, 32])
@pytest.mark.parametrize("base", [2, 3])
def test_where_the_best_code_would_be_longer(size, base):
    """Counts so steep that twelve bits bind."""
    histogram = [base**i for i in range(size)]
    lengths, bits = code_lengths(histogram)
    assert max(lengths) == LONGEST
    assert space(lengths) == 1
    assert bits == least_bits(histogram)
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("size", [1, 2, 3, 4095, 4096])
def test_uniform_alphabets(size):
    lengths, _ = code_lengths([5] * size)
    assert max(lengths) == max(1, (size - 1).bit_length())
    assert space(lengths) == (1 if size > 1 else 0.5)
    assert lengths == sorted(lengths, reverse=True), "of equals, the first have the longest codes"


def test_as_many_symbols_as_there_may_be_of_any_frequency():
    rng = np.random.default_rng(0)
    histogram = (1.2 ** rng.uniform(0, 40, 4000)).astype(np.int64)
    lengths, bits = code_lengths(histogram)
    assert max(lengths) == LONGEST
    assert space(lengths) == 1
    order = np.argsort(histogram, kind="stable")
    assert (np.diff(np.array(lengths)[order].astype(int)) <= 0).all()
    entropy = -(histogram * np.log2(histogram / histogram.sum())).sum()
    assert entropy <= bits <= LONGEST * histogram.sum()
    assert bits < LONGEST * histogram.sum()


def codes_of(lengths):
    sizes = np.array(lengths, np.uint8)
    _, (_, words) = run_both("codes", sizes, np.full(sizes.size, 7, np.uint16))
    return words.tolist()


def forwards(word, length):
    """A code as a number whose highest bit comes first."""
    return int(f"{word:0{length}b}"[::-1], 2)


@given(HISTOGRAMS)
def test_codes_are_canonical(histogram):
    lengths, _ = code_lengths(histogram)
    words = codes_of(lengths)
    following = 0
    for length, symbol in sorted((n, s) for s, n in enumerate(lengths) if n):
        assert forwards(words[symbol], length) << (LONGEST - length) == following
        following += 1 << (LONGEST - length)
    assert all(word == 0 for word, n in zip(words, lengths, strict=True) if not n)


def decode_table(lengths):
    sizes = np.array(lengths, np.uint8)
    complete, (_, table) = run_both("decode_table", sizes, np.full(4096, 0xFFFF, np.uint16))
    return bool(complete), table


@settings(max_examples=40)
@given(HISTOGRAMS.filter(any))
def test_tables_have_no_hole(histogram):
    lengths, _ = code_lengths(histogram)
    words = codes_of(lengths)
    complete, table = decode_table(lengths)
    assert complete
    symbols, widths = table >> 4, table & 15
    alone = sum(map(bool, lengths)) == 1
    for symbol, (length, word) in enumerate(zip(lengths, words, strict=True)):
        mine = np.flatnonzero((symbols == symbol) & (widths > 0))
        assert mine.size == (1 << (LONGEST - length) if length else 0)
        assert (mine & (1 << length) - 1 == word).all()
        assert (widths[mine] == length).all()
    assert np.count_nonzero(widths) == (2048 if alone else 4096)
    assert not table[widths == 0].any()


INCOMPLETE = {
    "nothing": [0, 0],
    "no symbols": [],
    "a lone symbol of two bits": [2],
    "a hole": [1, 2],
    "a small hole": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    "too full": [1, 1, 1],
    "two codes too many": [1, 2, 2, 12],
    "thirteen bits": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13],
    "full but for its length": [1, 13],
    "fifteen bits": [15],
    "255 bits": [255],
}


@pytest.mark.parametrize("lengths", INCOMPLETE.values(), ids=INCOMPLETE)
def test_codes_that_are_not_complete(lengths):
    assert decode_table(lengths)[0] is False


@given(st.lists(st.integers(0, 15) | st.integers(0, 3), max_size=12))
def test_complete_is_what_krafts_sum_says(lengths):
    used = [n for n in lengths if n]
    complete = max(used, default=99) <= LONGEST and (space(used) == 1 or used == [1])
    assert decode_table(lengths)[0] is complete


@pytest.mark.parametrize("length", [11, 12])
def test_as_many_codes_as_there_can_be(length):
    complete, table = decode_table([length] * (1 << length))
    assert complete
    assert np.unique(table >> 4).size == 1 << length
