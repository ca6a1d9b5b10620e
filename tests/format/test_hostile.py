"""Broken and hostile frames: refused, with the same `FrameError` by both backends, or in bounds.

After pcodec's corruption tests. Bytes *as received* keep the checks they had, so every change must
be refused. *Re-sealed* bytes have every check made right again, as an attacker would: they may
decode to anything, but into `out` alone, and a refusal leaves `out` untouched. Never another
exception, and no allocation on a number that the input has not earned.
"""

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import BACKENDS, make_gradient

import gcodec
from gcodec import decoder, encoder
from gcodec.kernels import cpu

N = 300


def _frames():
    """Small frames with something of everything: empty chunks, both packings, both value codecs."""
    sparse = make_gradient(21, N, density=0.3)
    sparse[64:128] = 0
    codecs = {
        "levels": gcodec.Codec(gcodec.TopK(ratio=0.1), gcodec.ReciprocalLog(2), "rice"),
        "positions": gcodec.Codec(gcodec.TopK(ratio=0.1), gcodec.ReciprocalLog(1), "coo"),
        "raw": gcodec.Codec(gcodec.TopK(ratio=0.05)),
    }
    choose = encoder.choose_chunk_log2
    encoder.choose_chunk_log2 = lambda n, density: 6
    try:
        made = {name: codec.encode(sparse.reshape(3, -1)) for name, codec in codecs.items()}
        made["one"] = codecs["levels"].encode(np.ones((), np.float32))
        made["empty"] = codecs["raw"].encode(np.empty(0, np.float32))
    finally:
        encoder.choose_chunk_log2 = choose
    return {name: bytes(frame) for name, frame in made.items()}


FRAMES = _frames()
SIZES = {"one": 1, "empty": 0}


def bit_flips(frame):
    for at in range(len(frame)):
        for bit in range(8):
            yield at, bytes([frame[at] ^ 1 << bit])


def overwrites(frame):
    for at, byte in enumerate(frame):
        for value in {0x00, 0xFF} - {byte}:
            yield at, bytes([value])


def put(frame, at, part):
    return frame[:at] + part + frame[at + len(part) :]


def same_outcome(decode_between_canaries, frame, n):
    """Class of the error, None if it decoded; by both backends."""
    ours, theirs = (decode_between_canaries(frame, n, backend) for backend in BACKENDS)
    assert ours[0] is theirs[0]
    if ours[0] is None:
        assert ours[1].tobytes() == theirs[1].tobytes()
    return ours[0]


@pytest.fixture(params=FRAMES)
def name(request):
    return request.param


class TestAsReceived:
    """Damage on the way: always refused."""

    @pytest.mark.parametrize("mutate", [bit_flips, overwrites])
    def test_every_changed_byte(self, name, mutate, decode_between_canaries):
        frame, n = FRAMES[name], SIZES.get(name, N)
        seen = set()
        for at, part in mutate(frame):
            found = same_outcome(decode_between_canaries, put(frame, at, part), n)
            assert found is not None, f"byte {at} as {part.hex()} was accepted"
            seen.add(found)
        assert {gcodec.NotAFrame, gcodec.UnsupportedVersion, gcodec.Corrupt} <= seen

    def test_every_truncation(self, name, backend, decode_between_canaries):
        frame, n = FRAMES[name], SIZES.get(name, N)
        for length in range(len(frame)):
            found, _ = decode_between_canaries(frame[:length], n, backend)
            assert found is gcodec.Truncated

    def test_every_pair_of_swapped_words(self, name, backend, decode_between_canaries):
        """Chunks that change places, and everything else of 16 bytes."""
        frame, n = FRAMES[name], SIZES.get(name, N)
        words = [frame[at : at + 16] for at in range(0, len(frame), 16)]
        for i in range(0, len(words), 3):
            for j in range(i):
                swapped = words.copy()
                swapped[i], swapped[j] = words[j], words[i]
                if words[i] != words[j]:
                    assert decode_between_canaries(b"".join(swapped), n, backend)[0] is not None

    def test_other_readers_refuse_alike(self, name, backend):
        """decode without out, decode_sparse, accumulate and inspect: the same error as decode."""
        frame, n = FRAMES[name], SIZES.get(name, N)
        for at in range(0, len(frame), 5):
            broken = put(frame, at, bytes([frame[at] ^ 0x10]))
            with pytest.raises(gcodec.FrameError) as expected:
                gcodec.decode(broken, out=np.zeros(n, np.float32), backend=backend)
            for read in READERS:
                with pytest.raises(type(expected.value)):
                    read(broken, n, backend)


