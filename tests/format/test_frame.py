"""The Frame object, and frames that are sound though this encoder does not write them."""

import copy
import pickle
import struct

import numpy as np
import pytest
from strategies import make_gradient, same_bits

import gcodec

CODEC = gcodec.Codec(gcodec.TopK(ratio=0.3), gcodec.ReciprocalLog(4))
DENSE = make_gradient(11, 300).reshape(15, 20)
FRAME = CODEC.encode(DENSE, name="layer", step=9)
DECODED = gcodec.decode(FRAME)


class TestObject:
    """Bytes-like, read-only, cheap to send."""

    def test_is_bytes_like(self):
        assert len(FRAME) == len(bytes(FRAME)) == memoryview(FRAME).nbytes == FRAME.nbytes
        assert bytes(memoryview(FRAME)) == bytes(FRAME) == FRAME.tobytes()
        assert bytes(FRAME)[:4] == b"\xd6GC\xf1"
        assert b"".join([FRAME, FRAME]) == bytes(FRAME) * 2
        assert len(FRAME) % 64 == 0

    def test_memoryview_shares_memory(self):
        assert np.shares_memory(np.frombuffer(memoryview(FRAME), np.uint8), FRAME)

    def test_is_read_only(self):
        assert memoryview(FRAME).readonly
        with pytest.raises(ValueError):
            FRAME[0] = 0
        with pytest.raises(ValueError):
            FRAME.fill(0)

    def test_wraps_without_a_copy(self):
        data = bytes(FRAME)
        wrapped = gcodec.Frame(data)
        assert np.shares_memory(wrapped, np.frombuffer(data, np.uint8))
        assert same_bits(gcodec.decode(wrapped), DECODED)
        assert len(gcodec.Frame(b"")) == 0

    def test_wrapping_leaves_the_source_writable(self):
        data = bytearray(FRAME)
        wrapped = gcodec.Frame(data)
        data[0] ^= 1
        assert wrapped[0] == data[0]
        assert memoryview(wrapped).readonly

    def test_items_and_slices_are_plain(self):
        assert FRAME[0] == 0xD6
        assert type(FRAME[:16]) is np.ndarray
        assert bytes(FRAME[4:8]) == bytes(FRAME)[4:8]

    def test_repr_is_short(self):
        assert repr(FRAME) == str(FRAME) == f"<gcodec.Frame of {len(FRAME)} bytes>"

    @pytest.mark.parametrize("protocol", range(2, 6))
    def test_pickles(self, protocol):
        back = pickle.loads(pickle.dumps(FRAME, protocol))
        assert type(back) is gcodec.Frame
        assert bytes(back) == bytes(FRAME)
        assert memoryview(back).readonly
        assert same_bits(gcodec.decode(back), DECODED)

    def test_pickles_out_of_band_without_a_copy(self):
        buffers = []
        data = pickle.dumps(FRAME, 5, buffer_callback=buffers.append)
        assert len(data) < 200
        assert len(buffers) == 1
        assert np.shares_memory(np.frombuffer(buffers[0].raw(), np.uint8), FRAME)
        back = pickle.loads(data, buffers=buffers)
        assert type(back) is gcodec.Frame
        assert np.shares_memory(back, FRAME)
        assert bytes(back) == bytes(FRAME)

    def test_pickles_out_of_band_into_writable_buffers(self):
        buffers = []
        data = pickle.dumps(FRAME, 5, buffer_callback=buffers.append)
        back = pickle.loads(data, buffers=[bytearray(buffer.raw()) for buffer in buffers])
        assert memoryview(back).readonly
        assert bytes(back) == bytes(FRAME)

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
    def test_nobody_needs_a_copy_of_what_cannot_change(self, duplicate):
        assert duplicate(FRAME) is FRAME
        assert duplicate([FRAME])[0] is FRAME


BUFFERS = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": lambda frame: memoryview(bytes(frame)),
    "uint64 array": lambda frame: np.frombuffer(bytes(frame), np.uint64),
    "two-dimensional": lambda frame: np.frombuffer(bytes(frame), np.uint8).reshape(64, -1),
    "offset 1": lambda frame: memoryview(b"?" + bytes(frame))[1:],
    "offset 4": lambda frame: memoryview(b"????" + bytes(frame))[4:],
    "offset 7 with a tail": lambda frame: memoryview(b"?" * 7 + bytes(frame) + b"tail")[7:],
    "with a tail": lambda frame: bytes(frame) + b"x" * 100,
    "with a second frame": lambda frame: bytes(frame) * 2,
}


@pytest.mark.parametrize("buffer", BUFFERS)
def test_any_buffer(buffer, backend):
    given = BUFFERS[buffer](FRAME)
    assert same_bits(gcodec.decode(given, backend=backend), DECODED)
    out = np.ones(DENSE.shape, np.float32)
    gcodec.accumulate(given, out, backend=backend)
    assert same_bits(out, DECODED + 1)
    assert gcodec.inspect(given, backend=backend) == gcodec.inspect(FRAME)
    keys, values = gcodec.decode_sparse(given, backend=backend)
    assert same_bits(values, DECODED.reshape(-1)[keys])


def test_a_buffer_with_holes_is_refused(backend):
    holes = np.repeat(np.asarray(FRAME), 2)[::2]
    with pytest.raises(gcodec.Mismatch):
        gcodec.decode(holes, backend=backend)
    with pytest.raises(gcodec.Mismatch):
        gcodec.decode(np.asfortranarray(np.asarray(FRAME).reshape(2, -1)), backend=backend)


