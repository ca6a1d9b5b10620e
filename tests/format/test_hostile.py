"""Broken and hostile frames: refused, with the same `FrameError` by both backends, or in bounds.

After pcodec's corruption tests. Bytes *as received* keep the checks they had, so every change must
be refused. *Re-sealed* bytes have every check made right again, as an attacker would: they may
decode to anything, but into `out` alone, and a refusal leaves `out` untouched. Never another
exception, and no allocation on a number that the input has not earned.
"""

import struct

import numpy as np
import pytest
from anatomy import own_type
from frames import (
    FRAMES,
    READERS,
    SIZES,
    WHOLE,
    N,
    bit_flips,
    check_readers,
    codecs_met,
    extremes,
    fields,
    overwrites,
    put,
    same_outcome,
    used_bytes,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec
from gcodec import decoder
from gcodec.format import ids
from gcodec.kernels import cpu


def test_the_frames_have_every_codec():
    keys, values = codecs_met()
    assert keys == {codec.name.lower() for codec in ids.KeyCodec}
    assert values == {codec.name.lower() for codec in ids.ValueCodec}


@pytest.fixture(params=FRAMES)
def name(request):
    return request.param


class TestAsReceived:
    """Damage on the way: always refused."""

    @pytest.mark.parametrize(
        ("name", "mutate"),
        [*((name, bit_flips) for name in FRAMES), *((name, overwrites) for name in WHOLE)],
    )
    def test_every_changed_byte(self, name, mutate, decode_between_canaries):
        frame, n = FRAMES[name], SIZES[name]
        seen = set()
        for at, part in mutate(frame, name):
            found = same_outcome(decode_between_canaries, put(frame, at, part), n)
            assert found is not None, f"byte {at} as {part.hex()} was accepted"
            seen.add(found)
        assert {gcodec.NotAFrame, gcodec.UnsupportedVersion, gcodec.Corrupt} <= seen

    def test_every_truncation(self, name, backend, decode_between_canaries):
        frame, n = FRAMES[name], SIZES[name]
        for length in range(len(frame)):
            found, _ = decode_between_canaries(frame[:length], n, backend)
            assert found is gcodec.Truncated

    def test_every_pair_of_swapped_words(self, name, backend, decode_between_canaries):
        """Chunks that change places, and everything else of 16 bytes."""
        frame, n = FRAMES[name], SIZES[name]
        words = [frame[at : at + 16] for at in range(0, len(frame), 16)]
        for i in range(0, len(words), 3):
            for j in range(i):
                swapped = words.copy()
                swapped[i], swapped[j] = words[j], words[i]
                if words[i] != words[j]:
                    assert decode_between_canaries(b"".join(swapped), n, backend)[0] is not None

    def test_other_readers_refuse_alike(self, name, backend):
        """decode without out, decode_sparse, accumulate and inspect: the same error as decode."""
        frame, n = FRAMES[name], SIZES[name]
        for at in range(0, len(frame), 5):
            broken = put(frame, at, bytes([frame[at] ^ 0x10]))
            with pytest.raises(gcodec.FrameError) as expected:
                gcodec.decode(broken, out=np.zeros(n, own_type(broken)), backend=backend)
            for read in READERS:
                with pytest.raises(type(expected.value)):
                    read(broken, n, backend)


class TestResealed:
    """Every check right, the content wrong."""

    @pytest.mark.parametrize(
        ("name", "mutate"),
        [("levels", bit_flips), *((name, overwrites) for name in FRAMES)],
    )
    def test_every_changed_byte(self, name, mutate, reseal, section_table, decode_between_canaries):
        """Every bit from the directory on, and one of each byte before; padding has its own test.

        For most frames from the directory on only: the rest is the same in all.
        """
        frame, n = FRAMES[name], SIZES[name]
        outcomes = []
        used = set(used_bytes(frame, section_table))
        directory = section_table(frame).get(5, (0, len(frame), 0))[1]
        for i, (at, part) in enumerate(mutate(frame)):
            if at not in used or (at < directory and name not in WHOLE):
                continue
            if mutate is bit_flips and at < directory and i % 8 != at * 5 % 8:
                continue
            broken = reseal(put(frame, at, part))
            outcomes.append(same_outcome(decode_between_canaries, broken, n))
            if outcomes[-1] is not None:
                check_readers(broken, n)
        assert gcodec.Malformed in outcomes
        assert None in outcomes, "no change was harmless: was it re-sealed?"

    def test_every_field_at_its_extremes(
        self, name, reseal, section_table, decode_between_canaries
    ):
        """Each number of header, section table, tensor table and directory, one by one.

        For most frames, section table and directory only: the rest is the same in all.
        """
        frame, n = FRAMES[name], SIZES[name]
        accepted = 0
        kinds = (0, 1, 2, 3, 5) if name in WHOLE else (5,)
        for at, form in fields(frame, section_table, kinds):
            size = struct.calcsize("<" + form)
            old = struct.unpack_from("<" + form, frame, at)[0]
            for value in extremes(old, 8 * size):
                broken = put(frame, at, struct.pack("<" + form, value))
                for layout in (True, False) if at >= 128 and name in WHOLE else (True,):
                    sealed = reseal(broken, layout=layout)
                    found = same_outcome(decode_between_canaries, sealed, n)
                    accepted += found is None
                    if found is not None:
                        check_readers(sealed, n)
        assert accepted or name not in WHOLE, "no change was harmless: was it re-sealed?"

    @settings(max_examples=400)
    @given(data=st.data(), name=st.sampled_from(sorted(FRAMES)))
    def test_several_fields_and_bytes(
        self, reseal, section_table, decode_between_canaries, data, name
    ):
        """Changes that may fit each other: a size here and the same size there."""
        frame, n = FRAMES[name], SIZES[name]
        places = fields(frame, section_table)
        for at, form in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
            old = struct.unpack_from("<" + form, frame, at)[0]
            bits = 8 * struct.calcsize("<" + form)
            value = data.draw(
                st.sampled_from(extremes(old, bits)) | st.integers(0, (1 << bits) - 1)
            )
            frame = put(frame, at, struct.pack("<" + form, value))
        for at in data.draw(st.lists(st.integers(128, len(frame) - 1), max_size=3)):
            frame = put(frame, at, bytes([data.draw(st.integers(0, 255))]))
        sealed = reseal(frame)
        same_outcome(decode_between_canaries, sealed, n)
        check_readers(sealed, n)

    @settings(max_examples=300)
    @given(data=st.data(), name=st.sampled_from(sorted(set(FRAMES) - {"empty"})))
    def test_random_payloads(self, reseal, section_table, decode_between_canaries, data, name):
        """Planes of noise under a sound directory: what the kernels alone stand between."""
        frame, n = FRAMES[name], SIZES[name]
        _, start, length = section_table(frame)[6]
        noise = data.draw(st.binary(min_size=8, max_size=40))
        at = start + data.draw(st.integers(0, max(0, length - len(noise))))
        sealed = reseal(put(frame, at, noise[: start + length - at]))
        assert same_outcome(decode_between_canaries, sealed, n) in (None, gcodec.Malformed)
        check_readers(sealed, n)

    @settings(max_examples=200)
    @given(data=st.data())
    def test_any_bytes_after_the_magic(self, decode_between_canaries, data):
        noise = data.draw(st.binary(max_size=400))
        for junk in (noise, b"\xd6GC\xf1\x01\x00\x80\x00" + noise):
            assert same_outcome(decode_between_canaries, junk, 10) is not None


LEVEL = {
    "infinite": 0x7F80_0000,
    "NaN": 0x7FC0_0000,
    "negative zero": 0x8000_0000,
    "negative": 0xBF80_0000,
}


@pytest.mark.parametrize("level", LEVEL)
def test_levels_that_no_value_may_have(level, reseal, section_table, decode_between_canaries):
    """A negative level is one only beside a plane of signs."""
    frame = FRAMES["levels"]
    count, start, _ = section_table(frame)[3]
    for i in range(count):
        broken = reseal(put(frame, start + 4 * i, struct.pack("<I", LEVEL[level])))
        assert same_outcome(decode_between_canaries, broken, N) is gcodec.Malformed


def test_padding_is_zero(name, reseal, section_table, decode_between_canaries):
    """Every byte that belongs to no section: frames of the same content have the same bytes."""
    frame, n = FRAMES[name], SIZES[name]
    spare = sorted(set(range(len(frame))) - set(used_bytes(frame, section_table)))
    assert spare
    for at in spare:
        broken = reseal(put(frame, at, b"\1"))
        assert same_outcome(decode_between_canaries, broken, n) is gcodec.Malformed


@pytest.mark.parametrize("part", ["payload", "rest"])
def test_a_frame_that_changes_while_it_is_read(part, section_table):
    """Someone writes into the receive buffer after the checks: no number is looked at twice.

    A changed payload is still proved key by key; all that lies before it was copied in time.
    """
    frame = np.frombuffer(bytearray(FRAMES["levels"]), np.uint8)
    payload = section_table(frame)[6][1]

    class Overwriting:
        """The cpu kernels, with the change right after the last check."""

        def __getattr__(self, name):
            return getattr(cpu, name)

        @staticmethod
        def first_corrupt(*arguments):
            chunk = cpu.first_corrupt(*arguments)
            frame[slice(payload, None) if part == "payload" else slice(payload)] = 0xFF
            return chunk

    if part == "payload":
        with pytest.raises(gcodec.Malformed):
            decoder.unpack(frame, Overwriting())
    else:
        parsed, expected = decoder.unpack(FRAMES["levels"], cpu)
        parsed_of_changed, found = decoder.unpack(frame, Overwriting())
        assert parsed_of_changed.header == parsed.header
        assert found.keys.tolist() == expected.keys.tolist()
        assert found.bits.tolist() == expected.bits.tolist()


@pytest.mark.parametrize("shift", [1, 2, 3, 5, 8, 64])
def test_frames_cut_at_the_wrong_place(shift, name, backend, decode_between_canaries):
    frame, n = FRAMES[name], SIZES[name]
    for broken in (frame[shift:], b"\0" * shift + frame, frame[:-shift]):
        assert decode_between_canaries(broken, n, backend)[0] is not None
