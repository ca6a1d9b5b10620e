"""Starts MPI ranks as a subprocess, so that a crash or a hang is one failed test."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def mpirun():
    """`mpirun(program, ranks)` runs a file of `programs/`; its stdout, or a failed test."""
    beside = Path(sys.executable).with_name("mpirun")
    launcher = str(beside) if beside.exists() else shutil.which("mpirun")
    if launcher is None or find_spec("mpi4py") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("no mpirun or no mpi4py: pip install 'gcodec[mpich]'")

    def run(program, ranks, timeout=90, arguments=()):
        python = [sys.executable, "-m", "mpi4py", str(PROGRAMS / program), *arguments]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MPIEXEC_TIMEOUT": str(timeout),
        }
        return subprocess.run(
            [launcher, "-n", str(ranks), *python],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout + 10,
            check=False,
        )

    return run
