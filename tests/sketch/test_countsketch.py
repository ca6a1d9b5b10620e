"""What `gcodec.CountSketch` promises, and how it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gcodec

KINDS = [("float32", 0.0), ("float64", 0.0), ("float32", 2.0**-12), ("float64", 2.0**-40)]
UNITS = st.sampled_from(KINDS)


def make(n=500, **options):
    return gcodec.CountSketch(n, **{"columns": 64, "rows": 3, "seed": 5} | options)


def gradient(seed, n=500, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(n).astype(dtype)


def same(a, b):
    return a.cells.dtype == b.cells.dtype and a.cells.tobytes() == b.cells.tobytes()


@settings(max_examples=60)
@given(
    st.integers(0, 2**32), UNITS, st.integers(1, 7), st.sampled_from([1, 2, 64, 1024]),
    st.sampled_from([0, 1, 255, 500, 700]),
)  # fmt: skip
def test_backends_write_the_same_cells_and_frames(seed, kind, rows, columns, n):
    dtype, unit = kind
    made = []
    for backend in ("cpu", "reference"):
        options = {"columns": columns, "rows": rows, "dtype": dtype, "unit": unit, "seed": seed}
        sketch = make(n, backend=backend, **options)
        assert sketch.insert(gradient(seed, n, dtype)) is sketch
        keys = np.random.default_rng(seed).integers(0, max(n, 1), 9 if n else 0)
        sketch.insert_sparse(keys, gradient(seed + 1, keys.size, dtype))
        assert sketch.contributions == 2
        how = "median" if rows % 2 else "agree"
        found, values = sketch.heavy_hitters(7, how=how)
        frame = sketch.encode(step=seed)
        again = gcodec.CountSketch.decode(frame, backend=backend)
        assert same(again, sketch)
        assert (again.shape, again.contributions) == (sketch.shape, 2)
        made.append((sketch.cells.tobytes(), bytes(frame), found.tolist(), values.tolist(),
                     sketch.estimate(how=how).tobytes(), sketch.norm()))  # fmt: skip
    assert made[0] == made[1]


@given(st.integers(0, 2**32), UNITS, st.integers(0, 500))
def test_a_gradient_in_parts_in_pairs_and_whole(seed, kind, cut):
    dtype, unit = kind
    grad = gradient(seed, dtype=dtype)
    whole = make(dtype=dtype, unit=unit).insert(grad)
    parts = make(dtype=dtype, unit=unit).insert(grad[:cut]).insert(grad[cut:], start=cut)
    pairs = make(dtype=dtype, unit=unit).insert_sparse(np.arange(500), grad)
    assert same(whole, parts)
    assert same(whole, pairs)
    assert whole.contributions == pairs.contributions == 1
    assert parts.contributions == (2 if cut == 0 else 1)


@given(st.integers(0, 2**32), st.sampled_from(KINDS[2:]))
def test_integer_cells_do_not_depend_on_an_order(seed, kind):
    dtype, unit = kind
    rng = np.random.default_rng(seed)
    grads = [gradient(seed + i, dtype=dtype) for i in range(4)]
    sketches = [make(dtype=dtype, unit=unit).insert(grad) for grad in grads]
    one, other = make(dtype=dtype, unit=unit), make(dtype=dtype, unit=unit)
    for sketch in sketches:
        one.merge(sketch)
    for i in rng.permutation(4):
        other.merge(sketches[i])
    assert same(one, other)
    assert one.contributions == 4
    shuffled = rng.permutation(500)
    mixed = make(dtype=dtype, unit=unit).insert_sparse(shuffled, grads[0][shuffled])
    assert same(mixed, sketches[0])
    units = sum(np.rint(grad.astype(float) / unit) for grad in grads)
    exact = make(dtype="float64", unit=1.0).insert(units)
    assert (exact.cells == one.cells).all()


def test_float_sketches_are_linear():
    a, b = gradient(1), gradient(2)
    total = make().insert(a).merge(make().insert(b))
    np.testing.assert_allclose(total.cells, make().insert(a + b).cells, atol=1e-5)
    np.testing.assert_allclose(make().insert(a).scale(-2.5).cells, -2.5 * make().insert(a).cells)
    fixed = make(unit=2.0**-10).insert(a)
    assert (make(unit=2.0**-10).insert(a).scale(-3).cells == -3 * fixed.cells).all()


def test_frames_add_up_and_say_so():
    grads = [gradient(i) for i in range(3)]
    frames = [make().insert(grad).encode(step=4, sender=(i, 3)) for i, grad in enumerate(grads)]
    keys = {gcodec.inspect(frame).header["sum_key"] for frame in frames}
    assert len(keys) == 1
    assert 0 not in keys
    merged = gcodec.merge(frames)
    header = gcodec.inspect(merged).header
    assert (header["contributions"], header["step"], header["sum_key"]) == (3, 4, *keys)
    total = make()
    for frame in frames:
        total.merge(gcodec.CountSketch.decode(frame))
    assert same(gcodec.CountSketch.decode(merged), total)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 6}, {"rows": 5}, {"columns": 128}, {"unit": 0.5}, {"dtype": "float64"},
        {"n": 501}, {"n": (5, 100)}, {"name": "w"}, {"tensors": [("a", (100,)), ("b", (400,))]},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_added(other):
    one, two = make(), make(**other)
    before = one.cells
    with pytest.raises(gcodec.Mismatch):
        one.merge(two)
    with pytest.raises(gcodec.Mismatch, match="frame 1"):
        gcodec.merge([one.encode(), two.encode()])
    assert one.cells is before


def test_other_frames_do_not_add_to_sketches():
    frame, elements = make().encode(), gcodec.Codec().encode(gradient(1))
    for frames in ([frame, elements], [elements, frame], [frame, make().encode(step=1)]):
        with pytest.raises(gcodec.Mismatch):
            gcodec.merge(frames)
    with pytest.raises(gcodec.Mismatch, match=r"use gcodec\.decode"):
        gcodec.CountSketch.decode(elements)
    with pytest.raises(gcodec.Mismatch, match="CountSketch"):
        gcodec.decode(frame)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32), st.sampled_from([1, 3, 20, 499, 500, 501, 9000]),
    st.integers(1, 7), st.sampled_from(["all", "ties", "zeros", "few"]),
)  # fmt: skip
def test_heavy_hitters_are_the_largest_estimates(seed, k, rows, law):
    rng, n = np.random.default_rng(seed), 9000
    grad = rng.standard_t(2, n).astype(np.float32)
    if law == "ties":
        grad = rng.choice([-1, 0, 1], n).astype(np.float32)
    elif law != "all":
        grad[rng.random(n) < (1 if law == "zeros" else 0.999)] = 0
    sketch = make(n, rows=rows, columns=256).insert(grad)
    for how in ("median", "agree") if rows % 2 else ("agree",):
        estimates = sketch.estimate(how=how)
        keys, values = sketch.heavy_hitters(k, how=how)
        order = np.lexsort((np.arange(n), -np.abs(estimates)))[:k]
        order = np.sort(order[estimates[order] != 0])
        assert keys.tolist() == order.tolist()
        assert values.tobytes() == estimates[order].tobytes()
        some = rng.integers(0, n, 50)
        assert sketch.estimate(some, how=how).tobytes() == estimates[some].tobytes()


def test_columns_of_a_matrix_do_not_mislead_the_sample():
    """All that is large is in one column: a stride of a power of two would see all or none."""
    grad = np.zeros((4096, 64), np.float32)
    grad[:, 3] = np.arange(1, 4097)
    sketch = make(grad.shape, columns=1 << 14, rows=5).insert(grad)
    for k in (10, 4000):
        keys, _ = sketch.heavy_hitters(k)
        order = np.argsort(-np.abs(sketch.estimate().reshape(-1)), kind="stable")
        assert keys.tolist() == np.sort(order[:k]).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing(kind):
    dtype, unit = kind
    n = (1 << 20) + 77
    grad = np.random.default_rng(3).standard_t(3, n).astype(dtype)
    keys = np.random.default_rng(4).permutation(n)
    made = []
    try:
        for threads in (1, 2, 3, 8):
            gcodec.set_threads(threads)
            sketch = make(n, rows=5, columns=1 << 12, dtype=dtype, unit=unit).insert(grad)
            sketch.insert_sparse(keys, grad[keys])
            found, values = sketch.heavy_hitters(1000)
            made.append((sketch.cells.tobytes(), found.tobytes(), values.tobytes(),
                         sketch.estimate().tobytes()))  # fmt: skip
    finally:
        gcodec.set_threads(None)
    assert made[1:] == made[:1] * 3


def test_estimates_of_a_unit_are_multiples_of_it():
    grad = gradient(1)
    exact = make(1, columns=1, rows=1, unit=2.0**-8).insert(grad[:1]).estimate()
    assert exact == np.rint(grad[:1] * 256) / 256
    wide = make(3, columns=1 << 10, rows=7, unit=2.0**-1000, dtype="float64")
    assert not wide.insert(np.zeros(3)).estimate().any()


def test_clear():
    sketch = make(columns=1024, rows=5).insert(gradient(1))
    keys = [3, 77, 3]
    sketch.clear(keys)
    assert not sketch.estimate(keys).any()
    assert np.count_nonzero(sketch.estimate()) > 450


def test_norm():
    grad = gradient(1, 100_000)
    estimate = make(grad.size, columns=1 << 12, rows=5).insert(grad).norm()
    assert abs(estimate / np.linalg.norm(grad) - 1) < 4 * np.sqrt(1 / 2 / 4096)
    assert make(grad.size, unit=2.0**-20).norm() == 0
    fixed = make(grad.size, columns=1 << 12, rows=5, unit=2.0**-16).insert(grad).norm()
    assert abs(fixed / estimate - 1) < 1e-3
    huge = np.float32(3e38)
    assert make(1, columns=1, rows=1).insert(np.full(1, huge)).norm() == pytest.approx(float(huge))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_element_types(dtype):
    grad = gradient(1).astype(dtype)
    wide = make(dtype="float64").insert(grad)
    assert wide.cells.dtype == wide.estimate().dtype == np.float64
    if dtype == np.float64:
        with pytest.raises(gcodec.Mismatch, match="make it of float64"):
            make().insert(grad)
    else:
        assert same(make().insert(grad), make().insert(grad.astype(np.float32)))


class TestRefusals:
    """Nothing changes when something is refused."""

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("unit", [0.0, 0.5])
    def test_not_finite(self, value, unit):
        sketch = make(unit=unit).insert(gradient(1))
        before, grad = sketch.cells, gradient(2)
        grad[[7, 9]] = value
        with pytest.raises(gcodec.NonFiniteError, match=r"2 NaN or infinite.*index 7"):
            sketch.insert(grad)
        with pytest.raises(gcodec.NonFiniteError):
            sketch.insert_sparse([7], grad[7:8])
        assert sketch.cells is before
        assert sketch.contributions == 1

    def test_sums_that_are_too_large(self):
        large = make(1, columns=1, rows=1).insert(np.full(1, 3e38, np.float32))
        for change in (lambda: large.merge(large), lambda: large.scale(2)):
            with pytest.raises(gcodec.NonFiniteError):
                change()
        fixed = make(1, columns=1, rows=1, unit=1.0).insert(np.full(1, 2e9, np.float32))
        other = make(1, columns=1, rows=1, unit=1.0).insert(np.full(1, -2e9, np.float32))
        for change in (lambda: fixed.merge(fixed), lambda: fixed.scale(2),
                       lambda: fixed.insert(np.full(1, 2e9, np.float32)),
                       lambda: fixed.insert(np.full(1, 3e9, np.float32))):  # fmt: skip
            with pytest.raises(gcodec.LimitExceeded, match="take a larger unit"):
                change()
        assert abs(int(fixed.cells[0, 0])) == 2_000_000_000
        assert int(fixed.merge(other).cells[0, 0]) == 0
        wide = make(1, columns=1, rows=1, unit=2.0**-51, dtype="float64").insert(np.ones(1))
        wide.scale(2**11)
        for change in (lambda: wide.scale(4), lambda: wide.merge(wide).merge(wide)):
            with pytest.raises(gcodec.LimitExceeded):
                change()
        with pytest.raises(gcodec.LimitExceeded, match="or their sum"):
            wide.insert(np.ones(1))

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"rows": 0}, "rows is 1 to 7"), ({"rows": 8}, "not 8"),
            ({"columns": 0}, "a power of two"), ({"columns": 100}, "not 100"),
            ({"columns": 1 << 21}, "at most 1048576"), ({"seed": -1}, "seed"),
            ({"seed": 1 << 64}, "seed"), ({"dtype": "float16"}, "float32 or float64"),
            ({"unit": 3.0}, "power of two"), ({"unit": -1.0}, "power of two"),
            ({"unit": np.nan}, "power of two"), ({"unit": np.inf}, "power of two"),
        ],
    )  # fmt: skip
    def test_parameters(self, options, says):
        with pytest.raises(ValueError, match=says):
            make(**options)

    def test_shapes(self):
        with pytest.raises(gcodec.LimitExceeded, match="2\\^32"):
            make(2**32 + 1)
        with pytest.raises(gcodec.LimitExceeded):
            make(-1)
        with pytest.raises(gcodec.Mismatch, match="the tensors hold 3"):
            make(tensors=[("a", (3,))])
        for start in (-1, 1):
            with pytest.raises(gcodec.Mismatch, match="not within 500"):
                make().insert(gradient(1), start=start)

    @pytest.mark.parametrize("keys", [[-1], [500], [[1]], [1.0], ["a"]])
    def test_keys(self, keys):
        sketch = make()
        values = np.ones(1, np.float32)
        for use in (sketch.estimate, sketch.clear, lambda k: sketch.insert_sparse(k, values)):
            with pytest.raises(gcodec.Mismatch, match="key"):
                use(keys)
        with pytest.raises(gcodec.Mismatch, match="2 keys for 1 values"):
            sketch.insert_sparse([1, 2], values)

    def test_questions(self):
        with pytest.raises(ValueError, match="one-sided"):
            make(rows=2).estimate(how="median")
        with pytest.raises(ValueError, match="'median' or 'agree'"):
            make().heavy_hitters(3, how="mean")
        with pytest.raises(ValueError, match="at least 0"):
            make().heavy_hitters(-1)
        with pytest.raises(ValueError, match="finite"):
            make().scale(np.inf)
        with pytest.raises(ValueError, match="an integer"):
            make(unit=1.0).scale(0.5)
        with pytest.raises(ValueError, match="leave it out"):
            make().estimate([1], out=np.zeros(500, np.float32))
        with pytest.raises(gcodec.Mismatch):
            make().estimate(out=np.zeros(499, np.float32))
        with pytest.raises(gcodec.LimitExceeded, match="step"):
            make().encode(step=-1)
        assert make().heavy_hitters(0)[0].size == make(0).heavy_hitters(5)[0].size == 0
        assert "CountSketch((500,), columns=64, rows=3, seed=5" in repr(make())


def test_estimates_into_an_array_of_the_caller():
    sketch = make((20, 25)).insert(gradient(1).reshape(20, 25))
    out = np.zeros((20, 25), np.float32)
    assert sketch.estimate(out=out) is out
    assert out.tobytes() == sketch.estimate().tobytes()
    assert sketch.estimate().shape == (20, 25)


def test_inspection_says_what_the_cells_are():
    sketch = make((100, 50), rows=5, seed=9).insert(gradient(1, 5000).reshape(100, 50))
    said = gcodec.inspect(sketch.encode())
    assert said.shapes == [(100, 50)]
    assert (said.header["frame_kind"], said.header["n_elements"]) == ("count_sketch", 320)
    assert said.sketch == sketch.parameters._asdict()
    assert said.ratio_to_dense == 20_000 / said.frame_bytes
    assert "5 rows of 64 cells, numbers, seed 9" in str(said)
    assert "multiples of 0.5" in str(gcodec.inspect(make(unit=0.5).encode()))
    assert gcodec.inspect(gcodec.Codec().encode(gradient(1))).sketch is None