@pytest.mark.parametrize("what", ["text", 5, None, [1, 2]])
def test_what_is_no_buffer_is_a_type_error(what):
    with pytest.raises(TypeError):
        gcodec.decode(what)


class TestUncommonFrames:
    """Written by the tests: what a later minor version or another encoder may write."""

    @pytest.fixture
    def accepts(self, compose, decode_between_canaries):
        def check(expected=DECODED, **changes):
            frame = compose(FRAME, **changes)
            for backend in ("cpu", "reference"):
                outcome, out = decode_between_canaries(frame, 300, backend)
                assert outcome is None
                assert same_bits(out, expected.reshape(-1))
            return frame

        return check

    def test_the_tests_writer_writes_the_same_frame(self, compose):
        assert compose(FRAME) == bytes(FRAME)

    def test_a_later_minor_version(self, accepts):
        frame = accepts(header=[(5, "B", 255)])
        assert gcodec.inspect(frame).version == "1.255"

    def test_unknown_ancillary_features(self, accepts):
        accepts(header=[(20, "I", 0xFFFF_FFFF)])

    def test_a_longer_header(self, accepts):
        accepts(header_len=192)
        accepts(header_len=65_472)

    @pytest.mark.parametrize("kinds", [(0x8001,), (0x8002, 0xFFFF)])
    def test_unknown_ancillary_sections(self, accepts, kinds):
        frame = accepts(sections=dict.fromkeys(kinds, (3, b"anything at all")))
        assert gcodec.inspect(frame).header["n_stored"] == np.count_nonzero(DECODED)

    def test_as_many_sections_as_there_may_be(self, accepts, section_table):
        free = 64 - len(section_table(FRAME))
        accepts(sections={0x8001 + i: (0, b"") for i in range(free)})

    def test_levels_that_no_value_uses(self, accepts, section_table):
        count, start, length = section_table(FRAME)[3]
        levels = bytes(FRAME)[start : start + length] + struct.pack("<2f", 1e-45, 3e38)
        changes = {3: (count + 2, levels)}
        if 8 in section_table(FRAME):
            _, at, size = section_table(FRAME)[8]
            lengths = bytes(FRAME)[at : at + size] + b"\0"
            changes[8] = (count + 2, lengths[: -(-(count + 2) // 2)])
        accepts(sections=changes)

    def test_key_codes_that_no_chunk_uses(self, accepts):
        """As many as there may be; what is refused is tested with the hostile frames."""
        code = bytes([0x10, 0x22]) + bytes(14)
        frame = accepts(sections={7: (256, code * 256)})
        assert gcodec.inspect(frame).section_bytes["KEYCODES"] == 4096

    def test_levels_from_a_base_on(self, compose, section_table, backend):
        """Level 0 that no chunk uses, and one chunk that counts from level 1 on."""
        frame = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1), "coo").encode(
            np.array([1, 0, -2, 4, 0, 1], np.float32)
        )
        expected = gcodec.decode(frame)
        table = section_table(frame)
        count, start, size = table[3]
        levels = struct.pack("<f", 77) + bytes(frame)[start : start + size]
        _, start, size = table[5]
        entry = bytearray(bytes(frame)[start : start + size])
        assert entry[22] in (2, 3, 18, 19), "fixed or Rice"
        struct.pack_into("<H", entry, 24, 1)
        changed = compose(frame, sections={3: (count + 1, levels), 5: (1, bytes(entry))})
        assert same_bits(gcodec.decode(changed, backend=backend), expected)

    def test_other_provenance(self, accepts):
        fields = {64: ("Q", 2**64 - 1), 72: ("I", 3), 76: ("I", 8), 80: ("I", 7), 84: ("I", 9)}
        frame = accepts(
            header=[(at, *field) for at, field in fields.items()] + [(88, "d", 0.5), (96, "Q", 77)]
        )
        said = gcodec.inspect(frame).header
        names = ("step", "rank", "world", "contributions", "bucket", "weight", "sum_key")
        assert [said[name] for name in names] == [2**64 - 1, 3, 8, 7, 9, 0.5, 77]

    def test_several_tensors(self, accepts):
        rows = b"".join(struct.pack("<QBB6x", i, ndim, 1) for i, ndim in enumerate((2, 0, 1)))
        dims = struct.pack("<3Q", 13, 23, 0)
        frame = accepts(header=[(44, "I", 3)], sections={1: (3, rows), 2: (3, dims)})
        assert gcodec.inspect(frame).shapes == [(13, 23), (), (0,)]
        assert gcodec.decode(frame).shape == (300,)

    def test_nan_and_infinity_travel_as_raw_bits(self, reseal, section_table, backend):
        frame = bytearray(gcodec.Codec(gcodec.TopK(k=2)).encode(np.ones(2, np.float32)))
        start = section_table(frame)[6][1]
        at = bytes(frame).index(struct.pack("<f", 1), start)
        struct.pack_into("<II", frame, at, 0x7F80_0001, 0xFF80_0000)
        decoded = gcodec.decode(reseal(frame), backend=backend)
        assert decoded.view(np.uint32).tolist() == [0x7F80_0001, 0xFF80_0000]


def test_inspection_is_plain_data():
    import json

    said = gcodec.inspect(FRAME)
    assert json.loads(json.dumps(said.to_dict()))["header"]["step"] == 9
    assert said.frame_bytes == len(FRAME)
    assert said.ratio_to_dense == DENSE.nbytes / len(FRAME)
    assert "15x20" in str(said)
