"""The site is built without a warning, and its reference has all that is public."""

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.rst")}
DIRECTIVE = re.compile(r"^\.\. (?:auto(?:class|function)|data):: (gcodec[\w.]*)\.(\w+)$", re.M)
PACKAGES = ("gcodec", "gcodec.collectives", "gcodec.fusion", "gcodec.mpi")
INTERNAL = {"torchtensors"}
INTEGRATIONS = {"torch": {"HookState", "hook"}, "optax": {"CompressState", "compress"}}


def documented(module):
    return sorted(name for page in API.values() for home, name in DIRECTIVE.findall(page)
                  if home == module)  # fmt: skip


@pytest.mark.parametrize("module", PACKAGES)
def test_every_public_name_is_in_the_reference_once(module):
    assert documented(module) == sorted(import_module(module).__all__)


def test_every_integration_is_in_the_reference():
    files = {file.stem for file in (ROOT / "gcodec/integrations").glob("[!_]*.py")} - INTERNAL
    named = {home for page in API.values() for home, _ in DIRECTIVE.findall(page)}
    assert {f"gcodec.integrations.{file}" for file in files} <= named
    for file, names in INTEGRATIONS.items():
        assert set(documented(f"gcodec.integrations.{file}")) == names


def test_every_page_is_in_the_contents():
    contents = (ROOT / "docs/index.rst").read_text(encoding="utf-8").split()
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(contents)
    assert set(API) - {"index"} <= set(API["index"].split())


@pytest.mark.timeout(600)
def test_built_without_a_warning(tmp_path):
    if find_spec("sphinx") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no sphinx: pip install '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs"]
    built = subprocess.run(
        [*command, "-d", tmp_path / "doctrees", ".", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, timeout=580, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site/index.html").exists()
    page = (tmp_path / "site/docs/api/codecs.html").read_text(encoding="utf-8")
    assert "Encodes gradients; stateless, hashable" in page
    assert 'id="gcodec.Codec.encode"' in page
