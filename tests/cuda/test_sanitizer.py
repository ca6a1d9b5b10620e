"""AddressSanitizer over every kernel, in a process of its own."""

import subprocess
import sys

import pytest
from ptx import compiled
from ptx.sanitized import environment

from gcodec.kernels.cuda import registry

pytestmark = pytest.mark.cuda


def test_no_kernel_leaves_its_arrays():
    compiled.ptx("take_uint32")  # all are compiled here, not there
    done = subprocess.run(
        [sys.executable, "-m", "ptx.sanitized", compiled.kept_in()], env=environment(),
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert set(done.stdout.split()) == set(registry.kernels())
