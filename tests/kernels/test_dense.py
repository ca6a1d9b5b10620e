"""Kernels of frames in which every element goes: both backends, tables in registers or not."""

import numba
import numpy as np
import pytest
from backends import frozen, run_both
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import same_bits

from gcodec.format.directory import CHUNK, chunk_lengths, chunk_units, place_chunks
from gcodec.kernels import cpu, reference
from gcodec.kernels.cpu.cells import CELLS, FEW_CELLS, fill_cells
from gcodec.kernels.cpu.dense import code_chunks_with
from gcodec.kernels.cpu.lanes import BY_LEVEL, FASTEST, NONE
from gcodec.kernels.cpu.octaves import fill_octave
from gcodec.packing.values import fixed_width

TYPES = [np.uint16, np.uint32, np.uint64]


def laid_out(n, chunk_log2, width):
    """A directory of chunks of n fields, and an empty payload."""
    lengths = chunk_lengths(n, chunk_log2)
    directory = np.zeros(lengths.size, CHUNK)
    directory["nnz"] = lengths
    directory["len16"] = chunk_units(lengths, (lengths * width + 63) >> 6)
    return directory, np.full(place_chunks(directory) // 8, 0xAAAA_AAAA_AAAA_AAAA, np.uint64)


def patterns(rng, n, boundaries):
    """Of both signs: any, and many at a boundary or just below or above one."""
    kind = boundaries.dtype.type
    top = (1 << 8 * boundaries.itemsize - 1) - 1
    found = rng.integers(0, top, n, dtype=boundaries.dtype)
    if boundaries.size:
        near = rng.choice(boundaries, n) + rng.integers(-2, 3, n).astype(boundaries.dtype)
        found = np.where(rng.random(n) < 0.8, np.minimum(near, kind(top)), found)
    signs = rng.integers(0, 2, n).astype(boundaries.dtype) << kind(8 * boundaries.itemsize - 1)
    return frozen(found | signs)


def code(kernel, bits, boundaries, zero, chunk_log2, first=0):
    """Payload, checks and residual that a kernel writes."""
    entries = 2 * boundaries.size + 2
    plain = np.arange(entries, dtype=np.uint32)
    plain[1] -= zero
    width = fixed_width(entries)
    directory, payload = laid_out(bits.size, chunk_log2, width)
    sums = np.float64 if bits.itemsize == 8 else np.float32
    decoded, residual = np.linspace(-1, 1, entries).astype(sums), np.ones(bits.size, sums)
    kernel(bits, first, chunk_log2, boundaries, plain, width, directory, payload, decoded, residual)
    return directory["check"].tolist(), payload, residual


def check_code(bits, boundaries, zero, chunk_log2, first=0):
    what = bits, frozen(boundaries), zero, chunk_log2, first
    expected = code(reference.code_chunks, *what)
    for fastest in {NONE, BY_LEVEL, FASTEST}:
        found = code(lambda *given: code_chunks_with(fastest, *given), *what)  # noqa: B023
        assert found[0] == expected[0]
        assert same_bits(found[1], expected[1])
        assert same_bits(found[2], expected[2])


@numba.njit
def filled(boundaries, cells, edges):
    """`fill_cells`, which Python cannot call."""
    return fill_cells(boundaries, cells, edges)


def fits(boundaries):
    """Cells that boundaries need, or 0 if tables in registers cannot hold them."""
    lowest, needed = filled(boundaries, np.zeros(CELLS, np.uint8), np.zeros(256, np.uint8))
    return needed if lowest >= 0 else 0


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.sampled_from([64, 65, 100, 126, 127]),
    octaves=st.integers(1, 18),
    lowest=st.integers(1, 100),
    zero=st.booleans(),
    n=st.sampled_from([1, 63, 64, 65, 128, 1000, 1024, 4160]),
)
def test_bytes_of_any_levels(seed, count, octaves, lowest, zero, n):
    """Boundaries with upper halves of their own, so that tables hold them if they span little."""
    rng = np.random.default_rng(seed)
    reach = max(128 * octaves, count)
    upper = np.sort(rng.choice(reach, count, replace=False)) + 128 * lowest
    boundaries = (upper << 16 | rng.integers(0, 1 << 16, count)).astype(np.uint32)
    needed = int(upper[-1] - upper[0]) + 3
    assert fits(boundaries) == (needed if needed <= CELLS else 0)
    bits = patterns(rng, n, boundaries)
    check_code(bits, boundaries, zero, 10, first=int(rng.integers(0, 9)))


