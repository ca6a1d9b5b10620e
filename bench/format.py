"""Sizes against their limits: `python bench/format.py [--gradients DIR]`.

Independent positions with Laplace values, where the entropy is known, and real gradients, where
general compressors of the bitmap of positions stand beside the key codecs. Where the folder has a
`layers.json`, {file stem: {"layers": [[name, shape], ...]}}, frames know their matrices.

What delta keys cost is taken apart, beside the class entropy of the gaps: that of their classes by
frequency, and the bits below the leading one.
"""

import argparse
import json
import lzma
from pathlib import Path

import numpy as np
from harness import store, table

import gcodec
from gcodec.arrays import as_bytes
from gcodec.format.directory import (
    KEY_HIGH,
    KEY_INDEX,
    KEY_LOW,
    plane_bits,
    plane_words,
)
from gcodec.format.frame import parse
from gcodec.format.ids import KeyCodec
from gcodec.kernels import load
from gcodec.packing import KEY_PACKINGS

RATIOS = (0.01, 0.001)
KEYS = 1.2e5
"""Independent positions are at least so many, or fixed costs would count."""

COARSE = {"2 bits": gcodec.FewBit(2), "sign": gcodec.FewBit(1, per_sign=False)}
VALUES = "reclog:ratio={ratio},per_octave=4"


