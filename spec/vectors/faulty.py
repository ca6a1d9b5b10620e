"""Frames with one defect, in the order of the steps of section 9."""

import random
import struct

from uncommon import (
    CODES,
    FOUR,
    LEVELS,
    LEVELS_OF,
    MINUS,
    ONE,
    SEEDS,
    TWO,
    chunk_of,
    classes,
    lone_class,
    one,
)  # fmt: skip
from writer import (
    ALL,
    BITMAP,
    BLOCKS,
    COLUMNS,
    COO,
    DELTA,
    FIXED,
    HUFFMAN,
    RICE,
    SEEDED,
    SIGN,
    SIGNED_FIXED,
    SIGNED_HUFFMAN,
    SIGNED_RICE,
    VALUE_RICE,
    Writer,
    flip,
    make_chunk,
    put,
    reference,
    seal,
    table_of,
)  # fmt: skip

TENSORS, DIMS, CODEBOOK, CHUNKDIR, PAYLOAD, KEYCODES, VALUECODE = 1, 2, 3, 5, 6, 7, 8


def plain(**options):
    """The frame that most defects are made in: two tensors, two chunks, all sections but SEEDS."""
    rng = random.Random(5)
    first, _ = chunk_of(rng, RICE, (FIXED, 2), 64, [1, 5, 30, 63])
    second, _ = chunk_of(rng, DELTA, (HUFFMAN, 0), 36, [0, 2, 9])
    tensors = [("a", (4, 10)), ("b", (60,))]
    return Writer(100, 6, [first, second], LEVELS, CODES, FOUR, tensors=tensors, **options)


def of_chunk(keys, values=None, entry=None, **options):
    """A frame of one chunk of 64 positions, RAW values unless told otherwise."""
    single = LEVELS_OF[options.get("element", 1)][0]
    values = [single] * len(keys) if values is None else values
    _, writer, _, _ = one("", 64, 6, keys, values, **options)
    writer.entries = {0: entry} if entry else {}
    return writer


def header(**fields):
    return plain(header=fields).write()


def section(kind, at, code, value):
    """`plain` with a field of a section entry changed, and sealed."""
    frame = plain().write()
    return seal(put(frame, table_of(frame)[kind][0] + at, code, value))


def tensor(i, at, code, value):
    frame = plain().write()
    return seal(put(frame, table_of(frame)[TENSORS][1] + 16 * i + at, code, value))


def entry(i, **fields):
    return plain(entries={i: fields}).write()


def chunk(*arguments, **options):
    return of_chunk(*arguments, **options).write()


def drawn(nnz=4, **options):
    """A frame of one chunk of SEEDED keys."""
    keys = reference.draw_keys(0, nnz, 64, *SEEDS)
    return chunk(keys, **{"key": (SEEDED, 0), "seeds": SEEDS} | options)


def retyped(kinds):
    """`plain` with other section types, in the order of its table."""
    frame = plain().write()
    for (at, _, _), kind in zip(table_of(frame).values(), kinds, strict=True):
        frame = put(frame, at, "H", kind)
    return frame


def padded(writer, extra):
    """With more (or less) bytes of zeros after the planes of chunk 0."""
    words = sum(len(plane.words()) for plane in writer.chunks[0].planes)
    writer.chunks[0].padding = bytes(16 - words % 16 + extra)
    return writer.write()


