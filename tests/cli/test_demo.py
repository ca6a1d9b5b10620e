"""`gcodec demo`: the network's gradient, what is refused, and a short training on two ranks."""

import argparse
import json
import os
import shutil
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gcodec.cli import demo, images, network, report
from gcodec.cli.files import FileError
from gcodec.cli.progress import Bar
from gcodec.cli.training import Config, Network
from gcodec.errors import BackendUnavailableError, GcodecError, UnknownRecipeError

MODES = ("dense", "gcodec")


def arguments(*options):
    parser = argparse.ArgumentParser()
    demo.add_parser(parser.add_subparsers())
    return parser.parse_args(["demo", *map(str, options)])


def mnist(**changed):
    """Forty tiny images in MNIST's form."""
    random = np.random.default_rng(0)
    arrays = {}
    for part in ("train", "test"):
        arrays[f"{part}_images"] = random.integers(0, 256, (40, 4, 4), np.uint8)
        arrays[f"{part}_labels"] = random.integers(0, 10, 40, np.uint8)
    return {**arrays, **changed}


@pytest.fixture
def installed():
    """Skips where what the demo needs is missing; on CI that fails."""
    launcher = Path(sys.executable).with_name("mpirun").exists() or shutil.which("mpirun")
    if not launcher or not find_spec("mpi4py") or not find_spec("sklearn"):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("no mpirun, mpi4py or scikit-learn: pip install 'gcodec[mpich,demo]'")


# The network


def naive_loss(parameters, widths, inputs, labels):
    """Mean cross entropy in float64, image by image, of parameters in the documented order."""
    loss = 0.0
    for image, label in zip(inputs, labels, strict=True):
        values, at = image, 0
        for above, below in pairwise(widths):
            weights = parameters[at : at + above * below].reshape(above, below)
            bias = parameters[at + above * below : at + (above + 1) * below]
            values, at = values @ weights + bias, at + (above + 1) * below
            values = np.maximum(values, 0) if at < len(parameters) else values
        loss += np.log(np.sum(np.exp(values))) - values[label]
    return loss / len(labels)


@pytest.mark.parametrize("widths", [[5, 3], [6, 7, 4], [5, 8, 6, 3]])
def test_gradient_is_the_finite_difference(widths):
    random = np.random.default_rng(1)
    network = Network(widths, seed=2)
    network.parameters[:] = random.normal(0, 0.5, network.parameters.size)
    inputs = random.normal(size=(9, widths[0])).astype(np.float32)
    labels = random.integers(0, widths[-1], 9)
    here = network.parameters.astype(np.float64)
    differences = [
        naive_loss(here + step, widths, inputs, labels)
        - naive_loss(here - step, widths, inputs, labels)
        for step in 1e-6 * np.eye(here.size)
    ]
    gradient = network.backward(inputs, labels)
    np.testing.assert_allclose(gradient, np.array(differences) / 2e-6, rtol=1e-4, atol=1e-6)


def test_network_starts_from_the_seed_and_is_one_vector():
    network, same, other = Network([4, 3, 2], 0), Network([4, 3, 2], 0), Network([4, 3, 2], 1)
    assert network.parameters.size == 5 * 3 + 4 * 2
    assert network.parameters.tobytes() == same.parameters.tobytes() != other.parameters.tobytes()
    network.layers[1][1][:] = 7
    assert network.parameters[-2:].tolist() == [7, 7]


# What is refused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_images": np.zeros((40, 4, 4))}, r"train_images is float64\[40, 4, 4\], not uint8"),
        ({"test_images": np.zeros((40, 16), np.uint8)}, "test_images is uint8"),
        ({"test_images": np.zeros((40, 5, 4), np.uint8)}, r"\(5, 4\) pixels, not \(4, 4\)"),
        ({"train_images": np.zeros((0, 4, 4), np.uint8)}, "train_images is"),
        ({"train_labels": np.zeros(39, np.uint8)}, "one integer for each of 40 images"),
        ({"test_labels": np.zeros(40)}, "test_labels is float64"),
        ({"train_labels": np.full(40, 10)}, "train_labels are not all 0 to 9"),
        ({"train_labels": np.full(40, -1)}, "train_labels are not all 0 to 9"),
        ({"test_labels": np.array([None] * 40)}, "cannot read .*allow_pickle"),
    ],
)
def test_npz_that_does_not_fit_is_refused(tmp_path, installed, changed, message):
    path = tmp_path / "data.npz"
    np.savez(path, **mnist(**changed))
    with pytest.raises(FileError, match=message):
        demo.run(arguments("--data", path))


