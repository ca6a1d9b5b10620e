"""Frames that gcodec writes, with what went in."""

import math

import numpy as np
from writer import reference

import gcodec


def spread(n, places, values, dtype=np.float32):
    """A gradient of `values`, repeated as often as needed, at places; zeros elsewhere."""
    dense = np.zeros(n, dtype)
    keys = np.array(sorted(places), np.int64)
    dense[keys] = np.resize(np.array(values, dtype), keys.size)
    return dense


def bfloat16(dense):
    """The upper halves of float32 numbers, which is all there is to them."""
    patterns = dense.view(np.uint32)
    assert not (patterns & 0xFFFF).any()
    return (patterns >> 16).astype(np.uint16)


def at(*runs):
    """Places: [first, last, step] or one number."""
    spans = [run if isinstance(run, list) else [run, run, 1] for run in runs]
    return [key for first, last, step in spans for key in range(first, last + 1, step)]


EVERY = "reclog:ratio=1,per_octave=1"
ROW = range(20, 60)


def inputs():
    """{name: (about, recipe, gradient, options)}."""
    columns = at(*([c, 973, 50] for c in (24, 25, 27, 34, 35, 54, 55, 68)), 5, 6, 20)
    small = np.array([0.5, -0.03125, 0, 0.0625, -1.5, 0.25, 0, -0.125, 0.0625, 0.5], np.float32)
    random = np.random.default_rng(1)
    bucket = [("w1", (40, 30)), ("b1", (30,)), ("w2", (30, 50)), ("gain", ()), ("none", (0, 4))]
    parts = [np.zeros(shape, np.float32) for _, shape in bucket]
    parts[0][:, [3, 4, 11, 29]] = 1
    parts[1][::3] = 2
    parts[2][:, [0, 7, 8, 49]] = 0.5
    parts[3][...] = 4
    joined = np.concatenate([part.reshape(-1) for part in parts])
    of_levels = random.choice([1, 2, 4, 8], 300) * random.choice([-1, 1], 300)
    of_signs = [*[1, 1, -1, -1] * 248, *of_levels[:32], *[8, -8, -8, 8] * 194]
    skewed = np.where(random.random(2000) < 0.7, 1.0, np.exp2(random.integers(1, 17, 2000)))
    clusters = [40 * c + i for c in range(0, 1000, 5) for i in range(12) if i != c % 7]
    active = np.flatnonzero(random.random(400) < 0.05)
    return {
        "example": ("the frame of section 12.1", "topk:k=3", small, {"name": "w", "step": 7}),
        "example-quantised": (
            "the frame of section 12.1, quantised",
            "reclog:k=3,per_octave=4,keys=rice",
            small,
            {"name": "w", "step": 7},
        ),
        "all-fixed": ("ALL keys", EVERY, spread(40, range(40), [1, -1, 1, 2, -1, -2, 2]), {}),
        "bitmap-fixed": (
            "BITMAP keys",
            EVERY + ",keys=bitmap",
            spread(
                400,
                at([0, 399, 4], [1, 117, 4]),
                [1, -2, 4, 8, 16, 1, 2, -4, 8, -16, -1, 2, 4, -8, 16, -1],
            ),
            {},
        ),
        "coo-raw": (
            "COO keys",
            "topk:k=7,keys=coo",
            spread(1000, at([3, 999, 160]), small[:5]),
            {},
        ),
        "rice-rice": (
            "RICE keys, RICE values",
            EVERY + ",keys=rice",
            spread(
                200,
                at([1, 157, 4], 199),
                [1, -1, -1, 1, 1, -1, 2, 1, 1, -1, 1, 1, -1, 4, -1, -1, 1, -8, -1, 1],
            ),
            {},
        ),
        "fixed-0": ("one level", EVERY, spread(1800, at([5, 1799, 31]), [2, -2, -2]), {}),
        "sign": (
            "SIGN values in the second of two chunks",
            EVERY,
            spread(1800, range(1800), of_signs),
            {},
        ),
        "huffman": (
            "HUFFMAN values: skewed levels, signs of no order",
            EVERY,
            spread(4000, at([0, 3999, 2]), skewed * random.choice([-1, 1], 2000)),
            {},
        ),
        "signed-huffman": (
            "SIGNED_HUFFMAN values: skewed levels, each of one sign",
            EVERY,
            spread(4000, at([0, 3999, 2]), skewed * np.where(np.log2(skewed) % 2, -1, 1)),
            {},
        ),
        "delta": (
            "DELTA keys that pay for their code: clusters",
            "topk:k=2000",
            spread(40000, clusters, skewed),
            {},
        ),
        "columns": (
            "COLUMNS keys that pay for their codes: a matrix of 400 columns, 20 active",
            "topk:k=1800",
            spread(40000, at(*([c, 39999, 400] for c in active)), skewed),
            {"tensors": [("w", (100, 400))]},
        ),
        "delta-signed-rice": (
            "DELTA keys in two blocks",
            EVERY + ",keys=delta",
            spread(500, at([2, 384, 3], 400, 499), [1, 1, 1, 2, 1, 1, 1, 1, 1, 4]),
            {},
        ),
        "blocks-signed-fixed": (
            "BLOCKS keys in two blocks",
            EVERY + ",keys=blocks",
            spread(400, at([0, 254, 2], 255, 300, 399), [1, 2, 4, 8]),
            {},
        ),
        "columns-signed-fixed": (
            "COLUMNS keys: biases, then a matrix of 8 active columns",
            "reclog:k=200,per_octave=1,keys=columns",
            spread(974, columns, [1, 2, 4, 8, 16]),
            {"tensors": [("b", (24,)), ("w", (19, 50))]},
        ),
        "columns-between": (
            "COLUMNS keys: two matrices, with plain pieces and an empty tensor between and after",
            "topk:k=280,keys=columns",
            joined,
            {"tensors": bucket, "step": 2**64 - 1},
        ),
        "bucket": (
            "five tensors, of 2, 1, 2, 0 and 2 dimensions; the last has no elements",
            "topk:k=9",
            joined,
            {"tensors": bucket},
        ),
        "no-elements": ("an array of no elements", "topk:ratio=0.1", np.zeros(0, np.float32), {}),
        "nothing-stored": ("300 zeros of both signs", EVERY, spread(300, ROW, [-0.0]), {}),
        "scalar": (
            "a tensor of no dimensions: no DIMS",
            "topk:k=1",
            np.array(-2.5, np.float32),
            {},
        ),
        "one-element": ("one element", EVERY, np.array([-4], np.float32), {"name": "gain"}),
        "32-dimensions": (
            "a tensor of 32 dimensions",
            "topk:k=4",
            of_levels[:24].astype(np.float32).reshape((1,) * 15 + (2, 3, 4) + (1,) * 14),
            {},
        ),
        "subnormals": (
            "raw subnormals and the largest number",
            "topk:ratio=1",
            np.array([2**-149, -(2**-149), 2**-126 - 2**-149, 3.4028235e38], np.float32),
            {},
        ),
        "several-chunks": (
            "four chunks of 1,024 positions; the third has one key, so RAW takes a word there too",
            "topk:ratio=1",
            spread(4000, at([0, 2047, 18], 2400, [3990, 3999, 1]), [0.75, -3, 1e-3]),
            {},
        ),
        "chunks-differ": (
            "chunks of other density and spread have other codecs",
            EVERY,
            spread(4000, at([0, 1023, 1], [1024, 2047, 2], 2200, [3072, 3200, 3]), of_levels),
            {},
        ),
    }


