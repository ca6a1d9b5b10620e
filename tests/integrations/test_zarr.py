"""The Zarr serializer: an archive of gradients that a fresh process reads, and what is refused."""

import json

import numpy as np
import pytest

import gcodec

SHAPE, CHUNKS = (5, 30, 40), (1, 20, 40)


@pytest.fixture
def zarr(framework):
    return framework("zarr", "zarr")


@pytest.fixture
def make(zarr):
    from gcodec.integrations.zarr import GCodec

    return GCodec


@pytest.fixture
def archive(zarr, make, tmp_path):
    """Function that writes an array of gradients; what its chunks decode to, and where it is."""

    def write(recipe, dtype="float32", **how):
        grads = np.random.default_rng(1).laplace(size=SHAPE).astype(dtype)
        how = {"chunks": CHUNKS, "compressors": None, "serializer": make(recipe), **how}
        array = zarr.create_array(tmp_path / "a", shape=SHAPE, dtype=dtype, **how)
        array[:] = grads
        expected = np.zeros_like(grads)
        for step in range(SHAPE[0]):
            for row in range(0, SHAPE[1], CHUNKS[1]):
                chunk = np.zeros(CHUNKS, grads.dtype.newbyteorder("="))
                part = grads[step : step + 1, row : row + CHUNKS[1]]
                chunk[:, : part.shape[1]] = part
                values = gcodec.decode_sparse(gcodec.get_codec(recipe).encode(chunk))
                dense = np.zeros(chunk.size, np.float64)
                dense[values[0]] = values[1]
                expected[step, row : row + CHUNKS[1]] = dense.reshape(CHUNKS)[0, : part.shape[1]]
        return expected, tmp_path / "a"

    return write


@pytest.mark.parametrize(
    ("recipe", "dtype"),
    [
        ("reclog:ratio=0.1,per_octave=8", "float64"),
        ("sparseloco", "float16"),
        ("topk:ratio=0.05", ">f4"),
        ("qsgd:scales=row", "float32"),
    ],
)
def test_chunks_hold_what_a_codec_makes_of_them(zarr, archive, recipe, dtype):
    expected, path = archive(recipe, dtype)
    array = zarr.open_array(path)
    assert array.dtype == expected.dtype.newbyteorder("=")
    assert np.array_equal(array[:], expected)


def test_an_archive_is_read_by_a_fresh_process(archive, fresh):
    expected, path = archive("topk:ratio=0.05")
    code = """
import sys, numpy, zarr
array = zarr.open_array(sys.argv[1], mode="r")
assert array[1].tobytes() == array[:][1].tobytes()
numpy.save(sys.argv[1] + ".npy", array[:])
"""
    fresh(code, path)
    assert np.load(f"{path}.npy").tobytes() == expected.tobytes()


def test_chunks_are_frames(archive):
    _, path = archive("topk:ratio=0.05")
    told = gcodec.inspect((path / "c" / "0" / "0" / "0").read_bytes())
    assert told.shapes == [CHUNKS]
    assert told.header["n_stored"] == 40
    assert sum(file.stat().st_size for file in path.rglob("c/*/*/*")) < 5 * 30 * 40


def test_values_that_are_cast_come_back_in_the_type_of_the_array(zarr, make):
    grad = np.array([1.0009765625, 2.0**-11, 3], np.float64)
    for dtype in ("float16", "float32", "float64"):
        array = zarr.create_array({}, shape=3, dtype=dtype, serializer=make("inceptionn"))
        array[:] = grad
        assert array.dtype == dtype
        assert array[:].tolist() == [1, 0, 3]


def test_metadata_goes_round(zarr, make, archive):
    _, path = archive("reclog:ratio=0.01,base=1.1")
    entry = json.loads((path / "zarr.json").read_text())["codecs"][0]
    assert entry["name"] == "gcodec"
    codec = make.from_dict(entry)
    assert codec == make("reclog:ratio=0.01,base=1.1") == zarr.open_array(path).serializer
    assert codec.to_dict() == entry
    assert codec != make("topk")


def test_beside_other_codecs(archive, zarr):
    from zarr.codecs import TransposeCodec, ZstdCodec

    filters = [TransposeCodec(order=(0, 2, 1))]
    _, path = archive("topk:ratio=1", filters=filters, compressors=ZstdCodec())
    grads = np.random.default_rng(1).laplace(size=SHAPE).astype(np.float32)
    assert np.array_equal(zarr.open_array(path)[:], grads)


@pytest.mark.parametrize("order", ["C", "F"])
def test_format_2_takes_the_numcodecs_codec(zarr, tmp_path, order):
    from gcodec.integrations.numcodecs import GCodec

    grads = np.random.default_rng(1).laplace(size=(30, 40)).astype(np.float32)
    how = {"zarr_format": 2, "chunks": (30, 20), "dtype": "float32", "order": order}
    array = zarr.create_array(
        tmp_path / "a", shape=grads.shape, compressors=GCodec("topk:ratio=1"), **how
    )
    array[:] = grads
    assert np.array_equal(zarr.open_array(tmp_path / "a")[:], grads)


@pytest.mark.parametrize("dtype", ["int32", "uint16", "bool", "complex64"])
def test_what_is_no_gradient_is_refused_when_the_array_is_made(zarr, make, tmp_path, dtype):
    with pytest.raises(gcodec.UnsupportedDtypeError, match=dtype):
        zarr.create_array(tmp_path / "a", shape=3, dtype=dtype, serializer=make())
    assert not list(tmp_path.rglob("zarr.json"))


def test_mistakes(zarr, make, archive):
    with pytest.raises(gcodec.UnknownRecipeError, match="topk takes ratio="):
        make("topk:rate=1")
    array = zarr.create_array({}, shape=3, dtype="float32", serializer=make("dense"))
    with pytest.raises(gcodec.NonFiniteError):
        array[:] = np.nan
    _, path = archive("topk:ratio=0.05")
    chunk = path / "c" / "0" / "0" / "0"
    damaged = bytearray(chunk.read_bytes())
    damaged[-20] ^= 1
    chunk.write_bytes(damaged)
    with pytest.raises(gcodec.FrameError):
        zarr.open_array(path)[:]