READERS = (
    lambda frame, n, backend: gcodec.decode(frame, backend=backend),
    lambda frame, n, backend: gcodec.decode_sparse(frame, backend=backend),
    lambda frame, n, backend: gcodec.inspect(frame, backend=backend),
    lambda frame, n, backend: gcodec.accumulate(frame, np.zeros(n, np.float32), backend=backend),
)


def check_readers(frame, n, backend="cpu"):
    """The readers without a length to compare with: a `FrameError` or an answer in bounds."""
    for read in READERS[:2]:
        try:
            answer = read(frame, n, backend)
        except gcodec.FrameError:
            continue
        if isinstance(answer, tuple):
            assert answer[0].size == answer[1].size
            assert (np.diff(answer[0]) > 0).all()
            assert (answer[0] >= 0).all()


class TestResealed:
    """Every check right, the content wrong."""

    @pytest.mark.parametrize(
        ("name", "mutate"),
        [("levels", bit_flips), *((name, overwrites) for name in FRAMES)],
    )
    def test_every_changed_byte(self, name, mutate, reseal, decode_between_canaries):
        frame, n = FRAMES[name], SIZES.get(name, N)
        outcomes = []
        for at, part in mutate(frame):
            broken = reseal(put(frame, at, part))
            outcomes.append(same_outcome(decode_between_canaries, broken, n))
            if outcomes[-1] is not None:
                check_readers(broken, n)
        assert gcodec.Malformed in outcomes
        assert None in outcomes, "no change was harmless: was it re-sealed?"

    def test_every_field_at_its_extremes(
        self, name, reseal, section_table, decode_between_canaries
    ):
        """Each number of header, section table, tensor table and directory, one by one."""
        frame, n = FRAMES[name], SIZES.get(name, N)
        accepted = 0
        for at, form in fields(frame, section_table):
            size = struct.calcsize("<" + form)
            old = struct.unpack_from("<" + form, frame, at)[0]
            for value in extremes(old, 8 * size):
                broken = put(frame, at, struct.pack("<" + form, value))
                for layout in (True, False) if at >= 128 else (True,):
                    sealed = reseal(broken, layout=layout)
                    found = same_outcome(decode_between_canaries, sealed, n)
                    accepted += found is None
                    if found is not None:
                        check_readers(sealed, n)
        assert accepted, "no change was harmless: was it re-sealed?"

    @settings(max_examples=400)
    @given(data=st.data(), name=st.sampled_from(sorted(FRAMES)))
    def test_several_fields_and_bytes(
        self, reseal, section_table, decode_between_canaries, data, name
    ):
        """Changes that may fit each other: a size here and the same size there."""
        frame, n = FRAMES[name], SIZES.get(name, N)
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
    @given(data=st.data(), name=st.sampled_from(["levels", "positions", "raw"]))
    def test_random_payloads(self, reseal, section_table, decode_between_canaries, data, name):
        """Planes of noise under a sound directory: what the kernels alone stand between."""
        frame = FRAMES[name]
        _, start, length = section_table(frame)[6]
        noise = data.draw(st.binary(min_size=8, max_size=40))
        at = start + data.draw(st.integers(0, max(0, length - len(noise))))
        sealed = reseal(put(frame, at, noise[: start + length - at]))
        assert same_outcome(decode_between_canaries, sealed, N) in (None, gcodec.Malformed)
        check_readers(sealed, N)

    @settings(max_examples=200)
    @given(data=st.data())
    def test_any_bytes_after_the_magic(self, decode_between_canaries, data):
        noise = data.draw(st.binary(max_size=400))
        for junk in (noise, b"\xd6GC\xf1\x01\x00\x80\x00" + noise):
            assert same_outcome(decode_between_canaries, junk, 10) is not None


