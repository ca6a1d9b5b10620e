"""How kernels are compiled: what only they call is linked into them, and nothing is made twice."""

import re

import numba
import numpy as np
import pytest
from numba.core.codegen import JITCodeLibrary
from numba.core.errors import TypingError

from gcodec.kernels.cpu import jit


@jit.inner
def times(array, factor):
    total = array.dtype.type(0)
    for i in range(array.size):
        total += array[i] * factor
    return total


@jit.maker
def twice(array):
    return np.full(2, times(array, 2), np.int64)


def test_only_what_python_calls_is_emitted(monkeypatch):
    emitted = []
    emit = JITCodeLibrary._finalize_specific
    monkeypatch.setattr(
        JITCodeLibrary, "_finalize_specific", lambda self: (emitted.append(self.name), emit(self))
    )

    @numba.njit
    def outermost(array, n):
        return twice(array)[0] + times(array, n) + times(array, 5)

    array = np.arange(4)
    assert outermost(array, 3) == 6 * (2 + 3 + 5)
    parts = [name for name in emitted if name == "part" or "twice" in name or "times" in name]
    assert any("outermost" in name for name in emitted)
    assert not parts
    assert len(times.nopython_signatures) == 1, "constants and numbers have one type"


def test_parts_are_optimised_with_their_callers():
    @numba.njit
    def sum_of(array):
        return times(array, 1)

    assert sum_of(np.arange(3)) == 3
    (text,) = sum_of.inspect_llvm().values()
    assert not re.search(r"\bcall\b.*times", text)


@numba.njit
def seen_as(array, like):
    return jit.viewed(array, like.dtype)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 19])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "f8"])
def test_an_array_seen_as_another_type(size, dtype):
    data, like = np.arange(size, dtype=np.uint8), np.empty(0, dtype)
    seen = seen_as(data, like)
    assert seen.dtype == like.dtype
    assert seen.tobytes() == data[: size // like.itemsize * like.itemsize].tobytes()
    assert seen.flags.writeable
    seen[:] = 0
    assert not data[: seen.nbytes].any()
    data.flags.writeable = False
    assert not seen_as(data, like).flags.writeable


def test_only_rows_are_seen_as_another_type():
    with pytest.raises(TypingError):
        seen_as(np.zeros((2, 8), np.uint8), np.zeros(0))
    with pytest.raises(TypingError):
        seen_as(np.zeros(8, np.uint8)[::2], np.zeros(0))


def test_what_is_frozen_cannot_be_written():
    @numba.njit
    def read(array):
        return jit.frozen(array)[1]

    @numba.njit
    def write(array):
        jit.frozen(array)[1] = 0

    assert read(np.arange(3)) == 1
    with pytest.raises(TypingError, match=r"(?i)readonly|setitem"):
        write(np.arange(3))
