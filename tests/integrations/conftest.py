"""What tests of integrations share: a missing framework skips them, or fails where `CI` is set."""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest


@pytest.fixture
def framework():
    """`framework(name, extra)` imports it, or ends the test."""

    def load(name, extra):
        if find_spec(name) is None:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(f"no {name}: pip install 'gcodec[{extra}]'")
        return import_module(name)

    return load


@pytest.fixture
def fresh():
    """`fresh(code, *arguments)` runs code in a new interpreter; what it prints."""

    def run(code, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
