"""Numbers that describe far more than the bytes hold, and reads past the last byte."""

import itertools
import pickle
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from frames import FRAMES, READERS, SIZES, N, chunk_entries, put
from strategies import KEYS

import gcodec


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
    row = struct.pack("<QBB6x", 0, len(dims), 1)
    frame = compose(
        FRAMES["empty"],
        sections={1: (1, row), 2: (len(dims), struct.pack(f"<{len(dims)}Q", *dims))},
    )
    for read in READERS:
        try:
            read(frame, 0, backend)
        except gcodec.FrameError:
            continue


ALL, SIGNED_FIXED = 1, 18


def cost(call):
    """Peak of traced memory in bytes, seconds; what a refusal costs is its caller's cost too."""
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        call()
    except gcodec.FrameError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak, time.perf_counter() - begin


@pytest.fixture(scope="module")
def vast(compose):
    """2^24 elements in one chunk, with values of no bits."""
    dense = np.ones(64, np.float32)
    small = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1)).encode(dense)
    n = 1 << 24
    row = struct.pack("<QBB6x", 0, 1, 1)
    entry = struct.pack("<IIIIIBBBBHHI", 0, 1, n, 0, 0, ALL, 0, SIGNED_FIXED, 0, 0, 0, 0)
    return compose(
        small,
        header=[(24, "Q", n), (32, "Q", n), (50, "B", 24)],
        sections={1: (1, row), 2: (1, struct.pack("<Q", n)), 5: (1, entry), 6: (1, bytes(16))},
    )


class TestElementsThatTakeNoBits:
    """All keys of a chunk, each of the same level: 2^24 elements in 48 bytes, were it allowed."""

    CALLS = {  # noqa: RUF012
        "decode into a small array": lambda f: gcodec.decode(f, out=np.zeros(10, np.float32)),
        "decode of a few elements": lambda f: gcodec.decode(f, max_elements=1000),
        "accumulate": lambda f: gcodec.accumulate(f, np.zeros(10, np.float32)),
        "decode_sparse": gcodec.decode_sparse,
        "inspect": gcodec.inspect,
        "verify": gcodec.verify,
        "merge": lambda f: gcodec.merge([f]),
    }

    def test_they_are_refused(self, vast, backend):
        assert len(vast) < 1000
        for read in READERS:
            with pytest.raises(gcodec.Malformed):
                read(vast, 1 << 24, backend)

    @pytest.mark.parametrize("call", CALLS)
    def test_a_small_frame_costs_little(self, call, vast):
        peak, seconds = cost(lambda: self.CALLS[call](vast))
        assert peak < 1 << 20
        assert seconds < 2

    @pytest.mark.parametrize("call", list(CALLS)[:3])
    def test_a_caller_without_room_pays_little(self, call):
        """A sound frame of 2^22 elements of a bit each: what does not fit is not unpacked first."""
        dense = np.ones(1 << 22, np.float32)
        frame = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1)).encode(dense)
        assert (1 << 22) // 8 <= len(frame) < 1 << 20
        with pytest.raises((gcodec.Mismatch, gcodec.LimitExceeded)):
            self.CALLS[call](frame)
        assert cost(lambda: self.CALLS[call](frame))[0] < 4 << 20

    @pytest.mark.parametrize("keys", ["auto", "blocks"])
    def test_every_element_takes_a_bit(self, keys):
        dense = np.ones(1 << 16, np.float32)
        frame = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1), keys).encode(dense)
        said = gcodec.inspect(frame)
        assert said.bits_per_value >= 1
        assert said.section_bytes["PAYLOAD"] >= dense.size // 8


