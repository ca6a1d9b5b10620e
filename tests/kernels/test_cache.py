"""Compiled kernels on disk: none outlives the sources that it was made of, and none is needed."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gcodec
from gcodec.kernels.cpu import jit

PACKAGE = Path(gcodec.__file__).parent


def sources():
    """Files of the CPU kernels, and those of gcodec that they take constants from."""
    kernels = PACKAGE / "kernels" / "cpu"
    found = set(kernels.glob("*.py"))
    for file in kernels.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level > 1:
                folder = file.parents[node.level - 1]
                found.add(folder.joinpath(*node.module.split(".")).with_suffix(".py"))
    return sorted(path.relative_to(PACKAGE).as_posix() for path in found)


@pytest.fixture
def copy(tmp_path):
    """A copy of the package's sources."""
    target = tmp_path / "gcodec"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def stamp_of(package):
    """The stamp that a package's kernels would have, without importing the rest of it."""
    file = package / "kernels" / "cpu" / "jit.py"
    spec = importlib.util.spec_from_file_location("jit_of_a_copy", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.STAMP


def run(code, folder):
    """What a fresh interpreter prints that imports gcodec from this folder."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_kernels_are_among_the_sources():
    assert {"kernels/cpu/unpack.py", "kernels/cpu/bits.py", "kernels/jobs.py"} <= set(sources())
    assert all((PACKAGE / name).is_file() for name in sources())


def test_a_copy_has_the_same_stamp(copy):
    assert stamp_of(copy) == jit.STAMP


@pytest.mark.parametrize("name", sources())
def test_the_stamp_changes_with_every_source(name, copy):
    """A constant that a kernel took from another file is compiled into it."""
    file = copy / name
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert stamp_of(copy) != jit.STAMP


CALL = """
import numpy as np
from gcodec.kernels import cpu
print(f"{cpu.xxh64(np.zeros(0, np.uint8), 0):x}")
"""


def test_cache_files_carry_the_stamp(copy):
    assert run(CALL, copy.parent).split() == [HASH_OF_NOTHING]
    files = [
        file.name for file in copy.rglob("*") if file.suffix in (".nbi", ".nbc")
    ] or pytest.skip("the package's folder is not where this Numba caches")
    assert {Path(name).suffix for name in files} == {".nbi", ".nbc"}
    assert all(re.search(rf"xxh64.*-{jit.STAMP}\.", name) for name in files), files


HASH_OF_NOTHING = "ef46db3751d8e999"

WITHOUT_A_PLACE = """
from numba.core import caching
caching.CompileResultCacheImpl._locator_classes = []
"""


def test_kernels_work_where_nothing_can_be_cached(copy):
    """As in a read-only image without a home: every folder that Numba knows refuses."""
    assert run(WITHOUT_A_PLACE + CALL, copy.parent).split() == [HASH_OF_NOTHING]
    assert not [file for file in copy.rglob("*") if file.suffix in (".nbi", ".nbc")]
