"""`gcodec bench`: the formula of the break-even bandwidth, what is printed, what is refused."""

import json
from math import inf

import numpy as np
import pytest

import gcodec
from gcodec.cli import bench
from gcodec.cli.main import main

FIELDS = {
    "recipe", "encode_ms", "encode_share_of_read", "accumulate_ms", "accumulate_share_of_read",
    "kept", "frame_bytes", "bytes_per_kept", "compression_ratio", "relative_l2_error",
    "break_even_gbit_per_s",
}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    array = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)
    np.save(tmp_path / "grad.npy", array)
    return tmp_path / "grad.npy"


@pytest.mark.parametrize(
    ("array_bytes", "frame_bytes", "encode", "add", "bits_per_second"),
    [
        (1000, 0, 1.0, 0.0, 8000),
        (1000, 500, 1.0, 0.5, 2000),
        (1 << 26, 1 << 20, 0.004, 0.001, 8 * 63 * 2**20 / 0.006),
        (1000, 1000, 1.0, 1.0, 0),
        (1000, 2000, 1.0, 1.0, 0),
    ],
)
def test_break_even(array_bytes, frame_bytes, encode, add, bits_per_second):
    found = bench.break_even(array_bytes, frame_bytes, encode, add)
    assert found == pytest.approx(bits_per_second)


def test_at_break_even_both_ways_take_the_same_time():
    array_bytes, frame_bytes, encode, add = 4_000_000, 21_000, 3e-4, 1e-4
    rate = bench.break_even(array_bytes, frame_bytes, encode, add) / 8
    assert encode + frame_bytes / rate + 2 * add == pytest.approx(array_bytes / rate)
    slower, faster = rate / 2, rate * 2
    assert encode + frame_bytes / slower + 2 * add < array_bytes / slower
    assert encode + frame_bytes / faster + 2 * add > array_bytes / faster


def test_all_run_once_a_round_and_take_turns_to_be_first():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    told = []
    seconds = bench.interleave(calls, 3, told.append)
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert set(seconds) == set("abc")
    assert len(rounds) == 3 + bench.WARMUPS
    assert set(rounds) == {"abc", "bca", "cab"}
    assert told == ["warming up"] * 2 + [f"round {number} of 3" for number in (1, 2, 3)]


def test_table_has_a_row_for_every_default_recipe(source, capsys):
    assert main(["bench", str(source), "--rounds", "1"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert "30x40 of float32, 4,800 bytes" in lines[0]
    assert [line.split()[0] for line in lines[3 : 3 + len(bench.RECIPES)]] == list(bench.RECIPES)
    assert all(line.endswith("Gbit/s") for line in lines[3 : 3 + len(bench.RECIPES)])
    assert captured.err == ""


def test_json_says_what_frames_say(source, capsys):
    recipes = ["reclog:ratio=0.1,per_octave=8", "topk:k=7"]
    options = [option for recipe in recipes for option in ("--codec", recipe)]
    assert main(["bench", str(source), *options, "--rounds", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    array = np.load(source)
    assert (told["shape"], told["dtype"], told["bytes"]) == ([30, 40], "float32", 4800)
    assert (told["rounds"], told["ranks"], told["threads"]) == (2, 2, gcodec.get_threads())
    assert [row["recipe"] for row in told["recipes"]] == recipes
    for row in told["recipes"]:
        assert set(row) == FIELDS
        frame = gcodec.get_codec(row["recipe"]).encode(array)
        assert row["frame_bytes"] == len(frame)
        assert row["kept"] == gcodec.inspect(frame).header["n_stored"]
        assert row["bytes_per_kept"] == pytest.approx(len(frame) / row["kept"])
        assert row["compression_ratio"] == pytest.approx(4800 / len(frame))
        dropped = np.linalg.norm(gcodec.decode(frame) - array) / np.linalg.norm(array)
        assert row["relative_l2_error"] == pytest.approx(dropped, rel=1e-5)
        seconds = row["encode_ms"] / 1e3, row["accumulate_ms"] / 1e3
        assert row["break_even_gbit_per_s"] == pytest.approx(
            bench.break_even(4800, len(frame), *seconds) / 1e9
        )
        assert row["encode_share_of_read"] == pytest.approx(told["read_ms"] / row["encode_ms"])


def test_a_recipe_named_twice_is_one_row(source, capsys):
    options = ["--codec", "topk:k=7", "--codec", "topk:k=7", "--rounds", "1", "--json"]
    assert main(["bench", str(source), *options]) == 0
    assert len(json.loads(capsys.readouterr().out)["recipes"]) == 1


@pytest.mark.parametrize("dtype", ["float16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (5, 7)])
def test_every_element_type_and_shape(tmp_path, dtype, shape, capsys):
    numbers = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    array = numbers.view(np.uint32) >> 16 if dtype == "uint16" else numbers
    np.save(tmp_path / "grad.npy", np.asarray(array, dtype))
    assert main(["bench", str(tmp_path / "grad.npy"), "--rounds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["dtype"] == ("bfloat16" if dtype == "uint16" else dtype)
    assert told["shape"] == list(shape)
    for row in told["recipes"]:
        assert 0 <= row["break_even_gbit_per_s"] < inf


def test_zeros_keep_nothing_and_have_no_error(tmp_path, capsys):
    np.save(tmp_path / "zeros.npy", np.zeros(1000, np.float32))
    options = ["--codec", "topk:k=7", "--rounds", "1", "--json"]
    assert main(["bench", str(tmp_path / "zeros.npy"), *options]) == 0
    (row,) = json.loads(capsys.readouterr().out)["recipes"]
    assert (row["kept"], row["bytes_per_kept"], row["relative_l2_error"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 64, "required: FILE.npy"),
        (["grad.npy", "--rounds", "0"], 64, "'0' is not a whole number of 1 or more"),
        (["grad.npy", "--rounds", "many"], 64, "'many' is not a whole number of 1 or more"),
        (["grad.npy", "--codec", "nope"], 64, "valid recipes: adaq, dense, dgc"),
        (["missing.npy"], 64, "cannot read missing.npy"),
        (["text.npy"], 64, "text.npy is neither a .npy nor a .npz"),
        (["several.npz"], 64, "several.npz holds several arrays: give a .npy"),
        (["ints.npy"], 65, "elements are int32"),
        (["nan.npy"], 65, "NaN or infinite"),
        (["empty.npy"], 65, "empty.npy has no elements"),
    ],
)
def test_what_cannot_be_timed_is_refused_in_one_line(
    source, monkeypatch, capsys, arguments, code, says
):
    monkeypatch.chdir(source.parent)
    array = np.load(source)
    source.with_name("text.npy").write_text("not an array")
    np.save("ints.npy", array.astype(np.int32))
    np.save("nan.npy", array * np.float32(np.nan))
    np.save("empty.npy", array[:0])
    np.savez("several.npz", a=array)
    try:
        got = main(["bench", *arguments])
    except SystemExit as stopped:
        got = stopped.code
    captured = capsys.readouterr()
    assert got == code
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