def element_types():
    """Like `inputs`, in the other types, raw and quantised."""
    made = {}
    levels = [1, -2, 0.5, 4, 1, 1, -1]
    two_chunks = at([0, 1020, 4], [1, 1021, 4], [1026, 1399, 3])
    numbers = {
        "float16": [0.1, -65504, 2**-24, 1, 2**-14 - 2**-24, -0.5],
        "bfloat16": [0.75, -3.3895313892515355e38, 2**-133, 1, -(2**-126)],
        "float64": [0.1, -1.7976931348623157e308, 5e-324, 1e-300, -1 / 3],
    }
    for name, raw in numbers.items():
        dtype = np.float32 if name == "bfloat16" else np.dtype(name)
        even = [4, -2, 0.5, -1, 1, *([-4, 2, -0.5] if name == "float64" else [])]
        keys = at([3, 699, 58], 17)
        for packing, recipe, values, places in (
            ("raw", "topk:k=11", raw, keys),
            ("reclog", EVERY, [*levels * 73, 4, *even * 25], two_chunks),
            ("dense", "dense", [0, *raw, -0.0], range(150)),
            ("dense-reclog", "dense|reclog", [0.0, *levels, -0.0], range(150)),
        ):
            n = {"raw": 700, "reclog": 1400}.get(packing, 150)
            gradient = spread(n, places, values, dtype)
            gradient = bfloat16(gradient) if name == "bfloat16" else gradient
            made[f"{name}-{packing}"] = f"{packing} values of {name}", recipe, gradient, {}
    return made


