"""Legal frames that no encoder of gcodec 0.1 writes."""

import random
import struct

from writer import (
    ALL,
    BITMAP,
    BLOCKS,
    COLUMNS,
    COO,
    DELTA,
    FIXED,
    HUFFMAN,
    RAW,
    RICE,
    SEEDED,
    SIGN,
    SIGNED_FIXED,
    SIGNED_HUFFMAN,
    SIGNED_RICE,
    VALUE_RICE,
    Writer,
    make_chunk,
    reference,
)  # fmt: skip

ONE, TWO, MINUS = 0x3F800000, 0x40000000, 1 << 31
LEVELS = [ONE, TWO, 0x40800000, 0x41000000]
ELEMENTS = {"float16": 2, "bfloat16": 3, "float64": 4}
LEVELS_OF = {
    1: LEVELS,
    2: [0x3C00, 0x4000, 0x4400, 0x4800],
    3: [0x3F80, 0x4000, 0x4080, 0x4100],
    4: [0x3FF << 52, 0x400 << 52, 0x401 << 52, 0x402 << 52],
}
"""1, 2, 4 and 8."""
FOUR = [2, 2, 2, 2]
"""A prefix code of four symbols of two bits."""


def classes(*lengths_by_class):
    """32 code lengths from (class, length)."""
    lengths = [0] * 32
    for of_class, length in lengths_by_class:
        lengths[of_class] = length
    return lengths


CODES = [
    classes((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 6)),
    classes((1, 2), (2, 2), (3, 2), (6, 2)),
]
SIGNED = ((SIGNED_FIXED, 2), (SIGNED_RICE, 1), (SIGNED_HUFFMAN, 0))
VALUE_CODECS = ((RAW, 0), (FIXED, 2), (VALUE_RICE, 1), (SIGN, 0), (HUFFMAN, 0), *SIGNED)
KEY_CODECS = (ALL, BITMAP, COO, RICE, DELTA, BLOCKS, COLUMNS, SEEDED)
SEEDS = [0x0123456789ABCDEF, 5]
"""Seed, and number of chunk 0."""


def width_of(element):
    """Bits of a pattern."""
    return reference.ELEMENTS[element][0]


def value_of(codec, indices, rng, element=1):
    """(what `make_chunk` packs, the patterns it stands for), with the levels of the element."""
    width, levels = width_of(element), LEVELS_OF[element]
    if codec == RAW:
        patterns = [rng.getrandbits(width) for _ in indices]
        return patterns, patterns
    if codec > 16:
        return indices, [levels[i] for i in indices]
    if codec == SIGN:
        indices = [0] * len(indices)
    pairs = [(i, rng.random() < 0.5) for i in indices]
    return pairs, [levels[i] | negative << width - 1 for i, negative in pairs]


def chunk_of(rng, key_codec, value, positions, keys, pieces=(), element=1):
    """(chunk, patterns) with any codecs."""
    values, patterns = value_of(value[0], [rng.randrange(4) for _ in keys], rng, element)
    key = key_codec, {COO: 9, RICE: 2}.get(key_codec, 0)
    packed, width = (CODES[0], CODES[1], FOUR), width_of(element)
    return make_chunk(keys, values, key, value, 0, positions, pieces, packed, width), patterns


def pairs():
    """Every key codec with every value codec, in chunks of 64."""
    rng = random.Random(2)
    chunks, keys, patterns = [], [], []
    pieces = [(0, 0, 10, []), (9, 4, 54, [1, 4, 5])]
    on = [p for p in range(64) if p < 10 or (p - 10 + 4) % 9 in (1, 4, 5)]
    for key_codec in KEY_CODECS:
        for value in VALUE_CODECS:
            own = list(range(64)) if key_codec == ALL else sorted(rng.sample(on, 9))
            if key_codec == SEEDED:
                own = reference.draw_keys(len(chunks), 9, 64, *SEEDS)
            start = 64 * len(chunks)
            chunk, values = chunk_of(rng, key_codec, value, 64, own, pieces)
            chunks.append(chunk)
            keys += [start + key for key in own]
            patterns += values
    frame = Writer(64 * len(chunks), 6, chunks, LEVELS, CODES, FOUR, SEEDS)
    return "every key codec with every value codec, chunks of 64", frame, keys, patterns


