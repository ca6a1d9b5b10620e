"""CUDA tests run without a device; with `CI` set, one that cannot run fails."""

import os
from importlib.util import find_spec

import pytest
from ptx import compiled, find_compiler, find_ptxas


def missing():
    """What the tests need and is not there."""
    if find_spec("numba_cuda") is None or find_spec("cuda") is None:
        return "no numba-cuda: pip install 'gcodec[test]'"
    if find_ptxas() is None:
        return "no ptxas: pip install 'gcodec[test]'"
    if find_compiler() is None:
        return "no C compiler: install gcc"
    return None


@pytest.fixture(autouse=True, scope="session")
def _tools(request):
    what = missing()
    if what:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(what)
    cache = getattr(request.config, "cache", None)
    if cache is not None:
        compiled.keep_in(cache.mkdir("ptx"))