def whole():
    """Dense frames of float32, and what is near to them."""
    random = np.random.default_rng(6)
    signed = [0.0, 1, -2, -0.0, 4, 1]
    full = spread(200, range(200), [0.5, -1e-3, 3])
    most = random.standard_normal(3000).astype(np.float32)
    bucket = [("w", (40, 30)), ("b", (80,)), ("v", (1200,))]
    joined = random.standard_normal(2480).astype(np.float32)
    joined[:1200] *= 1e3
    return {
        "dense": ("all elements, zeros of both signs too", "dense", spread(99, range(99), signed),
            {"name": "w"}),
        "dense-bucket": ("three chunks, three tensors", "dense", joined, {"tensors": bucket}),
        "dense-reclog": ("zeros of both signs decode to +0", "dense|reclog",
            spread(400, range(400), signed), {}),
        "dense-topk": ("a dense frame from topk: every element is kept", "topk:ratio=1", full, {}),
        "dense-zeros": ("zeros only: nothing is stored", "dense|reclog", np.zeros(70, np.float32),
            {}),
        "dense-most-zeros": ("fewer than half are not zero, so zeros are not stored",
            "dense|reclog", spread(400, range(199), [1, -2, 4]), {}),
        "dense-half-zeros": ("half are not zero, so zeros are stored", "dense|reclog",
            spread(400, range(200), [1, -2, 4]), {}),
        "fixed-values": ("SIGNED_FIXED values, all levels of the grid",
            "reclog:ratio=0.3,per_octave=1,values=fixed",
            spread(3000, range(0, 3000, 3), [1, -2, 4, -8, 64]), {}),
        "fixed-values-dense": ("all elements as SIGNED_FIXED values, most of them zero",
            "dense|reclog|fixed", spread(1500, range(0, 1500, 7), [1, -2, 4, -8, 64]), {}),
        "fixed-values-float16": ("the same of float16", "dense|reclog|fixed",
            spread(1500, range(0, 1500, 7), [1, -2, 4, -8, 64], np.float16), {}),
        "fixed-values-none": ("nothing stored, so no levels",
            "reclog:k=5,per_octave=1,values=fixed", np.zeros(100, np.float32), {}),
        "whole-chunks": ("99 % is kept, so chunks are stored whole, with zeros", "topk:ratio=0.99",
            most, {}),
        "per-tensor": ("the larger half of each tensor", "topk:ratio=0.5,per_tensor=1", joined,
            {"tensors": bucket, "step": 3}),
        "per-tensor-reclog": ("a tenth of each tensor",
            "reclog:ratio=0.1,per_octave=2,per_tensor=1", joined, {"tensors": bucket}),
    }  # fmt: skip


def random():
    """Elements drawn by a shared seed; zeros go too."""
    flat = spread(10000, at([0, 9999, 3]), [0.75, -3, 1e-3, -0.0])
    return {
        "seeded": ("SEEDED keys in three chunks, the last one shorter", "randomk:k=1802", flat,
            {"name": "w", "step": 2**64 - 1}),
        "seeded-seed": ("SEEDED keys, another seed, a bucket", "randomk:ratio=0.3,seed=-5", flat,
            {"tensors": [("a", (80, 50)), ("b", (6000,))]}),
        "seeded-few": ("SEEDED keys in the second and the fourth of four chunks",
            "randomk:k=2,seed=1", spread(2**24, at([0, 2**24 - 1, 2]), [1.5]), {"step": 3}),
        "seeded-all": ("all elements drawn: ALL keys, no SEEDS", "randomk:ratio=1", flat[:5000],
            {}),
        "seeded-float16": ("SEEDED keys and float16", "randomk:k=300,seed=2",
            flat.astype(np.float16), {"name": "v"}),
        "seeded-rice": ("drawn positions as RICE keys", "randomk:k=1802,keys=rice", flat,
            {"name": "w", "step": 2**64 - 1}),
        "randomblock": ("a run of elements", "randomblock:k=1400", flat, {"name": "w", "step": 1}),
        "randomblock-around": ("a run of elements around the end", "randomblock:ratio=0.6,seed=5",
            flat, {"name": "w", "step": 1}),
    }  # fmt: skip


def numbers_of(flat):
    """As float64; uint16 holds bfloat16."""
    if flat.dtype == np.uint16:
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.astype(np.float64)


