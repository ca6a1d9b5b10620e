"""Progress: at a terminal only, gone when work ends, by rich or without it."""

import io
import os
import pty
import re
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from gcodec.cli import progress
from gcodec.cli.main import main
from gcodec.cli.progress import Bar

COLOUR = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def grad(tmp_path):
    np.save(tmp_path / "grad.npy", np.random.default_rng(0).standard_normal(5000, np.float32))
    return tmp_path / "grad.npy"


@pytest.fixture
def plain(monkeypatch):
    """A terminal of a machine without rich."""
    monkeypatch.setattr(progress, "find_spec", lambda name: None)
    terminal = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    return terminal


def test_steps_are_announced_when_they_begin(plain):
    with Bar(4, quiet=False) as bar:
        for text in ("one", "two", "three"):
            bar.step(text)
    *shown, end = plain.getvalue().split("\r\x1b[K")[1:]
    assert [line.split()[-1] for line in shown] == ["one", "two", "three"]
    assert [re.search(r"\d+ %|\d+%", line)[0] for line in shown] == ["0%", "25%", "50%"]
    assert [line.count("#") for line in shown] == [0, 6, 12]
    assert end == ""


def test_lines_fit_the_terminal(plain, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with Bar(1, quiet=False) as bar:
        bar.step("x" * 100)
    assert max(map(len, plain.getvalue().split("\r\x1b[K"))) == 39


def test_an_error_leaves_nothing_behind(plain):
    def fail():
        with Bar(1, quiet=False) as bar:
            bar.step("divide")
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert plain.getvalue().endswith("\r\x1b[K")


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.csv").write_text("name,elements,seconds\na,300,0.001\nb,200,0.001\n")
    return str(tmp_path / "net.csv")


@pytest.mark.parametrize("command", ["encode", "bench", "warmup", "plan", "info"])
def test_nothing_with_json(plain, grad, net, command, capsys):
    files = {"encode": [str(grad)], "bench": [str(grad)], "plan": [net]}.get(command, [])
    assert main([command, *files, "--json"]) == 0
    assert plain.getvalue() == ""


def test_nothing_where_nobody_looks(grad, capsys):
    assert main(["encode", str(grad)]) == 0
    assert main(["bench", str(grad), "--codec", "topk", "--rounds", "1"]) == 0
    assert capsys.readouterr().err == ""


def test_what_commands_say(plain, grad, net, capsys):
    frame, picture = str(grad.with_suffix(".gc")), str(grad.with_suffix(".png"))
    for command, steps in (
        (["encode", str(grad)], ["encoding", "writing"]),
        (["decode", frame], ["decoding", "writing"]),
        (["inspect", frame], ["reading"]),
        (["verify", frame], ["checking"]),
        (["verify", frame, "--against", str(grad)], ["reading", "checking"]),
        (["info"], ["looking"]),
        (["plan", net, "--codec", "topk", "--plot", picture],
         ["measuring", "measuring", "planning", "drawing"]),
        (["warmup", "topk", "--dtype", "float32", "float16"], ["compiling", "compiling"]),
        (["bench", str(grad), "--codec", "topk", "--rounds", "1"],
         ["encoding", "warming", "warming", "round"]),
    ):  # fmt: skip
        plain.seek(0)
        plain.truncate()
        assert main(command) == 0
        shown = filter(None, plain.getvalue().split("\r\x1b[K"))
        assert [re.split(r" \d+ s  ", line)[1].split()[0] for line in shown] == steps


@pytest.mark.parametrize("no_colour", [False, True])
def test_by_rich_at_a_real_terminal(grad, no_colour):
    if find_spec("rich") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no rich: pip install 'gcodec[cli]'")
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
    done = subprocess.run(
        [sys.executable, "-m", "gcodec", "encode", str(grad)],
        env={**clean, "TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_colour else {})},
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    with open(ours, "rb", closefd=True) as terminal:  # noqa: PTH123
        said = terminal.read1(1 << 16).decode()
    assert done.stdout.startswith(str(grad.with_suffix(".gc")).encode())
    assert "encoding" in said
    coloured = [code for code in COLOUR.findall(said) if re.search(r"[34]\d|9\d", code)]
    assert bool(coloured) != no_colour
