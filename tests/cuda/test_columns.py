"""Keys over the active columns of matrices, on a device: the CPU's bytes, in the same launches."""

from itertools import product

import numpy as np
import pytest
from ptx.frames import HOW, Above, Largest, made
from ptx.host import check_feedback, host_device

import gcodec

pytestmark = pytest.mark.cuda

QUANTIZERS = (
    ("raw", gcodec.Raw(), "auto"),
    ("levels", gcodec.ReciprocalLog(per_octave=8), "fixed"),
    ("coded", gcodec.ReciprocalLog(per_octave=8), "auto"),
)
PACKINGS = ("columns", "auto")


def matrix(rows, width, active, share, seed=0):
    """Numbers above 2 in some columns, and few elsewhere; flat."""
    rng = np.random.default_rng(seed)
    on = np.zeros((rows, width), bool)
    on[:, rng.permutation(width)[:active]] = True
    on &= rng.random(on.shape) < share
    numbers = rng.uniform(2.1, 30, on.shape) * rng.choice([-1, 1], on.shape)
    return np.where(on, numbers, 0).astype(np.float32).reshape(-1)


def check(array, keys="columns", quantize=QUANTIZERS[0], how=HOW[1], density=0.75, **what):
    """What inspection says of a frame that was made on the device as the CPU makes it."""
    k = np.count_nonzero(array)
    select = Largest(int(k), density) if k else Above(density)
    codec = gcodec.Codec(select, quantize[1], keys=keys, values=quantize[2])
    frame = made(codec, array, how, **what)
    assert frame.stored == k
    return gcodec.inspect(frame.get())


WIDTHS = (2, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 513, 1_023, 1_025)


