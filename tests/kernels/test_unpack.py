"""Readers of whole payloads: what one backend finds in any bits, the other finds."""

import numpy as np
import pytest
from backends import BACKENDS
from frames import FRAMES
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec.arrays import as_bytes
from gcodec.format.directory import REFUSALS
from gcodec.format.frame import parse
from gcodec.kernels import cpu, reference
from gcodec.kernels.cpu.prefix import fill_table

SEEDS = st.integers(0, 2**32 - 1)


def read(kernels, parsed, payload):
    """What `read_keys` and `read_values` answer, and what they filled."""
    header, tables, directory = parsed.header, parsed.tables, parsed.directory
    layout = header.n_elements, header.chunk_log2, parsed.element.bits
    keys = np.zeros(header.n_stored, np.uint32)
    patterns = np.zeros(header.n_stored, parsed.element.pattern)
    room = np.zeros(2 * header.n_stored, np.uint32)
    code_tables = np.zeros((len(tables.key_codes), 4096), np.uint16)
    codes = tables.key_codes, tables.seeds, code_tables, room
    values = tables.levels, tables.value_code, np.zeros(4096, np.uint16)
    return (
        kernels.read_keys(payload, directory, 0, layout, *codes, keys),
        kernels.read_values(payload, directory, 0, layout, *values, patterns),
        keys,
        patterns,
    )


def frozen(payload):
    payload.flags.writeable = False
    return payload


@settings(max_examples=30)
@pytest.mark.parametrize("name", FRAMES)
@given(seed=SEEDS, damage=st.integers(0, 4))
def test_any_bits(name, seed, damage):
    """Checks of chunks are left out, so that damage gets as far as it can."""
    parsed = parse(as_bytes(FRAMES[name]), cpu)
    rng = np.random.default_rng(seed)
    payload = parsed.payload.copy()
    for bit in rng.integers(0, 64 * payload.size, damage if payload.size else 0).tolist():
        payload[bit // 64] ^= np.uint64(1 << bit % 64)
    ours, theirs = (read(kernels, parsed, frozen(payload)) for kernels in BACKENDS)
    for (step, chunk), (other, same), found, expected in zip(
        ours[:2], theirs[:2], ours[2:], theirs[2:], strict=True
    ):
        assert chunk == same
        assert (step == 0) == (other == 0) == (chunk < 0)
        assert step == 0 or min(step, other) > 90
        assert step != 0 or found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", FRAMES)
def test_noise(name):
    parsed = parse(as_bytes(FRAMES[name]), cpu)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        noise = frozen(rng.integers(0, 2**64, parsed.payload.size, np.uint64))
        ours, theirs = (read(kernels, parsed, noise) for kernels in BACKENDS)
        assert [chunk for _, chunk in ours[:2]] == [chunk for _, chunk in theirs[:2]]


@given(SEEDS, st.integers(1, 300))
def test_tables(seed, n_symbols):
    rng = np.random.default_rng(seed)
    counts = (2.0 ** rng.uniform(-4, 14, n_symbols)).astype(np.int64)
    counts[rng.integers(n_symbols)] += 1
    lengths, scratch = np.zeros(n_symbols, np.uint8), np.empty((16, 2 * n_symbols), np.int64)
    reference.code_lengths(counts, lengths, scratch)
    ours, theirs = np.zeros(4096, np.uint16), np.zeros(4096, np.uint16)
    fill_table(frozen(lengths), ours)
    assert reference.decode_table(lengths, theirs)
    assert ours.tolist() == theirs.tolist()
    assert ours[0], "that of a table that is not filled is 0"


BLOCKS = [1, 127, 128, 129, 255, 256, 257, 384, 385, 512, 513, 640, 641, 700, 1024, 1025, 1300]


@pytest.mark.parametrize("count", BLOCKS)
def test_blocks_side_by_side(count, encode_in_chunks):
    """Any number of blocks of codes, for keys and values, in the last chunk and before it."""
    rng = np.random.default_rng(count)
    dense = np.zeros((2, 1 << 12), np.float32)
    for chunk in dense:
        chunk[rng.permutation(chunk.size)[:count]] = 2.0 ** -rng.geometric(0.4, count)
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1), "delta")
    frame = encode_in_chunks(codec, dense.reshape(-1), 12)
    assert (gcodec.decode(frame) == gcodec.decode(frame, backend="reference")).all()
    assert (gcodec.decode(frame) != 0).sum() == 2 * count


def test_refusals_have_the_classes_of_the_steps():
    from document import STEPS

    assert list(REFUSALS) == list(range(62, 108))
    assert all(STEPS[step]["class"] == error.__name__ for step, (error, _) in REFUSALS.items())
