"""arrays: what callers pass, narrowed without a copy where there need not be one."""

import numpy as np
import pytest
from kinds import KINDS, make
from strategies import make_gradient, same_bits

from gcodec import arrays
from gcodec.errors import BackendUnavailableError, Mismatch, UnsupportedDtypeError
from gcodec.format.elements import ELEMENTS

ELEMENT = {element.name: element for element in ELEMENTS.values()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
class TestGradient:
    """Patterns of any shape, flat and read-only."""

    @pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3), (1, 2, 3)], ids=str)
    def test_no_copy_if_contiguous(self, kind, shape):
        array = make(kind, 0, int(np.prod(shape, dtype=int))).reshape(shape)
        bits, element, given = arrays.gradient(array)
        assert given == shape
        assert element.name == kind.name
        assert same_bits(bits, array.reshape(-1).view(kind.pattern))
        assert bits.size == 0 or np.shares_memory(bits, array)
        assert not bits.flags.writeable
        assert array.flags.writeable

    @pytest.mark.parametrize("view", [np.s_[::2], np.s_[::-1], np.s_[1::3]], ids=str)
    def test_a_copy_if_not(self, kind, view):
        array = make(kind, 0, 20)[view]
        bits = arrays.gradient(array).bits
        assert same_bits(bits, np.ascontiguousarray(array).view(kind.pattern))
        assert not np.shares_memory(bits, array)

    def test_order_is_that_of_c(self, kind):
        array = np.asfortranarray(make(kind, 0, 12).reshape(3, 4))
        assert same_bits(arrays.gradient(array).bits, array.flatten("C").view(kind.pattern))

    def test_widened_is_exact(self, kind):
        array = make(kind, 1, 500, values="any").reshape(20, 25)
        wide = arrays.gradient(array).widened()
        assert (wide.element.name, wide.shape) == (np.dtype(kind.wide).name, (20, 25))
        assert same_bits(wide.numbers(), kind.widened(array.reshape(-1)))

    def test_a_scalar_is_an_array(self, kind):
        bits, _, shape = arrays.gradient(kind.of(kind.one)[()])
        assert (bits.tolist(), shape) == ([kind.one], ())

    def test_another_byte_order_is_refused(self, kind):
        with pytest.raises(UnsupportedDtypeError, match="native"):
            arrays.gradient(make(kind, 0, 6).astype(kind.dtype.newbyteorder(">")))


@pytest.mark.parametrize("given", [[1, 2], 3, np.array(["a"]), [[1], [2, 3]], [True], [1j], None])
def test_what_is_no_gradient(given):
    with pytest.raises((UnsupportedDtypeError, ValueError)):
        arrays.gradient(given)


def test_lists_of_numbers_are_float64():
    assert arrays.gradient([1.0, 2.0]).element.name == "float64"


class TestOther:
    """What arrays of another making are."""

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
        flat = arrays.output(out, ELEMENT["float32"], 6, [(2, 3)], exact=True)
        flat[:] = 1
        assert (out == 1).all()

    @pytest.mark.parametrize(
        ("out", "said"),
        [
            (np.zeros(6), "array of float64, the frame holds float32: pass a float32"),
            (np.zeros(6, np.float16), "float16"),
            (np.zeros(6, np.uint32), "uint32"),
            ([0.0] * 6, "list"),
            (np.zeros(5, np.float32), "5 elements.*6.*shape"),
            (np.zeros(12, np.float32)[::2], "contiguous"),
            (arrays.read_only(np.zeros(6, np.float32)), "writable"),
        ],
        ids=["float64", "float16", "bits", "type", "size", "stride", "read-only"],
    )
    def test_says_what_is_wrong(self, out, said):
        with pytest.raises(Mismatch, match=said):
            arrays.output(out, ELEMENT["float32"], 6, [(6,)], exact=True)

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    @pytest.mark.parametrize("exact", [False, True])
    def test_types(self, kind, exact):
        """Its own where it is to be exact, that of sums always, and no other."""
        for other in {kind.dtype for kind in KINDS.values()}:
            out = np.zeros(6, other)
            if other == kind.wide or (exact and other == kind.dtype):
                assert np.shares_memory(
                    arrays.output(out, ELEMENT[kind.name], 6, [(6,)], exact=exact), out
                )
            else:
                with pytest.raises(Mismatch, match=kind.name):
                    arrays.output(out, ELEMENT[kind.name], 6, [(6,)], exact=exact)

    def test_says_how_many_tensors(self):
        with pytest.raises(Mismatch, match="2 tensors"):
            arrays.output(np.zeros(5, np.float32), ELEMENT["float32"], 6, [(2,), (4,)], exact=True)


class TestPairs:
    """Ascending keys and their values."""

    def test_no_copy_of_int64_keys(self):
        keys, values = np.array([1, 4, 9]), make_gradient(0, 3)
        positions, given = arrays.pairs(keys, values, 10)
        assert np.shares_memory(positions, keys)
        assert np.shares_memory(given.bits, values)

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
        positions, given = arrays.pairs(np.empty(0, np.int32), np.empty(0, np.float32), 0)
        assert (positions.size, given.bits.size) == (0, 0)
