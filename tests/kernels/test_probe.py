"""A vector tier is used only if a child process, which may crash, finds it sound."""

import sys

import numba
import numpy as np
import pytest
from numba.core import caching

import gcodec
from gcodec.kernels.cpu import jit, probe, selection
from gcodec.kernels.cpu.vector import COMPRESS, LOCATE, MASK, SCALAR

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
STUCK = "import time; time.sleep(60)"
WRONG = probe.CHILD.replace(
    "compare(int(tier))",
    """
from gcodec.kernels.cpu import selection
right = selection.collect_with
selection.collect_with = lambda tier, bits, *rest: right(tier, bits ^ bits.dtype.type(1), *rest)
compare(int(tier))
""",
)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Nothing is known yet, and the CPU has the highest tier; the tiers that a child is asked."""
    tiers = []

    def command(tier):
        tiers.append(tier)
        return real(tier)

    real = probe._command
    monkeypatch.setattr(probe, "_command", command)
    monkeypatch.setattr(probe, "best_tier", lambda: LOCATE)
    monkeypatch.setattr(probe, "_place", lambda: tmp_path / "answer.txt")
    probe._sound_tier.cache_clear()
    yield tiers
    probe._sound_tier.cache_clear()


def run(monkeypatch, program):
    """Let the child be another program."""
    command = [sys.executable, "-c", program, str(LOCATE), *sys.path]
    monkeypatch.setattr(probe, "_command", lambda tier: command)


@pytest.mark.parametrize("tier", [SCALAR, MASK, COMPRESS, LOCATE])
def test_every_tier_is_sound_here(tier, asked):
    """Whatever the CPU has; LLVM makes something slower of it."""
    assert probe._ask(tier) == probe.SOUND
    assert asked == [tier]


def test_the_answer_is_kept(asked, tmp_path):
    assert probe.sound_tier() == probe.sound_tier() == LOCATE
    probe._sound_tier.cache_clear()
    assert probe.sound_tier() == LOCATE
    assert asked == [LOCATE]
    assert [file.name for file in tmp_path.iterdir()] == ["answer.txt"]


@pytest.mark.parametrize(
    ("program", "what"),
    [(CRASH, "status -9"), (WRONG, "status 0"), ("", "status 0")],
)
def test_a_tier_that_fails_is_not_used(program, what, asked, monkeypatch):
    """Nor asked about again, by this process or another."""
    run(monkeypatch, program)
    with pytest.warns(RuntimeWarning, match=what):
        assert probe.sound_tier() == MASK
    assert probe.sound_tier() == MASK
    probe._sound_tier.cache_clear()
    assert probe.sound_tier() == MASK


def test_a_tier_that_takes_too_long_is_asked_again_by_the_next_process(
    asked, monkeypatch, tmp_path
):
    monkeypatch.setattr(probe, "LIMIT_S", 0.2)
    run(monkeypatch, STUCK)
    with pytest.warns(RuntimeWarning, match="more than 0.2 s"):
        assert probe.sound_tier() == MASK
    assert probe.sound_tier() == MASK
    assert not list(tmp_path.iterdir())


def test_frames_are_the_same_without_it(asked, monkeypatch):
    grad = np.random.default_rng(0).laplace(size=100_000).astype(np.float32)
    codec = gcodec.get_codec("reclog:threshold=4.0")
    frame = codec.encode(grad)
    probe._sound_tier.cache_clear()
    monkeypatch.setattr(probe, "_answer", lambda tier: "crashed")
    assert bytes(codec.encode(grad)) == bytes(frame)


@pytest.mark.parametrize("executable", [None, "", "/usr/bin/blender"])
def test_no_other_program_is_started(executable, asked, monkeypatch):
    """As where Python is embedded."""
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.warns(RuntimeWarning, match="without an interpreter"):
        assert probe.sound_tier() == MASK
    assert asked == []


def test_an_interpreter_that_does_not_start(asked, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.warns(RuntimeWarning, match="No such file"):
        assert probe.sound_tier() == MASK


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_place_every_process_asks_once(missing, asked, monkeypatch, tmp_path):
    place = None if missing else tmp_path / "no folder" / "answer.txt"
    monkeypatch.setattr(probe, "_place", lambda: place)
    assert probe.sound_tier() == probe.sound_tier() == LOCATE
    probe._sound_tier.cache_clear()
    assert probe.sound_tier() == LOCATE
    assert asked == [LOCATE, LOCATE]


def test_a_cpu_without_such_a_tier_is_not_asked(asked, monkeypatch):
    monkeypatch.setattr(probe, "best_tier", lambda: MASK)
    assert probe.sound_tier() == MASK
    assert asked == []


def test_there_is_no_place_where_kernels_are_not_kept(monkeypatch):
    monkeypatch.setattr(probe.xxh64, "_cache", caching.NullCache())
    assert probe._place() is None


def test_the_file_is_beside_the_kernels_and_named_after_the_cpu(monkeypatch):
    place = probe._place()
    assert place.parent.samefile(probe.xxh64._cache.cache_path)
    assert probe.STAMP in place.name
    monkeypatch.setattr(probe.numba, "__version__", "another")
    assert probe._place() != place


@pytest.mark.parametrize("make", [selection.collector, selection.sum_collector])
def test_code_of_one_tier_is_compiled_without_that_of_others(make):
    """What was found unsound is not even compiled."""
    bits, keys = np.ones(100, np.uint32), np.empty(200, np.uint32)
    numbers, out, one = bits.view(np.float32), np.empty(100, np.float32), np.float32(1)
    sums = (numbers, numbers, one, one, out, out.ctypes.data)
    given = () if make is selection.collector else sums
    for tier in (SCALAR, MASK, COMPRESS, LOCATE):
        kernel = numba.njit(**jit.OPTIONS)(make(tier).py_func)
        kernel(*given, bits, 0, np.uint32(1), 24, 0, 0, keys, keys, np.zeros(1, np.int64))
        (code,) = kernel.inspect_llvm().values()
        assert ("vector.compress" in code) == (tier > MASK)