def empty_chunks():
    """Every pair of codecs with nothing stored, and one chunk that is not empty at the end."""
    chunks = [make_chunk([], [], (k, 0), (v, 0)) for k in KEY_CODECS for v, _ in VALUE_CODECS]
    chunks.append(make_chunk([3], [ONE], (COO, 3), positions=10))
    n = 64 * (len(chunks) - 1) + 10
    frame = Writer(n, 6, chunks, LEVELS, CODES, FOUR)
    about = "64 empty chunks of every pair of codecs, no SEEDS, then one of 10 positions"
    return about, frame, [n - 7], [ONE]


def full_chunks():
    """All positions are keys, whatever the codec."""
    rng = random.Random(3)
    chunks, patterns = [], []
    pieces = [(8, 0, 64, list(range(8)))]
    for key_codec in KEY_CODECS:
        chunk, values = chunk_of(rng, key_codec, (FIXED, 2), 64, list(range(64)), pieces)
        chunks.append(chunk)
        patterns += values
    n = 64 * len(chunks)
    frame = Writer(n, 6, chunks, LEVELS, CODES, FOUR, SEEDS)
    return "full chunks of every key codec", frame, list(range(n)), patterns


def one(about, n, log2, keys, values, **options):
    """A frame of one chunk of RAW values unless told otherwise."""
    frame = {name: options.pop(name) for name in (*Writer.__dataclass_fields__,) if name in options}
    packed = options.pop("packed", values)
    options = {"bits": width_of(frame.get("element", 1)), "positions": n} | options
    chunk = make_chunk(keys, packed, **options)
    return about, Writer(n, log2, [chunk], **frame), keys, values


def large():
    """Chunks of 2^24 positions, and the largest parameters."""
    n, last = 2**24, 2**24 - 1
    raw = [0x7F800001, 0xFFC00000, 0x7F800000, 0xFF800000, MINUS, 0, 1, 0x807FFFFF]
    far = classes((1, 1), (25, 1))
    return {
        "chunk-log2-24": one("one chunk of 2^24 positions", n, 24, [0, last], [ONE, TWO]),
        "key-rice-24": one(
            "RICE keys with the largest parameter", n, 24, [5, last], [ONE, TWO], key=(RICE, 24)
        ),
        "gap-class-25": one(
            "DELTA keys: a gap of 2^24, class 25", n, 24, [last], [ONE],
            key=(DELTA, 0), codes=(far,), key_codes=[far],
        ),
        "blocks-width-24": one(
            "BLOCKS keys: a gap of 2^24", n, 24, [last], [ONE], key=(BLOCKS, 0)
        ),
        "raw-specials": one(
            "RAW values: NaNs, infinities, zeros, subnormals", 64, 6, list(range(8)), raw
        ),
        "coo-width-1": one("COO keys of one bit", 64, 6, [0, 1], [ONE, TWO], key=(COO, 1)),
        "coo-wider": one(
            "COO keys of 13 bits in a chunk of 64", 64, 6, [7, 63], [ONE, TWO], key=(COO, 13)
        ),
        "chunk-larger-than-array": one("chunk_log2 24, 10 elements", 10, 24, [9], [TWO]),
    }  # fmt: skip


