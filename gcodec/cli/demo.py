"""`gcodec demo`: train a network on MPI ranks twice, dense and with gcodec, and compare.

This starts the ranks and shows what they report; what they do is in `training.py`.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, Final, NamedTuple

import numpy as np

from ..errors import BackendUnavailableError, GcodecError
from . import network
from .images import CLASSES, load_digits_images, load_npz
from .main import EXIT_INTERRUPTED
from .progress import Bar
from .report import check_plot, draw, summarize, table
from .training import Config, Epoch

CODEC: Final = "reclog:ratio=0.01,per_octave=4"


class Schedule(NamedTuple):
    """Hyperparameters that suit a data set, in both modes."""

    hidden: tuple[int, ...]
    batch: int
    learning_rate: float
    epochs: int


DIGITS: Final = Schedule(hidden=(512, 256), batch=16, learning_rate=0.05, epochs=30)
MNIST: Final = Schedule(hidden=(256, 128), batch=64, learning_rate=0.1, epochs=10)
MOMENTUM: Final = 0.9


def add_parser(subparsers: Any) -> None:
    """Add the command `demo`."""
    text = "Train a network on MPI ranks, dense and with gcodec: compare accuracy, bytes and time."
    parser = subparsers.add_parser(
        "demo", help=text, description=text, epilog="example: gcodec demo --ranks 4 --seeds 5"
    )
    parser.add_argument(
        "--ranks", type=_at_least(2), default=4, help="processes (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=_at_least(1),
        default=1,
        help="train this often in each mode, in pairs of the same seed (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=_at_least(1), help=f"default: {DIGITS.epochs}, with --data {MNIST.epochs}"
    )
    parser.add_argument("--codec", default=CODEC, metavar="RECIPE", help="default: %(default)s")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE.npz",
        help="MNIST as train_images, train_labels, test_images, test_labels "
        "(default: the handwritten digits of scikit-learn)",
    )
    parser.add_argument(
        "--network",
        metavar="RATE",
        help="let each rank send so many bits per second, such as 100mbit, over a shaped loopback, "
        "and show the time to the same accuracy",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="draw test accuracy against bytes sent"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, print the comparison, and draw it if asked to."""
    from ..recipes import get_codec

    get_codec(args.codec)  # a wrong recipe is refused before anything starts
    launcher = _launcher()
    if args.network is not None:
        _check_network(args.network)
    if args.plot is not None:
        check_plot(args.plot)
    images = load_digits_images() if args.data is None else load_npz(args.data)
    schedule = DIGITS if args.data is None else MNIST
    with TemporaryDirectory(prefix="gcodec-demo-") as folder:
        config = Config(
            data=str(Path(folder) / "images.npz"),
            widths=[images["train_images"].shape[1], *schedule.hidden, CLASSES],
            codec=args.codec,
            ranks=args.ranks,
            seeds=args.seeds,
            epochs=args.epochs or schedule.epochs,
            batch=schedule.batch,
            learning_rate=schedule.learning_rate,
            momentum=MOMENTUM,
            network=args.network,
        )
        if len(images["train_labels"]) < config.ranks * config.batch:
            raise GcodecError(
                f"{len(images['train_labels'])} training images are less than one step of "
                f"{config.ranks} ranks with {config.batch} each: use fewer --ranks"
            )
        np.savez(config.data, **images)
        try:
            with Bar(1 + 2 * config.seeds * config.epochs, quiet=args.json) as bar:
                history = list(_train(launcher, config, bar))
        except KeyboardInterrupt:
            print("gcodec demo: interrupted; all ranks were ended", file=sys.stderr)
            return EXIT_INTERRUPTED
    summary = summarize("digits" if args.data is None else args.data.name, images, config, history)
    print(json.dumps(summary, indent=2) if args.json else table(summary))
    if args.plot is not None:
        with Bar(1, quiet=args.json) as bar:
            bar.step(f"drawing {args.plot}")
            draw(args.plot, summary)
    if not all(mode["identical"] for mode in summary["modes"].values()):
        raise GcodecError("the ranks ended with different parameters")
    return 0


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return number


def _check_network(rate: str) -> None:
    try:
        network.bits_per_second(rate)
    except ValueError as error:
        raise GcodecError(f"--network: {error}") from error
    reason = network.why_not()
    if reason:
        raise GcodecError(f"this system shapes no network ({reason}): leave --network out")


def _launcher() -> str:
    beside = Path(sys.executable).with_name("mpirun")
    launcher = str(beside) if beside.exists() else shutil.which("mpirun")
    if launcher is None:
        raise _missing("the MPI launcher mpirun")
    if find_spec("mpi4py") is None:
        raise _missing("mpi4py")
    return launcher


def _missing(what: str) -> BackendUnavailableError:
    return BackendUnavailableError(f'{what} is missing: pip install "gcodec[mpich,demo]"')


def _train(launcher: str, config: Config, bar: Bar) -> Iterator[Epoch]:
    """Start the ranks and yield what rank 0 reports; no rank outlives this."""
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    module = ["-m", "mpi4py", "-m", "gcodec.cli.training", json.dumps(config._asdict())]
    command = [launcher, "-n", str(config.ranks), sys.executable, *module]
    environment = {**os.environ, **dict.fromkeys(threads, "1")}
    if config.network is not None:
        command = network.shaped(command, network.bits_per_second(config.network), config.ranks)
        environment |= network.OVER_TCP
    bar.step(f"starting {config.ranks} ranks (the first time compiles)")
    with TemporaryFile("w+") as errors:
        ranks = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        assert ranks.stdout is not None
        try:
            for line in ranks.stdout:
                if line.startswith("{") and line.endswith("}\n"):  # launchers print, too
                    epoch = Epoch(**json.loads(line))
                    bar.step(
                        f"seed {epoch.seed + 1} of {config.seeds}, {epoch.mode}, epoch "
                        f"{epoch.epoch + 1} of {config.epochs}: {epoch.accuracy:.1%} right"
                    )
                    yield epoch
            status = ranks.wait()
        finally:
            _end(ranks)
        if status:
            raise GcodecError(f"the ranks failed (mpirun's exit code {status}): {_cause(errors)}")


def _end(ranks: "subprocess.Popen[str]") -> None:
    """End the launcher, which ends its ranks, and after a grace time whatever is left."""
    with ranks:
        for ending, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, None)):
            if ranks.poll() is None:
                os.killpg(ranks.pid, ending)
                try:
                    ranks.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue


def _cause(errors: IO[str]) -> str:
    """The first exception that a rank printed, else the last line of all."""
    errors.seek(0)
    lines = [line.rstrip() for line in errors if line.strip()]
    raised = (line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception)(:|$)", line))
    return next(raised, lines[-1].strip() if lines else "one of them was killed")
