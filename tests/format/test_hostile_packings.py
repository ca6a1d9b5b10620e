"""Broken codes, heads, widths and indexes under sound checks: refused, or decoded in bounds."""

import struct

import pytest
from frames import (
    FRAMES,
    SIZES,
    check_readers,
    chunk_entries,
    extremes,
    put,
    same_outcome,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec

KEYCODES, VALUECODE = 7, 8
DELTA, BLOCKS, COLUMNS = 5, 7, 8
HUFFMAN = (5, 21)


@pytest.fixture
def outcome(reseal, decode_between_canaries):
    """Function from (name, frame) to the class of the error, with every check made right."""

    def judge(name, frame, sealed=False):
        frame = frame if sealed else reseal(frame)
        found = same_outcome(decode_between_canaries, frame, SIZES[name])
        check_readers(frame, SIZES[name])
        return found

    return judge


def with_section(kind, section_table):
    return [name for name, frame in FRAMES.items() if kind in section_table(frame)]


def nibbles(frame, kind, section_table):
    """(offset, shift, value) of every code length in a section."""
    _, start, size = section_table(frame)[kind]
    for at in range(start, start + size):
        for shift in (0, 4):
            yield at, shift, frame[at] >> shift & 15


def set_bits(frame, start, width, value):
    """A copy with a field of `width` bits, counted from bit `start` of the frame."""
    whole = int.from_bytes(frame, "little")
    old = whole >> start & (1 << width) - 1
    return (whole ^ (old ^ value) << start).to_bytes(len(frame), "little")


def get_bits(frame, start, width):
    return int.from_bytes(frame, "little") >> start & (1 << width) - 1


class TestCodes:
    """Code lengths in KEYCODES and VALUECODE."""

    @pytest.mark.parametrize("kind", [KEYCODES, VALUECODE])
    def test_every_length_at_every_value(self, kind, outcome, section_table):
        """One length changed: the code is no longer complete, whatever the value."""
        names = with_section(kind, section_table)
        assert len(names) >= 2
        for name in names:
            frame = FRAMES[name]
            for at, shift, old in nibbles(frame, kind, section_table):
                byte = frame[at] & ~(15 << shift)
                for value in {0, 1, 12, 13, 15, old - 1, old + 1} - {old, -1, 16}:
                    found = outcome(name, put(frame, at, bytes([byte | value << shift])))
                    assert found is gcodec.Malformed, (name, at, shift, value)

    @pytest.mark.parametrize("kind", [KEYCODES, VALUECODE])
    def test_lengths_that_change_places(self, kind, outcome, section_table):
        """Another complete code: the planes mean something else, or nothing."""
        seen = set()
        for name in with_section(kind, section_table):
            frame = FRAMES[name]
            places = list(nibbles(frame, kind, section_table))
            for i, (at, shift, one) in enumerate(places):
                for at2, shift2, two in places[i + 1 :]:
                    if at == at2 or one == two or (at + at2 + shift) % 3:
                        continue
                    first = frame[at] & ~(15 << shift) | two << shift
                    second = frame[at2] & ~(15 << shift2) | one << shift2
                    changed = put(put(frame, at, bytes([first])), at2, bytes([second]))
                    seen.add(outcome(name, changed))
        assert gcodec.Malformed in seen
        assert seen <= {None, gcodec.Malformed}

    @pytest.mark.parametrize("symbol", [0, 1, 25, 26, 27, 31])
    def test_classes_that_no_gap_has(self, symbol, compose, outcome, section_table):
        """In a code beside the one that is used."""
        lengths = bytearray(32)
        lengths[2] = lengths[symbol] = 1
        packed = bytes(a | b << 4 for a, b in zip(lengths[::2], lengths[1::2], strict=True))
        count, start, size = section_table(FRAMES["gaps"])[KEYCODES]
        rows = FRAMES["gaps"][start : start + size] + packed
        frame = compose(FRAMES["gaps"], sections={KEYCODES: (count + 1, rows)})
        expected = None if 1 <= symbol <= 25 else gcodec.Malformed
        assert outcome("gaps", frame, sealed=True) is expected

    @pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 65_536])
    def test_numbers_of_key_codes(self, count, compose, outcome, section_table):
        """Fewer than a chunk asks for, or more than there may be."""
        for name in with_section(KEYCODES, section_table):
            _, start, size = section_table(FRAMES[name])[KEYCODES]
            rows = FRAMES[name][start : start + size]
            rows = (rows + rows[-16:] * count)[: 16 * count]
            frame = compose(FRAMES[name], sections={KEYCODES: (count, rows)})
            found = outcome(name, frame, sealed=True)
            if count > 256:
                assert found is gcodec.LimitExceeded
            elif not count or (count < 2 and name in ("columns", "pieces")):
                assert found is gcodec.Malformed
            else:
                assert found in (None, gcodec.Malformed)

    def test_without_the_codes(self, compose, outcome, section_table):
        for kind in (KEYCODES, VALUECODE):
            for name in with_section(kind, section_table):
                frame = compose(FRAMES[name], sections={kind: None})
                assert outcome(name, frame, sealed=True) is gcodec.Malformed

    @pytest.mark.parametrize("name", ["codes", "signed codes"])
    @pytest.mark.parametrize("more", [-2, -1, 1, 2])
    def test_as_many_lengths_as_levels(self, name, more, compose, outcome, section_table):
        count, start, size = section_table(FRAMES[name])[VALUECODE]
        code = (FRAMES[name][start : start + size] + bytes(4))[: -(-(count + more) // 2)]
        frame = compose(FRAMES[name], sections={VALUECODE: (count + more, code)})
        assert outcome(name, frame, sealed=True) is gcodec.Malformed

    @pytest.mark.parametrize(("count", "expected"), [(4096, None), (4097, gcodec.LimitExceeded)])
    def test_codes_of_as_many_levels_as_there_may_be(
        self, count, expected, compose, outcome, section_table
    ):
        """Twelve bits each; the planes were written for another code."""
        levels = b"".join(struct.pack("<f", 1 + i) for i in range(count))
        code = (b"\xcc" * 2048 + b"\x0c")[: -(-count // 2)]
        for name in ("codes", "signed codes"):
            frame = compose(FRAMES[name], sections={3: (count, levels), VALUECODE: (count, code)})
            assert outcome(name, frame, sealed=True) in (expected, gcodec.Malformed)
            assert expected is None or outcome(name, frame, sealed=True) is expected

    def test_the_spare_half_of_an_odd_code(self, outcome, section_table):
        for name in with_section(VALUECODE, section_table):
            count, start, size = section_table(FRAMES[name])[VALUECODE]
            if count % 2:
                last = start + size - 1
                frame = put(FRAMES[name], last, bytes([FRAMES[name][last] | 0x10]))
                assert outcome(name, frame) is gcodec.Malformed
                break
        else:
            pytest.fail("no frame has an odd number of levels")


HEAD = ("width", "phase", "length", "columns")


class TestColumns:
    """Heads of pieces: four numbers of 32 bits each."""

    def heads(self, name, section_table):
        """(offset, {field: value}, positions of the chunk) of every head."""
        for _, entry, planes in chunk_entries(FRAMES[name], section_table):
            for piece in range(entry["key_param"] if entry["key_codec"] == COLUMNS else 0):
                at = planes + 16 * piece
                values = struct.unpack_from("<4I", FRAMES[name], at)
                yield at, dict(zip(HEAD, values, strict=True))

    def test_there_are_some(self, section_table):
        heads = [h for name in ("columns", "pieces") for h in self.heads(name, section_table)]
        assert len(heads) >= 4
        assert any(head["width"] == 0 for _, head in heads)
        assert (38, 841 % 38) in [(head["width"], head["phase"]) for _, head in heads]

    @pytest.mark.parametrize("name", ["columns", "pieces"])
    @pytest.mark.parametrize("field", HEAD)
    def test_every_field(self, name, field, outcome, section_table):
        seen = set()
        for at, head in self.heads(name, section_table):
            old = head[field]
            huge = {2**24, 2**31 - 1, 2**31, 2**32 - 1}
            near = {head["width"] + d for d in (-1, 0, 1) if head["width"]}
            for value in {0, 1, *extremes(old, 32), *huge, *near} - {old}:
                changed = put(FRAMES[name], at + 4 * HEAD.index(field), struct.pack("<I", value))
                found = outcome(name, changed)
                assert found in (None, gcodec.Malformed), (field, value)
                seen.add(found)
                if field in ("length", "columns"):
                    assert found is gcodec.Malformed, (field, value)
                if field == "phase" and value >= head["width"]:
                    assert found is gcodec.Malformed, value
                if field == "width" and value <= head["phase"] and head["width"]:
                    assert found is gcodec.Malformed, value
        assert gcodec.Malformed in seen

    def test_a_piece_without_keys(self, outcome, section_table):
        """It may be a matrix of any width; the rule of the phase still holds."""
        at, _ = [item for item in self.heads("pieces", section_table) if not item[1]["width"]][-1]
        for width, phase in ((1, 0), (5, 4), (2**32 - 1, 2**32 - 2), (5, 5), (1, 1), (0, 1)):
            found = outcome("pieces", put(FRAMES["pieces"], at, struct.pack("<2I", width, phase)))
            assert found is (None if phase < width else gcodec.Malformed), (width, phase)

    @settings(max_examples=300)
    @given(st.data())
    def test_several_fields(self, outcome, section_table, data):
        """What one piece takes, another may give: sums stay right."""
        name = data.draw(st.sampled_from(["columns", "pieces"]))
        frame, heads = FRAMES[name], list(self.heads(name, section_table))
        number = st.sampled_from([0, 1, 2, 59, 60, 61, 2**16, 2**24, 2**31, 2**32 - 1])
        for at, head in data.draw(st.lists(st.sampled_from(heads), min_size=1, max_size=3)):
            width = data.draw(number | st.just(head["width"]))
            phase = min(data.draw(number), max(width - 1, 0))
            frame = put(frame, at, struct.pack("<2I", width, phase))
        if len(heads) > 1:
            (one, first), (two, second) = data.draw(
                st.lists(st.sampled_from(heads), min_size=2, max_size=2)
            )
            for field, place in (("length", 8), ("columns", 12)):
                if one != two and first[field]:
                    moved = data.draw(st.integers(0, first[field]))
                    frame = put(frame, one + place, struct.pack("<I", first[field] - moved))
                    frame = put(frame, two + place, struct.pack("<I", second[field] + moved))
        assert outcome(name, frame) in (None, gcodec.Malformed)

    @pytest.mark.parametrize("name", ["columns", "pieces"])
    def test_counts_in_the_directory(self, name, outcome, section_table):
        for at, entry, _ in chunk_entries(FRAMES[name], section_table):
            if entry["key_codec"] != COLUMNS:
                continue
            for value in {0, 1, entry["nnz"], entry["nnz"] + 1, *extremes(entry["columns"], 16)}:
                if value != entry["columns"]:
                    changed = put(FRAMES[name], at + 26, struct.pack("<H", value & 0xFFFF))
                    assert outcome(name, changed) is gcodec.Malformed, value
            for value in set(range(256)) - {entry["key_param"]}:
                changed = put(FRAMES[name], at + 21, bytes([value]))
                assert outcome(name, changed) is gcodec.Malformed, value

    def test_columns_of_other_codecs(self, outcome, section_table):
        for name in ("gaps", "few gaps", "blocks", "bits", "levels"):
            for at, _, _ in chunk_entries(FRAMES[name], section_table):
                changed = put(FRAMES[name], at + 26, b"\1\0")
                assert outcome(name, changed) is gcodec.Malformed


class TestBlocks:
    """Widths of blocks, and lengths of blocks of codes."""

    def test_every_width_of_every_block(self, outcome, section_table):
        """Another width: the blocks do not fill their plane, unless the entry says so too."""
        seen = set()
        for at, entry, planes in chunk_entries(FRAMES["blocks"], section_table):
            assert entry["key_codec"] == BLOCKS
            assert entry["nnz"] > 128
            for block in range(-(-entry["nnz"] // 128)):
                size = min(128, entry["nnz"] - 128 * block)
                start = 8 * planes + 5 * block
                old = get_bits(FRAMES["blocks"], start, 5)
                for width in set(range(32)) - {old}:
                    changed = set_bits(FRAMES["blocks"], start, 5, width)
                    assert outcome("blocks", changed) is gcodec.Malformed
                    high = entry["key_hi_bits"] + size * (width - old)
                    seen.add(outcome("blocks", put(changed, at + 12, struct.pack("<I", high))))
        assert seen <= {None, gcodec.Malformed}

    @pytest.mark.parametrize("name", ["gaps", "codes", "signed codes", "columns", "pieces"])
    def test_every_length_of_a_block_of_codes(self, name, outcome, section_table):
        """The codes say where a block ends, and the index must agree."""
        tried = 0
        for start in self.index_fields(name, section_table):
            old = get_bits(FRAMES[name], start, 11)
            assert 128 <= old <= 128 * 12
            for value in {*extremes(old, 11), *range(old - 3, old + 4), 2047, *range(0, 2048, 97)}:
                if value != old:
                    changed = set_bits(FRAMES[name], start, 11, value)
                    assert outcome(name, changed) is gcodec.Malformed, value
                    tried += 1
        assert tried

    def index_fields(self, name, section_table):
        """First bits of the lengths of blocks, of keys or of values."""
        for _, entry, planes in chunk_entries(FRAMES[name], section_table):
            if entry["key_codec"] in (DELTA, COLUMNS):
                head = 128 * entry["key_param"] if entry["key_codec"] == COLUMNS else 0
                blocks = -(-(entry["nnz"] + entry["columns"]) // 128)
                yield from (8 * planes + head + 11 * block for block in range(blocks - 1))
            elif entry["val_codec"] in HUFFMAN:
                signs = -(-entry["nnz"] // 64) * 64 if entry["val_codec"] == HUFFMAN[0] else 0
                blocks = -(-entry["nnz"] // 128)
                assert entry["key_codec"] == 1, "all keys: planes start with those of values"
                yield from (8 * planes + signs + 11 * block for block in range(blocks - 1))