def quantised(flat, per_octave):
    """Patterns of the levels nearest by logarithm (section 13), none of them subnormal."""
    b = 2.0
    for _ in range(per_octave.bit_length() - 1):
        b = math.sqrt(b)
    heights = [2 / (math.sqrt(b) + 1 / math.sqrt(b))]
    while len(heights) < per_octave:
        heights.append(heights[-1] * b)
    p = {"float16": 10, "uint16": 7, "float32": 23, "float64": 52}[flat.dtype.name]
    levels = []
    for x in numbers_of(flat).tolist():
        octave, j = divmod(math.floor(per_octave * math.log2(abs(x) or 1) + 0.5), per_octave)
        part, exponent = math.frexp(math.ldexp(heights[j], octave))
        level = math.ldexp(round(math.ldexp(part, p + 1)), exponent - p - 1)
        levels.append(math.copysign(level, x) if x else 0)
    if flat.dtype == np.uint16:
        return bfloat16(np.array(levels, np.float32))
    return np.array(levels, flat.dtype).view(f"u{flat.itemsize}")


def codec_of(recipe):
    """Of a recipe, or of `dense|reclog`: all elements on a grid of powers of two."""
    if recipe.startswith("dense|reclog"):
        values = "fixed" if recipe.endswith("fixed") else "auto"
        return gcodec.Codec(gcodec.Dense(), gcodec.ReciprocalLog(1), values=values)
    return gcodec.get_codec(recipe)


def largest(magnitude, count):
    """Keys of the largest magnitudes that are not 0, the lower ones of equal ones."""
    order = np.argsort(-magnitude.astype(np.float64), kind="stable")[:count]
    return np.sort(order[magnitude[order] > 0])


def shared(select, options):
    """The seed of a selector that draws, for a tensor and a step."""
    name = options["tensors"][0][0] if "tensors" in options else options.get("name", "")
    name_hash, step = reference.xxh64(name.encode(), 0), options.get("step", 0)
    stream = name_hash + step * 0xD1342543DE82EF95
    return reference.draw((select.seed * 0x9E3779B97F4A7C15 ^ stream) % 2**64, 0)


def drawn(select, seed, n, size):
    """Positions that RandomK or RandomBlock keep of n elements, in chunks of `size`."""
    m = select.k or min(n, max(1, round(select.ratio * n)))
    if isinstance(select, gcodec.RandomBlock):
        return np.sort((seed % n + np.arange(m)) % n)
    keys, done = [], 0
    for i, start in enumerate(range(0, n, size)):
        end = min(start + size, n)
        count = m * end // n - done
        done += count
        if count:
            part = reference.draw_keys(i, count, end - start, seed, 0)
            keys += [start + key for key in part]
    return np.array(keys)


def kept(codec, magnitude, options, frame):
    """Keys that a codec keeps, by sorting, or by drawing."""
    select, tensors = codec.select, options.get("tensors")
    if isinstance(select, gcodec.RandomK | gcodec.RandomBlock):
        size = 1 << gcodec.inspect(frame).header["chunk_log2"]
        return drawn(select, shared(select, options), magnitude.size, size)
    if isinstance(select, gcodec.Dense):
        return np.arange(magnitude.size)
    sizes = [math.prod(shape) for _, shape in tensors] if codec.per_tensor else [magnitude.size]
    keys, start = [], 0
    for size in sizes:
        count = select.k or min(size, max(1, round(select.ratio * size)))
        keys.append(start + largest(magnitude[start : start + size], count))
        start += size
    return np.concatenate(keys)


def VALID():  # noqa: N802 - the folders of vectors are named like this
    """{name: (about, frame, keys, values)}."""
    vectors = {}
    groups = inputs() | element_types() | whole() | random()
    for name, (about, recipe, gradient, options) in groups.items():
        codec = codec_of(recipe)
        frame = bytes(codec.encode(gradient, **options))
        flat = gradient.reshape(-1)
        bits = flat.view(f"u{flat.itemsize}")
        keys = kept(codec, np.abs(numbers_of(flat)), options, frame)
        if name == "whole-chunks":
            dropped = np.ones(flat.size, bool)
            dropped[keys] = False
            bits = np.where(dropped, 0, bits)
            keys = np.arange(flat.size)
        values = bits[keys]
        if codec.quantize != gcodec.Raw():
            values = quantised(flat[keys], codec.quantize.per_octave)
            if 2 * np.count_nonzero(values) < values.size and codec.values == "auto":
                keys, values = keys[values != 0], values[values != 0]
        vectors[name] = f"{about}; recipe {recipe}", frame, keys.tolist(), values.tolist() or [0]
    return vectors | slices() | scaled()


