"""`gcodec plan`: lists of layers, what is printed, what is refused."""

import json

import pytest

from gcodec.cli.main import main
from gcodec.cli.plan import read_layers, scaled
from gcodec.errors import GcodecError
from gcodec.fusion import RULES, Layers
from gcodec.fusion.networks import recorded

CSV = "name,elements,seconds\nhead,1000,0.002\n\nbias,10,0.001\nfirst,500,0.003\n"
ROWS = [
    {"name": "head", "elements": 1000, "seconds": 0.002},
    {"name": "bias", "elements": 10, "seconds": 0.001},
    {"name": "first", "elements": 500, "seconds": 0.003},
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.csv").write_text(CSV)
    (tmp_path / "net.json").write_text(json.dumps(ROWS))
    return tmp_path


def test_both_kinds_of_files_and_built_in_lists(folder):
    expected = Layers(("head", "bias", "first"), (1000, 10, 500), (0.002, 0.001, 0.003))
    assert read_layers("net.csv") == read_layers("net.json") == expected
    assert read_layers("resnet50") == recorded("resnet50")


def test_a_backward_pass_of_another_length():
    layers = scaled(Layers("ab", (1, 2), (1, 3)), 0.5)
    assert layers.seconds == (0.125, 0.375)
    with pytest.raises(GcodecError, match="takes no time"):
        scaled(Layers("a", (1,), (0,)), 1.0)


def test_words_json_and_a_picture_of_the_same_plan(folder, capsys):
    options = ["net.csv", "--codec", "topk:ratio=0.1", "--ranks", "2", "--latency", "20000"]
    options += ["--backward", "0.001", "--model", "worker"]
    assert main(["plan", *options, "--plot", "plan.png"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(
        "topk:ratio=0.1 between 2 ranks, network: 1 Gbit/s, 20000 us\n\n3 layers of 1,510 elements "
        "in 1 message; model worker: compression and decompression run beside the backward pass\n"
    )
    assert (folder / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert main(["plan", *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["codec"], told["ranks"]) == ("topk:ratio=0.1", 2)
    assert told["network"] == "1 Gbit/s, 20000 us"
    assert told["backward_seconds"] == pytest.approx(0.001)
    assert [group["names"] for group in told["groups"]] == [["head", "bias", "first"]]
    assert set(told["others_seconds"]) == set(RULES)
    assert told["others_seconds"]["layer-wise"] > told["seconds"] > 0.02  # one exchange


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 64, "required: LAYERS"),
        (["vgg"], 64, "vgg is not resnet50, transformer12, nor a .csv or .json"),
        (["none.csv"], 64, "cannot read none.csv: No such file"),
        (["heading.csv"], 64, "heading.csv: line 1: the heading has no seconds"),
        (["word.csv"], 64, "word.csv: line 3: invalid literal"),
        (["short.csv"], 64, "short.csv: line 2: no seconds"),
        (["negative.csv"], 64, "negative.csv: layer 'a' has -1 elements"),
        (["empty.csv"], 64, "empty.csv: there is no layer to plan for"),
        (["float.json"], 64, "float.json: layer 1: invalid literal"),
        (["object.json"], 64, "object.json: give a list of objects"),
        (["broken.json"], 64, "broken.json: Expecting"),
        (["bytes.json"], 64, "bytes.json: 'utf-8' codec"),
        (["nothing.csv"], 65, "the layers of nothing.csv have no elements"),
        (["net.csv", "--codec", "nope"], 64, "valid recipes"),
        (["net.csv", "--model", "A"], 64, "invalid choice: 'A'"),
        (["net.csv", "--ranks", "0"], 64, "'0' is not a whole number of 1 or more"),
        (["net.csv", "--gbit", "0"], 64, "'0' is not a number above 0"),
        (["net.csv", "--backward", "nan"], 64, "'nan' is not a number above 0"),
        (["net.csv", "--plot", "plan.txt"], 64, "cannot plot to plan.txt"),
        (["net.csv", "--plot", "no/plan.png"], 64, "cannot plot to no/plan.png"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(folder, capsys, arguments, code, says):
    heading = "name,elements,seconds\n"
    (folder / "heading.csv").write_text("name,elements\na,1\n")
    (folder / "word.csv").write_text(heading + "a,1,1\nb,many,1\n")
    (folder / "short.csv").write_text(heading + "a,1\n")
    (folder / "negative.csv").write_text(heading + "a,-1,1\n")
    (folder / "empty.csv").write_text(heading)
    (folder / "nothing.csv").write_text(heading + "a,0,1\n")
    (folder / "float.json").write_text('[{"name": "a", "elements": 1.5, "seconds": 1}]')
    (folder / "object.json").write_text('{"name": "a"}')
    (folder / "broken.json").write_text("[")
    (folder / "bytes.json").write_bytes(b"\xff")
    before = set(folder.iterdir())
    try:
        got = main(["plan", *arguments])
    except SystemExit as stopped:
        got = stopped.code
    captured = capsys.readouterr()
    assert got == code
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert set(folder.iterdir()) == before
