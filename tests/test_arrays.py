"""arrays: what callers pass, narrowed without a copy where there need not be one."""

import numpy as np
import pytest
from strategies import make_gradient, same_bits

from gcodec import arrays
from gcodec.errors import BackendUnavailableError, Mismatch, UnsupportedDtypeError


class TestGradient:
    """float32 of any shape, flat and read-only."""

    @pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3), (1, 2, 3)], ids=str)
    def test_no_copy_if_contiguous(self, shape):
        array = make_gradient(0, int(np.prod(shape, dtype=int))).reshape(shape)
        flat, given = arrays.gradient(array)
        assert given == shape
        assert flat.ndim == 1
        assert flat.size == 0 or np.shares_memory(flat, array)
        assert not flat.flags.writeable
        assert array.flags.writeable

    @pytest.mark.parametrize("view", [np.s_[::2], np.s_[::-1], np.s_[1::3]], ids=str)
    def test_a_copy_if_not(self, view):
        array = make_gradient(0, 20)[view]
        flat, _ = arrays.gradient(array)
        assert same_bits(flat, np.ascontiguousarray(array))
        assert not np.shares_memory(flat, array)

    def test_order_is_that_of_c(self):
        array = np.asfortranarray(make_gradient(0, 12).reshape(3, 4))
        assert same_bits(arrays.gradient(array).flat, array.flatten("C"))

    @pytest.mark.parametrize(
        "given", [[1.0, 2.0], 3.0, np.float64(1), np.array(["a"]), [[1], [2, 3]]]
    )
    def test_what_is_not_float32(self, given):
        with pytest.raises((UnsupportedDtypeError, ValueError)):
            arrays.gradient(given)

    def test_a_scalar_is_an_array(self):
        flat, shape = arrays.gradient(np.float32(3))
        assert (flat.tolist(), shape) == ([3.0], ())

    def test_on_a_device(self):
        class OnDevice:
            __cuda_array_interface__ = None

        with pytest.raises(BackendUnavailableError):
            arrays.gradient(OnDevice())


class TestAsBytes:
    """Any contiguous buffer as read-only bytes at a multiple of eight."""

    @pytest.mark.parametrize("offset", range(9))
    def test_copied_only_if_not_aligned(self, offset):
        memory = np.zeros(40, np.uint64).view(np.uint8)
        memory[:] = np.arange(memory.size) % 251
        part = memory[offset : offset + 64]
        given = arrays.as_bytes(part)
        assert given.tolist() == part.tolist()
        assert given.ctypes.data % 8 == 0
        assert np.shares_memory(given, part) == (offset % 8 == 0)
        assert not given.flags.writeable

    @pytest.mark.parametrize("empty", [b"", bytearray(), np.empty(0), np.empty((3, 0))], ids=repr)
    def test_empty(self, empty):
        assert arrays.as_bytes(empty).size == 0

    @pytest.mark.parametrize(
        "holes", [np.zeros((4, 4), np.uint8).T[1:], np.zeros(8, np.uint8)[::2]], ids=["2d", "1d"]
    )
    def test_holes(self, holes):
        with pytest.raises(Mismatch):
            arrays.as_bytes(holes)


class TestOutput:
    """The caller's array, flat, or a `Mismatch` that says what is wrong."""

    def test_is_the_same_memory(self):
        out = np.zeros((2, 3), np.float32)
        flat = arrays.output(out, 6, [(2, 3)])
        flat[:] = 1
        assert (out == 1).all()

    @pytest.mark.parametrize(
        ("out", "said"),
        [
            (np.zeros(6), "float64"),
            ([0.0] * 6, "list"),
            (np.zeros(5, np.float32), "5 elements.*6.*shape"),
            (np.zeros(12, np.float32)[::2], "contiguous"),
            (arrays.read_only(np.zeros(6, np.float32)), "writable"),
        ],
        ids=["dtype", "type", "size", "stride", "read-only"],
    )
    def test_says_what_is_wrong(self, out, said):
        with pytest.raises(Mismatch, match=said):
            arrays.output(out, 6, [(6,)])

    def test_says_how_many_tensors(self):
        with pytest.raises(Mismatch, match="2 tensors"):
            arrays.output(np.zeros(5, np.float32), 6, [(2,), (4,)])


class TestPairs:
    """Ascending keys and their values."""

    def test_no_copy_of_int64_keys(self):
        keys, values = np.array([1, 4, 9]), make_gradient(0, 3)
        positions, flat = arrays.pairs(keys, values, 10)
        assert np.shares_memory(positions, keys)
        assert np.shares_memory(flat, values)

    @pytest.mark.parametrize(
        ("keys", "said"),
        [
            ([0, 5, 5], r"keys\[2\] = 5 follows 5"),
            ([3, 2, 5], r"keys\[1\] = 2 follows 3"),
            ([0, 1, 10], "outside 0..9"),
            ([-1, 1, 2], "outside 0..9"),
            ([0, 1], "2 keys"),
        ],
        ids=str,
    )
    def test_says_what_is_wrong(self, keys, said):
        with pytest.raises(Mismatch, match=said):
            arrays.pairs(np.array(keys), make_gradient(0, 3), 10)

    def test_of_an_empty_vector(self):
        positions, flat = arrays.pairs(np.empty(0, np.int32), np.empty(0, np.float32), 0)
        assert (positions.size, flat.size) == (0, 0)
