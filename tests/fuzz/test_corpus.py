"""Inputs that the fuzzer kept, and the same re-sealed, through every decoder.

No file is expected to be read or refused: the decoders have to agree, whatever the format says.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import generator, oracle

HERE = Path(__file__).parent
CORPUS = sorted((HERE / "corpus").glob("*.gc"))


@pytest.fixture(scope="module")
def contents(reseal):
    """{name: bytes} of everything that is tried."""
    return {
        f"{path.stem}-{i}": content
        for path in CORPUS
        for i, content in enumerate(oracle.variants(path.read_bytes(), reseal))
    }


@pytest.fixture(scope="module")
def with_bounds_checks(contents, tmp_path_factory):
    """A process that reads the same with kernels that check every index; it runs beside the rest.

    Its kernels have a cache of their own: Numba would take those without checks for the same.
    """
    folder = tmp_path_factory.mktemp("contents")
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    cache = str(tmp_path_factory.mktemp("cache"))
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": cache}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, str(HERE / "oracle.py"), str(folder)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def verdicts(contents, with_bounds_checks):
    """{name: verdict} of the specification's decoder."""
    return {name: oracle.by_spec(content) for name, content in contents.items()}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_backends(path, contents, verdicts, backend):
    for name, content in contents.items():
        if name.startswith(path.stem):
            assert oracle.by_library(content, backend) == verdicts[name], name


def test_no_index_is_out_of_bounds(contents, verdicts, with_bounds_checks):
    output, errors = with_bounds_checks.communicate()
    assert with_bounds_checks.returncode == 0, errors
    assert json.loads(output) == verdicts


def test_the_corpus_reaches_all_classes(verdicts):
    """Else it was written for another format: see `fuzz_frame.py` for how to renew it."""
    errors = {error.__name__ for error in oracle.reference.FrameError.__subclasses__()}
    assert set(verdicts.values()) >= errors - {"Mismatch"}
    assert len(set(verdicts.values()) - errors) >= 20


def test_drawn_frames_are_sound(backend):
    errors = {error.__name__ for error in oracle.reference.FrameError.__subclasses__()}
    for seed in range(150):
        frame = generator.draw_frame(random.Random(seed))
        verdict = oracle.by_spec(frame)
        assert verdict not in errors, seed
        assert oracle.by_library(frame, backend) == verdict, seed
