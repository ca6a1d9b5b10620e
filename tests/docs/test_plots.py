"""The pictures are what `bench/plots.py` makes of stored results, and pages show all of them."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PLOTS = ROOT / "docs" / "plots"
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
SVG = "{http://www.w3.org/2000/svg}"
IMAGE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The pictures, drawn anew."""
    if find_spec("matplotlib") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("no matplotlib: pip install 'gcodec[plots]'")
    folder = tmp_path_factory.mktemp("plots")
    command = [sys.executable, "-W", "error", ROOT / "bench" / "plots.py", "--to", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_all_are_kept_and_nothing_else(drawn):
    assert set(drawn) == {path.name for path in PLOTS.iterdir()}


def test_the_same_figures_are_drawn(drawn):
    """By what they say: other releases of matplotlib may write the curves in other digits."""
    for name, new in drawn.items():
        said = texts(new)
        assert len(said) > 10
        assert said == texts((PLOTS / name).read_bytes()), name


def texts(svg):
    """Titles, labels and ticks."""
    return [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_pages_show_them():
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in IMAGE.findall(page.read_text(encoding="utf-8"))
    }
    assert shown == set(PLOTS.iterdir())
