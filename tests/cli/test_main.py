"""The command line: what it writes, what it says, and its exit codes."""

import json
import subprocess
import sys

import numpy as np
import pytest

import gcodec
from gcodec.cli import files
from gcodec.cli.main import main, run


@pytest.fixture
def grad(tmp_path):
    array = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)
    np.save(tmp_path / "grad.npy", array)
    return array


def test_encode_inspect_decode(tmp_path, grad, capsys):
    source, frame, back = tmp_path / "grad.npy", tmp_path / "x.gc", tmp_path / "back.npy"
    recipe = "reclog:ratio=0.05,per_octave=8"
    assert main(["encode", str(source), "-o", str(frame), "--codec", recipe, "--step", "3"]) == 0
    assert frame.read_bytes() == bytes(gcodec.get_codec(recipe).encode(grad, step=3))
    assert main(["inspect", str(frame)]) == 0
    assert "60 of 1200 elements" in capsys.readouterr().out
    assert main(["inspect", str(frame), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["header"]["n_stored"], told["header"]["step"]) == (60, 3)
    assert main(["decode", str(frame), "-o", str(back)]) == 0
    assert np.array_equal(np.load(back), gcodec.decode(frame.read_bytes()))


@pytest.mark.timeout(900)  # it may be the first to compile anything
def test_warmup(capsys):
    assert main(["warmup", "reclog:ratio=0.05", "topk:k=3", "--dtype", "float32", "bfloat16"]) == 0
    assert capsys.readouterr().out.startswith("compiled, or loaded from disk, in ")
    assert main(["warmup", "topk:k=3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("seconds") > 0
    assert told == {"recipes": ["topk:k=3"], "dtypes": ["float32"]}


def test_encode_and_decode_as_json(tmp_path, grad, capsys):
    source, frame, back = (str(tmp_path / name) for name in ("grad.npy", "x.gc", "back.npy"))
    assert main(["encode", source, "-o", frame, "--codec", "topk:k=3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    size = len(gcodec.get_codec("topk:k=3").encode(grad))
    assert told == {"output": frame, "bytes": size, "codec": "topk:k=3"}
    assert main(["decode", frame, "-o", back, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"output": back, "shape": [30, 40], "dtype": "float32"}


def test_default_names_and_sparse_input(tmp_path, capsys):
    dense = np.zeros(500, np.float32)
    dense[[3, 99, 400]] = [1, -2, 3]
    keys = np.flatnonzero(dense)
    np.savez(tmp_path / "s.npz", keys=keys, values=dense[keys], n=500)
    assert main(["encode", str(tmp_path / "s.npz"), "--codec", "topk:ratio=1"]) == 0
    assert main(["decode", str(tmp_path / "s.gc")]) == 0
    assert np.array_equal(np.load(tmp_path / "s.npy"), dense)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 64, "required: COMMAND"),
        (["encode"], 64, "required: input"),
        (["frobnicate"], 64, "invalid choice"),
        (["warmup", "nope"], 64, "valid recipes: adaq, dense, dgc"),
        (["warmup", "--dtype", "int8"], 64, "invalid choice"),
        (["encode", "grad.npy", "--codec", "nope"], 64, "valid recipes: adaq, dense, dgc"),
        (
            ["encode", "grad.npy", "--codec", "topk:rate=1"],
            64,
            "topk takes ratio=, k=, keys=, values=, scales=, per_tensor=",
        ),
        (["encode", "grad.npy", "--codec", "topk:ratio=7"], 64, "in (0, 1]"),
        (["encode", "grad.npy", "--step", "-1"], 65, "outside 0..2^64-1"),
        (["encode", "missing.npy"], 64, "cannot read missing.npy"),
        (["encode", "text.npy"], 64, "text.npy is neither a .npy nor a .npz"),
        (["encode", "good.gc"], 64, "good.gc is neither a .npy nor a .npz"),
        (["encode", "cut.npy"], 64, "cannot read cut.npy as .npy or .npz"),
        (["encode", "cut.npz"], 64, "cut.npz is neither a .npy nor a .npz"),
        (["encode", "rotten.npz"], 64, "cannot read rotten.npz as .npy or .npz: Bad CRC"),
        (["encode", "grad.npy", "-o", "no/such/folder.gc"], 64, "cannot write no/such/folder.gc"),
        (["encode", "ints.npy"], 65, "elements are int32"),
        (["encode", "nan.npy"], 65, "NaN or infinite"),
        (["encode", "other.npz"], 64, "a sparse gradient has keys and values"),
        (["decode", "missing.gc"], 64, "cannot read missing.gc"),
        (["decode", "text.npy"], 2, "text.npy: NotAFrame"),
        (["inspect", "text.npy"], 2, "text.npy: NotAFrame"),
        (["inspect", "future.gc"], 3, "format 2.0"),
        (["decode", "short.gc"], 2, "short.gc: Truncated"),
        (["decode", "good.gc", "--max-elements", "10"], 2, "max_elements is 10"),
    ],
)
def test_wrong_arguments_say_so_in_one_line(
    tmp_path, grad, monkeypatch, capsys, arguments, code, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.npy").write_text("not an array")
    np.save("ints.npy", grad.astype(np.int32))
    np.save("nan.npy", grad * np.float32(np.nan))
    np.savez("other.npz", a=grad)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "grad.npy").read_bytes()[:-1])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:-40])
    np.savez("rotten.npz", keys=np.arange(3), values=np.float32([7, 8, 9]))
    rotten = (tmp_path / "rotten.npz").read_bytes()
    last = np.float32(9).tobytes()
    (tmp_path / "rotten.npz").write_bytes(rotten.replace(last, b"\1" * 4))
    frame = bytearray(gcodec.Codec().encode(grad).tobytes())
    (tmp_path / "good.gc").write_bytes(frame)
    (tmp_path / "short.gc").write_bytes(frame[:-1])
    frame[4] = 2
    (tmp_path / "future.gc").write_bytes(frame)
    before = set(tmp_path.iterdir())
    try:
        got = main(arguments)
    except SystemExit as stopped:
        got = stopped.code
    captured = capsys.readouterr()
    assert got == code
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert set(tmp_path.iterdir()) == before, "nothing is left behind"


