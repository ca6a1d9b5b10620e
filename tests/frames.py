"""Small frames with something of everything, and ways to break them."""

import struct
from dataclasses import replace

import numpy as np
from anatomy import own_type
from strategies import BACKENDS, make_gradient

import gcodec
from gcodec import gathering, plans

N = 300


def _encode(codec, dense, chunk_log2, dtype=np.float32, **options):
    choose, codec = gathering.choose_chunk_log2, replace(codec)  # it has no plans yet
    gathering.choose_chunk_log2 = plans.choose_chunk_log2 = lambda n, density: chunk_log2
    try:
        return bytes(codec.encode(np.asarray(dense, dtype), **options))
    finally:
        gathering.choose_chunk_log2 = plans.choose_chunk_log2 = choose


def _frames():
    """Empty chunks, blocks of 128, pieces of chunks, every codec; what is in them is asserted."""
    rng = np.random.default_rng(0)
    sparse = make_gradient(21, N, density=0.3)
    sparse[64:128] = 0
    sparse = sparse.reshape(3, -1)
    top, everything, octaves = (
        gcodec.TopK(ratio=0.1),
        gcodec.Threshold(0.0),
        gcodec.ReciprocalLog(1),
    )

    def of_levels(keys, exponents, signs, on, chunk_log2, shape=(N,), **options):
        dense = (2.0**-exponents * signs * on).reshape(shape)
        return _encode(gcodec.Codec(everything, octaves, keys), dense, chunk_log2, **options)

    any_sign = rng.choice([-1, 1], 460)
    geometric = np.minimum(rng.geometric(0.5, N) - 1, 9)
    uniform = rng.integers(0, 4, 2400)
    tail = np.where(rng.random(460) < 0.5, 0, rng.integers(1, 17, 460))
    own = {id(e): np.where(e % 2, -1, 1) for e in (geometric, uniform, tail)}
    matrix = np.zeros((40, 60), bool)
    matrix[:, rng.permutation(60)[:6]] = True
    matrix &= rng.random((40, 60)) < 0.7
    bucket = [("a", (30, 40)), ("b", (7,)), ("c", (75, 38)), ("d", (15,))]
    parts = [np.zeros((30, 40)), np.ones(7), np.zeros((75, 38)), np.zeros(15)]
    for part in (parts[0], parts[2]):
        part[:, rng.permutation(part.shape[1])[:4]] = 1
    pieces = np.concatenate([part.reshape(-1) for part in parts]) * (rng.random(4072) < 0.8)
    small = sparse[:, :30].reshape(-1)
    upper_half = small.view(np.uint32) >> 16
    return {
        "levels": _encode(gcodec.Codec(top, gcodec.ReciprocalLog(2), "rice"), sparse, 6),
        "positions": _encode(gcodec.Codec(top, octaves, "coo"), sparse, 6),
        "raw": _encode(gcodec.Codec(gcodec.TopK(ratio=0.05)), sparse, 6),
        "gaps": of_levels("delta", geometric, own[id(geometric)], rng.random(N) < 0.6, 9),
        "few gaps": of_levels("delta", uniform[:N], any_sign[:N], rng.random(N) < 0.1, 6),
        "blocks": of_levels("blocks", geometric, any_sign[:N], rng.random(N) < 0.6, 9),
        "bits": of_levels("bitmap", np.arange(N) // 64 % 3, any_sign[:N], rng.random(N) < 0.5, 6),
        "codes": of_levels("auto", tail, any_sign, 1, 9, (460,)),
        "signed codes": of_levels("auto", tail, own[id(tail)], 1, 9, (460,)),
        "columns": of_levels(
            "columns", uniform, own[id(uniform)], matrix.reshape(-1), 12, (40, 60)
        ),
        "pieces": of_levels("columns", np.zeros(4072), 1, pieces, 11, (4072,), tensors=bucket),
        "float16": _encode(gcodec.Codec(everything, octaves, "rice"), small, 6, np.float16),
        "bfloat16": _encode(gcodec.Codec(gcodec.Dense()), upper_half, 6, np.uint16),
        "float64": _encode(gcodec.Codec(gcodec.Threshold(1.0)), small * 1.1, 6, np.float64),
        "doubles": _encode(gcodec.Codec(everything, octaves, "coo"), small, 6, np.float64),
        "drawn": _encode(gcodec.Codec(gcodec.RandomK(0.3), octaves), small, 6),
        "one": _encode(gcodec.Codec(top, octaves, "rice"), np.ones(()), 6),
        "empty": _encode(gcodec.Codec(top), np.empty(0), 6),
    }  # fmt: skip


FRAMES = _frames()
SIZES = {name: gcodec.inspect(frame).header["n_elements"] for name, frame in FRAMES.items()}
WHOLE = ("levels", "one", "empty")
"""Frames that are broken everywhere, bit by bit; of the others, what only they have."""


def wide_type(frame):
    """The type in which elements of the frame are summed."""
    return np.dtype(np.float64 if own_type(frame) == np.float64 else np.float32)


def codecs_met():
    """Key codecs and value codecs of all frames."""
    said = [gcodec.inspect(frame) for frame in FRAMES.values()]
    return {k for i in said for k in i.key_codecs}, {v for i in said for v in i.value_codecs}


def bit_flips(frame, name="levels"):
    for at in range(len(frame)):
        for bit in range(8) if name in WHOLE else (at * 5 % 8,):
            yield at, bytes([frame[at] ^ 1 << bit])


def overwrites(frame, name="levels"):
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


READERS = (
    lambda frame, n, backend: gcodec.decode(frame, backend=backend),
    lambda frame, n, backend: gcodec.decode_sparse(frame, backend=backend),
    lambda frame, n, backend: gcodec.inspect(frame, backend=backend),
    lambda frame, n, backend: gcodec.accumulate(
        frame, np.zeros(n, wide_type(frame)), backend=backend
    ),
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


def used_bytes(frame, section_table):
    """Offsets that belong to the header, the section table or a section: all but padding."""
    table = section_table(frame)
    used = bytearray(len(frame))
    for start, size in [(0, 128 + 16 * len(table)), *(span[1:] for span in table.values())]:
        used[start : start + size] = b"x" * size
    return [at for at, owner in enumerate(used) if owner]


CHUNK = "IIIIIBBBBHH"
CHUNK_FIELDS = (
    "off16", "len16", "nnz", "key_hi_bits", "val_hi_bits", "key_codec", "key_param", "val_codec",
    "val_param", "level_base", "columns",
)  # fmt: skip


def fields(frame, section_table, kinds=(0, 1, 2, 3, 5)):
    """(offset, struct code) of every number in these tables, the checks left out; 0: the header."""
    header = "B" * 2 + "H" + "Q" + "II" + "QQ" + "II" + "H" + "B" * 6 + "QQ" + "IIII" + "QQQQ"
    level = {2: "H", 4: "I", 8: "Q"}[own_type(frame).itemsize]
    rows = {1: "Q" + "B" * 8, 2: "Q", 3: level, 5: CHUNK}
    table = section_table(frame)
    spans = [(128 + 16 * i, "HHIQ") for i in range(len(table))]
    spans += [(4, header)] if 0 in kinds else []
    strides = {kind: length // count for kind, (count, _, length) in table.items() if count}
    for kind, form in rows.items():
        if kind in strides and kind in kinds:
            count, start, _ = table[kind]
            spans += [(start + i * strides[kind], form) for i in range(count)]
    places = []
    for start, form in spans:
        at = start
        for code in form:
            places.append((at, code))
            at += struct.calcsize("<" + code)
    return places


def chunk_entries(frame, section_table):
    """(offset of the entry, its fields by name, offset of its planes) of every chunk."""
    table = section_table(frame)
    count, start, _ = table.get(5, (0, 0, 0))
    for i in range(count):
        at = start + 32 * i
        entry = dict(zip(CHUNK_FIELDS, struct.unpack_from("<" + CHUNK, frame, at), strict=True))
        yield at, entry, table[6][1] + 16 * entry["off16"]


def extremes(old, bits):
    """Values of `bits` bits that size arithmetic trips over, without the one it has."""
    near = [old + d for d in (-64, -16, -1, 1, 16, 64)] + [old * 2, old // 2]
    round_ = [0, 1, 2, 63, 64, 255] + [
        (1 << p) + d for p in (16, 24, 31, 32, 48, 63, 64) for d in (-1, 0)
    ]
    return sorted({v for v in near + round_ if 0 <= v < 1 << bits} - {old})