def scaled():
    """Blocks with scales: signs and means, and one log level for each factor of two."""
    rows = np.array([[1, -3, 0, 2], [8, 8, -8, 8], [0, 0, 0, 0], [-5, 1, 1, 1]], np.float32)
    long = spread(6000, at([0, 5999, 7]), [3, -1.5, 0.75, 6, -12])
    means = np.repeat(np.abs(rows).mean(1), 4) * np.where(np.signbit(rows), -1, 1).reshape(-1)
    signed = np.where(rows < 0, [[-3], [-8], [0], [-5]], [[1], [8], [0], [1]]).reshape(-1)
    kept = np.flatnonzero(long)
    largest = 12 if kept.size else 0
    level = np.float32(2 / (math.sqrt(2) + math.sqrt(0.5)))
    ends = np.append(np.arange(100, 6000, 100), 6000)
    tops = np.array([np.abs(long[end - 100 : end]).max() for end in ends], np.float32)
    scale = tops[kept // 100]
    units = np.exp2(np.round(np.log2(np.abs(long[kept]) / scale))).astype(np.float32) * level
    by_block = np.copysign(units * scale, long[kept])
    whole = np.exp2(np.round(np.log2(np.abs(long[kept]) / largest))).astype(np.float32) * level
    by_tensor = np.copysign(whole * np.float32(largest), long[kept])
    made = {
        "scales-row": ("a mean of magnitudes for each row", "efsignsgd:scales=row", rows, {},
            np.arange(16), means.astype(np.float32)),
        "scales-per-sign": ("a mean of each sign for each row", "onebit:scales=row", rows, {},
            np.arange(16), signed.astype(np.float32)),
        "scales-blocks": ("the largest of every 100", "reclog:ratio=1,per_octave=1,scales=100",
            long, {}, kept, by_block),
        "scales-tensor": ("the largest of a tensor", "reclog:ratio=1,per_octave=1,scales=tensor",
            long, {}, kept, by_tensor),
    }  # fmt: skip
    vectors = {}
    for name, (about, recipe, gradient, options, keys, values) in made.items():
        frame = bytes(gcodec.get_codec(recipe).encode(gradient, **options))
        vectors[name] = (
            f"{about}; recipe {recipe}",
            frame,
            keys.tolist(),
            values.view(np.uint32).tolist(),
        )
    frame = gcodec.get_codec("reclog:ratio=1,per_octave=1,scales=100").encode(long)
    size = 1 << gcodec.inspect(frame).header["chunk_log2"]
    inside = kept >= size
    vectors["scales-slice"] = (
        f"elements {size} to 6000 of scales-blocks, by slice, which cuts a block",
        bytes(gcodec.slice(frame, size, 6000)),
        (kept[inside] - size).tolist(),
        by_block[inside].view(np.uint32).tolist(),
    )
    return vectors


def slices():
    """Frames cut out of a frame."""
    flat = spread(4000, at([0, 2047, 18], 2400, [3990, 3999, 1]), [0.75, -3, 1e-3])
    frame = gcodec.get_codec("topk:ratio=1").encode(flat, name="w", step=9)
    size = 1 << gcodec.inspect(frame).header["chunk_log2"]
    made = {}
    for name, start, stop in (("slice", size, 2 * size), ("slice-end", 2 * size, 4000)):
        part = flat[start:stop]
        keys = np.flatnonzero(part)
        about = f"elements {start} to {stop} of a frame of 4000, by slice"
        data = bytes(gcodec.slice(frame, start, stop))
        made[name] = about, data, keys.tolist(), part[keys].view(np.uint32).tolist()
    return made | seeded_slices()


def seeded_slices():
    """Frames cut out of `seeded`, and one out of that."""
    _, recipe, flat, options = random()["seeded"]
    codec = gcodec.get_codec(recipe)
    frame = codec.encode(flat, **options)
    size = 1 << gcodec.inspect(frame).header["chunk_log2"]
    every = drawn(codec.select, shared(codec.select, options), flat.size, size)
    tail = gcodec.slice(frame, size, flat.size)
    parts = {
        "seeded-slice": (size, flat.size, tail),
        "seeded-slice-slice": (2 * size, flat.size, gcodec.slice(tail, size, flat.size - size)),
        "seeded-slice-none": (size, size, gcodec.slice(frame, size, size)),
    }
    made = {}
    for name, (start, stop, data) in parts.items():
        keys = every[(every >= start) & (every < stop)]
        about = f"elements {start} to {stop} of a frame of {flat.size} with SEEDED keys, by slice"
        values = flat[keys].view(np.uint32).tolist() or [0]
        made[name] = about, bytes(data), (keys - start).tolist(), values
    return made
