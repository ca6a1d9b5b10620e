"""Every code block of README and docs runs: Python as it stands, and lines that call `gcodec`.

Blocks of a page share their names, in a folder that holds `grad.npy` and nothing else. A comment
`<!-- needs: a, b -->` before a block says which packages it is for; without them it is left out,
which is a failure where `CI` is set, unless the package needs a device.
"""

import os
import re
import shlex
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- needs: ([\w, ]+) -->\n)?^```(\w+)\n(.*?)^```$", re.M | re.S)
NEEDS_DEVICE = {"cupy"}
PRELUDE = "import gcodec\nimport numpy as np\n"


def blocks(page):
    """(packages, language, code, line) of every block."""
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        needs = [name.strip() for name in (found[1] or "").split(",") if name.strip()]
        yield needs, found[2], found[3], text.count("\n", 0, found.start(3))


@pytest.fixture
def run(tmp_path):
    """Function that runs a command among the files that pages speak of."""
    grad = np.random.default_rng(0).laplace(size=(300, 400)).astype(np.float32)
    np.save(tmp_path / "grad.npy", grad)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

    def call(command):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, **one},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def here(package, page, line):
    if find_spec(package) is not None:
        return True
    if os.environ.get("CI") and package not in NEEDS_DEVICE:
        pytest.fail(f"{page.name}:{line} needs {package}")
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python(page, run):
    code = PRELUDE
    for needs, language, block, line in blocks(page):
        if language == "python" and all(here(package, page, line) for package in needs):
            code += "\n" * (line - code.count("\n")) + block
    if code != PRELUDE:
        assert code.count("\n") <= len(page.read_text(encoding="utf-8").splitlines()) + 2
        run([sys.executable, "-c", code])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell(page, run):
    for _, language, block, _ in blocks(page):
        for line in block.splitlines() if language == "sh" else ():
            words = shlex.split(line, comments=True)
            if words[:1] == ["gcodec"] and words[1] != "demo":
                run([sys.executable, "-m", *words])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_of_a_language_that_runs(page):
    languages = {language for _, language, _, _ in blocks(page)}
    assert languages <= {"python", "sh"}
    assert page.read_text(encoding="utf-8").count("\n```") == 2 * len(list(blocks(page)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)", text):
        assert (page.parent / target).exists(), target
