"""gcodec's CUDA kernels as PTX for some architectures, kept on disk by what they are made of."""

import fcntl
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import gcodec
from gcodec.kernels.cuda import registry

from .launch import Kernel

CAPABILITIES = ((8, 0), (9, 0), (10, 0))
PACKAGE = Path(gcodec.__file__).parent
SCHEDULES = ((None, 1), (1, 3), (2, 16))
"""Seeds, and how many blocks are there at a time."""

REPLACED = {}
"""Kernels that stand in for those of a name, whatever the architecture."""

sanitize = False
"""Whether AddressSanitizer looks at accesses, and not the machine."""

launched = set()
"""Names of kernels that were."""

_folders = []


def kept_in():
    """The folder that PTX is kept in."""
    return _folders[0] if _folders else Path(_temporary().name)


def keep_in(folder):
    """Where PTX is kept; of a session alone unless this is called."""
    _folders.insert(0, Path(folder))


@cache
def _temporary():
    return tempfile.TemporaryDirectory(prefix="ptx-")


@cache
def _stamp():
    """Of all that kernels are made of."""
    hosts = ("launch", "resident", "twins")
    sources = [path for path in (PACKAGE / "kernels/cuda").glob("*.py") if path.stem not in hosts]
    sources += [PACKAGE / "kernels/jobs.py", *(PACKAGE / "format").glob("*.py")]
    versions = [version(name) for name in ("numba-cuda", "nvidia-nvvm", "numba")]
    whole = b"".join(path.read_bytes() for path in sorted(sources)) + repr(versions).encode()
    return sha256(whole).hexdigest()[:16]


def compile_ptx(name):
    """PTX of a kernel for each of CAPABILITIES, from one lowering; needs no device."""
    from numba.cuda import dispatcher
    from numba.cuda.compiler import _compile_pyfunc_with_fixup

    # a device function is lowered for what is said to be there
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=CAPABILITIES[0])
    entry = registry.kernels()[name]
    library, _ = _compile_pyfunc_with_fixup(
        entry.function(), entry.signature(), device=False, cc=CAPABILITIES[0], abi="numba"
    )
    return {f"sm_{a}{b}": library.get_asm_strs(cc=(a, b))[0] for a, b in CAPABILITIES}


@cache
def _all():
    """Of all kernels, by name; those that are not kept are compiled by one session for all."""
    folder = kept_in()
    path = folder / f"{_stamp()}.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            for old in folder.glob("*.json"):
                old.unlink()
            path.write_text(json.dumps(_compiled()))
    return json.loads(path.read_text())


def _compiled():
    """By a process on each core."""
    names = sorted(registry.kernels(), key=lambda name: "collect" not in name)  # long ones first
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        return dict(zip(names, pool.map(compile_ptx, names), strict=True))


def ptx(name, capability=(9, 0)):
    """The text of a kernel."""
    return _all()[name][f"sm_{capability[0]}{capability[1]}"]


@cache
def kernel(name, capability=(9, 0), sanitize=False):
    """A kernel that can be launched on the CPU."""
    return Kernel(ptx(name, capability), sanitize=sanitize)


def launch(name, grid, *arguments, capability=(9, 0), text=None, **schedule):
    """Run a kernel, or a changed text of it, over arrays and numbers; what it executed.

    Arrays that it has no business to write are read-only.
    """
    entry = registry.kernels()[name]
    given = []
    for spelled, argument in zip(entry.arguments, arguments, strict=True):
        kind = spelled.removeprefix("const ").partition("[")[0]
        if "[" not in spelled:
            given.append(np.dtype(kind).type(argument))
            continue
        assert argument.dtype == kind, f"{name}: {argument.dtype} for {spelled}"
        view = argument.view()
        view.setflags(write=not spelled.startswith("const "))
        given.append(view)
    launched.add(name)
    run = REPLACED.get(name) or (Kernel(text) if text else kernel(name, capability, sanitize))
    return run(grid, entry.threads, *given, **schedule)
