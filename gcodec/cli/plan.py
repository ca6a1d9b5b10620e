"""`gcodec plan`: which layers should go together, measured on this machine and on its network.

Without MPI one process measures the codec, and the network is a formula. Started by `mpirun -n P
python -m mpi4py -m gcodec plan ... --mpi`, all ranks measure what they will do, and rank 0 prints.
"""

import argparse
import json
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, Final

from ..collectives import Communicator
from ..errors import BackendUnavailableError, GcodecError
from ..fusion import MODELS, Layers, Link, calibrate, plan
from ..fusion.calibration import sizes
from ..fusion.networks import RECORDED, recorded
from ..fusion.networks.lists import parse_csv, parse_json
from ..fusion.plan import MEANING, Plan
from ..recipes import get_codec
from .files import FileError, read_bytes
from .progress import Bar

CODEC: Final = "reclog:ratio=0.01,per_octave=4"
KINDS: Final = {".csv": parse_csv, ".json": parse_json}
EXPLANATION: Final = f"""\
LAYERS is {" or ".join(RECORDED)}, as recorded on two CPU cores; or a .csv with the columns name,
elements and seconds, or a .json list of objects with these: gradients in the order in which the
backward pass makes them, and the time that it takes for each.

models: {"; ".join(f"{name}: {meaning}" for name, meaning in MEANING.items())}
"""


def add_parser(subparsers: Any) -> None:
    """Add the command `plan`."""
    text = "Say which layers should go together into one message, why, and what it gains."
    parser = subparsers.add_parser(
        "plan",
        help=text,
        description=text,
        epilog=EXPLANATION + "\nexample: gcodec plan resnet50 --ranks 4 --gbit 1 --plot plan.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("layers", metavar="LAYERS", help="a built-in list, .csv or .json")
    parser.add_argument("--codec", default=CODEC, metavar="RECIPE", help="default: %(default)s")
    parser.add_argument("--model", choices=MODELS, default="inline", help="default: %(default)s")
    parser.add_argument(
        "--backward", type=_positive, metavar="SECONDS", help="scale the backward pass to this"
    )
    network = parser.add_argument_group("network")
    network.add_argument("--mpi", action="store_true", help="measure it, on ranks of mpirun")
    network.add_argument("--ranks", type=_whole, default=4, help="else: default: %(default)s")
    network.add_argument(
        "--gbit", type=_positive, default=1.0, help="each rank's Gbit/s (default: %(default)s)"
    )
    network.add_argument(
        "--latency",
        type=_positive,
        default=50.0,
        metavar="US",
        help="microseconds of the shortest message (default: %(default)s)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw when what happens (.png)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, plan, and print."""
    codec = get_codec(args.codec)
    layers = read_layers(args.layers)
    if args.backward is not None:
        layers = scaled(layers, args.backward)
    if args.plot is not None:
        _check_plot(args.plot)
    communicator = _communicator(args)
    largest = sum(layers.sizes)
    if not largest:
        raise GcodecError(f"the layers of {args.layers} have no elements: there is nothing to send")
    with Bar(len(sizes(largest)) + 1, quiet=args.json or communicator.rank > 0) as bar:
        costs = calibrate(
            communicator,
            codec,
            largest,
            begin=lambda size: bar.step(f"measuring {size:,} elements (the first time compiles)"),
        )
        bar.step(f"planning {len(layers)} layers")
        found = plan(layers, costs, args.model)
    if communicator.rank:
        return 0
    measured = {
        "codec": args.codec,
        "ranks": communicator.size,
        "network": "measured" if args.mpi else f"{args.gbit:g} Gbit/s, {args.latency:g} us",
    }
    if args.json:
        print(json.dumps({**measured, **found.to_dict()}, indent=2))
    else:
        print("{codec} between {ranks} ranks, network: {network}\n".format(**measured))
        print(found)
    if args.plot is not None:
        _draw(found, args)
    return 0


def _draw(found: Plan, args: argparse.Namespace) -> None:
    with Bar(1, quiet=args.json) as bar:
        bar.step(f"drawing {args.plot}")
        try:
            found.draw(args.plot)
        except OSError as error:
            raise FileError(f"cannot write {args.plot}: {error.strerror}") from error


def read_layers(name: str) -> Layers:
    """A built-in list, or a file.

    Raises
    ------
    FileError
        If there is no such list or file, or it does not hold layers.
    """
    if name in RECORDED:
        return recorded(name)
    path = Path(name)
    if path.suffix not in KINDS:
        raise FileError(f"{name} is not {', '.join(RECORDED)}, nor a .csv or .json")
    try:
        return KINDS[path.suffix](read_bytes(path).decode())
    except ValueError as error:
        raise FileError(f"{path}: {error}") from error


def scaled(layers: Layers, seconds: float) -> Layers:
    """The same shares of a backward pass of another length.

    Raises
    ------
    GcodecError
        If it takes no time as it is.
    """
    now = sum(layers.seconds)
    if not now:
        raise GcodecError("the backward pass takes no time in the list: it cannot be scaled")
    return replace(layers, seconds=tuple(own / now * seconds for own in layers.seconds))


def _communicator(args: argparse.Namespace) -> Communicator:
    if not args.mpi:
        return Link(args.ranks, args.gbit * 1e9, args.latency * 1e-6)
    from ..mpi import MPICommunicator

    if find_spec("mpi4py") is None:
        raise BackendUnavailableError('mpi4py is missing: pip install "gcodec[mpich]"')
    return MPICommunicator(import_module("mpi4py.MPI").COMM_WORLD)


def _check_plot(path: Path) -> None:
    """Refuse before measuring what could not be drawn after it."""
    if find_spec("matplotlib") is None:
        raise BackendUnavailableError('matplotlib is missing: pip install "gcodec[plots]"')
    if path.suffix not in (".png", ".svg", ".pdf") or not path.parent.is_dir():
        raise FileError(f"cannot plot to {path}: give a .png, .svg or .pdf in a folder that exists")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