def test_output_is_replaced_whole_or_not_at_all(tmp_path, grad, monkeypatch, capsys):
    frame = tmp_path / "x.gc"
    frame.write_bytes(b"precious")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    assert main(["encode", str(tmp_path / "grad.npy"), "-o", str(frame)]) == 64
    assert "No space left" in capsys.readouterr().err
    assert frame.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grad.npy", "x.gc"]


def test_help_and_version_as_a_process():
    for arguments, says in ((["--help"], "inspect"), (["--version"], gcodec.__version__)):
        done = subprocess.run(
            [sys.executable, "-m", "gcodec", *arguments], capture_output=True, text=True, check=True
        )
        assert says in done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path, grad):
    frame = tmp_path / "x.gc"
    frame.write_bytes(gcodec.Codec().encode(grad))
    command = f"{sys.executable} -m gcodec inspect {frame} --json | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_an_interruption_is_one_line_and_its_own_code(tmp_path, grad, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "encode_file", interrupted)
    monkeypatch.setattr(sys, "argv", ["gcodec", "encode", str(tmp_path / "grad.npy")])
    with pytest.raises(SystemExit) as stopped:
        run()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "gcodec: interrupted\n"


@pytest.mark.parametrize("dtype", ["float16", "uint16", "float32", "float64"])
def test_every_element_type(tmp_path, dtype, capsys):
    numbers = np.random.default_rng(1).standard_normal((60, 40))
    array = numbers.astype(np.float32).view(np.uint32) >> 16 if dtype == "uint16" else numbers
    np.save(tmp_path / "grad.npy", array.astype(dtype))
    source, frame, back = (str(tmp_path / name) for name in ("grad.npy", "x.gc", "back.npy"))
    assert main(["encode", source, "-o", frame, "--codec", "dense"]) == 0
    assert main(["decode", frame, "-o", back]) == 0
    assert np.load(back).dtype == dtype
    assert np.array_equal(np.load(back), array.astype(dtype))
    assert main(["verify", frame, "--against", source]) == 0
    capsys.readouterr()
    assert main(["inspect", frame]) == 0
    name = "bfloat16" if dtype == "uint16" else dtype
    assert f"60x40 of {name}" in capsys.readouterr().out
