"""Frames that gcodec writes, with what went in."""

import numpy as np

import gcodec


def spread(n, places, values):
    """A gradient of `values`, repeated as often as needed, at places; zeros elsewhere."""
    dense = np.zeros(n, np.float32)
    keys = np.array(sorted(places), np.int64)
    dense[keys] = np.resize(np.array(values, np.float32), keys.size)
    return dense


def at(*runs):
    """Places: [first, last, step] or one number."""
    spans = [run if isinstance(run, list) else [run, run, 1] for run in runs]
    return [key for first, last, step in spans for key in range(first, last + 1, step)]


EVERY = "reclog:ratio=1,per_octave=1"
ROW = range(20, 60)


def inputs():
    """{name: (about, recipe, gradient, options)}; values are levels, so they come back as sent."""
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
    return {
        "example": ("the frame of section 12.1", "topk:k=3", small, {"name": "w", "step": 7}),
        "example-quantised": (
            "the frame of section 12.1, quantised",
            "reclog:k=3,per_octave=4,keys=rice",
            small,
            {"name": "w", "step": 7},
        ),
        "all-fixed": ("ALL keys", EVERY, spread(40, range(40), [1, -1, 1, 2, -1, -2, 2]), {}),
        "bitmap-huffman": (
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
        "rice-sign": ("SIGN values", EVERY, spread(900, at([5, 899, 31]), [2, -2, -2]), {}),
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
        "columns-signed-huffman": (
            "COLUMNS keys: biases, then a matrix of 8 active columns",
            "reclog:k=200,per_octave=1,keys=columns",
            spread(974, columns, [1, 2, 4, 8, 16]),
            {"tensors": [("b", (24,)), ("w", (19, 50))]},
        ),
        "columns-between": (
            "COLUMNS keys: two matrices, with plain pieces and an empty tensor between and after",
            "topk:ratio=1,keys=columns",
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
            "four chunks of 512 positions; the third has one key, so RAW takes one word there too",
            "topk:ratio=1",
            spread(2000, at([0, 1023, 9], 1200, [1990, 1999, 1]), [0.75, -3, 1e-3]),
            {},
        ),
        "chunks-differ": (
            "chunks of other density and spread have other codecs",
            EVERY,
            spread(2000, at([0, 511, 1], [512, 1023, 2], 1100, [1536, 1600, 3]), of_levels),
            {},
        ),
    }


def VALID():  # noqa: N802 - the folders of vectors are named like this
    """{name: (about, frame, keys, values)}."""
    vectors = {}
    for name, (about, recipe, gradient, options) in inputs().items():
        codec = gcodec.get_codec(recipe)
        frame = bytes(codec.encode(gradient, **options))
        flat = gradient.reshape(-1)
        k = getattr(codec.select, "k", None) or flat.size
        magnitude = np.abs(flat)
        order = np.argsort(-magnitude, kind="stable")[:k]
        keys = np.sort(order[magnitude[order] > 0])
        if codec.quantize == gcodec.Raw():
            values = flat[keys].view(np.uint32).tolist()
        else:
            values = gcodec.decode(frame).reshape(-1)[keys].view(np.uint32).tolist()
        vectors[name] = f"{about}; recipe {recipe}", frame, keys.tolist(), values or [0]
    return vectors
