"""`gcodec encode | decode | inspect | verify | bench | plan | warmup | info | demo`."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import NoReturn

from .. import __version__
from ..errors import (
    BackendUnavailableError,
    FrameError,
    GcodecError,
    UnknownRecipeError,
    UnsupportedFeature,
    UnsupportedVersion,
)
from .progress import Bar

EXIT_DIFFERS, EXIT_CORRUPT, EXIT_VERSION = 1, 2, 3
EXIT_USAGE, EXIT_DATA, EXIT_UNAVAILABLE = 64, 65, 69
EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 130, 141
COMPILES = "the first time compiles"
EXIT_CODES = """\
exit codes: 0 fine, 1 a bound is not met, 2 a file is not a sound frame, 3 a frame of an unknown
version or feature, 64 wrong arguments or files, 65 data that cannot be encoded or a run that
failed, 69 a package that is missing, 130 interrupted, 141 nobody reads the output any more.
"""


class Parser(argparse.ArgumentParser):
    """argparse with one clear line and exit code 64 for wrong arguments."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    from .bench import add_parser as add_bench
    from .demo import add_parser as add_demo
    from .info import add_parser as add_info
    from .plan import add_parser as add_plan

    parser = Parser(
        prog="gcodec",
        description="Gradient compression with a specified wire format.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gcodec {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_encode(commands)
    _add_decode(commands)
    _add_inspect(commands)
    _add_verify(commands)
    add_bench(commands)
    add_plan(commands)
    _add_warmup(commands)
    add_info(commands)
    add_demo(commands)
    return parser


def _add(
    commands: "argparse._SubParsersAction[Parser]",
    name: str,
    text: str,
    example: str,
) -> Parser:
    return commands.add_parser(name, help=text, description=text, epilog=f"example: {example}")


def _add_encode(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _add(
        commands,
        "encode",
        "Encode a .npy of floats, or a .npz with keys and values, into a frame.",
        "gcodec encode grad.npy -o grad.gc --codec reclog:ratio=0.01,per_octave=4",
    )
    parser.add_argument("input", type=Path, help=".npy array, or .npz with keys, values and n")
    parser.add_argument(
        "-o", "--output", type=Path, help="frame to write (default: INPUT with .gc)"
    )
    parser.add_argument(
        "--codec",
        default="reclog:ratio=0.01,per_octave=4",
        metavar="RECIPE",
        help="default: %(default)s",
    )
    parser.add_argument("--name", default="", help="the tensor's name")
    parser.add_argument("--step", type=int, default=0, help="the training step")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_encode)


def _add_decode(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _add(
        commands, "decode", "Decode a frame into a dense .npy.", "gcodec decode grad.gc -o grad.npy"
    )
    parser.add_argument("input", type=Path, help="frame")
    parser.add_argument(
        "-o", "--output", type=Path, help=".npy to write (default: INPUT with .npy)"
    )
    parser.add_argument(
        "--max-elements",
        type=int,
        default=1 << 28,
        help="refuse larger outputs (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_decode)


def _add_inspect(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _add(
        commands,
        "inspect",
        "Check a frame and say what is in it and what it costs.",
        "gcodec inspect grad.gc --json",
    )
    parser.add_argument("input", type=Path, help="frame")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_inspect)


def _add_verify(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _add(
        commands,
        "verify",
        "Check frames whole; with --against, their error and whether they meet their bound.",
        "gcodec verify grad.gc --against grad.npy",
    )
    parser.add_argument("input", type=Path, nargs="+", help="frames")
    parser.add_argument("--against", type=Path, help=".npy they were made from")
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each frame")
    parser.set_defaults(run=_verify)


def _add_warmup(commands: "argparse._SubParsersAction[Parser]") -> None:
    parser = _add(
        commands,
        "warmup",
        "Compile what recipes need and keep it on disk, so that no later run has to wait.",
        "gcodec warmup reclog:ratio=0.01 --dtype float32 float16",
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="default: reclog and raw")
    parser.add_argument(
        "--dtype",
        nargs="+",
        default=["float32"],
        choices=["float16", "float32", "float64", "bfloat16"],
        help="of the gradients (default: float32)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_warmup)


def _warmup(arguments: argparse.Namespace) -> int:
    from ..recipes import get_codec
    from ..warming import warmup

    recipes = arguments.recipes or ["topk:ratio=0.01", "reclog:ratio=0.01,per_octave=4"]
    codecs = [get_codec(recipe) for recipe in recipes]
    started = perf_counter()
    with Bar(len(codecs) * len(arguments.dtype), quiet=arguments.json) as bar:
        for recipe, codec in zip(recipes, codecs, strict=True):
            for name in arguments.dtype:
                bar.step(f"compiling {recipe} for {name}")
                warmup([codec], ["uint16" if name == "bfloat16" else name])
    seconds = perf_counter() - started
    told = {"recipes": arguments.recipes, "dtypes": arguments.dtype, "seconds": seconds}
    _tell(arguments, told, f"compiled, or loaded from disk, in {seconds:.1f} s")
    return 0


def _tell(arguments: argparse.Namespace, told: Mapping[str, object], line: str) -> None:
    print(json.dumps(told) if arguments.json else line)


def _encode(arguments: argparse.Namespace) -> int:
    from ..recipes import get_codec
    from . import files

    codec = get_codec(arguments.codec)
    output = arguments.output or arguments.input.with_suffix(".gc")
    with Bar(2, quiet=arguments.json) as bar:
        bar.step(f"encoding {arguments.input} ({COMPILES})")
        frame = files.encode_file(arguments.input, codec, name=arguments.name, step=arguments.step)
        bar.step(f"writing {output}")
        files.write_frame(output, frame)
    told = {"output": str(output), "bytes": frame.size, "codec": arguments.codec}
    _tell(arguments, told, f"{output}: {frame.size} bytes")
    return 0


def _decode(arguments: argparse.Namespace) -> int:
    from ..decoder import decode
    from . import files

    output = arguments.output or arguments.input.with_suffix(".npy")
    with Bar(2, quiet=arguments.json) as bar:
        bar.step(f"decoding {arguments.input} ({COMPILES})")
        dense = decode(files.read_bytes(arguments.input), max_elements=arguments.max_elements)
        bar.step(f"writing {output}")
        files.write_array(output, dense)
    told = {"output": str(output), "shape": dense.shape, "dtype": str(dense.dtype)}
    _tell(arguments, told, f"{output}: {'x'.join(map(str, dense.shape)) or 'scalar'} {dense.dtype}")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from ..inspection import inspect
    from . import files

    with Bar(1, quiet=arguments.json) as bar:
        bar.step(f"reading {arguments.input} ({COMPILES})")
        found = inspect(files.read_bytes(arguments.input))
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else found)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ..verification import verify
    from . import files

    code, against = 0, None
    if arguments.against is not None:
        with Bar(1, quiet=arguments.json) as bar:
            bar.step(f"reading {arguments.against}")
            against = files.read_array(arguments.against)
    for path in arguments.input:
        try:
            with Bar(1, quiet=arguments.json) as bar:  # gone before its file's line
                bar.step(f"checking {path} ({COMPILES})")
                found = verify(files.read_bytes(path), against)
        except FrameError as error:
            raise type(error)(f"{path}: {error}") from error
        told = json.dumps(found.to_dict()) if arguments.json else str(found).replace("\n", ", ")
        print(told if arguments.json else f"{path}: {told}")
        code = EXIT_DIFFERS if found.bound_met is False else code
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code, and prints one line to stderr if it is not 0."""
    from .files import FileError

    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (UnsupportedVersion, UnsupportedFeature) as error:
        code, text = EXIT_VERSION, str(error)
    except FrameError as error:
        reading = arguments.run in (_decode, _inspect, _verify)
        code, text = EXIT_CORRUPT if reading else EXIT_DATA, f"{type(error).__name__}: {error}"
        if reading and isinstance(arguments.input, Path):
            text = f"{arguments.input}: {text}"
    except (FileError, UnknownRecipeError) as error:
        code, text = EXIT_USAGE, str(error)
    except BackendUnavailableError as error:
        code, text = EXIT_UNAVAILABLE, str(error)
    except GcodecError as error:
        code, text = EXIT_DATA, str(error)
    print(f"gcodec: {text}", file=sys.stderr)
    return code


def run() -> NoReturn:
    """Entry point of the console script."""
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("gcodec: interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_BROKEN_PIPE
    sys.exit(code)