def levels():
    """Codebooks of many kinds."""
    rng = random.Random(4)
    spread = [rng.randrange(1, 0x7F800000) for _ in range(60)]
    many = [ONE + i for i in range(4096)]
    signed = [ONE, ONE | MINUS, 0, 1, 0x80000001, ONE, 0x7F7FFFFF, 0xFF7FFFFF]
    keys = list(range(3, 63, 4))
    nine = [rng.randrange(60) for _ in keys]
    signs = [rng.random() < 0.5 for _ in keys]
    three = [(1, True), (0, False), (1, False)]
    lone = [(0, i % 2 == 1) for i in range(4)]
    skewed = [*range(1, 12), 12, 12]
    deep = [0, 12, 11, 1, 5, 10, 12, 0, 3] * 20
    wide = {"key": (BITMAP, 0), "levels": spread}
    with_signs = [spread[i] | MINUS * s for i, s in zip(nine, signs, strict=True)]
    paired = list(zip(nine, signs, strict=True))
    return {
        "value-rice-16": one("RICE values with the largest parameter, 60 levels", 64, 6, keys,
            with_signs, packed=paired, value=(VALUE_RICE, 16), **wide),
        "fixed-16": one("FIXED values of 16 bits", 64, 6, keys,
            with_signs, packed=paired, value=(FIXED, 16), **wide),
        "fixed-0": one("FIXED values of no bits: one level and signs", 64, 6, [1, 2, 40, 50],
            [ONE, ONE | MINUS] * 2, packed=lone, value=(FIXED, 0), levels=[ONE]),
        "level-base": one("level_base 50 of 60 levels", 64, 6, [1, 2, 3],
            [spread[51] | MINUS, spread[50], spread[51]], packed=three, value=(FIXED, 1),
            level_base=50, levels=spread),
        "level-base-rice": one("level_base 58 of 60: only two indices are left", 64, 6, [1, 2, 3],
            [spread[59] | MINUS, spread[58], spread[59]], packed=three, value=(VALUE_RICE, 0),
            level_base=58, levels=spread),
        "level-base-sign": one("SIGN values of the last level", 64, 6, [1, 60],
            [spread[59] | MINUS, spread[59]], packed=[(0, True), (0, False)], value=(SIGN, 0),
            level_base=59, levels=spread),
        "level-kinds": one("levels negative, +0, subnormal, repeated, in no order", 64, 6,
            list(range(8)), signed, packed=list(range(8)), value=(SIGNED_FIXED, 3), levels=signed),
        "minus-zero": one("level +0 with a sign is -0", 64, 6, [5, 6], [MINUS, 0],
            packed=[(0, True), (0, False)], value=(FIXED, 1), levels=[0, MINUS | ONE]),
        "negative-unused": one("FIXED values beside a negative level that none has", 64, 6, [9],
            [ONE], packed=[(1, False)], value=(FIXED, 1), levels=[MINUS | ONE, ONE]),
        "4096-levels": one("a value code of 4,096 lengths, all 12", 64, 6, keys,
            [many[68 * i] for i in nine], packed=[68 * i for i in nine],
            value=(SIGNED_HUFFMAN, 0), codes=((), (), [12] * 4096), levels=many,
            value_code=[12] * 4096),
        "one-coded-level": one("a value code of one symbol: every code is one 0", 64, 6,
            [1, 2, 40, 50], [ONE, ONE | MINUS] * 2, packed=lone, value=(HUFFMAN, 0),
            codes=((), (), [1]), levels=[ONE], value_code=[1]),
        "code-length-12": one("codes of 1 to 12 bits, an odd number of levels, two blocks", 256, 8,
            list(range(180)), [many[i] for i in deep], packed=deep, value=(SIGNED_HUFFMAN, 0),
            key=(BITMAP, 0), codes=((), (), skewed), levels=many[:13], value_code=skewed),
        "code-with-gaps": one("levels that do not occur have length 0", 64, 6, [0, 1, 2],
            [TWO, LEVELS[3], TWO], packed=[1, 3, 1], value=(SIGNED_HUFFMAN, 0),
            codes=((), (), [0, 1, 0, 1]), levels=LEVELS, value_code=[0, 1, 0, 1]),
        "value-blocks": one("exactly two blocks of 128 HUFFMAN values", 256, 8, list(range(256)),
            [LEVELS[i % 4] for i in range(256)], packed=[i % 4 for i in range(256)],
            key=(ALL, 0), value=(SIGNED_HUFFMAN, 0), codes=((), (), FOUR), levels=LEVELS,
            value_code=FOUR),
    }  # fmt: skip


def gaps():
    """DELTA, BLOCKS and COLUMNS at their edges."""
    lone = classes((1, 1))
    edge = {"value": (SIGNED_RICE, 0), "levels": [ONE]}
    found = {}
    for count in (129, 256):
        keys = list(range(count))
        for name, codec in (("delta", DELTA), ("blocks", BLOCKS)):
            found[f"{name}-{count}"] = one(
                f"{count} keys without gaps", 300, 9, keys, [ONE] * count, packed=[0] * count,
                key=(codec, 0), codes=(lone,), key_codes=[lone] if codec == DELTA else [], **edge,
            )  # fmt: skip
    return found