def fields(frame, section_table):
    """(offset, struct code) of every number in the frame's tables, the checks left out."""
    header = "B" * 2 + "H" + "Q" + "II" + "QQ" + "II" + "H" + "B" * 6 + "QQ" + "IIII" + "QQQQ"
    rows = {1: "QQQBBHIQQ", 2: "Q", 3: "I", 5: "IIIIIBBBBHH"}
    table = section_table(frame)
    spans = [(4, 1, header)] + [(128 + 32 * i, 1, "HHIQQQ") for i in range(len(table))]
    strides = {kind: length // count for kind, (count, _, length) in table.items() if count}
    for kind, form in rows.items():
        if kind in strides:
            count, start, _ = table[kind]
            spans += [(start + i * strides[kind], 1, form) for i in range(count)]
    places = []
    for start, _, form in spans:
        at = start
        for code in form:
            places.append((at, code))
            at += struct.calcsize("<" + code)
    return places


def extremes(old, bits):
    """Values of `bits` bits that size arithmetic trips over, without the one it has."""
    near = [old + d for d in (-64, -16, -1, 1, 16, 64)] + [old * 2, old // 2]
    round_ = [0, 1, 2, 63, 64, 255] + [
        (1 << p) + d for p in (16, 24, 31, 32, 48, 63, 64) for d in (-1, 0)
    ]
    return sorted({v for v in near + round_ if 0 <= v < 1 << bits} - {old})


LEVEL = {"infinite": 0x7F80_0000, "NaN": 0x7FC0_0000, "zero": 0, "negative": 0xBF80_0000}


@pytest.mark.parametrize("level", LEVEL)
def test_levels_are_finite_and_above_zero(level, reseal, section_table, decode_between_canaries):
    frame = FRAMES["levels"]
    count, start, _ = section_table(frame)[3]
    for i in range(count):
        broken = reseal(put(frame, start + 4 * i, struct.pack("<I", LEVEL[level])))
        assert same_outcome(decode_between_canaries, broken, N) is gcodec.Malformed


def test_padding_is_zero(name, reseal, section_table, decode_between_canaries):
    """Every byte that belongs to no section: frames of the same content have the same bytes."""
    frame, n = FRAMES[name], SIZES.get(name, N)
    table = section_table(frame)
    used = bytearray(len(frame))
    for start, size in [(0, 128 + 32 * len(table)), *(span[1:] for span in table.values())]:
        used[start : start + size] = b"x" * size
    spare = [at for at, owner in enumerate(used) if not owner]
    assert spare
    for at in spare:
        broken = reseal(put(frame, at, b"\1"))
        assert same_outcome(decode_between_canaries, broken, n) is gcodec.Malformed


class TestNothingIsAllocatedOnItsWord:
    """Numbers that describe far more than the bytes hold."""

    def peak(self, frame, out=None):
        tracemalloc.start()
        try:
            with pytest.raises(gcodec.FrameError):
                gcodec.decode(frame, out=out)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize(
        "header",
        [
            [(24, "Q", 2**48), (40, "I", 2**24), (50, "B", 24)],
            [(24, "Q", 2**48 + 1), (40, "I", 2**24)],
            [(24, "Q", 2**30), (40, "I", 2**24), (50, "B", 6)],
            [(32, "Q", N)],
            [(44, "I", 2**16)],
            [(8, "Q", 2**63)],
        ],
        ids=str,
    )
    def test_sizes_in_the_header(self, header, reseal):
        frame = bytearray(FRAMES["levels"])
        for at, form, value in header:
            struct.pack_into("<" + form, frame, at, value)
        assert self.peak(reseal(frame)) < 1 << 20
        assert self.peak(reseal(frame), np.zeros(N, np.float32)) < 1 << 20

    def test_nnz_in_the_directory(self, reseal, section_table):
        frame = bytearray(FRAMES["levels"])
        start = section_table(frame)[5][1]
        for value in (64, 2**24, 2**32 - 1):
            struct.pack_into("<I", frame, start + 8, value)
            struct.pack_into("<Q", frame, 32, value)
            assert self.peak(reseal(frame)) < 1 << 20


@pytest.mark.parametrize(
    "dims", [(0, 2**63), (2**62, 0), (0, 2**40, 2**40), (2**64 - 1, 0)], ids=str
)
def test_an_empty_tensor_of_impossible_shape(dims, compose, backend):
    """No element, and no array can have the shape: a `FrameError`, or an empty array."""
    row = struct.pack("<QQQBBHI16x", 0, 0, 0, len(dims), 1, 0, 0)
    frame = compose(
        FRAMES["empty"],
        sections={1: (1, row), 2: (len(dims), struct.pack(f"<{len(dims)}Q", *dims))},
    )
    for read in READERS:
        try:
            read(frame, 0, backend)
        except gcodec.FrameError:
            continue


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
        def chunk_checks(words, directory, checks):
            cpu.chunk_checks(words, directory, checks)
            frame[slice(payload, None) if part == "payload" else slice(payload)] = 0xFF

    if part == "payload":
        with pytest.raises(gcodec.Malformed):
            decoder.unpack(frame, Overwriting())
    else:
        expected, found = (
            decoder.unpack(FRAMES["levels"], cpu),
            decoder.unpack(frame, Overwriting()),
        )
        assert found.parsed.header == expected.parsed.header
        assert found.keys.tolist() == expected.keys.tolist()
        assert found.values.tolist() == expected.values.tolist()


@pytest.mark.parametrize("shift", [1, 2, 3, 5, 8, 64])
def test_frames_cut_at_the_wrong_place(shift, name, backend, decode_between_canaries):
    frame, n = FRAMES[name], SIZES.get(name, N)
    for broken in (frame[shift:], b"\0" * shift + frame, frame[:-shift]):
        assert decode_between_canaries(broken, n, backend)[0] is not None
