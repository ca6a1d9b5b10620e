"""Does a frame hold what it claims?"""

import json

import numpy as np
import pytest

import gcodec
from gcodec.cli.main import main


@pytest.fixture
def grad():
    return np.random.default_rng(0).normal(size=2000).astype(np.float32)


@pytest.mark.parametrize(
    "recipe", ["topk:ratio=0.1", "reclog:ratio=0.1", "reclog:k=1,per_octave=1"]
)
def test_a_frame_meets_its_bound(recipe, grad):
    frame = gcodec.get_codec(recipe).encode(grad)
    keys, values = gcodec.decode_sparse(frame)
    found = gcodec.verify(frame, grad)
    assert found.bound_met
    assert (found.kept, found.elements) == (keys.size, grad.size)
    difference = np.linalg.norm(values.astype(float) - grad[keys]) / np.linalg.norm(grad[keys])
    assert found.kept_error == pytest.approx(difference, rel=1e-6)
    lost = gcodec.decode(frame).astype(float) - grad
    assert found.error == pytest.approx(np.linalg.norm(lost) / np.linalg.norm(grad), rel=1e-6)
    alone = gcodec.verify(frame)
    assert (alone.bound_met, alone.error, alone.kept) == (None, None, found.kept)


def test_another_gradient_does_not(grad):
    for recipe in ("topk:ratio=0.1", "reclog:ratio=0.1"):
        assert not gcodec.verify(gcodec.get_codec(recipe).encode(grad), grad * 2).bound_met


@pytest.mark.parametrize("scale", [1e-300, 1e-170, 1.0, 1e170, 1e300])
def test_norms_of_any_float64(scale):
    """Squares of which are far outside of float64."""
    grad = np.random.default_rng(0).normal(size=2000) * scale
    found = gcodec.verify(gcodec.get_codec("reclog:ratio=0.1").encode(grad), grad)
    assert found.bound_met
    assert 0.02 < found.kept_error < found.bound
    assert 0.3 < found.error < 1


def test_zero_and_empty():
    for zero in (np.zeros(5, np.float32), np.zeros(0, np.float32)):
        found = gcodec.verify(gcodec.Codec().encode(zero), zero)
        assert found.bound_met
        assert found.error == found.kept_error == 0


def test_what_does_not_fit_is_refused(grad):
    frame = gcodec.Codec().encode(grad)
    with pytest.raises(gcodec.Mismatch, match="2000 elements, the gradient 1999"):
        gcodec.verify(frame, grad[1:])
    with pytest.raises(gcodec.Corrupt):
        gcodec.verify(bytes(frame)[:-64] + bytes(64))


def test_the_command(tmp_path, grad, capsys):
    good, other = tmp_path / "good.gc", tmp_path / "other.gc"
    codec = gcodec.get_codec("reclog:ratio=0.1")
    good.write_bytes(codec.encode(grad))
    other.write_bytes(codec.encode(-grad))
    np.save(tmp_path / "grad.npy", grad)
    against = ["--against", str(tmp_path / "grad.npy")]
    assert main(["verify", str(good), str(other)]) == 0
    assert capsys.readouterr().out.count("sound, 200 of 2000 elements") == 2
    assert main(["verify", str(good), *against]) == 0
    assert "bound 0.0864273 met" in capsys.readouterr().out
    assert main(["verify", str(other), str(good), "--json", *against]) == 1
    told = [json.loads(line)["bound_met"] for line in capsys.readouterr().out.splitlines()]
    assert told == [False, True]
    (tmp_path / "cut.gc").write_bytes(good.read_bytes()[:-1])
    assert main(["verify", str(good), str(tmp_path / "cut.gc")]) == 2
    assert "cut.gc: the frame has" in capsys.readouterr().err
