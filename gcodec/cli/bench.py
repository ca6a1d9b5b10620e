"""`gcodec bench`: what recipes cost on your own array and machine, and on which networks they pay.

Recipes and a one-pass read of the array take turns in every round, in rotating order; times are
medians of wall time. gcodec uses the threads that it would use anyway, the read pass one. An array
smaller than the cache is timed in the cache.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import numpy as np

from .. import arrays
from ..codec import Codec
from ..decoder import accumulate
from ..errors import GcodecError
from ..inspection import inspect
from ..parallel import get_threads
from ..recipes import get_codec
from ..verification import verify
from . import files, tables
from .progress import Bar

RECIPES: Final = (
    "reclog:ratio=0.01",
    "reclog:ratio=0.001",
    "topk:ratio=0.01",
    "gradient-dropping:bits=2",
    "u8bit",
)
RANKS: Final = 2
WARMUPS: Final = 2
READ: Final = "read"
EXPLANATION: Final = f"""\
of read = time of one pass that only reads the array, in one thread / time of encoding, or of
decoding and adding.

break-even = 8 (array bytes - frame bytes) / (encode seconds + {RANKS} x accumulate seconds), in
bits per second: between {RANKS} ranks, a ring allreduce sends array bytes from each, a ring
allgather frame bytes, and each then adds both frames. On a network slower than that gcodec takes
less time than sending the dense array; what a dense allreduce spends on adding is left out. 0 if
the frame is no smaller.
"""


def add_parser(subparsers: Any) -> None:
    """Add the command `bench`."""
    text = "Time recipes on your own array, and say up to which bandwidth they pay."
    parser = subparsers.add_parser(
        "bench",
        help=text,
        description=text,
        epilog=EXPLANATION + "\nexample: gcodec bench grad.npy --codec topk:ratio=0.01",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, metavar="FILE.npy", help="array to encode")
    parser.add_argument(
        "--codec",
        action="append",
        metavar="RECIPE",
        help=f"may be repeated (default: {', '.join(RECIPES)})",
    )
    parser.add_argument(
        "--rounds", type=_positive, default=9, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    recipes = list(dict.fromkeys(args.codec or RECIPES))
    codecs = {recipe: get_codec(recipe) for recipe in recipes}
    array = files.read_array(args.input)
    if not isinstance(array, np.ndarray):
        array.close()
        raise files.FileError(f"{args.input} holds several arrays: give a .npy")
    if not array.size:
        raise GcodecError(f"{args.input} has no elements: there is nothing to time")
    with Bar(len(codecs) + WARMUPS + args.rounds, quiet=args.json) as bar:
        found = {"file": str(args.input), **measure(array, codecs, args.rounds, bar.step)}
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 0


def break_even(
    array_bytes: int, frame_bytes: int, encode_seconds: float, accumulate_seconds: float
) -> float:
    """Bits per second below which a sparse allgather beats a dense allreduce, between two ranks.

    A ring allreduce sends 2 (p - 1) / p of the array from each of p ranks, a ring allgather p - 1
    frames, and each rank adds p of them. With p = 2, at a bandwidth b in bytes per second,

        encode + frame / b + 2 accumulate < array / b

    holds for b < (array - frame) / (encode + 2 accumulate). What a dense allreduce spends on adding
    is left out, and so is latency, which both have. 0 if the frame is no smaller than the array.

    >>> break_even(4_000_000, 20_000, 0.0002, 0.0001)
    79600000000.0
    """
    saved = 8 * max(array_bytes - frame_bytes, 0)
    return saved / (encode_seconds + RANKS * accumulate_seconds)


def measure(
    array: np.ndarray[Any, Any],
    codecs: dict[str, Codec],
    rounds: int,
    begin: Callable[[str], object],
) -> dict[str, Any]:
    """Everything that the table and `--json` show; `begin` is told what is done from now on."""
    gradient = arrays.gradient(array)
    out = np.zeros(array.size, np.float64 if array.dtype == np.float64 else np.float32)
    calls: dict[tuple[str, str], Callable[[], Any]] = {(READ, ""): gradient.bits.max}
    frames = {}
    for recipe, codec in codecs.items():
        begin(f"encoding by {recipe} (the first time compiles)")
        frame = frames[recipe] = codec.encode(array)
        calls[recipe, "encode"] = partial(codec.encode, array)
        calls[recipe, "accumulate"] = partial(accumulate, frame, out)
    seconds = interleave(calls, rounds, begin)
    read, rows = seconds[READ, ""], []
    for recipe, frame in frames.items():
        encode, add = seconds[recipe, "encode"], seconds[recipe, "accumulate"]
        told = inspect(frame)
        rows.append(
            {
                "recipe": recipe,
                "encode_ms": 1e3 * encode,
                "encode_share_of_read": read / encode,
                "accumulate_ms": 1e3 * add,
                "accumulate_share_of_read": read / add,
                "kept": told.header["n_stored"],
                "frame_bytes": told.frame_bytes,
                "bytes_per_kept": told.bytes_per_kept,
                "compression_ratio": told.ratio_to_dense,
                "relative_l2_error": verify(frame, array).error,
                "break_even_gbit_per_s": break_even(array.nbytes, len(frame), encode, add) / 1e9,
            }
        )
    return {
        "shape": list(array.shape),
        "dtype": gradient.element.name,
        "bytes": array.nbytes,
        "rounds": rounds,
        "ranks": RANKS,
        "threads": get_threads(),
        "read_ms": 1e3 * read,
        "recipes": rows,
    }


def interleave(
    calls: dict[Any, Callable[[], Any]], rounds: int, begin: Callable[[str], object]
) -> dict[Any, float]:
    """Median wall seconds of each call; all run once in every round, in rotating order."""
    names = list(calls)
    seconds: dict[Any, list[float]] = {name: [] for name in names}
    for turn in range(-WARMUPS, rounds):
        begin(f"round {turn + 1} of {rounds}" if turn >= 0 else "warming up")
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            started = perf_counter()
            calls[name]()
            if turn >= 0:
                seconds[name].append(perf_counter() - started)
    return {name: median(times) for name, times in seconds.items()}


def show(found: dict[str, Any]) -> None:
    """Print what `measure` found, for people."""
    shape = "x".join(map(str, found["shape"])) or "scalar"
    rows: list[Sequence[str]] = [
        ["recipe", "encode", "of read", "accumulate", "of read", "bytes/kept", "ratio", "L2 error",
         "break-even"],
    ]  # fmt: skip
    rows += [
        [
            row["recipe"],
            f"{row['encode_ms']:.3f} ms",
            f"{row['encode_share_of_read']:.1%}",
            f"{row['accumulate_ms']:.3f} ms",
            f"{row['accumulate_share_of_read']:.1%}",
            f"{row['bytes_per_kept']:.3f}",
            f"{row['compression_ratio']:.1f}x",
            f"{row['relative_l2_error']:.4g}",
            f"{row['break_even_gbit_per_s']:.3g} Gbit/s",
        ]
        for row in found["recipes"]
    ]
    print(
        f"{found['file']}: {shape} of {found['dtype']}, {found['bytes']:,} bytes, "
        f"read in {found['read_ms']:.3f} ms; medians of {found['rounds']} rounds, "
        f"up to {found['threads']} threads\n"
    )
    tables.show(rows)
    print(
        f"\nbetween {found['ranks']} ranks, on networks slower than break-even gcodec is faster "
        "than dense\n(formula: gcodec bench --help)"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
