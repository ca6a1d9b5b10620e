"""Where CUDA kernels come from."""

from importlib.util import find_spec

import pytest

import gcodec
from gcodec.kernels.cuda import target


def test_a_missing_compiler_is_named(monkeypatch):
    monkeypatch.setattr(target, "find_spec", lambda name: None)
    with pytest.raises(gcodec.BackendUnavailableError, match="pip install"):
        target.load()


def test_the_deprecated_target_is_not_taken():
    if find_spec("numba_cuda") is None:
        with pytest.raises(gcodec.BackendUnavailableError):
            target.load()
    else:
        assert "numba_cuda" in target.load().__file__
