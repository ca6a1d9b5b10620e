"""What proving a frame before writing costs: `python bench/validation.py`.

Two peers decode and add the same frames:

- "unproved" is `gcodec.accumulate`, with validation taken away where it is a step of its own: no
  hash is computed (header, sections, tensor table, each chunk), no rule of the chunk directory and
  no level is looked at. What is part of reading stays: the comparisons of header fields, section
  and tensor tables in Python, and in `read_keys` and `read_values` the bounds of planes and keys,
  the counts of ones and codes, and spare bits. So does scratch: nothing is written before all is
  read.
- "naive" is one loop over Rice keys and Rice values that adds straight into the output, with no
  check, no scratch and no proof, handed the directory already parsed.
"""

import argparse
from types import SimpleNamespace

import numba
import numpy as np
from harness import READ, interleave, read_pass, store, table

import gcodec
from gcodec.arrays import as_bytes, output
from gcodec.decoder import add, unpack_chunks
from gcodec.format.directory import KEY_HIGH, KEY_LOW, SIGN, VALUE_HIGH, VALUE_LOW, planes
from gcodec.format.frame import parse
from gcodec.format.ids import KeyCodec, ValueCodec
from gcodec.kernels import load
from gcodec.kernels.cpu.bits import LOW_SIX, ONE, SIX, ZERO, window
from gcodec.kernels.cpu.jit import trailing_zeros

TARGET = 1.25
SHORT = 1 << 27
"""Elements that are decoded at least: small gradients get more rounds."""


@numba.njit(nogil=True, error_model="numpy")
def naive(starts, counts, shifts, payload, levels, chunk_log2, out):
    """Add all values at all keys, believing every bit."""
    for chunk in range(starts.shape[0]):
        part = out[chunk << chunk_log2 :]
        key_shift, value_shift = np.uint64(shifts[chunk, 0]), np.uint64(shifts[chunk, 1])
        key_mask, value_mask = (ONE << key_shift) - ONE, (ONE << value_shift) - ONE
        key_word, value_word = (
            np.uint64(starts[chunk, KEY_HIGH]),
            np.uint64(starts[chunk, VALUE_HIGH]),
        )
        key_rest, value_rest = payload[key_word], payload[value_word]
        key_next, value_next = key_word << SIX, value_word << SIX
        key_low, value_low = (
            np.uint64(starts[chunk, KEY_LOW]) << SIX,
            np.uint64(starts[chunk, VALUE_LOW]) << SIX,
        )
        sign = np.uint64(starts[chunk, SIGN]) << SIX
        position = ~ZERO
        for _ in range(counts[chunk]):
            while key_rest == ZERO:
                key_word += ONE
                key_rest = payload[key_word]
            bit = (key_word << SIX) + trailing_zeros(key_rest)
            key_rest &= key_rest - ONE
            gap = ((bit - key_next) << key_shift) | (window(payload, key_low) & key_mask)
            key_next = bit + ONE
            key_low += key_shift
            position += gap + ONE
            while value_rest == ZERO:
                value_word += ONE
                value_rest = payload[value_word]
            bit = (value_word << SIX) + trailing_zeros(value_rest)
            value_rest &= value_rest - ONE
            index = ((bit - value_next) << value_shift) | (window(payload, value_low) & value_mask)
            value_next = bit + ONE
            value_low += value_shift
            negative = (payload[sign >> SIX] >> (sign & LOW_SIX)) & ONE
            sign += ONE
            level = levels[index]
            part[position] += -level if negative else level


def prepare(frame):
    """Arguments of `naive` but the output."""
    parsed = parse(as_bytes(frame), load("cpu"))
    directory = parsed.directory
    assert (directory["key_codec"] == KeyCodec.RICE).all()
    assert (directory["val_codec"] == ValueCodec.RICE).all()
    return (
        planes(directory, parsed.element),
        directory["nnz"].astype(np.int64),
        np.stack((directory["key_param"], directory["val_param"]), 1).astype(np.int64),
        parsed.payload,
        parsed.tables.levels.view(np.float32),
        parsed.header.chunk_log2,
    )


def unproving(frame):
    """The kernels, but for those that prove: they give the answers that a sound frame gets."""
    known, kernels = {}, vars(load("cpu"))

    def learn(data, seed):
        known[data.size] = kernels["xxh64"](data, seed)
        return known[data.size]

    parse(as_bytes(frame), SimpleNamespace(**kernels | {"xxh64": learn}))
    assert len(known) == 3, "a hash of the header, one of the sections, one of the tensor table"
    answers = {
        "xxh64": lambda data, seed: known[data.size],
        "first_corrupt": lambda payload, directory, first: -1,
        "check_directory": lambda directory, facts: (0, -1),
        "levels_are_sound": lambda levels, infinity: True,
    }
    return SimpleNamespace(**kernels | answers)


def accumulate(frame, out, kernels):
    """`gcodec.accumulate`, with these kernels."""
    parsed = parse(as_bytes(frame), kernels)
    flat = output(out, parsed.element, parsed.header.n_elements, [out.shape], exact=False)
    add(unpack_chunks(parsed, kernels, 0, None), flat, 1.0, kernels)


def compare(n, rounds):
    """Nanoseconds per key of all three, after their sums were found equal."""
    rng = np.random.default_rng(0)
    codec = gcodec.get_codec("reclog:ratio=0.01,keys=rice")
    grads = [rng.laplace(scale=1e-3, size=n).astype(np.float32) for _ in range(3)]
    frames = [codec.encode(grad) for grad in grads]
    prepared = [prepare(frame) for frame in frames]
    kernels = [unproving(frame) for frame in frames]
    out = np.zeros(n, np.float32)
    for i in range(3):
        proved, unproved, plain = np.zeros((3, n), np.float32)
        gcodec.accumulate(frames[i], proved)
        accumulate(frames[i], unproved, kernels[i])
        naive(*prepared[i], plain)
        assert np.array_equal(proved, unproved)
        assert np.array_equal(proved, plain)
    seconds = interleave(
        {
            READ: lambda i: read_pass(grads[i % 3].view(np.uint32)),
            "proved": lambda i: gcodec.accumulate(frames[i % 3], out),
            "unproved": lambda i: accumulate(frames[i % 3], out, kernels[i % 3]),
            "naive": lambda i: naive(*prepared[i % 3], out),
        },
        rounds=max(rounds, SHORT // n),
    )
    kept, proved = round(0.01 * n), seconds["proved"]
    return {
        **{f"{name}, ns per key": 1e9 * seconds[name] / kept for name in list(seconds)[1:]},
        "proved over unproved": proved / seconds["unproved"],
        "proved over naive": proved / seconds["naive"],
        "proved, passes": proved / seconds[READ],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1 << 24)
    parser.add_argument("--rounds", type=int, default=25)
    arguments = parser.parse_args()
    gcodec.set_threads(1)
    figures = {n: compare(n, arguments.rounds) for n in (1 << 17, 1 << 20, arguments.n)}
    columns = list(figures[arguments.n])
    rows = [[n, *figure.values()] for n, figure in figures.items()]
    title = f"decode + accumulate, 1 % kept, aim: at most {TARGET} over unproved"
    print(table(title, ["n", *columns], rows))
    print(store("validation", figures))


if __name__ == "__main__":
    main()