@pytest.mark.parametrize("keys", PACKINGS)
def test_row_lengths(keys):
    """Of words, of two words, and one more or fewer; rows that chunks cut, and a last one cut."""
    seen = set()
    for number, width in enumerate(WIDTHS):
        array = matrix(9_000 // width + 1, width, max(width // 9, 1), 0.7, width)
        how, quantize = HOW[number % len(HOW)], QUANTIZERS[number % len(QUANTIZERS)]
        seen |= set(check(array.reshape(-1, width), keys, quantize, how).key_codecs)
    assert "columns" in seen


@pytest.mark.parametrize("width", [8_191, 16_384, 32_769, 65_534, 65_535, 65_536])
def test_long_rows(width):
    """Of as many words as four of each thread, and of too many."""
    active = np.random.default_rng(width).permutation(width)[:300]
    active = np.append(active, [0, width - 1])
    rows = max((1 << 17) // width, 8)
    array = np.zeros((rows, width), np.float32)
    array[:, active] = np.random.default_rng(0).uniform(2.1, 30, (rows, active.size))
    said = check(array, density=0.001)
    assert ("columns" in said.key_codecs) == (width < 65_536)


@pytest.mark.parametrize("quantize", QUANTIZERS, ids=[name for name, *_ in QUANTIZERS])
@pytest.mark.parametrize("keys", PACKINGS)
def test_columns_and_other_packings(keys, quantize):
    """Matrices and what is none, by turns: chunks of each kind, and of both."""
    rng, parts, layout = np.random.default_rng(3), [], []
    for number, size in enumerate((5, 4_100, 0, 8_192, 1, 700, 12_000, 127, 129)):
        width = (0, 50, 9, 128, 1, 7, 300, 0, 3)[number]
        if width > 1:
            size -= size % width
            own = matrix(size // width, width, max(width // 8, 1), 0.6, number)
            layout.append((f"w{number}", (size // width, width)))
        else:
            own = np.where(rng.random(size) < 0.1, rng.uniform(2.1, 30, size), 0)
            layout.append((f"b{number}", (size,)))
        parts.append(own.astype(np.float32))
    array = np.concatenate(parts)
    for how in HOW:
        said = check(array, keys, quantize, how, tensors=layout, name="bucket")
        assert {"columns"} < set(said.key_codecs)


@pytest.mark.parametrize("number", [1, 127, 254, 255, 256, 600])
def test_many_pieces(number):
    """Of matrices and of what is none, by turns: at most 255 in a chunk."""
    parts, layout = [], []
    for piece in range(number):
        if piece % 2:
            parts.append(np.full(2, 3, np.float32))
            layout.append((f"b{piece}", (2,)))
        else:
            own = np.zeros((60, 40), np.float32)
            own[:, piece % 40] = own[:, (piece + 7) % 40] = 5 + np.arange(60) % 7
            own[3] = 0
            parts.append(own.reshape(-1))
            layout.append((f"w{piece}", (60, 40)))
    array = np.concatenate(parts)
    for density in (0.001, 0.1):
        said = check(array, density=density, tensors=layout)
        assert ("columns" in said.key_codecs) == (number <= 255 or density == 0.1)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_as_many_columns_as_an_entry_can_say(more):
    """65,535 of a chunk, of several matrices; and so many items that threads turn often."""
    wanted, parts, layout = (1 << 16) - 1 + more, [], []
    for number, columns in enumerate((*[15_000] * 4, wanted - 60_000)):
        own = np.zeros((3, 60_000), np.float32)
        own[:, np.sort(np.random.default_rng(number).permutation(60_000)[:columns])] = 3
        parts.append(own.reshape(-1))
        layout.append((f"w{number}", own.shape))
    said = check(np.concatenate(parts), density=0.001, tensors=layout)
    assert ("columns" in said.key_codecs) == (more <= 0)


def test_when_listing_columns_pays():
    """Pieces of two rows and nearly, and of as many columns as just pay, or do not."""
    seen = set()
    for rows, width, active in product((1, 2, 3, 4), (30, 64, 200), (1, 2, 5, 20)):
        array = matrix(rows, width, active, 1, rows)
        seen |= set(check(array.reshape(rows, width)).key_codecs)
        tensors = [("a", (rows, width)), ("b", (width - 1,))]
        check(np.append(array, np.zeros(width - 1, np.float32)), tensors=tensors)
    for keep in range(20, 140, 3):
        array = matrix(keep, 64, 6, 0.9, keep)
        seen |= set(check(array.reshape(-1, 64)).key_codecs)
    assert seen == {"columns", "delta"}
    check(matrix(2, 20_000, 500, 1).reshape(2, -1), density=0.001)


@pytest.mark.parametrize(("rows", "log2"), [(5, 1), (3, 2), (2, 4)])
def test_when_listing_columns_takes_as_much(rows, log2):
    """By bit lengths of mean gaps, of 64 columns; one more of them, and they are listed."""
    for active in (63, 64, 65):
        array = matrix(rows, active << log2, active, 1, rows)
        said = check(array.reshape(rows, -1), density=0.001)
        assert set(said.key_codecs) == {"columns" if active > 64 else "delta"}


def test_matrices_that_begin_with_chunks():
    parts = [matrix(64, 64, 5, 0.9, seed) for seed in range(5)]
    for size in (1, 2):
        tensors = [(f"w{i}", (64 * size, 64)) for i in range(6 // size)]
        array = np.concatenate(parts + parts[:1])
        said = check(array, tensors=tensors, name="bucket")
        assert set(said.key_codecs) == {"columns"}


@pytest.mark.parametrize("keys", PACKINGS)
def test_frames_that_fill_much_of_their_room(keys):
    """Over columns keys take less than by their gaps, which leave a third of the room and more."""
    most = 0
    for rows, width, active, share, density in (
        (64, 64, 60, 0.9, 0.75), (600, 64, 30, 0.9, 0.75), (600, 64, 60, 0.5, 0.5),
        (300, 128, 60, 0.5, 0.25), (2, 20_000, 5_000, 1, 0.25),
    ):  # fmt: skip
        array = matrix(rows, width, active, share).reshape(rows, width)
        select = Largest(np.count_nonzero(array), density)
        by_gaps = gcodec.Codec(select, keys="delta").encode(array).nbytes
        frame = made(gcodec.Codec(select, keys=keys), array)
        chunks = gcodec.inspect(frame.get()).header["n_chunks"]
        assert frame.nbytes <= by_gaps + 16 * (chunks + 2)
        most = max(most, frame.nbytes / frame._words.nbytes)
    assert 0.6 < most < 2 / 3


@pytest.mark.parametrize("keys", PACKINGS)
def test_no_key_or_one_or_all(keys):
    for shape in ((64, 100), (4_096, 2), (3, 3), (1, 2)):
        for array in (np.zeros(shape), np.full(shape, 3), np.eye(*shape) * 3):
            check(array.astype(np.float32), keys, QUANTIZERS[1])
            check(-array.astype(np.float32), keys, QUANTIZERS[2], HOW[2])


@pytest.mark.parametrize("keys", PACKINGS)
@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_types(kind, keys):
    array = matrix(100, 90, 9, 0.8).reshape(100, 90).astype(kind)
    assert set(check(array, keys, QUANTIZERS[0]).key_codecs) == {"columns"}


def test_more_chunks_than_threads():
    array = matrix(258 * 64, 64, 5, 0.7)
    said = check(array.reshape(-1, 64), "auto")
    assert said.header["n_chunks"] == 258
    assert "columns" in said.key_codecs


def test_both_codes_of_columns_or_neither():
    """Chunks that would be smaller by columns, but not by as much as a section of codes."""
    codes = set()
    for active, keys in product(range(1, 12), PACKINGS):
        array = matrix(64, 64, active, 0.9, active)
        said = check(array.reshape(-1, 64), keys)
        codes.add((keys, said.section_bytes.get("KEYCODES", 0) // 16))
    assert ("auto", 0) in codes
    assert {("auto", 2), ("columns", 2)} <= codes


def test_residuals():
    """What is sent is taken off, and nothing else."""
    array = matrix(300, 100, 9, 0.8).reshape(300, 100)
    codec = gcodec.get_codec("reclog:threshold=2,per_octave=4,keys=columns")
    with host_device():
        check_feedback(codec, [array] * 2)