def test_npz_without_the_arrays_is_refused(tmp_path, installed):
    path = tmp_path / "data.npz"
    np.savez(path, train_images=mnist()["train_images"])
    with pytest.raises(FileError, match="lacks train_labels, test_images, test_labels"):
        demo.run(arguments("--data", path))


@pytest.mark.parametrize("content", [None, b"", b"no archive", "cut"])
def test_file_that_is_no_npz_is_refused(tmp_path, installed, content):
    path = tmp_path / "data.npz"
    if content == "cut":
        np.savez_compressed(path, **mnist())
        content = path.read_bytes()[:-100]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=r"cannot read .*data\.npz"):
        demo.run(arguments("--data", path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ranks", "1"], "'1' is not a whole number of 2 or more"),
        (["--seeds", "0"], "whole number of 1 or more"),
        (["--epochs", "many"], "whole number of 1 or more"),
    ],
)
def test_wrong_numbers_are_refused(options, message, capsys):
    with pytest.raises(SystemExit):
        arguments(*options)
    assert message in capsys.readouterr().err


def test_too_many_ranks_and_wrong_recipes_are_refused(tmp_path, installed):
    with pytest.raises(GcodecError, match="use fewer --ranks"):
        demo.run(arguments("--ranks", 100))
    with pytest.raises(UnknownRecipeError, match="valid recipes"):
        demo.run(arguments("--codec", "none"))