def elements():
    """The other element types: every value codec, every kind of pattern and of level."""
    rng = random.Random(7)
    made = {}
    for name, element in ELEMENTS.items():
        width, significand = reference.ELEMENTS[element]
        minus, levels = 1 << width - 1, LEVELS_OF[element]
        infinity = (1 << width - 1) - (1 << significand)
        keys, patterns, chunks = [], [], []
        for i, (key_codec, value) in enumerate(zip(KEY_CODECS, VALUE_CODECS, strict=True)):
            own = list(range(64)) if key_codec == ALL else sorted(rng.sample(range(64), 9))
            if key_codec == SEEDED:
                own = reference.draw_keys(i, 9, 64, *SEEDS)
            pieces = [(8, 0, 64, list(range(8)))]
            chunk, values = chunk_of(rng, key_codec, value, 64, own, pieces, element)
            chunks.append(chunk)
            keys += [64 * i + key for key in own]
            patterns += values
        frame = Writer(512, 6, chunks, levels, CODES, FOUR, SEEDS, element=element)
        made[f"codecs-{name}"] = f"every value codec with {name}", frame, keys, patterns
        kinds = [infinity, infinity | minus, infinity + 1, infinity + 1 | minus, 2 * minus - 1,
            minus, 0, 1, minus + 1, infinity - 1, 1 << significand, (1 << significand) - 1,
            levels[0]]  # fmt: skip
        made[f"raw-specials-{name}"] = one(
            f"RAW values of {name}: NaNs, infinities, zeros of both signs, subnormals", 64, 6,
            list(range(len(kinds))), kinds, element=element,
        )  # fmt: skip
        kinds = [0, 1, minus + 1, infinity - 1, infinity - 1 | minus, levels[0], levels[0]]
        made[f"level-kinds-{name}"] = one(
            f"levels of {name}: +0, subnormal, largest, negative, repeated", 64, 6, list(range(7)),
            kinds, packed=list(range(7)), value=(SIGNED_FIXED, 3), levels=kinds, element=element,
        )  # fmt: skip
        made[f"sign-{name}"] = one(
            f"SIGN values of {name}, one level, which is +0", 64, 6, [0, 63], [minus, 0],
            packed=[(0, True), (0, False)], value=(SIGN, 0), levels=[0], element=element,
        )  # fmt: skip
        made[f"one-pattern-{name}"] = one(
            f"one RAW value of {name}", 64, 6, [5], [minus], element=element
        )
    return made


def dense():
    """Dense frames that are not written, and a sparse one that could be dense."""
    rng = random.Random(8)
    kind, full = {"frame_kind": 1}, {"key": (ALL, 0)}
    every, patterns = [], []
    for value in VALUE_CODECS:
        chunk, values = chunk_of(rng, ALL, value, 64, list(range(64)))
        every.append(chunk)
        patterns += values
    n = 64 * len(every)
    ten = list(range(10))
    return {
        "dense-every-value-codec": ("a dense frame of every value codec",
            Writer(n, 6, every, LEVELS, [], FOUR, header=kind), list(range(n)), patterns),
        "dense-one-element": one("a dense frame of one element, -0", 1, 24, [0], [MINUS],
            header=kind, tensors=[("", ())], **full),
        "dense-float64-specials": one("a dense frame of float64: -0, infinity, a NaN", 3, 6,
            [0, 1, 2], [1 << 63, 0x7FF << 52, 0xFFF0000000000001], element=4, header=kind, **full),
        "dense-no-elements": ("a dense frame of no elements", Writer(0, 6, header=kind), [], [0]),
        "sparse-all": one("a sparse frame of every element", 10, 6, ten, [ONE + i for i in ten],
            **full),
        "zeros-stored": one("a sparse frame that stores zeros of both signs", 64, 6, [3, 4, 9],
            [0, MINUS, ONE]),
    }  # fmt: skip


def columns():
    """Pieces of every kind."""

    def of(about, n, log2, keys, pieces, codes=(CODES[0], CODES[1])):
        values = [ONE + i for i in range(len(keys))]
        return one(about, n, log2, keys, values, key=(COLUMNS, 0), pieces=pieces, codes=codes,
            key_codes=list(codes))  # fmt: skip

    far = classes((1, 1), (18, 1))
    each = [(1, 0, 1, [0]) if i % 2 else (0, 0, 1, []) for i in range(255)]
    return {
        "columns-unused": of("active columns without a key, and a matrix without active columns",
            200, 8, [12, 34, 57, 60, 62], [(10, 0, 100, [0, 2, 4, 7, 9]), (10, 0, 100, [])]),
        "columns-plain": of("plain pieces beside each other, no tensors' borders; a row cut in two",
            200, 8, [0, 19, 21, 22, 105, 108], [(0, 0, 20, []), (0, 0, 5, []), (7, 3, 75, [0]),
            (7, 1, 100, [2, 6])]),
        "columns-1": of("a matrix of one column", 64, 6, [1, 2, 60], [(1, 0, 64, [0])]),
        "columns-long-rows": of("rows of 200,000 positions, longer than the piece", 150000, 18,
            [149999], [(200000, 1000, 150000, [150999])], (far, far)),
        "columns-255-pieces": of("255 pieces of one position", 255, 8,
            [i for i in range(255) if i % 5], each, (CODES[0], lone_class(1))),
    }  # fmt: skip