def entropy(counts):
    """Bits per symbol by frequency."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def class_entropy(classes):
    """Bits per gap: of its class by frequency, and below its leading one."""
    return entropy(np.bincount(classes)) + float((classes - 1).mean())


def delta_parts(frame):
    """Bits per key of delta keys, by what they are for; all but the tables are in the payload."""
    parsed = parse(as_bytes(frame), load("cpu"))
    directory, log2 = parsed.directory, parsed.header.chunk_log2
    filled = directory["nnz"] > 0
    assert (directory["key_codec"][filled] == KeyCodec.DELTA).all()
    keys = gcodec.decode_sparse(frame)[0]
    chunk, gaps = keys >> log2, np.diff(keys, prepend=-1)
    first = np.diff(chunk, prepend=-1) > 0
    gaps[first] = (keys - (chunk << log2) + 1)[first]
    classes = np.frexp(gaps.astype(np.float64))[1]
    code = directory["key_param"][chunk]
    own = sum(class_entropy(classes[code == c]) * np.mean(code == c) for c in np.unique(code))
    rests = np.bincount(chunk, classes - 1, directory.size).astype(np.int64)
    planes = [KEY_INDEX, KEY_HIGH, KEY_LOW]
    bits = plane_bits(directory, parsed.element, rests)[:, planes].sum(axis=0)
    words = plane_words(directory, parsed.element, rests)[:, planes].sum()
    pooled, alone = class_entropy(classes), (bits[1] + bits[2]) / keys.size
    return {
        "keys": keys.size,
        "codes": len(parsed.tables.key_codes),
        "class entropy": pooled,
        "class entropy in each code": own,
        "codes and rests": alone,
        "codes and rests - class entropy": alone - pooled,
        "code tables": 8 * parsed.section_bytes()["KEYCODES"] / keys.size,
        "block offsets": bits[0] / keys.size,
        "planes up to words": (64 * words - bits.sum()) / keys.size,
    }


def independent_gradient(n, ratio):
    """Laplace values at independent positions, and zeros; how many values there are."""
    rng = np.random.default_rng(0)
    grad = np.zeros(n, np.float32)
    at = np.flatnonzero(rng.random(n) < ratio)
    grad[at] = (1 + rng.exponential(0.2, at.size)) * rng.choice([-1, 1], at.size)
    return grad, at.size


def independent(grad, kept):
    """Whole frames over the entropy of independent positions, signs and levels."""
    rows = {}
    for keys in KEY_PACKINGS:
        frame = gcodec.get_codec(f"reclog:k={kept},per_octave=4,keys={keys}").encode(grad)
        found = gcodec.inspect(frame)
        levels = np.unique(np.abs(gcodec.decode_sparse(frame)[1]), return_counts=True)[1]
        limit = kept * (found.key_entropy + 1 + entropy(levels)) / 8
        rows[keys] = {
            "bits per key": found.bits_per_key,
            "key entropy": found.key_entropy,
            "frame over entropy": found.frame_bytes / limit,
        }
    return rows


def real(path, layers, ratio):
    """Bits per key of every key codec and of general compressors, and what a kept element costs."""
    grad = np.load(path)
    row = {}
    for keys in KEY_PACKINGS:
        codec = gcodec.get_codec(f"{VALUES.format(ratio=ratio)},keys={keys}")
        flat, known = (codec.encode(grad, tensors=shapes) for shapes in (None, layers))
        row[keys] = gcodec.inspect(known if keys == "columns" else flat).bits_per_key
        if keys == "auto":
            plain, whole = gcodec.inspect(flat), gcodec.inspect(known)
    kept = gcodec.decode(flat).reshape(-1) != 0
    positions = np.flatnonzero(kept)
    row["key entropy"] = plain.key_entropy
    bitmap = np.packbits(kept).tobytes()
    row["xz"] = 8 * len(lzma.compress(bitmap, preset=9 | lzma.PRESET_EXTREME)) / positions.size
    row["zstd-19"] = _zstd(bitmap, positions.size)
    row["bits per value"] = plain.bits_per_value
    row["value entropy"] = plain.value_entropy
    row["bytes per kept"] = plain.bytes_per_kept
    row["with layers"] = whole.bytes_per_kept
    row["error"] = gcodec.verify(flat, grad).kept_error
    for name, quantize in COARSE.items():
        frame = gcodec.Codec(gcodec.TopK(ratio), quantize).encode(grad)
        row[f"{name}: bytes per kept"] = gcodec.inspect(frame).bytes_per_kept
        row[f"{name}: error"] = gcodec.verify(frame, grad).kept_error
    return row


def _zstd(data, count):
    try:
        import zstandard
    except ImportError:
        return float("nan")
    return 8 * len(zstandard.ZstdCompressor(level=19).compress(data)) / count


def show(title, rows):
    """A table with a column for each gradient."""
    names = list(rows)
    cells = [[what, *(rows[name][what] for name in names)] for what in rows[names[0]]]
    print(table(f"\n{title}", ["", *names], cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gradients", type=Path, help="folder of float32 .npy, with layers.json or not"
    )
    parser.add_argument("--n", type=int, default=1 << 24)
    arguments = parser.parse_args()
    figures = {"independent": {}, "real": {}, "delta": {}}
    paths = sorted(arguments.gradients.glob("*.npy")) if arguments.gradients else []
    for ratio in RATIOS:
        n = max(arguments.n, round(KEYS / ratio))
        grad, kept = independent_gradient(n, ratio)
        rows = figures["independent"][ratio] = independent(grad, kept)
        columns = list(next(iter(rows.values())))
        cells = [[keys, *row.values()] for keys, row in rows.items()]
        print(table(f"\nindependent positions, {ratio:.1%} of {n}", ["", *columns], cells))
        own = gcodec.get_codec(f"topk:k={kept},keys=delta")
        coded = figures["delta"][ratio] = {"independent": delta_parts(own.encode(grad))}
        own = gcodec.get_codec(f"topk:ratio={ratio},keys=delta")
        coded |= {path.stem: delta_parts(own.encode(np.load(path))) for path in paths}
        show(f"delta keys of the top {ratio:.1%}, bits per key", coded)
    for ratio in RATIOS if paths else ():
        described = arguments.gradients / "layers.json"
        layers = json.loads(described.read_text()) if described.exists() else {}
        rows = figures["real"][ratio] = {
            path.stem: real(path, layers.get(path.stem, {}).get("layers"), ratio) for path in paths
        }
        show(f"exact top {ratio:.1%}, bits per key unless said", rows)
    print(store("format", figures))


if __name__ == "__main__":
    main()