@pytest.mark.parametrize(
    ("missing", "options", "message"),
    [
        ("mpirun", [], r'mpirun is missing: pip install "gcodec\[mpich,demo\]"'),
        ("mpi4py", [], r'mpi4py is missing: pip install "gcodec\[mpich,demo\]"'),
        ("sklearn", [], r'scikit-learn.* is missing: pip install "gcodec\[mpich,demo\]"'),
        (
            "matplotlib",
            ["--plot", "x.png"],
            r'matplotlib is missing: pip install "gcodec\[plots\]"',
        ),
    ],
)
def test_missing_packages_are_named(monkeypatch, tmp_path, missing, options, message):
    (tmp_path / "python").touch()
    monkeypatch.setattr(demo.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(demo.shutil, "which", lambda name: None if name == missing else name)
    for module in (demo, images, report):
        monkeypatch.setattr(
            module, "find_spec", lambda name: None if name == missing else name, raising=False
        )
    with pytest.raises(BackendUnavailableError, match=message):
        demo.run(arguments(*options))


def test_launcher_beside_python_comes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(demo.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(demo.shutil, "which", lambda name: f"elsewhere/{name}")
    monkeypatch.setattr(demo, "find_spec", lambda name: name)
    assert demo._launcher() == "elsewhere/mpirun"
    (tmp_path / "mpirun").touch()
    assert demo._launcher() == str(tmp_path / "mpirun")


def test_plot_needs_a_png_in_a_folder(tmp_path, installed):
    pytest.importorskip("matplotlib")
    for path in (tmp_path / "curve.pdf", tmp_path / "none" / "curve.png"):
        with pytest.raises(FileError, match="cannot plot"):
            demo.run(arguments("--plot", path))


# The whole


@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_digits_on_two_ranks(installed, capsys):
    assert demo.run(arguments("--ranks", 2, "--epochs", 2, "--json")) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    dense, sparse = (found["modes"][mode] for mode in MODES)
    assert (found["train_images"], found["test_images"]) == (1437, 360)
    assert found["steps"] == 2 * (1437 // 32)
    assert dense["bytes_moved"] == dense["bytes_handed_over"] == found["steps"] * 4 * 167178
    assert sparse["bytes_moved"] == sparse["bytes_handed_over"]  # P - 1 = 1
    assert found["ratio_moved"] > 50
    for mode in dense, sparse:
        assert mode["identical"] is True
        assert mode["accuracy"] == mode["accuracies"][0] > 0.7
        assert len(mode["curve"]) == 2
        assert mode["seconds_per_step"] > mode["codec_seconds_per_step"]
    assert sparse["codec_seconds_per_step"] > 0 == dense["codec_seconds_per_step"]
    assert captured.err == ""


@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_table_and_plot_of_a_file(installed, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    path, plot = tmp_path / "tiny.npz", tmp_path / "curve.png"
    arrays = {name: np.repeat(array, 8, axis=0) for name, array in mnist().items()}
    np.savez_compressed(path, **arrays)
    options = ["--ranks", 3, "--seeds", 2, "--epochs", 1, "--codec", "topk:ratio=0.1"]
    steps = []
    monkeypatch.setattr(Bar, "step", lambda bar, text: steps.append(text))
    assert demo.run(arguments("--data", path, "--plot", plot, *options)) == 0
    assert steps[0].startswith("starting 3 ranks")
    assert steps.pop() == f"drawing {plot}"
    assert [step.split(",")[0] for step in steps[1:]] == ["seed 1 of 2"] * 2 + ["seed 2 of 2"] * 2
    assert "epoch 1 of 1: " in steps[-1]
    table = capsys.readouterr().out
    assert "tiny.npz: 320 images to train" in table
    assert "codec    topk:ratio=0.1" in table
    assert table.split()[-2:] == ["yes", "yes"]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_a_slow_network_is_where_compression_is_faster(installed, capsys):
    if network.why_not():
        pytest.skip(network.why_not())
    options = ["--ranks", 2, "--epochs", 2, "--network", "200mbit"]
    assert demo.run(arguments(*options, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    dense, sparse = (found["modes"][mode] for mode in MODES)
    wire = dense["bytes_moved"] * 8 / 200e6
    assert dense["curve"][-1]["seconds"] > 0.9 * wire  # a lower bound, however busy the machine is
    for mode in dense, sparse:
        reached = [p["seconds"] for p in mode["curve"] if p["accuracy"] >= found["target_accuracy"]]
        assert mode["seconds_to_target"] == reached[0]
    text = report.table(found)
    assert "link     200mbit for each rank" in text
    assert "x faster" in text


def test_networks_that_are_none_are_refused(installed, monkeypatch):
    for rate in ("fast", "100", "-1mbit", "0mbit"):
        with pytest.raises(GcodecError, match="no rate"):
            demo.run(arguments(f"--network={rate}"))
    monkeypatch.setattr(network, "why_not", lambda: "tc of iproute2 missing")
    with pytest.raises(GcodecError, match=r"tc of iproute2 missing.*leave --network out"):
        demo.run(arguments("--network", "100mbit"))


@pytest.mark.mpi
@pytest.mark.timeout(120)
def test_failing_ranks_end_with_their_error(installed, tmp_path, capsys):
    config = Config(str(tmp_path / "gone.npz"), [4, 2], demo.CODEC, 2, 1, 1, 1, 0.1, 0.9)
    with pytest.raises(GcodecError, match=r"the ranks failed.*FileNotFoundError.*gone\.npz"):
        list(demo._train(demo._launcher(), config, Bar(1, quiet=True)))


def test_cause_is_the_first_exception_else_the_last_line(tmp_path):
    path = tmp_path / "stderr"
    for text, cause in (
        ("", "one of them was killed"),
        ("noise\nrefused\n", "refused"),
        (
            "Traceback (most recent call last):\n  File\n    x\nKeyError: 1\nTraceback",
            "KeyError: 1",
        ),
        ("Traceback\nTraceback\n  File\nKeyError: 2\nKeyError: 3\n", "KeyError: 2"),
        ("warning\nTraceback (most recent call last):\n  cut\n", "cut"),
        ("Traceback\n  mixed up\na.MyError: 4\n    main(config)\n", "a.MyError: 4"),
    ):
        path.write_text(text)
        with path.open() as errors:
            assert demo._cause(errors) == cause