def drawn():
    """SEEDED keys."""
    most, wide = 2**64 - 1, 2**24
    rng = random.Random(9)

    def of_chunks(about, seeds, last, *codecs):
        """Chunks of (key codec, nnz, value codec): all of 64 positions, but the last."""
        chunks, keys, patterns = [], [], []
        for i, (key_codec, nnz, value) in enumerate(codecs):
            positions = last if i == len(codecs) - 1 else 64
            own = sorted(rng.sample(range(positions), nnz))
            if key_codec == SEEDED and nnz:
                own = reference.draw_keys(i, nnz, positions, *seeds)
            chunk, values = chunk_of(rng, key_codec, value, positions, own)
            chunks.append(chunk)
            keys += [64 * i + key for key in own]
            patterns += values
        n = 64 * (len(chunks) - 1) + last
        return about, Writer(n, 6, chunks, LEVELS, CODES, FOUR, seeds), keys, patterns

    def alone(about, n, log2, nnz, seeds):
        keys = reference.draw_keys(0, nnz, n, *seeds)
        values = [ONE + i for i in range(nnz)]
        return one(about, n, log2, keys, values, key=(SEEDED, 0), seeds=seeds)

    raw, fixed = (RAW, 0), (FIXED, 2)
    return {
        "seeded-first": of_chunks("drawn keys: first is 2^64 - 2, of five chunks",
            [7, most - 1], 64, *[(SEEDED, 5 + i, raw) for i in range(5)]),
        "seeded-first-high": of_chunks("drawn keys: bits of first that counters do not have",
            [7, 0xABCDEF << 40 | 3], 64, (SEEDED, 9, raw), (SEEDED, 9, raw)),
        "seeded-seed-most": of_chunks("drawn keys: seed and first are 2^64 - 1",
            [most, most], 64, (SEEDED, 20, raw), (SEEDED, 20, raw)),
        "seeded-seed-0": of_chunks("drawn keys: seed and first are 0, so the first draw is 0",
            [0, 0], 64, (SEEDED, 1, raw), (SEEDED, 1, raw)),
        "seeded-mixed": of_chunks("drawn keys between other keys; 37 positions last",
            SEEDS, 37, (SEEDED, 11, raw), (RICE, 7, fixed), (SEEDED, 0, fixed), (BITMAP, 30, raw),
            (SEEDED, 63, (SIGN, 0)), (DELTA, 9, (HUFFMAN, 0)), (BLOCKS, 1, raw),
            (SEEDED, 36, (SIGNED_RICE, 1))),
        "seeded-one": of_chunks("one drawn key per chunk, 10 positions in the last",
            SEEDS, 10, *[(SEEDED, 1, raw)] * 12),
        "seeded-full": of_chunks("drawn keys that are all positions", SEEDS, 1,
            (SEEDED, 64, fixed), (SEEDED, 64, raw), (SEEDED, 1, fixed)),
        "seeded-one-position": alone("one drawn key of one position", 1, 6, 1, SEEDS),
        "seeded-24": alone("drawn keys in 2^24 positions", wide, 24, 7, SEEDS),
        "seeded-24-most": alone("1,000 drawn keys in 2^24 - 1 positions, seed 2^64 - 1",
            wide - 1, 24, 1000, [most, 2**40 - 1]),
    }  # fmt: skip