class TestSmallFramesCostLittle:
    """Every codec under the largest numbers that its fields can say."""

    LARGEST = {  # noqa: RUF012
        "columns": [(0, 2**32 - 1), (4, 2**32 - 2)],
        "wide": [(0, 2**32 - 1)],
    }

    def test_heads_of_pieces(self, reseal, section_table):
        for name in ("columns", "pieces"):
            for _, entry, planes in chunk_entries(FRAMES[name], section_table):
                if entry["key_codec"] != 8:
                    continue
                for changes in self.LARGEST.values():
                    frame = FRAMES[name]
                    for at, value in changes:
                        frame = put(frame, planes + at, struct.pack("<I", value))
                    self.check(reseal(frame), SIZES[name])

    def test_counts_in_the_directory(self, reseal, section_table):
        for name, frame in FRAMES.items():
            for at, entry, _ in chunk_entries(frame, section_table):
                for value in (2**16, 2**24, 2**32 - 1):
                    changed = put(frame, at + 8, struct.pack("<I", value))
                    more = value - entry["nnz"] + struct.unpack_from("<Q", frame, 32)[0]
                    changed = put(changed, 32, struct.pack("<Q", more))
                    self.check(reseal(changed), SIZES[name])

    def check(self, frame, n):
        for read in READERS:
            peak, seconds = cost(lambda read=read: read(frame, n, "cpu"))
            assert peak < 4 << 20
            assert seconds < 2


GUARDED = """
import ctypes, mmap, pickle, sys
import numpy as np, gcodec

libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE


def before_a_wall(data):
    room = -(-len(data) // page) * page
    memory = mmap.mmap(-1, room + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    memory[room - len(data) : room] = data
    assert libc.mprotect(ctypes.c_void_p(start + room), ctypes.c_size_t(page), 0) == 0
    return memory, np.frombuffer(memory, np.uint8)[room - len(data) : room]


for name, data in pickle.load(sys.stdin.buffer):
    print(name, flush=True)
    memory, frame = before_a_wall(data)
    assert frame.ctypes.data % 8 == 0, "would be copied"
    try:
        gcodec.decode(frame)
    except gcodec.FrameError:
        pass
print("all read", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")
class TestNothingIsReadPastTheEnd:
    """The frame lies before a page that nobody may read: a kernel that looks there crashes."""

    def read(self, frames):
        """Name of the frame that crashed a fresh interpreter, or None."""
        assert frames
        root = str(Path(gcodec.__file__).parents[1])
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{GUARDED}"],
            input=pickle.dumps(frames),
            capture_output=True,
            check=False,
        )
        lines = done.stdout.decode().splitlines()
        assert lines, done.stderr.decode()
        return None if lines[-1] == "all read" and not done.returncode else lines[-1]

    def full(self, frames):
        """Frames whose payload ends where they do."""
        return [
            (name, bytes(frame))
            for name, frame in frames
            if not gcodec.inspect(frame).section_bytes["PAYLOAD"] % 64
        ]

    def test_frames_as_they_are_written(self):
        """With fields of no bits at the end: all values alike, or all gaps 1."""
        rng = np.random.default_rng(0)
        frames = []
        for n, density, keys, same in itertools.product(
            range(64, 1600, 97), (0.5, 0.1), KEYS, (True, False)
        ):
            on = rng.random(n) < density
            dense = np.where(on, 1.0 if same else rng.normal(size=n), 0).astype(np.float32)
            for quantize in (gcodec.Raw(), gcodec.ReciprocalLog(1)):
                codec = gcodec.Codec(gcodec.Threshold(0.0), quantize, keys)
                said = f"n={n} density={density} keys={keys} same={same} {quantize}"
                frames.append((said, codec.encode(dense)))
        frames = self.full(frames)
        assert len(frames) > 50
        assert self.read(frames) is None

    def test_the_least_frame(self):
        """Every second element: Rice with no low bits, and 15 words before the spare one."""
        dense = (np.arange(600) % 2).astype(np.float32)
        frame = gcodec.Codec(gcodec.Threshold(0.0), gcodec.ReciprocalLog(1), "rice").encode(dense)
        assert gcodec.inspect(frame).section_bytes["PAYLOAD"] == 128
        assert self.read([("600 elements", bytes(frame))]) is None

    def test_broken_frames(self, reseal, section_table):
        """Payloads of noise: codes and fields that run to the end, and further if they can."""
        rng = np.random.default_rng(1)
        frames = []
        for name, frame in FRAMES.items():
            _, start, size = section_table(frame).get(6, (0, 0, 0))
            for trial in range(20 if size else 0):
                at = start + int(rng.integers(size))
                noise = rng.integers(0, 256, 24).astype(np.uint8).tobytes()
                changed = put(frame, at, noise[: start + size - at])
                frames.append((f"{name} {trial}", reseal(changed)))
        assert self.read(frames) is None
