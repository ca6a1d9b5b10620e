"""Speed and size of the codec: `python bench/codec.py [--gradients DIR]`.

Speed: share of a one-pass read over the same data in the same rounds, one thread, data in DRAM
(three inputs in rotation). Size: bits per key and value beside their entropies, on real gradients
if a folder is given. Round trips are asserted before anything is timed.
"""

import argparse
from pathlib import Path

import numpy as np
from harness import READ, interleave, read_pass, store, table

import gcodec

RATIO = 0.01
SIZES_RECIPE = "reclog:ratio=0.01,per_octave=4"


def coo(grad, threshold):
    """The NumPy peer: 64-bit key-value pairs."""
    keys = np.flatnonzero(np.abs(grad) > threshold)
    return keys.astype(np.uint32), grad[keys]


def speed(n, rounds):
    """Seconds of each operation as shares of a read pass."""
    rng = np.random.default_rng(0)
    grads = [rng.laplace(scale=1e-3, size=n).astype(np.float32) for _ in range(3)]
    cut = float(np.quantile(np.abs(grads[0][: 1 << 20]), 1 - RATIO))
    known = gcodec.get_codec(f"reclog:threshold={cut!r}")
    exact = gcodec.get_codec(f"reclog:ratio={RATIO}")
    sampled = gcodec.Codec(gcodec.SampledQuantile(RATIO), gcodec.ReciprocalLog(4))
    memory = gcodec.ErrorFeedback(exact)
    frames = [known.encode(g) for g in grads]
    out = np.zeros(n, np.float32)
    for grad, frame in zip(grads, frames, strict=True):
        keys, _ = gcodec.decode_sparse(frame)
        assert np.array_equal(keys, np.flatnonzero(np.abs(grad) > np.float32(cut)))

    def feedback(i):
        memory.encode("w", grads[i % 3])
        memory.commit("w")

    seconds = interleave(
        {
            READ: lambda i: read_pass(grads[i % 3].view(np.uint32)),
            "encode, threshold known": lambda i: known.encode(grads[i % 3]),
            "encode, threshold sampled": lambda i: sampled.encode(grads[i % 3]),
            "encode, exact top-k": lambda i: exact.encode(grads[i % 3]),
            "error feedback, exact top-k": feedback,
            "decode + accumulate": lambda i: gcodec.accumulate(frames[i % 3], out),
            "numpy flatnonzero COO": lambda i: coo(grads[i % 3], cut),
        },
        rounds=rounds,
    )
    return {
        name: {"ms": 1e3 * s, "passes": s / seconds[READ], "share of read": seconds[READ] / s}
        for name, s in seconds.items()
    }


def sizes(folder):
    """What each real gradient costs."""
    codec = gcodec.get_codec(SIZES_RECIPE)
    found = {}
    for path in sorted(folder.glob("*.np[yz]")):
        loaded = np.load(path)
        if path.suffix == ".npy":
            frame, dense = codec.encode(loaded), loaded
        else:
            n = int(loaded["dimension"])
            frame = codec.encode_sparse(loaded["keys"], loaded["values"], n)
            dense = np.zeros(n, np.float32)
            dense[loaded["keys"]] = loaded["values"]
        keys, values = gcodec.decode_sparse(frame)
        wanted = min(round(RATIO * dense.size), np.count_nonzero(dense))
        assert keys.size == wanted
        bound = gcodec.inspect(frame).header["bound"]
        assert (np.abs(values - dense[keys]) <= bound * np.abs(dense[keys]) + 2.0**-150).all()
        found[path.stem] = gcodec.inspect(frame).to_dict()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--gradients", type=Path, help="folder of float32 .npy, and .npz of keys and values"
    )
    parser.add_argument("--n", type=int, default=1 << 24)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    figures = {"n": arguments.n, "ratio": RATIO, "speed": speed(arguments.n, arguments.rounds)}
    rows = [[name, *figure.values()] for name, figure in figures["speed"].items()]
    print(
        table(f"n = {arguments.n}, Laplace, 1 % kept", ["", "ms", "passes", "share of read"], rows)
    )
    if arguments.gradients:
        figures["sizes"] = sizes(arguments.gradients)
        columns = [
            "bits_per_key",
            "key_entropy",
            "bits_per_value",
            "value_entropy",
            "bytes_per_kept",
            "ratio_to_dense",
        ]
        rows = [[name, *(found[c] for c in columns)] for name, found in figures["sizes"].items()]
        print(table(f"\n{SIZES_RECIPE}", ["", *columns], rows))
    print(store("codec", figures))


if __name__ == "__main__":
    main()
