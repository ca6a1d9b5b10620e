"""Readers of whole payloads: what one backend finds in any bits, the other finds."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from backends import BACKENDS, flip, frozen
from frames import FRAMES
from fuzz.generator import writer
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec.arrays import as_bytes
from gcodec.format.directory import CHUNK, REFUSALS, plane_bits, planes
from gcodec.format.elements import ELEMENTS
from gcodec.format.frame import Tables, parse
from gcodec.format.ids import KeyCodec
from gcodec.kernels import cpu, reference
from gcodec.kernels.cpu.prefix import MANY_CODES, fill_pairs, fill_table
from gcodec.kernels.cpu.unpack import _read_bitmap

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
    agree(parsed, payload)


def agree(parsed, payload):
    """Backends find the same in any bits."""
    ours, theirs = (read(kernels, parsed, frozen(payload)) for kernels in BACKENDS)
    for (step, chunk), (other, same), found, expected in zip(
        ours[:2], theirs[:2], ours[2:], theirs[2:], strict=True
    ):
        assert chunk == same
        assert (step == 0) == (other == 0) == (chunk < 0)
        assert step == 0 or min(step, other) > 95
        assert step != 0 or found.tolist() == expected.tolist()


@pytest.mark.parametrize("name", FRAMES)
def test_noise(name):
    parsed = parse(as_bytes(FRAMES[name]), cpu)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        noise = frozen(rng.integers(0, 2**64, parsed.payload.size, np.uint64))
        ours, theirs = (read(kernels, parsed, noise) for kernels in BACKENDS)
        assert [chunk for _, chunk in ours[:2]] == [chunk for _, chunk in theirs[:2]]


def code_of(seed, n_symbols):
    """Lengths of a complete code."""
    rng = np.random.default_rng(seed)
    counts = (2.0 ** rng.uniform(-4, 14, n_symbols)).astype(np.int64)
    counts[rng.integers(n_symbols)] += 1
    lengths, scratch = np.zeros(n_symbols, np.uint8), np.empty((16, 2 * n_symbols), np.int64)
    reference.code_lengths(counts, lengths, scratch)
    return frozen(lengths)


@given(SEEDS, st.integers(1, 300))
def test_tables(seed, n_symbols):
    lengths = code_of(seed, n_symbols)
    ours, theirs = np.zeros(4096, np.uint16), np.zeros(4096, np.uint16)
    fill_table(lengths, ours)
    assert reference.decode_table(lengths, theirs)
    assert ours.tolist() == theirs.tolist()
    assert ours[0], "that of a table that is not filled is 0"


BLOCKS = [1, 127, 128, 129, 255, 256, 257, 384, 385, 512, 513, 640, 641, 700, 1024, 1025, 1300]


def in_codes(counts, encode_in_chunks, seed=0):
    """A frame of chunks with so many codes of keys and values each."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((len(counts), 1 << 12), np.float32)
    for chunk, count in zip(dense, counts, strict=True):
        levels = 2.0 ** -rng.choice(5, count, p=[0.5, 0.02, 0.02, 0.02, 0.44])
        chunk[rng.permutation(chunk.size)[:count]] = levels * rng.choice([-1, 1], count)
    codec = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(2), "delta")
    return encode_in_chunks(codec, dense.reshape(-1), 12)


@pytest.mark.parametrize("more", [[], [2048, 2048]], ids=["one by one", "two at a time"])
@pytest.mark.parametrize("count", BLOCKS)
def test_blocks_side_by_side(count, more, encode_in_chunks):
    """Any number of blocks of codes, for keys and values, in the last chunk and before it."""
    counts = [count, *more, count]
    frame = in_codes(counts, encode_in_chunks, count)
    assert (sum(counts) >= MANY_CODES) == bool(more)
    assert "signed_huffman" in gcodec.inspect(frame).value_codecs or sum(counts) < 5000
    assert (gcodec.decode(frame) == gcodec.decode(frame, backend="reference")).all()
    assert (gcodec.decode(frame) != 0).sum() == sum(counts)