@numba.njit
def in_octaves(boundaries, edges):
    """`fill_octave`, which Python cannot call."""
    return fill_octave(boundaries, edges)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    log2=st.integers(0, 5),
    count=st.sampled_from([1, 2, 17, 33, 100, 127]),
    lowest=st.sampled_from([0, 1, 2, 120, 250]),
    zero=st.booleans(),
    n=st.sampled_from([1, 63, 64, 128, 1000, 4160]),
)
def test_bytes_of_levels_that_repeat_in_octaves(seed, log2, count, lowest, zero, n):
    rng = np.random.default_rng(seed)
    once = np.sort(rng.choice(1 << 23, 1 << log2, replace=False))
    octaves = np.arange(lowest, 255)[:, None] << 23
    boundaries = (octaves + once).ravel()[:count].astype(np.uint32)
    found = in_octaves(boundaries, np.zeros(15, np.uint32))
    if boundaries[0] < 1 << 23 or log2 > 4:
        assert found == -1
    elif boundaries.size > 1 << log2:
        assert 0 <= found <= log2
    bits = patterns(rng, n, boundaries)
    check_code(bits, boundaries, zero, 10, first=int(rng.integers(0, 9)))


@pytest.mark.parametrize(
    "needed", [FEW_CELLS - 1, FEW_CELLS, FEW_CELLS + 1, CELLS - 1, CELLS, CELLS + 1]
)
def test_the_last_cells(needed):
    """What lies above the last boundary is not taken for what lies in its cell."""
    upper = np.append(np.arange(4, 70), 1 + needed)
    boundaries = (upper << 16 | 0x8000).astype(np.uint32)
    assert fits(boundaries) == (needed if needed <= CELLS else 0)
    cells = np.repeat(np.arange(needed + 200) << 16, 3)
    check_code(
        frozen((cells + np.tile([0, 0x8000, 0xFFFF], needed + 200)).astype(np.uint32)),
        boundaries,
        1,
        6,
    )


@pytest.mark.parametrize(
    "boundaries",
    [
        [],
        [0x1_0000, 0x1_0001],
        [5, 0x1_0000],
        [0x7F7F_FFFF],
        list(range(1 << 17, 1 << 25, 1 << 17)),
    ],
    ids=["none", "two in a cell", "in the lowest", "the largest", "as many as can be"],
)
@pytest.mark.parametrize("more", [0, 70])
def test_few_levels_and_many(boundaries, more):
    """With more levels at the far end fields get eight bits."""
    above = np.arange(more) + 0x7F00_0000
    given = np.sort(np.append(boundaries, above)).astype(np.uint32)
    check_code(patterns(np.random.default_rng(0), 1000, given), given, 1, 8)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("count", [0, 1, 2, 7, 63, 100, 127, 128, 1000])
def test_fields_of_any_width(count, kind):
    rng = np.random.default_rng(count)
    top = np.iinfo(kind).max >> 1
    boundaries = np.unique(rng.integers(1, top, count, dtype=kind))
    for zero in (0, 1):
        check_code(patterns(rng, 700, boundaries), boundaries, zero, 8)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("n", [1, 64, 65, 300])