def with_payload(extra):
    frame = plain().write()
    _, offset, length = table_of(frame)[PAYLOAD]
    part = frame[offset : offset + length] + extra
    return plain(sections={PAYLOAD: (len(part) // 16, part)}).write()


def word(writer, plane):
    """First bit of a plane in the chunk's bytes."""
    return 64 * sum(-(-p.count // 64) for p in writer.chunks[0].planes[:plane])


def flipped(writer, plane, bit):
    """One bit of one plane of chunk 0 changed."""
    return flip(writer.write(), 0, word(writer, plane) + bit)


INDEX, HIGH, SIGN_PLANE, VALUE_INDEX, VALUE_HIGH, VALUE_LOW, LOW = range(7)


def start():
    """Steps 1 to 8."""
    frame = plain().write()
    wrong = put(frame, 2, "B", 0x44)
    return {
        "magic-first": ("the first byte is wrong", "NotAFrame", 1, put(frame, 0, "B", 0)),
        "magic-third": ("the third byte is wrong", "NotAFrame", 1, wrong),
        "magic-two-bytes": ("two bytes, the second is wrong", "NotAFrame", 1, b"\xd6g"),
        "no-bytes": ("no bytes", "Truncated", 2, b""),
        "15-bytes": ("15 bytes of a frame", "Truncated", 2, frame[:15]),
        "major-0": ("major is 0", "UnsupportedVersion", 3, header(major=0)),
        "major-2": ("major is 2", "UnsupportedVersion", 3, header(major=2)),
        "major-255-short": ("16 bytes, major is 255", "UnsupportedVersion", 3,
            put(frame, 4, "B", 255)[:16]),
        "header-len-64": ("header_len is 64", "Malformed", 4, header(header_len=64)),
        "header-len-129": ("header_len is 129", "Malformed", 4,
            put(frame, 6, "H", 129)),
        "frame-len-odd": ("frame_len is no multiple of 64", "Malformed", 5,
            header(frame_len=len(frame) - 32)),
        "frame-len-64": ("frame_len is below header_len", "Malformed", 5, header(frame_len=64)),
        "short-by-one": ("the last byte is missing", "Truncated", 6, frame[:-1]),
        "header-alone": ("only the header is there", "Truncated", 6, frame[:128]),
        "frame-len-past-end": ("frame_len is 64 more than there is", "Truncated", 6,
            header(frame_len=len(frame) + 64)),
        "header-check": ("header_check is wrong", "Corrupt", 7, put(frame, 124, "I", 0)),
        "header-changed": ("a bit of step is wrong", "Corrupt", 7, put(frame, 64, "Q", 1)),
        "critical-feature-0": ("critical feature 0", "UnsupportedFeature", 8,
            header(critical_features=1)),
        "critical-feature-31": ("critical feature 31", "UnsupportedFeature", 8,
            header(critical_features=1 << 31)),
    }  # fmt: skip


def fields():
    """Steps 9 to 33."""
    limit, malformed, unsupported = "LimitExceeded", "Malformed", "UnsupportedFeature"
    ancillary = dict.fromkeys(range(32768, 32768 + 58), (0, b""))
    made = {
        "n-elements": (limit, 9, {"n_elements": 2**48 + 1}),
        "n-chunks": (limit, 10, {"n_chunks": 2**24 + 1}),
        "n-tensors-0": (limit, 11, {"n_tensors": 0}),
        "n-tensors": (limit, 11, {"n_tensors": 2**16 + 1}),
        "n-sections-0": (limit, 12, {"n_sections": 0}),
        "chunk-log2-5": (limit, 13, {"chunk_log2": 5}),
        "chunk-log2-25": (limit, 13, {"chunk_log2": 25}),
        "frame-kind-0": (malformed, 14, {"frame_kind": 0}),
        "frame-kind-count-sketch": (malformed, 115, {"frame_kind": 3}),
        "frame-kind-control": (unsupported, 15, {"frame_kind": 4}),
        "frame-kind-5": (unsupported, 15, {"frame_kind": 5}),
        "elem-dtype-0": (malformed, 16, {"elem_dtype": 0}),
        "elem-dtype-5": (unsupported, 17, {"elem_dtype": 5}),
        "aggregation-0": (malformed, 18, {"aggregation": 0}),
        "aggregation-overwrite": (unsupported, 19, {"aggregation": 2}),
        "aggregation-step": (unsupported, 19, {"aggregation": 3}),
        "aggregation-4": (unsupported, 19, {"aggregation": 4}),
        "bound-kind-0": (malformed, 20, {"bound_kind": 0}),
        "bound-kind-5": (unsupported, 21, {"bound_kind": 5}),
        "rounding-0": (malformed, 22, {"rounding": 0}),
        "rounding-4": (unsupported, 23, {"rounding": 4}),
        "bound-nan": (malformed, 25, {"bound": float("nan")}),
        "bound-minus-0": (malformed, 25, {"bound": -0.0}),
        "bound-of-exact": (malformed, 26, {"bound_kind": 1, "bound": 2.0**-1074}),
        "weight-0": (malformed, 27, {"weight": 0.0}),
        "weight-infinite": (malformed, 27, {"weight": float("inf")}),
        "rank-is-world": (malformed, 28, {"rank": 8, "world": 8}),
        "rank-unknown": (malformed, 28, {"world": 8}),
        "world-unknown": (malformed, 28, {"rank": 3}),
        "contributions-0": (malformed, 29, {"contributions": 0}),
        "n-chunks-3": (malformed, 30, {"n_chunks": 3}),
        "n-stored-101": (malformed, 31, {"n_stored": 101}),
        "dense-n-stored": (malformed, 32, {"frame_kind": 1}),
    }
    described = {
        name: (", ".join(f"{k} is {v}" for k, v in changed.items()), error, step, header(**changed))
        for name, (error, step, changed) in made.items()
    }
    frame = plain().write()
    payload = struct.unpack_from("<Q", frame, 112)[0]
    return described | {
        "65-sections": ("65 sections, 58 of them ancillary", limit, 12,
            plain(sections=ancillary).write()),
        "payload-offset-odd": ("payload_offset is no multiple of 64", malformed, 24,
            header(payload_offset=payload - 8)),
        "payload-offset-low": ("payload_offset is in the section table", malformed, 24,
            header(payload_offset=128)),
        "payload-offset-past-end": ("payload_offset is past frame_len", malformed, 24,
            header(payload_offset=len(frame) + 64)),
        "meta-check": ("meta_check is wrong", "Corrupt", 33, header(meta_check=1)),
        "codebook-changed": ("a bit of a level is wrong", "Corrupt", 33,
            put(frame, table_of(frame)[CODEBOOK][1], "I", TWO)),
    }  # fmt: skip


def sections():
    """Steps 34 to 42."""
    malformed, unsupported = "Malformed", "UnsupportedFeature"
    frame = plain().write()
    table = table_of(frame)
    tail = table[PAYLOAD][1] + table[PAYLOAD][2]
    between = plain(sections={0x8000: (0, b"\0")}).write()
    too_wide = plain(element=2, sections={CODEBOOK: (4, struct.pack("<4I", *LEVELS))})
    too_wide.levels = LEVELS_OF[2]

    def reserved(kind):
        return plain(sections={kind: (0, b"")}).write()

    return {
        "section-type-0": ("the first section has type 0", malformed, 34,
            section(TENSORS, 0, "H", 0)),
        "section-repeated": ("two sections DIMS", malformed, 34, section(TENSORS, 0, "H", DIMS)),
        "section-order": ("CODEBOOK and DIMS change places", malformed, 34,
            seal(retyped([1, 3, 2, 5, 7, 8, 6]))),
        "payload-not-last": ("PAYLOAD stands before the last", malformed, 34,
            seal(retyped([1, 2, 3, 5, 6, 8, 7]))),
        "no-payload": ("there is no PAYLOAD", malformed, 34, section(PAYLOAD, 0, "H", 0x8000)),
        "section-reserved": ("reserved field of DIMS", malformed, 35,
            section(DIMS, 2, "H", 1 << 15)),
        "section-gap": ("the byte after VALUECODE is not zero", malformed, 36,
            seal(put(between, table_of(between)[VALUECODE][1] + 2, "B", 1))),
        "section-gap-8": ("the byte before a section is not zero", malformed, 36,
            seal(put(between, table_of(between)[0x8000][1] - 1, "B", 128))),
        "section-gap-payload": ("the byte before PAYLOAD is not zero", malformed, 36,
            seal(put(frame, table[PAYLOAD][1] - 1, "B", 1))),
        "section-length": ("length of VALUECODE is past payload_offset", malformed, 37,
            section(VALUECODE, 8, "Q", 2**64 - 1)),
        "payload-length": ("PAYLOAD ends past frame_len", malformed, 37,
            section(PAYLOAD, 8, "Q", table[PAYLOAD][2] + 128)),
        "frame-len-late": ("frame_len is 64 more than the end of PAYLOAD", malformed, 38,
            plain(header={"frame_len": len(frame) + 64}).write() + bytes(64)),
        "payload-offset-late": ("payload_offset is 64 after PAYLOAD", malformed, 38,
            header(payload_offset=table[PAYLOAD][1] + 64)),
        "payload-offset-early": ("payload_offset is 64 before PAYLOAD", malformed, 37,
            header(payload_offset=table[PAYLOAD][1] - 64)),
        "bytes-after-payload": ("a byte after PAYLOAD is not zero", malformed, 39,
            put(frame, tail, "B", 1)),
        "section-sketch": ("a section SKETCH", malformed, 115, reserved(4)),
        "section-base": ("a section BASE", unsupported, 40, reserved(9)),
        "section-context": ("a section CONTEXT", unsupported, 40, reserved(10)),
        "section-14": ("a section of type 14", unsupported, 40, reserved(14)),
        "section-7fff": ("a section of type 0x7fff", unsupported, 40,
            plain(sections={0x7FFF: (1, b"?")}).write()),
        "section-count": ("count of CODEBOOK is one less", malformed, 41,
            section(CODEBOOK, 4, "I", 3)),
        "codebook-float32": ("levels of 32 bits, elem_dtype is float16", malformed, 41,
            too_wide.write()),
        "valuecode-count": ("count of VALUECODE is 2 for 2 bytes", malformed, 41,
            section(VALUECODE, 4, "I", 2)),
        "seeds-two": ("SEEDS has two entries", malformed, 41, drawn(seeds=[*SEEDS, 1, 2])),
        "seeds-two-unused": ("SEEDS has two entries, no chunk has SEEDED keys", malformed, 41,
            plain(seeds=[*SEEDS, 1, 2]).write()),
        "seeds-length": ("SEEDS has one entry, of 8 bytes", malformed, 41,
            drawn(sections={12: (1, struct.pack("<Q", 7))})),
        "seeds-count": ("count of SEEDS is 0 for 16 bytes", malformed, 41,
            drawn(sections={12: (0, struct.pack("<QQ", *SEEDS))})),
        "no-tensors": ("there is no TENSORS", malformed, 42, plain(sections={1: None}).write()),
        "no-chunkdir": ("there is no CHUNKDIR", malformed, 42,
            plain(sections={CHUNKDIR: None}).write()),
    }  # fmt: skip


def tensors():
    """Steps 43 to 49."""
    limit, malformed = "LimitExceeded", "Malformed"

    def shaped(*shapes, **options):
        writer = plain(**options)
        writer.tensors = [("", shape) for shape in shapes]
        return writer.write()

    dims = struct.pack("<4Q", 4, 10, 60, 1)
    return {
        "tensors-count": ("TENSORS has two entries, n_tensors is 1", malformed, 43,
            header(n_tensors=1)),
        "dims-count": ("DIMS has one entry too many", malformed, 44,
            plain(sections={DIMS: (4, dims)}).write()),
        "dims-missing": ("there is no DIMS", malformed, 44, plain(sections={DIMS: None}).write()),
        "ndim-33": ("a tensor of 33 dimensions", limit, 45, shaped((100,) + (1,) * 32)),
        "tensor-dtype": ("dtype of a tensor is 0", malformed, 46, tensor(0, 9, "B", 0)),
        "tensor-float16": ("a tensor of float16 in a frame of float32", malformed, 46,
            tensor(1, 9, "B", 2)),
        "tensor-reserved": ("a reserved byte of a tensor is not zero", malformed, 46,
            tensor(0, 10, "B", 1)),
        "tensor-reserved-last": ("the last byte of a tensor's entry is not zero", malformed, 46,
            tensor(1, 15, "B", 128)),
        "dims-product": ("dimensions 0, 2^48 and 2", limit, 47,
            shaped((100,), (0, 2**48, 2))),
        "dims-wrap": ("dimensions 0, 2^32 and 2^32: their product is 0 in 64 bits", limit, 47,
            shaped((100,), (0, 2**32, 2**32))),
        "numel-sum": ("the tensors have 99 elements of 100", malformed, 48, shaped((40,), (59,))),
        "layout-key": ("layout_key is wrong", malformed, 49, header(layout_key=1)),
    }  # fmt: skip


def codes():
    """Steps 50 to 60. (Step 50 takes a quarter of a megabyte.)"""
    limit, malformed = "LimitExceeded", "Malformed"

    def of_levels(levels):
        writer = plain()
        writer.levels = levels
        return writer.write()

    def of_key_code(lengths):
        return chunk([0, 1], key_codes=[lengths])

    def of_value_code(lengths, levels=LEVELS):
        return chunk([0, 1], levels=levels, value_code=lengths)

    half = chunk([0, 1], levels=LEVELS[:3], value_code=[1, 2, 2])
    last = table_of(half)[VALUECODE][1] + 1
    return {
        "level-nan": ("a level is not a number", malformed, 51,
            of_levels([*LEVELS[:3], 0x7F800001])),
        "level-infinite": ("a level is infinite", malformed, 51,
            of_levels([0xFF800000, *LEVELS[:3]])),
        "level-minus-0": ("a level is -0", malformed, 51, of_levels([*LEVELS[:3], MINUS])),
        "level-infinite-float16": ("a level of float16 is infinite", malformed, 51,
            chunk([0, 1], levels=[0x3C00, 0x7C00], element=2)),
        "level-nan-bfloat16": ("a level of bfloat16 is not a number", malformed, 51,
            chunk([0, 1], levels=[0xFFC0], element=3)),
        "level-minus-0-float64": ("a level of float64 is -0", malformed, 51,
            chunk([0, 1], levels=[0, 1 << 63], element=4)),
        "level-infinite-float64": ("a level of float64 is infinite", malformed, 51,
            chunk([0, 1], levels=[0, 0x7FF << 52], element=4)),
        "257-key-codes": ("257 key codes", limit, 52, chunk([0, 1], key_codes=[CODES[0]] * 257)),
        "class-0": ("a key code has class 0", malformed, 53, of_key_code(classes((0, 1), (1, 1)))),
        "class-26": ("a key code has class 26", malformed, 53,
            of_key_code(classes((1, 1), (26, 1)))),
        "key-length-13": ("a length of 13 in a key code", malformed, 54,
            of_key_code(classes(*((c, c) for c in range(1, 13)), (13, 13), (14, 13)))),
        "key-code-open": ("a key code is not complete", malformed, 55,
            of_key_code(classes((1, 1), (2, 2)))),
        "key-code-crowded": ("a key code has three symbols of length 1", malformed, 55,
            of_key_code(classes((1, 1), (2, 1), (3, 1)))),
        "key-code-empty": ("a key code has no symbols", malformed, 55, of_key_code(classes())),
        "key-code-alone": ("the only symbol of a key code has length 2", malformed, 55,
            of_key_code(classes((5, 2)))),
        "4097-lengths": ("4,097 lengths and levels", limit, 56,
            of_value_code([12] * 4096 + [0], [ONE] * 4097)),
        "value-code-shorter": ("three lengths, four levels", malformed, 57,
            of_value_code([1, 2, 2])),
        "value-code-spare": ("the spare half byte is not zero", malformed, 58,
            seal(put(half, last, "B", 0x12))),
        "value-length-13": ("a length of 13 in VALUECODE", malformed, 59,
            of_value_code([*range(1, 13), 13, 13], [ONE] * 14)),
        "value-code-open": ("the value code is not complete", malformed, 60,
            of_value_code([1, 2, 3, 4])),
        "value-code-zero": ("VALUECODE has only lengths of 0", malformed, 60,
            of_value_code([0] * 4)),
    }  # fmt: skip


def scales():
    """Steps 61 to 65."""

    def of(runs, found, **options):
        value = {"value": (SIGNED_FIXED, 2), "levels": LEVELS} | options
        return chunk([0, 1], [0, 3], runs=runs, scales=found, **value)

    halves, one_each = [(32, 32), (32, 32)], [ONE, ONE]
    half = {"element": 2, "levels": LEVELS_OF[2]}
    made = {
        "run-empty": ("a run of no positions", 61, of([(0, 4), (64, 64)], one_each)),
        "run-block-0": ("a run in blocks of no positions", 61, of([(64, 0)], one_each)),
        "runs-short": ("runs of 63 positions in all", 62, of([(32, 32), (31, 32)], one_each)),
        "runs-wrap": ("runs of 2^64 + 64 positions in all", 62,
            of([(2**63, 2**63), (2**63 + 64, 2**64 - 1)], one_each)),
        "scales-no-runs": ("scales, and no runs", 63, of([], one_each)),
        "runs-no-scales": ("runs, and no scales", 63, of(halves, [])),
        "scales-few": ("one scale, two blocks", 63, of(halves, [ONE])),
        "scales-three": ("three scales, two blocks", 63, of(halves, [ONE] * 3)),
        "scales-many": ("six scales, two blocks", 63, of(halves, [ONE] * 6)),
        "scale-infinite": ("a scale is infinite", 64, of(halves, [ONE, 0x7F800000])),
        "scale-nan": ("a scale is not a number", 64, of(halves, [0x7F800001, ONE])),
        "scale-negative": ("a scale is negative", 64, of(halves, [ONE, ONE | MINUS])),
        "scale-minus-0": ("a scale is -0", 64, of(halves, [MINUS, ONE])),
        "scale-infinite-float16": ("a scale of float16 is infinite", 64,
            of(halves, [0x3C00, 0x7C00], **half)),
        "product-infinite": ("level 8 times scale 2^125", 65, of(halves, [ONE, 0x7E000000])),
        "product-negative": ("level -8 times scale 2^125", 65,
            of(halves, [ONE, 0x7E000000], levels=[ONE, TWO, ONE, MINUS | LEVELS[3]])),
        "product-rounded": ("level 8 times scale 8190 is infinite in float16 once it is rounded",
            65, of(halves, [0x3C00, 0x6FFF], **half | {"levels": [0, 0, 0x3C00, 0x4801]})),
        "product-float64": ("level 8 times scale 2^1023", 65,
            of(halves, [0x3FF << 52, 0x7FE << 52], element=4, levels=LEVELS_OF[4])),
    }  # fmt: skip
    return {name: (about, "Malformed", step, data) for name, (about, step, data) in made.items()}


def directory():
    """Steps 66 to 90."""
    limit, malformed, unsupported = "LimitExceeded", "Malformed", "UnsupportedFeature"
    two = {"levels": LEVELS, "value": (SIGNED_FIXED, 2)}
    bits = {**two, "key": (BITMAP, 0)}
    pieces = [(9, 4, 54, [1, 4, 5]), (0, 0, 10, [])]
    column = {"key": (COLUMNS, 0), "codes": CODES, "key_codes": CODES}
    three = [15, 18, 60]
    empty = {"levels": LEVELS, "value_code": FOUR}
    crowded = plain()
    crowded.chunks[1] = make_chunk(list(range(37)), [ONE] * 37, (COO, 6))
    overdrawn = plain(seeds=SEEDS)
    overdrawn.chunks[1] = make_chunk(list(range(37)), [ONE] * 37, (SEEDED, 0))
    extra = plain().write()
    _, begin, length = table_of(extra)[CHUNKDIR]
    third = extra[begin : begin + length] + extra[begin : begin + 32]
    first_bit = table_of(extra)[PAYLOAD][1]
    return {
        "chunkdir-count": ("CHUNKDIR has three entries, n_chunks is 2", malformed, 66,
            plain(sections={CHUNKDIR: (3, third)}).write()),
        "key-codec-0": ("key_codec is 0", malformed, 67, entry(1, key_codec=0)),
        "key-codec-6": ("key_codec is 6, which is reserved", unsupported, 68,
            entry(1, key_codec=6)),
        "key-codec-10": ("key_codec is 10", unsupported, 68, entry(0, key_codec=10)),
        "val-codec-0": ("val_codec is 0", malformed, 69, entry(0, val_codec=0)),
        "val-codec-6": ("val_codec is 6", unsupported, 70, entry(0, val_codec=6)),
        "val-codec-17": ("val_codec is 17: RAW has no signed form", unsupported, 70,
            entry(1, val_codec=17)),
        "val-codec-20": ("val_codec is 20: SIGN has no signed form", unsupported, 70,
            entry(0, val_codec=20)),
        "nnz": ("a chunk of 36 positions with 37 keys", malformed, 71, crowded.write()),
        "seeded-nnz": ("37 SEEDED keys in 36 positions", malformed, 71, overdrawn.write()),
        "key-rice-25": ("RICE keys with parameter 25", limit, 72, chunk([3, 9], key=(RICE, 25))),
        "coo-33": ("COO keys of 33 bits", limit, 73, chunk([3, 9], key=(COO, 33))),
        "coo-0": ("COO keys of no bits", malformed, 74, chunk([0], key=(COO, 0))),
        "delta-no-code": ("DELTA keys in code 2 of 2", malformed, 75, entry(1, key_param=2)),
        "columns-one-code": ("COLUMNS keys, one key code", malformed, 76,
            chunk(three, pieces=pieces, **column | {"key_codes": CODES[:1]})),
        "seeded-no-seeds": ("SEEDED keys, no SEEDS", malformed, 76, drawn(seeds=[])),
        "seeded-empty-seeds": ("SEEDED keys, SEEDS has no entry", malformed, 76,
            drawn(sections={12: (0, b"")})),
        "columns-no-pieces": ("COLUMNS keys in no pieces", malformed, 77,
            chunk(three, entry={"key_param": 0}, pieces=pieces, **column)),
        "bitmap-param": ("BITMAP keys with a parameter", malformed, 78,
            chunk([1, 2], [0, 1], entry={"key_param": 1}, **bits)),
        "seeded-param": ("SEEDED keys with a parameter", malformed, 78,
            drawn(entry={"key_param": 1})),
        "seeded-empty-param": ("an empty chunk of SEEDED keys with a parameter", malformed, 78,
            chunk([], entry={"key_param": 1}, key=(SEEDED, 0))),
        "columns-too-many": ("two keys in three active columns", malformed, 79,
            chunk(three[:2], pieces=pieces, **column)),
        "columns-of-rice": ("RICE keys with active columns", malformed, 80, entry(0, columns=1)),
        "seeded-columns": ("SEEDED keys with active columns", malformed, 80,
            drawn(entry={"columns": 1})),
        "all-but-one": ("ALL keys, 63 of 64 positions", malformed, 81,
            chunk(list(range(63)), key=(ALL, 0))),
        "dense-bitmap": ("a dense frame with a full bitmap", malformed, 82,
            chunk(list(range(64)), key=(BITMAP, 0), header={"frame_kind": 1})),
        "dense-empty": ("a dense frame with an empty chunk of RICE keys", malformed, 82,
            chunk([], key=(RICE, 0), header={"frame_kind": 1, "n_stored": 64})),
        "dense-seeded": ("a dense frame of SEEDED keys, all positions", malformed, 82,
            drawn(64, header={"frame_kind": 1})),
        "seeded-key-hi-bits": ("SEEDED keys with key_hi_bits 1", malformed, 83,
            drawn(entry={"key_hi_bits": 1})),
        "empty-key-hi-bits": ("an empty chunk of RICE keys with key_hi_bits 1", malformed, 83,
            chunk([], entry={"key_hi_bits": 1}, key=(RICE, 0))),
        "bitmap-bits": ("a bitmap of 63 bits for 64 positions", malformed, 83,
            chunk([1, 2], [0, 1], entry={"key_hi_bits": 63}, **bits)),
        "key-hi-bits-few": ("DELTA keys: fewer bits than keys", malformed, 83,
            entry(1, key_hi_bits=2)),
        "key-hi-bits-many": ("RICE keys: more bits than any keys take", malformed, 83,
            chunk([64], key=(RICE, 2))),
        "fixed-17": ("FIXED values of 17 bits", limit, 84,
            chunk([1, 2], [0, 1], levels=LEVELS, value=(SIGNED_FIXED, 17))),
        "value-rice-17": ("RICE values with parameter 17", limit, 84,
            chunk([1, 2], [0, 1], levels=LEVELS, value=(SIGNED_RICE, 17))),
        "sign-param": ("SIGN values with a parameter", malformed, 85,
            chunk([1], [(0, True)], entry={"val_param": 1}, levels=LEVELS, value=(SIGN, 0))),
        "signed-fixed-0": ("SIGNED_FIXED values of no bits", malformed, 85,
            chunk([1, 2], [0, 0], levels=LEVELS, value=(SIGNED_FIXED, 0))),
        "huffman-level-base": ("HUFFMAN values with level_base 1", malformed, 86,
            entry(1, level_base=1)),
        "raw-level-base": ("RAW values with level_base 1", malformed, 86,
            chunk([1], levels=LEVELS, level_base=1)),
        "level-base-size": ("level_base is the size of the codebook", malformed, 87,
            chunk([1, 2], [(0, True)] * 2, levels=LEVELS, value=(SIGN, 0), level_base=4)),
        "no-codebook": ("FIXED values without a codebook", malformed, 87,
            chunk([1, 2], [(0, True)] * 2, value=(FIXED, 0))),
        "no-value-code": ("HUFFMAN values without VALUECODE", malformed, 88,
            chunk([1, 2], [0, 1], levels=LEVELS, value=(SIGNED_HUFFMAN, 0), codes=((), (), FOUR))),
        "no-value-code-empty": ("an empty chunk, HUFFMAN values, no VALUECODE", malformed, 88,
            chunk([], levels=LEVELS, value=(HUFFMAN, 0), key=(RICE, 0))),
        "val-hi-bits-many": ("RICE values: more bits than any index takes", malformed, 89,
            chunk([1], [4], levels=LEVELS, value=(SIGNED_RICE, 0))),
        "val-hi-bits-few": ("HUFFMAN values: fewer bits than values", malformed, 89,
            entry(1, val_hi_bits=2)),
        "empty-val-hi-bits": ("an empty chunk of RICE values with val_hi_bits 1", malformed, 89,
            chunk([], entry={"val_hi_bits": 1}, key=(RICE, 0), value=(VALUE_RICE, 0), **empty)),
        "empty-key-param": ("an empty chunk with key_param 1", malformed, 90,
            chunk([], entry={"key_param": 1}, key=(RICE, 0), **empty)),
        "empty-level-base": ("an empty chunk with level_base 1", malformed, 90,
            chunk([], entry={"level_base": 1}, key=(RICE, 0), value=(FIXED, 0), **empty)),
        "n-stored-8": ("n_stored is 8 of 7", malformed, 91, header(n_stored=8)),
        "dense-nothing": ("a dense frame with an empty chunk of ALL keys", malformed, 91,
            chunk([], key=(ALL, 0), header={"frame_kind": 1, "n_stored": 64})),
        "len16-float16": ("four values of 32 bits, elem_dtype is float16", malformed, 92,
            chunk([1, 2, 3, 4], element=2, bits=32)),
        "len16-long": ("a chunk with 16 bytes of zeros too many", malformed, 92,
            padded(of_chunk([1, 2]), 16)),
        "len16-short": ("a chunk without its padding", malformed, 92,
            padded(of_chunk([1, 2]), -16)),
        "len16-seeded": ("SEEDED keys with 16 bytes of zeros too many", malformed, 92,
            padded(of_chunk([1, 2], key=(SEEDED, 0), seeds=SEEDS), 16)),
        "len16-empty": ("an empty chunk of 16 bytes", malformed, 92,
            chunk([], entry={"len16": 1}, key=(RICE, 0))),
        "off16": ("off16 of the second chunk is 0", malformed, 93, entry(1, off16=0)),
        "payload-longer": ("16 bytes of PAYLOAD belong to no chunk", malformed, 94,
            with_payload(bytes(16))),
        "chunk-check": ("check of the second chunk is wrong", "Corrupt", 95, entry(1, check=1)),
        "payload-changed": ("a bit of a key is wrong", "Corrupt", 95,
            put(extra, first_bit, "B", extra[first_bit] ^ 1)),
    }  # fmt: skip


def planes():
    """Steps 96 to 112, all Malformed."""
    bitmap = of_chunk([1, 2], key=(BITMAP, 0))
    rice = of_chunk([1, 20, 40], key=(RICE, 2))
    delta = {"key": (DELTA, 0), "codes": CODES, "key_codes": CODES}
    lone = {"key": (DELTA, 0), "codes": [lone_class(1)], "key_codes": [lone_class(1)]}
    column = {"key": (COLUMNS, 0), "codes": CODES, "key_codes": CODES}
    matrix = of_chunk([0, 9, 18], pieces=[(9, 0, 54, [0]), (9, 0, 10, [])], **column)
    plain_piece = of_chunk([0, 3], pieces=[(0, 0, 10, []), (1, 0, 54, [0])], **column)
    behind = of_chunk([63], pieces=[(1, 0, 1, [0]), (0, 0, 63, [])], **column)
    rice_values = {"levels": LEVELS[:3], "value": (SIGNED_RICE, 0), "key": (COO, 6)}
    huffman = {"levels": LEVELS, "value_code": FOUR, "value": (SIGNED_HUFFMAN, 0)}
    huffman |= {"codes": ((), (), FOUR), "key": (COO, 6)}
    alone = {"levels": [ONE], "value_code": [1], "value": (SIGNED_HUFFMAN, 0)}
    alone |= {"codes": ((), (), [1]), "key": (COO, 6)}
    signs = {"value": (FIXED, 1), "levels": [ONE, MINUS | TWO], "key": (COO, 6)}

    def of_blocks(n_keys, **options):
        keys = list(range(n_keys))
        return one("", 256, 8, keys, options.pop("values", [ONE] * n_keys), **options)[1]

    many_keys = of_blocks(130, **lone)
    many_values = of_blocks(130, values=[0] * 130, **huffman | {"key": (BITMAP, 0)})
    made = {
        "bitmap-ones": ("a bitmap of three ones for two keys", 96, flipped(bitmap, HIGH, 50)),
        "coo-equal": ("two equal keys", 97, chunk([5, 5], key=(COO, 6))),
        "coo-descending": ("a key below the one before", 97, chunk([5, 4], key=(COO, 6))),
        "coo-far": ("COO: key 64 of 64 positions", 98, chunk([5, 64], key=(COO, 7))),
        "rice-far": ("RICE: key 64 of 64 positions", 98, chunk([2, 64], key=(RICE, 2))),
        "blocks-far": ("BLOCKS: key 64 of 64 positions", 98, chunk([5, 64], key=(BLOCKS, 0))),
        "delta-far": ("DELTA: key 64 of 64 positions", 98, chunk([5, 64], **delta)),
        "rice-ones": ("RICE: a unary plane with a one too many", 99, flipped(rice, HIGH, 3)),
        "rice-end": ("RICE: the unary plane ends with a zero", 99,
            chunk([1, 20, 40], entry={"key_hi_bits": rice.chunks[0].entry["key_hi_bits"] + 1},
                key=(RICE, 2))),
        "blocks-bits": ("BLOCKS: the fields take one bit less", 100,
            chunk([5, 9], entry={"key_hi_bits": 7}, key=(BLOCKS, 0))),
        "blocks-width": ("BLOCKS: a width is 4 instead of 3, so the fields take more bits", 100,
            flipped(of_chunk([7, 9], key=(BLOCKS, 0)), INDEX, 2)),
        "delta-end": ("DELTA: the codes end a bit early", 101,
            chunk([1, 5], entry={"key_hi_bits": 6}, **delta)),
        "delta-no-such-code": ("DELTA: a bit that is no code", 101,
            flipped(of_chunk([0, 1, 2], **lone), HIGH, 1)),
        "delta-index": ("DELTA: a block of codes does not end as key index says", 101,
            flipped(many_keys, INDEX, 0)),
        "delta-len16": ("DELTA: 16 bytes of zeros too many, which the entry alone allows", 102,
            padded(of_chunk([1, 5, 6, 8, 20, 22, 31, 62], **delta), 16)),
        "piece-empty": ("COLUMNS: a piece of no positions", 103,
            chunk([0, 9], pieces=[(9, 0, 64, [0]), (9, 0, 0, [])], **column)),
        "piece-phase": ("COLUMNS: a phase that is not below the row length", 103,
            chunk([9], pieces=[(9, 9, 64, [0])], **column)),
        "piece-plain": ("COLUMNS: a phase without a row length", 103,
            flipped(plain_piece, INDEX, 32)),
        "pieces-lengths": ("COLUMNS: pieces of 65 positions in all", 104,
            chunk([0, 9], pieces=[(9, 0, 64, [0]), (9, 0, 1, [])], **column)),
        "pieces-columns": ("COLUMNS: pieces of two active columns in all, columns is 1", 104,
            flipped(matrix, INDEX, 128 + 96)),
        "active-column": ("COLUMNS: active column 9 of rows of 9", 105,
            chunk([0, 2, 9], pieces=[(9, 0, 64, [0, 2, 9])], **column)),
        "place-before": ("COLUMNS: a place before the first position of its piece", 106,
            flipped(matrix, INDEX, 32)),
        "place-after": ("COLUMNS: a place after the last position of its piece", 106,
            flipped(of_chunk([0, 63], pieces=[(9, 0, 64, [0, 1])], **column), LOW, 0)),
        "place-outside": ("COLUMNS: a place past all pieces", 106, flipped(behind, LOW, 0)),
        "value-rice-ones": ("RICE: indices with a one too many", 107,
            flipped(of_chunk([1, 2], [2, 1], **rice_values), VALUE_HIGH, 0)),
        "value-rice-end": ("RICE: indices that end with a zero", 107,
            chunk([1, 2], [1, 0], entry={"val_hi_bits": 4}, **rice_values)),
        "huffman-end": ("HUFFMAN: the codes end a bit early", 108,
            chunk([1, 2], [1, 0], entry={"val_hi_bits": 5}, **huffman)),
        "huffman-no-such-code": ("HUFFMAN: a bit that is no code", 108,
            flipped(of_chunk([1, 2], [0, 0], **alone), VALUE_HIGH, 1)),
        "huffman-index": ("HUFFMAN: a block of codes does not end as value index says", 108,
            flipped(many_values, VALUE_INDEX, 10)),
        "fixed-index": ("FIXED: index 3 of three levels", 109,
            chunk([1, 2], [3, 0], levels=LEVELS[:3], value=(SIGNED_FIXED, 2))),
        "rice-index": ("RICE: index 3 of three levels", 109, chunk([1, 2], [3, 0], **rice_values)),
        "base-index": ("FIXED: level_base 3 and index 1 of four levels", 109,
            chunk([1], [(1, False)], levels=LEVELS, value=(FIXED, 1), level_base=3)),
        "signed-level": ("FIXED: a negative level, beside a sign plane", 110,
            chunk([1, 2], [(0, True), (1, False)], **signs)),
        "spare-sign": ("a bit after the last sign", 111,
            flipped(of_chunk([1, 2], [(0, True), (0, False)], **signs), SIGN_PLANE, 2)),
        "spare-float16": ("a bit after the last value of float16", 111,
            flipped(of_chunk([1], [0x3C00], element=2), VALUE_LOW, 16)),
        "spare-key-low": ("a bit after the last key", 111,
            flipped(of_chunk([1, 2], key=(COO, 6)), LOW, 63)),
        "spare-bitmap": ("a bit after a bitmap of 60 positions", 111,
            flipped(one("", 60, 6, [3], [ONE], key=(BITMAP, 0))[1], HIGH, 60)),
        "padding": ("the last bit of a chunk is not zero", 112,
            flip(chunk([1, 2], key=(COO, 6)), 0, 256 - 1)),
    }  # fmt: skip
    return {name: (about, "Malformed", step, data) for name, (about, step, data) in made.items()}


def FAULTY():  # noqa: N802
    """{name: (defect, error class, step, frame)}."""
    groups = (start, fields, sections, tensors, codes, scales, directory, planes)
    return {name: vector for group in groups for name, vector in group().items()}
