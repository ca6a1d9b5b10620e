"""`gcodec info`: what is installed here, what of it gcodec can use, and why not the rest."""

import argparse
import json
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from .. import __version__, quantize, select
from ..errors import BackendUnavailableError
from ..format import ids
from ..kernels import load
from ..parallel import get_threads
from ..recipes import RECIPES
from . import tables
from .progress import Bar

PACKAGES: Final = {
    "numpy": None,
    "numba": None,
    "llvmlite": None,
    "mpi4py": "mpi",
    "torch": "torch",
    "zarr": "zarr",
    "numcodecs": "zarr",
    "jax": "jax",
    "optax": "jax",
    "scikit-learn": "demo",
    "matplotlib": "plots",
    "rich": "cli",
    "numba-cuda": "cuda13",
}
"""What gcodec can use, and the extra that installs it."""


def add_parser(subparsers: Any) -> None:
    """Add the command `info`."""
    text = "Say what is installed, which backends run here, and why others do not."
    parser = subparsers.add_parser(
        "info", help=text, description=text, epilog="example: gcodec info --json"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Gather and print."""
    with Bar(1, quiet=args.json) as bar:
        bar.step("looking at what is here (the first time compiles)")
        found = gather()
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        tables.show(_rows(found), header=False)
    return 0


def gather() -> dict[str, Any]:
    """Everything that the table and `--json` show."""
    return {
        "gcodec": __version__,
        "format": {"written": f"{ids.MAJOR}.{ids.MINOR}", "read": f"{ids.MAJOR}.x"},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": get_threads(),
        "backends": {
            "cpu": _cpu(),
            "reference": {"available": True},
            "cuda": _cuda(),
            "mpi": _mpi(),
        },
        "packages": {name: _installed(name) for name in PACKAGES},
        "recipes": list(RECIPES),
        "select": sorted(select.__all__),
        "quantize": sorted(quantize.__all__),
    }


def _cpu() -> dict[str, Any]:
    """The compiled backend: its vector code, and where compiled kernels are kept."""
    try:
        kernels = load("cpu")
        probe: Any = import_module("gcodec.kernels.cpu.probe")
    except ImportError as error:
        return {"available": False, "why": f"{error}: pip install --upgrade gcodec"}
    place = kernels.xxh64._cache.cache_path or "nowhere, so every process compiles"
    tier, best = probe.sound_tier(), probe.best_tier()
    names = ("scalar", "mask", "compress", "locate")
    return {
        "available": True,
        "vector_code": names[tier],
        "best_for_this_cpu": names[best],
        "cache": place,
    }


def _cuda() -> dict[str, Any]:
    launch: Any = import_module("gcodec.kernels.cuda.launch")
    try:
        launch.Driver()
    except BackendUnavailableError as error:
        return {"available": False, "why": str(error)}
    return {"available": True}


def _mpi() -> dict[str, Any]:
    try:
        from mpi4py import rc

        rc.initialize = False
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        return {"available": False, "why": f"{error}: pip install 'gcodec[mpich]'"}
    library = MPI.Get_library_version().split("\n")[0].strip("\0")
    return {"available": True, "library": " ".join(library.replace("Version:", "").split())}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _rows(found: dict[str, Any]) -> list[list[str]]:
    form = found["format"]
    rows = [
        ["gcodec", f"{found['gcodec']}, writes format {form['written']}, reads {form['read']}"],
        ["python", f"{found['python']} on {found['platform']}"],
        ["threads", f"up to {found['threads']}"],
    ]
    for name, backend in found["backends"].items():
        more = [f"{key.replace('_', ' ')} {value}" for key, value in backend.items()][1:]
        there = ", ".join(["available", *more])
        rows.append([name, there if backend["available"] else f"not available: {backend['why']}"])
    for name, extra in PACKAGES.items():
        missing = f"not installed: pip install 'gcodec[{extra}]'"
        rows.append([name, found["packages"][name] or missing])
    rows += [[key, ", ".join(found[key])] for key in ("recipes", "select", "quantize")]
    return rows