@pytest.mark.parametrize("seed", range(30))
def test_any_bits_two_at_a_time(seed, encode_in_chunks):
    """As `test_any_bits`, with so many codes that they are read by pairs."""
    parsed = parse(as_bytes(in_codes([2100, 2100], encode_in_chunks)), cpu)
    rng = np.random.default_rng(seed)
    payload = parsed.payload.copy()
    for bit in rng.integers(0, 64 * payload.size, seed % 4).tolist():
        payload[bit // 64] ^= np.uint64(1 << bit % 64)
    agree(parsed, payload)


@given(SEEDS, st.integers(1, 300))
def test_pairs(seed, n_symbols):
    """An entry is what its bits begin with: two symbols if twelve bits hold both codes."""
    lengths = code_of(seed, n_symbols)
    table, pairs = np.zeros(4096, np.uint16), np.zeros(4096, np.uint32)
    fill_table(lengths, table)
    filled(table, pairs)
    for bits, entry in enumerate(pairs.tolist()):
        symbols, width = [], 0
        while len(symbols) < 2 and table[bits >> width]:
            symbol, more = divmod(int(table[bits >> width]), 16)
            if width + more > 12:
                break
            symbols, width = [*symbols, symbol], width + more
        first, second = entry & 0xFFF, entry >> 12 & 0xFFF
        assert entry >> 28 == max(len(symbols), 1)
        assert entry >> 24 & 15 == width
        assert [first, second][: len(symbols)] == symbols


@numba.njit
def filled(table, pairs):
    """`fill_pairs`, which Python cannot call."""
    fill_pairs(table, pairs)


def test_refusals_have_the_classes_of_the_steps():
    from document import STEPS

    assert list(REFUSALS) == list(range(67, 113))
    assert all(STEPS[step]["class"] == error.__name__ for step, (error, _) in REFUSALS.items())


# Chunks of the specification's writer, with no header that could refuse them before.

WIDTHS = {16: 2, 32: 1, 64: 4}
"""Element types by the bits of a pattern."""

UNARY = writer.RICE, writer.VALUE_RICE
CHUNKS = pytest.mark.parametrize("at", [0, 1])


def case(chunks, chunk_log2, levels=(1,), codes=writer.NO_CODES, bits=32, seeds=()):
    """What readers are given: `chunks` of 2**chunk_log2 positions each."""
    directory, payload = np.zeros(len(chunks), CHUNK), b""
    for i, chunk in enumerate(chunks):
        body = chunk.body()
        placed = {"off16": len(payload) // 16, "len16": len(body) // 16}
        for name, number in (chunk.entry | placed).items():
            directory[i][name] = number
        payload += body
    element = ELEMENTS[WIDTHS[bits]]
    key_codes = np.zeros((2 * bool(codes[0]), 32), np.uint8)
    for row, lengths in zip(key_codes, codes[:2], strict=False):
        row[: len(lengths)] = lengths
    tables = Tables(
        frozen(np.array(levels, element.pattern)), frozen(key_codes),
        frozen(np.array(codes[2], np.uint8)), frozen(np.array(seeds, np.uint64)),
    )  # fmt: skip
    header = SimpleNamespace(
        n_elements=len(chunks) << chunk_log2,
        chunk_log2=chunk_log2,
        n_stored=sum(chunk.entry["nnz"] for chunk in chunks),
    )
    return SimpleNamespace(
        header=header,
        tables=tables,
        directory=frozen(directory),
        element=element,
        payload=frozen(np.frombuffer(payload, np.uint64).copy()),
    )


def by_spec(parsed):
    """(keys, patterns) as the specification's own decoder has them, None if it refuses a chunk."""
    spec, tables, keys, patterns = writer.reference, parsed.tables, [], []
    codes = spec.Codes(
        parsed.element.bits,
        parsed.element.precision,
        tables.levels.tolist(),
        [spec.prefix_code(row.tolist(), 54, "") for row in tables.key_codes],
        spec.prefix_code(tables.value_code.tolist(), 59, "") if tables.value_code.size else None,
        tables.seeds.tolist(),
        *([], [], 0),
    )
    body, positions = parsed.payload.tobytes(), 1 << parsed.header.chunk_log2
    for i, entry in enumerate(parsed.directory.tolist()):
        chunk = spec.Chunk(*entry)
        part = body[16 * chunk.off16 : 16 * (chunk.off16 + chunk.len16)]
        try:
            found = spec.read_chunk(i, chunk, part, positions, codes)
        except spec.Malformed:
            return None
        keys += found[0]
        patterns += found[1]
    return keys, patterns


def steps(parsed, *bits):
    """The steps that fail, of keys and of values, once these bits of the payload are changed.

    Two sets: backends may meet another step first. All decoders agree on what they read.
    """
    parsed.payload = frozen(flip(parsed.payload, *bits))
    ours, theirs = (read(kernels, parsed, parsed.payload) for kernels in BACKENDS)
    assert [chunk for _, chunk in ours[:2]] == [chunk for _, chunk in theirs[:2]]
    found = [{step, other} for (step, _), (other, _) in zip(ours[:2], theirs[:2], strict=True)]
    sound = found == [{0}, {0}]
    assert sound or not any(0 in some and len(some) > 1 for some in found)
    expected = by_spec(parsed)
    assert (expected is not None) == sound
    if sound:
        for keys, patterns in (ours[2:], theirs[2:]):
            assert keys.tolist() == expected[0]
            assert patterns.tolist() == expected[1]
    return found


def chunk_at_fault(parsed, which):
    """The chunk that both backends refuse for its keys (0) or values (1)."""
    (chunk,) = {read(kernels, parsed, parsed.payload)[which][1] for kernels in BACKENDS}
    return chunk


def plane_of(parsed, chunk, plane):
    """Bits at which a plane starts and ends; `plane` is its place in the order of the planes."""
    start = 64 * int(planes(parsed.directory, parsed.element)[chunk, plane])
    return start, start + int(plane_bits(parsed.directory, parsed.element)[chunk, plane])


class TestUnary:
    """Zeros, and a one for every number."""

    def case(self, key_shift=0, value_shift=0):
        numbers = [[3, 0, 5, 90], [1, 70, 2, 9]]
        chunks = [
            writer.make_chunk(
                (np.cumsum(np.array(highs) + 1) - 1).tolist(),
                [(high, False) for high in highs],
                (writer.RICE, key_shift),
                (writer.VALUE_RICE, value_shift),
            )
            for highs in numbers
        ]
        return case(chunks, 8, range(1, 100))

    def test_sound(self):
        for shifts in ((0, 0), (1, 2), (6, 6)):
            assert steps(self.case(*shifts)) == [{0}, {0}]

    @CHUNKS
    @pytest.mark.parametrize("defect", ["few", "many", "late", "early"])
    @pytest.mark.parametrize("which", [0, 1])
    def test_each_defect(self, at, defect, which):
        parsed = self.case()
        start, end = plane_of(parsed, at, (1, 4)[which])
        bits = {
            "few": [end - 1],
            "many": [start],
            "late": [end - 1, end],
            "early": [end - 1, end - 2],
        }[defect]
        found = steps(parsed, *bits)
        assert found[which] <= {(99, 107)[which], 111}
        assert found[1 - which] == {0}
        assert chunk_at_fault(parsed, which) == at

    @settings(max_examples=200)
    @given(st.lists(st.integers(0, 2**20), min_size=1, max_size=4), st.sampled_from([0, 2]))
    def test_damaged(self, damage, shift):
        parsed = self.case(shift, shift)
        steps(parsed, *{bit % (64 * parsed.payload.size) for bit in damage})

    @pytest.mark.parametrize(("number", "shift"), [(1 << 16, 16), (256, 24), (65_535, 16)])
    def test_numbers_that_do_not_fit_32_bits(self, number, shift):
        """They must not wrap around to small ones, though no directory lets them pass."""
        wide = writer.make_chunk(
            [0], [(number << shift, False)], (writer.COO, 1), (writer.VALUE_RICE, shift)
        )
        assert steps(case([wide], 6, range(1, 9))) == [{0}, {109}]
        shift = min(shift, 24)
        far = writer.make_chunk([number << shift], [0], (writer.RICE, shift), (writer.RAW, 0))
        assert steps(case([far], 6)) == [{98}, {0}]


class TestKeys:
    """Strictly ascending, below the end, whatever they add up to."""

    CODES = ([0, *[5] * 14, *[4] * 9], [0, 1], [1])
    """Complete over the classes 1 to 23; one class alone; one level alone."""

    CODECS = ((writer.COO, 32), (writer.RICE, 3), (writer.BLOCKS, 0), (writer.DELTA, 0))

    def case(self, keys, codec, codes=CODES):
        return case([writer.make_chunk(keys, [0] * len(keys), codec, codes=codes)], 8, codes=codes)

    @pytest.mark.parametrize("codec", CODECS)
    @pytest.mark.parametrize("last", [255, 256, 257, 1000])
    @pytest.mark.parametrize("count", [1, 2, 130])
    def test_a_key_at_the_end(self, codec, last, count):
        keys = [*range(count - 1), last]
        assert steps(self.case(keys, codec))[0] == ({0} if last == 255 else {98})

    @given(
        st.lists(st.integers(0, 300), min_size=1, max_size=4)
        | st.sets(st.integers(0, 255), min_size=1).map(sorted)
    )
    def test_any_fields(self, keys):
        parsed = self.case(keys, (writer.COO, 9))
        past = 98 if max(keys) > 255 else 0
        assert steps(parsed)[0] == {past if sorted(set(keys)) == keys else 97}

    def test_fields_of_32_bits(self):
        for keys, step in (([0, 2**31, 2**32 - 1], 98), ([2**32 - 1, 0], 97), ([0, 0], 97)):
            assert steps(self.case(keys, (writer.COO, 32)))[0] == {step}

    @pytest.mark.parametrize("count", [1, 2, 128, 129, 200])
    @pytest.mark.parametrize("codec", [writer.BLOCKS, writer.DELTA])
    def test_gaps_that_add_up_past_32_bits(self, count, codec):
        """The largest that there can be: sums do not wrap around."""
        codes = ([0] * 25 + [1], [0, 1], [1])
        gap = 2**31 if codec == writer.BLOCKS else 2**25 - 1
        keys = [gap * (j + 1) - 1 for j in range(count)]
        assert steps(self.case(keys, (codec, 0), codes))[0] == {98}

    @pytest.mark.parametrize("change", [-1, 1])
    def test_blocks_that_do_not_fill_their_plane(self, change):
        parsed = self.case([3 * j for j in range(80)], (writer.BLOCKS, 0))
        index, _ = plane_of(parsed, 0, 0)
        assert steps(parsed, index + (change > 0))[0] <= {100, 111}

    @settings(max_examples=200)
    @given(SEEDS, st.sampled_from([1, 63, 64, 65, 100, 128]))
    def test_any_bitmap(self, seed, count):
        rng = np.random.default_rng(seed)
        keys = np.sort(rng.permutation(128)[:count]).tolist()
        chunk = writer.make_chunk(keys, [0] * count, (writer.BITMAP, 0), positions=128)
        bits = rng.permutation(128)[: rng.integers(1, 4)].tolist()
        change = sum(1 if bit not in keys else -1 for bit in bits)
        assert steps(case([chunk], 7), *bits)[0] == ({96} if change else {0})

    @pytest.mark.parametrize("past", [100, 127])
    @pytest.mark.parametrize("instead", [True, False])
    def test_a_one_past_the_end_of_a_bitmap_is_no_key(self, past, instead):
        chunk = writer.make_chunk([7, 99], [0, 0], (writer.BITMAP, 0), positions=100)
        parsed = case([chunk], 7)
        parsed.header.n_elements = 100
        ours, theirs = (
            read(kernels, parsed, frozen(flip(parsed.payload, past, *[7] * instead)))
            for kernels in BACKENDS
        )
        assert {ours[0][0], theirs[0][0]} <= {96, 111}

    @pytest.mark.parametrize("past", [100, 127])
    def test_spare_bits_that_change_while_they_are_read(self, past):
        """What looks at spare bits looks again: by then they may be zero, and the key too far."""
        payload, keys = np.zeros(4, np.uint64), np.zeros(2, np.uint32)

        @numba.njit
        def read_bitmap(payload, keys):
            return _read_bitmap(payload, np.uint64(64), np.uint64(164), keys)

        assert read_bitmap(flip(payload, 64 + 7, 64 + 99), keys) == 0
        assert read_bitmap(flip(payload, 64 + 7, 64 + past), keys) == 111


class TestValues:
    """Patterns as they are, or levels by index and sign."""

    @pytest.mark.parametrize("bits", WIDTHS)
    @given(SEEDS, st.integers(1, 70))
    def test_any_pattern(self, bits, seed, count):
        noise = np.random.default_rng(seed).bytes(bits // 8 * count)
        values = np.frombuffer(noise, f"<u{bits // 8}")
        chunk = writer.make_chunk(
            list(range(count)), values.tolist(), (writer.BLOCKS, 0), bits=bits
        )
        assert steps(case([chunk], 7, bits=bits)) == [{0}, {0}]

    @given(
        st.lists(
            st.tuples(st.integers(0, 40), st.lists(st.integers(0, 40), min_size=1, max_size=9)),
            min_size=1,
            max_size=3,
        ),
        st.integers(1, 60),
        st.sampled_from([writer.FIXED, writer.VALUE_RICE, 18, 19]),
        st.sampled_from(list(WIDTHS)),
    )
    def test_levels(self, parts, n_levels, codec, bits):
        chunks = [
            writer.make_chunk(
                list(range(len(part))),
                [(i, i % 2 > 0) if codec < 16 else i for i in part],
                (writer.BLOCKS, 0),
                (codec, 6),
                min(base, n_levels - 1),
                bits=bits,
            )
            for base, part in parts
        ]
        wrong = [min(base, n_levels - 1) + max(part) >= n_levels for base, part in parts]
        parsed = case(chunks, 6, range(1, n_levels + 1), bits=bits)
        assert steps(parsed) == [{0}, {109} if any(wrong) else {0}]
        assert chunk_at_fault(parsed, 1) == (wrong.index(True) if any(wrong) else -1)

    @pytest.mark.parametrize("bits", WIDTHS)
    @pytest.mark.parametrize("place", [0, 63, 64, 99])
    @pytest.mark.parametrize("codec", [writer.FIXED, writer.VALUE_RICE, writer.HUFFMAN])
    @CHUNKS
    def test_a_level_with_a_sign_of_its_own(self, at, codec, place, bits):
        codes = ([0, 1], [0, 1], [1, 1])
        for negative in (False, True):
            chunks = [
                writer.make_chunk(
                    list(range(100)),
                    [(int(j == place and i == at), negative) for j in range(100)],
                    (writer.DELTA, 0),
                    (codec, codec != writer.HUFFMAN),
                    codes=codes,
                    bits=bits,
                )
                for i in range(2)
            ]
            parsed = case(chunks, 7, (1, (1 << bits - 1) + 1), codes, bits)
            assert steps(parsed) == [{0}, {110}]
            assert chunk_at_fault(parsed, 1) == at


class TestCodes:
    """Prefix codes in blocks of 128, with an index of block lengths."""

    CODES = ([0, 2, 2, 2, 3, 3], [0, 1], [3, 3, 2, 2, 2])

    def case(self, counts=(50, 300), codes=CODES, seed=0):
        rng, chunks = np.random.default_rng(seed), []
        for count in counts:
            keys = np.cumsum(rng.integers(1, 17, count)) - 1
            values = [(int(i), bool(i % 2)) for i in rng.integers(0, 5, count)]
            packing = (writer.DELTA, 0), (writer.HUFFMAN, 0)
            chunks.append(writer.make_chunk(keys.tolist(), values, *packing, codes=codes))
        return case(chunks, 13, range(1, 6), codes)

    def test_sound(self):
        assert steps(self.case()) == [{0}, {0}]

    @CHUNKS
    @pytest.mark.parametrize("change", [-12, -1, 1, 12])
    @pytest.mark.parametrize("which", [0, 1])
    def test_an_end_that_is_not_the_end(self, at, change, which):
        name = ("key_hi_bits", "val_hi_bits")[which]
        for seed in range(9):
            parsed = self.case(seed=seed)
            directory = parsed.directory.copy()
            directory[name][at] = directory[name][at].astype(int) + change
            before = (parsed.directory[name][at] + 63) // 64
            if (directory[name][at] + 63) // 64 == before:
                parsed.directory = frozen(directory)
                assert steps(parsed)[which] <= {(101, 108)[which], 111}
                assert chunk_at_fault(parsed, which) == at
                return
        pytest.fail("no plane has the room")

    @pytest.mark.parametrize("block", [0, 1])
    @pytest.mark.parametrize("which", [0, 1])
    def test_an_index_that_is_wrong(self, block, which):
        for length in (0, 1, 2047, None):
            parsed = self.case()
            at, _ = plane_of(parsed, 1, (0, 3)[which])
            at += 11 * block
            old = int(parsed.payload[at // 64]) >> at % 64 & 2047
            new = old + 1 if length is None else length
            bits = [at + bit for bit in range(11) if (old ^ new) >> bit & 1]
            assert steps(parsed, *bits)[which] == {(101, 108)[which]}
            assert chunk_at_fault(parsed, which) == 1

    @pytest.mark.parametrize("which", [0, 1])
    def test_blocks_that_only_the_index_tells_apart(self, which):
        """129 codes of one bit: the first block ends after 128, whatever else would fit."""
        codes = ([0, 1, 1], [0, 1], [1, 1])
        packing = (writer.DELTA, 0), (writer.HUFFMAN, 0)
        for length in range(120, 130):
            chunk = writer.make_chunk(list(range(129)), [(0, False)] * 129, *packing, codes=codes)
            parsed = case([chunk], 8, (1, 2), codes)
            at, _ = plane_of(parsed, 0, (0, 3)[which])
            bits = [at + bit for bit in range(11) if (128 ^ length) >> bit & 1]
            assert steps(parsed, *bits)[which] == {0 if length == 128 else (101, 108)[which]}

    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("count", [100, 129, 700])
    def test_the_hole_of_a_lone_symbol(self, count, which):
        codes = ([0, 1], [0, 1], [1])
        packing = (writer.DELTA, 0), (writer.HUFFMAN, 0)
        for place in (None, 0, 50, 99, count - 1):
            chunk = writer.make_chunk(
                list(range(count)), [(0, False)] * count, *packing, codes=codes
            )
            parsed = case([chunk], 10, (1,), codes)
            at, _ = plane_of(parsed, 0, (1, 4)[which])
            found = steps(parsed, *([] if place is None else [at + place]))
            assert found[which] == {0 if place is None else (101, 108)[which]}

    @pytest.mark.parametrize("lone", [0, 1])
    def test_the_hole_of_a_lone_symbol_beside_longer_codes(self, lone):
        """Whatever the bits are: what comes after may take as many as are left."""
        several = [0, 1, 2, 2]
        codes = (several, [0, 1], [1]) if lone else ([0, 1], several, [1])
        pieces = [(4, 0, 64, [0, 1])]
        seen = set()
        for bits in range(1 << 10):
            chunk = writer.make_chunk(
                [0, 1, 4, 5, 8, 9], [0] * 6, (writer.COLUMNS, 0), pieces=pieces, codes=codes
            )
            chunk.planes[1] = writer.Bits([(bits, 10)])
            chunk.entry["key_hi_bits"] = 10
            parsed = case([chunk], 6, codes=codes)
            (found,) = {read(kernels, parsed, parsed.payload)[0] for kernels in BACKENDS}
            steps(parsed)
            seen.add(found[0])
        assert seen >= {0, 101}

    @pytest.mark.parametrize("words", [-4, -2, 0, 2, 4])
    def test_a_length_that_is_not_that_of_the_rests(self, words):
        codes = ([0] * 5 + [1], [0, 1], [1])
        keys = [16 * j + 15 for j in range(200)]
        chunk = writer.make_chunk(keys, [0] * 200, (writer.DELTA, 0), codes=codes)
        size = len(chunk.body()) + 8 * words
        chunk.planes[6] = writer.Bits([(0, chunk.planes[6].count + 64 * min(words, 0))])
        chunk.padding = b""
        chunk.padding = bytes(size - len(chunk.body()))
        assert steps(case([chunk], 12, codes=codes))[0] == {102 if words else 0}


HEADS = st.sampled_from([0, 1, 2, 63, 64, 65, 2**24, 2**31, 2**32 - 1]) | st.integers(0, 80)


class TestColumns:
    """Pieces made compact to their active columns."""

    CODES = ([0, 1, 3, 3, 3, 4, 4], [0, 1, 3, 3, 3, 4, 4], [1])

    def chunk(self, seed):
        rng = np.random.default_rng(seed)
        keys = np.flatnonzero(rng.random(64) < 0.5).tolist() or [5]
        cut, width = int(rng.integers(1, 63)), int(rng.integers(1, 20))
        pieces, start = [], 0
        for w, f, length in ((width, int(rng.integers(width)), cut), (0, 0, 64 - cut)):
            own = [key for key in keys if start <= key < start + length]
            pieces.append((w, f, length, sorted({(key - start + f) % w for key in own if w})))
            start += length
        if not pieces[0][3]:
            pieces[0][3].append(0)
        packing = (writer.COLUMNS, 0), (writer.RAW, 0)
        return writer.make_chunk(keys, [1] * len(keys), *packing, 0, 64, pieces, self.CODES)

    @given(SEEDS)
    def test_sound(self, seed):
        assert steps(case([self.chunk(seed)], 6, codes=self.CODES)) == [{0}, {0}]

    @settings(max_examples=400)
    @given(SEEDS, st.lists(st.tuples(st.integers(0, 7), HEADS), min_size=1, max_size=3))
    def test_any_heads(self, seed, changes):
        """What a hostile frame may say of rows, phases, lengths and columns."""
        parsed = case([self.chunk(seed)], 6, codes=self.CODES)
        payload = parsed.payload.copy()
        for field, number in changes:
            payload.view(np.uint32)[field] = number
        parsed.payload = frozen(payload)
        assert steps(parsed)[0] <= {0, 103, 104, 105, 106}

    @settings(max_examples=400)
    @given(SEEDS, st.lists(st.integers(128 * 2, 2**20), min_size=1, max_size=3))
    def test_any_places(self, seed, damage):
        parsed = case([self.chunk(seed)], 6, codes=self.CODES)
        bits = {256 + bit % (64 * parsed.payload.size - 256) for bit in damage}
        steps(parsed, *bits)


@pytest.mark.parametrize("name", FRAMES)
def test_spare_bits(name):
    """Every bit between the end of a plane and that of its last word, and all of the padding."""
    parsed = parse(as_bytes(FRAMES[name]), cpu)
    ends = planes(parsed.directory, parsed.element)
    used = plane_bits(parsed.directory, parsed.element)
    coded = (KeyCodec.DELTA, KeyCodec.COLUMNS)
    for chunk in np.flatnonzero(parsed.directory["nnz"]).tolist():
        rests = parsed.directory["key_codec"][chunk] in coded  # their number is in no field
        last = 64 * int(ends[chunk, -1])
        ranges = [(112, last - 64, last)]
        for plane in range(6 if rests else 7):
            end = 64 * int(ends[chunk, plane]) + int(used[chunk, plane])
            ranges.append((111, end, -(-end // 64) * 64))
        for step, start, stop in ranges:
            for bit in range(start, stop):
                payload = frozen(flip(parsed.payload, bit))
                for kernels in BACKENDS:
                    found = read(kernels, parsed, payload)[:2]
                    assert (step, chunk) in found or {s for s, _ in found} & {96, 99, 101, 107, 108}