@pytest.mark.parametrize("width", range(1, 17))
def test_readers(width, n, kind):
    """Of fields of every width: what is there, and what is wrong with it."""
    rng = np.random.default_rng(width)
    directory, payload = laid_out(n, 6, width)
    payload[:] = 0
    fields = rng.integers(0, 1 << width, n)
    fields[rng.integers(n)] = most = (1 << width) - 1
    for i, entry in enumerate(directory):
        own = fields[64 * i : 64 * i + 64].tolist()
        plane = sum(field << width * j for j, field in enumerate(own))
        start, size = 2 * int(entry["off16"]), 16 * int(entry["len16"])
        payload[start : start + size // 8] = np.frombuffer(
            plane.to_bytes(size, "little"), np.uint64
        )
    seal(directory, payload)
    frozen(payload)
    table = rng.integers(0, np.iinfo(kind).max, 1 << width, dtype=kind)
    _, after = run_both(
        "put_fields", payload, directory, 6, width, frozen(table), np.zeros(n, kind)
    )
    assert same_bits(after[-1], table[fields])
    sums = np.float64 if kind is np.uint64 else np.float32
    numbers = frozen(rng.normal(size=1 << width).astype(sums))
    start = rng.normal(size=n).astype(sums)
    _, after = run_both("add_fields", payload, directory, 6, width, numbers, start)
    assert same_bits(after[-1], start + numbers[fields])
    for levels, sound in ((0, True), (most + 1, True), (most, False)):
        if width < 16 or levels:
            assert run_both("fields_are_sound", payload, directory, 0, width, levels)[0] == sound
    assert not run_both("fields_are_sound", payload, directory, 1, width, 0)[0]


def seal(directory, payload):
    """Set the checks of chunks."""
    checks = np.zeros(directory.size, np.uint32)
    reference.chunk_checks(payload.view(np.uint8), directory, 0, checks)
    directory["check"] = checks


@pytest.mark.parametrize("width", [1, 5, 8, 16])
@pytest.mark.parametrize("n", [63, 64])
def test_every_bit_after_the_fields_is_looked_at(width, n):
    directory, payload = laid_out(n, 6, width)
    for bit in range(64 * payload.size):
        payload[:] = 0
        payload[bit >> 6] = np.uint64(1) << np.uint64(bit & 63)
        seal(directory, payload)
        frozen(payload)
        assert cpu.fields_are_sound(payload, directory, 0, width, 0) == (bit < n * width)
        assert reference.fields_are_sound(payload, directory, 0, width, 0) == (bit < n * width)
        payload.flags.writeable = True


@pytest.mark.parametrize("kind", TYPES)
def test_values_as_they_are(kind):
    rng = np.random.default_rng(0)
    directory, payload = laid_out(300, 6, 8 * np.dtype(kind).itemsize)
    payload[:] = rng.integers(0, 1 << 63, payload.size)
    parts = [payload[2 * int(entry["off16"]) :].view(kind)[: entry["nnz"]] for entry in directory]
    values = np.concatenate(parts)
    _, after = run_both("put_values", frozen(payload), directory, 6, np.zeros(300, kind))
    assert same_bits(after[-1], values)
    if kind is not np.uint16:
        sums = np.float64 if kind is np.uint64 else np.float32
        start, scale = rng.normal(size=300).astype(sums), sums(0.3)
        with np.errstate(all="ignore"):
            _, after = run_both("add_values", payload, directory, 6, scale, start)
            assert same_bits(after[-1], start + values.view(sums) * scale)


@pytest.mark.parametrize("sums", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 4095, 4096, 10_000])
def test_sums_and_the_largest_of_them(n, sums):
    rng = np.random.default_rng(n)
    grad, residual = (frozen(rng.normal(size=n).astype(sums)) for _ in range(2))
    for backend in (cpu, reference):
        out = np.zeros(n, sums)
        bits = out.view(f"u{out.itemsize}")
        bits.flags.writeable = False
        top = backend.add_up(grad, residual, sums(0.5), sums(2), out, bits)
        expected = grad * sums(0.5) + residual * sums(2)
        assert same_bits(out, expected)
        assert top == np.abs(expected).view(bits.dtype).max(initial=0)
