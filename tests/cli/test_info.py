"""`gcodec info`, tables, and what holds of every command: an example in its help, and `--json`."""

import argparse
import json
import os
import pty
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec

import pytest

import gcodec
from gcodec.cli import info, tables
from gcodec.cli.main import build_parser, main
from gcodec.recipes import RECIPES

ROWS = [["recipe", "bytes"], ["topk", "1,200"], ["[red]reclog[/red]", "80"]]


def commands():
    parser = build_parser()
    return next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices


@pytest.mark.parametrize("name", commands())
def test_every_command_has_an_example_and_json(name):
    parser = commands()[name]
    assert parser.description
    assert f"example: gcodec {name}" in parser.epilog
    assert "--json" in parser.format_help()


def test_exit_codes_are_in_the_help():
    text = build_parser().format_help()
    for code in (0, 1, 2, 3, 64, 65, 69, 130, 141):
        assert f" {code} " in text.split("exit codes:")[1]


def test_info_says_what_there_is(capsys):
    assert main(["info", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["gcodec"] == gcodec.__version__
    assert told["format"]["written"] == gcodec.inspect(gcodec.Codec().encode([])).version
    assert told["packages"]["numpy"] == version("numpy")
    assert told["recipes"] == list(RECIPES)
    assert told["backends"]["cpu"]["available"] is True
    assert told["backends"]["cpu"]["vector_code"] in ("scalar", "mask", "compress", "locate")
    assert main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["gcodec", "python", "threads", "cpu"]


def test_info_says_why_something_is_missing(monkeypatch, capsys):
    def absent(package):
        raise info.PackageNotFoundError(package)

    monkeypatch.setattr(info, "version", absent)
    monkeypatch.setattr(info, "load", lambda name: __import__("no_such_compiler"))
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert main(["info"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "not available: No module named 'no_such_compiler'" in lines["cpu"]
    assert "pip install 'gcodec[mpich]'" in lines["mpi"]
    assert lines["torch"].endswith("not installed: pip install 'gcodec[torch]'")


def test_plain_tables():
    assert tables.plain(ROWS).splitlines()[1] == "topk               1,200"
    assert tables.plain(ROWS[1:], header=False).splitlines()[1] == "[red]reclog[/red]  80"


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_a_table_by_rich(no_color):
    if find_spec("rich") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("no rich: pip install 'gcodec[cli]'")
    code = f"from gcodec.cli import tables; tables.show({ROWS!r})"
    read, write = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm-256color", "COLUMNS": "80"}
    subprocess.run([sys.executable, "-c", code], stdout=write, env=environment, check=True)
    os.close(write)
    shown = os.read(read, 4096).decode()
    os.close(read)
    assert "[red]reclog[/red]" in shown
    assert "1,200" in shown
    assert ("\x1b[1m" in shown) or no_color
    assert "\x1b[3" not in shown