def scaled():
    """Values times scales."""
    forms = {1: "<f", 2: "<e", 4: "<d"}

    def times(pattern, scale, element):
        """Rounded once: a product of numbers of 32 bits and less is exact in float64."""
        size = width_of(element) // 8
        a, b = (
            struct.unpack(forms[element], x.to_bytes(size, "little"))[0] for x in (pattern, scale)
        )
        return int.from_bytes(struct.pack(forms[element], a * b), "little")

    def of(about, runs, scales, element=1, codecs=VALUE_CODECS, levels=LEVELS_OF, size=64):
        """A chunk of 64 positions for each value codec, RICE keys but in the first."""
        rng = random.Random(10)
        starts = [sum(run[0] for run in runs[:i]) for i in range(len(runs))]
        ends = [
            start + min(block * (i + 1), positions)
            for start, (positions, block) in zip(starts, runs, strict=True)
            for i in range(-(-positions // block))
        ]
        each, sign = len(scales) // len(ends), 1 << width_of(element) - 1
        chunks, keys, patterns = [], [], []
        for i, value in enumerate(codecs):
            own = sorted(rng.sample(range(size), size // 3))
            key = (BITMAP, 0) if i == 0 else (RICE, 1)
            indices = [rng.randrange(4) if value[0] != SIGN else 0 for _ in own]
            negative = [rng.random() < 0.5 for _ in own]
            if value[0] == RAW:
                packed = found = [rng.getrandbits(width_of(element)) for _ in own]
            elif value[0] > 16:
                packed, found = indices, [levels[element][j] for j in indices]
            else:
                packed = list(zip(indices, negative, strict=True))
                found = [levels[element][j] | sign * minus for j, minus in packed]
            chunks.append(
                make_chunk(own, packed, key, value, 0, size, codes=((), (), FOUR),
                    bits=width_of(element))
            )  # fmt: skip
            for key, pattern in zip(own, found, strict=True):
                block = next(j for j, end in enumerate(ends) if size * i + key < end)
                scale = scales[block * each + (each - 1) * (pattern >= sign)]
                keys.append(size * i + key)
                raw = value[0] == RAW
                patterns.append(pattern if raw else times(pattern, scale, element))
        writer = Writer(
            size * len(codecs), 6, chunks, levels[element], [], FOUR, runs=runs, scales=scales,
            element=element,
        )  # fmt: skip
        return about, writer, keys, patterns

    def scales_of(rng, count, element):
        """Any below 2^10, subnormal ones and zeros among them."""
        width, p = reference.ELEMENTS[element]
        most = (2 ** (width - 2 - p) - 1 + 10) << p
        return [rng.choice((0, rng.randrange(1 << p), rng.randrange(most))) for _ in range(count)]

    rng = random.Random(11)
    odd = [(100, 7), (1, 1), (200, 2**64 - 1), (131, 50), (80, 80)]
    blocks = 15 + 1 + 1 + 3 + 1
    signed = [0x3FC00001, 0xBF800003, 0x00800001, 0x3F7FFFFF]
    tiny = [0, 1, 0x007FFFFF, 0x00800000]
    positive = [c for c in VALUE_CODECS if c[0] != RAW]
    own = [c for c in VALUE_CODECS if c[0] > 16]
    made = {
        "scaled": of(
            "scales of blocks of any length, in chunks of every value codec",
            odd,
            scales_of(rng, blocks, 1),
        ),
        "scaled-per-sign": of("two scales for each block", odd, scales_of(rng, 2 * blocks, 1)),
        "scaled-float16": of("scales of float16", odd, scales_of(rng, blocks, 2), 2),
        "scaled-float64": of(
            "scales of float64, two for each block", odd, scales_of(rng, 2 * blocks, 4), 4
        ),
        "scaled-float16-tiny": of(
            "products of float16 that are subnormal",
            [(448, 1)],
            scales_of(rng, 448, 2),
            2,
            positive,
            {2: [1, 0x3BFF, 0x0400, 0x03FF]},
        ),
        "scaled-rounded": of(
            "levels of many bits, so that products are rounded",
            [(192, 1)],
            [rng.randrange(0x7D000000) for _ in range(192)],
            1,
            own,
            {1: signed},
        ),
        "scaled-tiny": of(
            "products that are subnormal, or become zero",
            [(448, 3)],
            [rng.randrange(0x3F000000, 0x40800000) for _ in range(150)],
            1,
            positive,
            {1: tiny},
        ),
        "scaled-by-0": of("scales of zero", [(512, 512)], [0]),
        "scales-one-block": of("one block of 2^64 - 1 positions", [(512, 2**64 - 1)], [TWO]),
    }
    half = [0x3F80, 0x4000, 0x4080, 0x4100]
    bfloat16 = one(
        "scales of bfloat16: 0.5, 3 and 2^-120", 64, 6, [0, 1, 62, 63],
        [0x3F00, 0x41C0, 0x40C0, 0x0500], packed=[0, 3, 1, 2], value=(SIGNED_FIXED, 2), levels=half,
        element=3, runs=[(1, 1), (62, 62), (1, 1)], scales=[0x3F00, 0x4040, 0x0400],
    )  # fmt: skip
    raw = one("scales, and RAW values alone", 64, 6, [3], [ONE], runs=[(64, 64)], scales=[TWO])
    empty = one(
        "SCALES and RUNS present, with no entry", 64, 6, [3], [ONE],
        sections={11: (0, b""), 13: (0, b"")},
    )  # fmt: skip
    return made | {"scaled-bfloat16": bfloat16, "scales-raw": raw, "scales-empty": empty}


def lone_class(of_class):
    return classes((of_class, 1))


def frames():
    """What is uncommon around the chunks."""
    keys, values = [2, 50], [ONE, TWO]
    known = {"rank": 3, "world": 8, "contributions": 5, "bucket": 2**32 - 1, "weight": 2.0**-1074}
    known |= {"step": 2**64 - 1, "sum_key": 2**64 - 1, "rounding": 2, "bound_kind": 4}

    def of(about, **options):
        return one(about, 64, 6, keys, values, **options)

    many = [("", (2,) * 5 + (1,) * 27), ("w", ()), ("none", (2**48, 0)), ("", (31,))]
    empty = Writer(0, 24, header_len=256, sections={0xFFFF: (7, b"x")})
    zeros = Writer(2**26, 24, [make_chunk([], []) for _ in range(4)])
    return {
        "ancillary-sections": of("two ancillary sections that nobody knows, one of odd length",
            sections={0x8000: (2**32 - 1, b"whatever"), 0xFFFF: (0, bytes(range(33)))}),
        "ancillary-features": of("all ancillary feature bits",
            header={"ancillary_features": 2**32 - 1}),
        "header-192": of("header_len 192, the last 64 bytes hold anything", header_len=192),
        "minor-255": of("a later minor version", header={"minor": 255}),
        "empty-sections": one("all sections that may be empty present and empty", 1,
            6, [0], [TWO], keep_empty=True, tensors=[("", ())]),
        "codes-unused": of("levels and codes that no chunk uses", levels=LEVELS, key_codes=CODES,
            value_code=FOUR),
        "256-key-codes": one("the last of 256 key codes", 64, 6, keys, values, key=(DELTA, 255),
            codes=(CODES[1],), key_codes=[CODES[0]] * 255 + [CODES[1]]),
        "tensors": of("tensors of 32, 0, 2 and 1 dimensions, one of no elements", tensors=many),
        "sender-known": of("all fields that inform", header=known),
        "bound-absolute": of("the largest bound",
            header={"bound_kind": 3, "bound": 1.7976931348623157e308, "rounding": 3}),
        "bound-exact": of("bound_kind exact", header={"bound_kind": 1, "bound": 0.0}),
        "no-elements-at-all": ("no elements, an ancillary section, header_len 256", empty, [], [0]),
        "four-empty-chunks": ("2^26 zeros in 384 bytes", zeros, [], [0]),
        "empty-rice": ("an empty chunk with RICE keys and HUFFMAN values", Writer(64, 6,
            [make_chunk([], [], (RICE, 0), (HUFFMAN, 0))], LEVELS, CODES, FOUR), [], [0]),
        "value-code-unused": of("a value code that no chunk uses", levels=LEVELS, value_code=FOUR),
        "key-codes-unused": of("key codes that no chunk uses", key_codes=CODES),
        "seeds-unused": of("a seed and no chunk of drawn keys", seeds=SEEDS),
        "seeds-empty": of("SEEDS present, with no entry", sections={12: (0, b"")}),
        "levels-unused": of("levels that no chunk uses, an odd number of them", levels=LEVELS[:3]),
    }  # fmt: skip


def UNCOMMON():  # noqa: N802
    """{name: (about, frame, keys, values)}."""
    made = {"every-pair": pairs(), "empty-chunks": empty_chunks(), "full-chunks": full_chunks()}
    for group in (large, levels, elements, dense, gaps, columns, drawn, scaled, frames):
        made |= group()
    made = {name: (about, w.write(), k, v) for name, (about, w, k, v) in made.items()}
    _, frame, keys, values = made["minor-255"]
    made["bytes-after"] = "bytes after the frame are not part of it", frame + b"next", keys, values
    return made
