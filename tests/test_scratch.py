"""Memory that is used again, and never while something refers to it."""

import threading

import numpy as np
import pytest

import gcodec
from gcodec import scratch
from gcodec.format.frame import Frame

SIZE = scratch.LEAST // 2


@pytest.fixture(autouse=True)
def nothing_kept():
    scratch.forget()
    yield
    scratch.forget()


def address(array):
    return array.ctypes.data


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.uint64])
@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE, SIZE + 1, 10 * SIZE + 7])
def test_an_array_like_any_other(size, dtype):
    array = scratch.empty(size, dtype)
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype) == ((size,), dtype)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.nbytes < scratch.LEAST or address(array) % scratch.CACHE_LINE == 0
    array[:] = 7
    assert (array == 7).all()


def test_used_again_once_nothing_refers_to_it():
    first = scratch.empty(SIZE, np.float32)
    place = address(first)
    del first
    assert address(scratch.empty(SIZE - 5, np.float32)) == place


@pytest.mark.parametrize(
    "part",
    [
        lambda array: array[5:],
        lambda array: array.view(np.uint8).reshape(-1, 4),
        lambda array: memoryview(array),
        lambda array: np.frombuffer(memoryview(array), np.uint8),
        lambda array: Frame(array.view(np.uint8)),
        lambda array: np.lib.stride_tricks.as_strided(array, (2,), (4,)),
    ],
)
def test_not_while_a_part_is_alive(part):
    array = scratch.empty(SIZE, np.float32)
    array[:] = 1
    place, alive = address(array), part(array)
    del array
    other = scratch.empty(SIZE, np.float32)
    assert address(other) != place
    other[:] = 2
    assert (np.asarray(alive).view(np.uint8) == np.ones(1, np.float32).view(np.uint8)[0]).any()
    del alive
    assert address(scratch.empty(SIZE, np.float32)) == place


def test_no_more_is_kept_than_that():
    pieces = [scratch.empty(scratch.MOST // 4, np.uint8) for _ in range(7)]
    pieces.append(scratch.empty(scratch.MOST + 1, np.uint8))
    del pieces
    kept = list(scratch._kept)
    assert kept
    assert sum(map(len, kept)) <= scratch.MOST


def test_frames_that_are_kept_stay_as_they_are():
    rng = np.random.default_rng(0)
    grads = rng.laplace(size=(6, 200_000)).astype(np.float32)
    codec = gcodec.get_codec("reclog:ratio=0.3")
    frames = [codec.encode(grad) for grad in grads]
    copies = [bytes(frame) for frame in frames]
    decoded = [gcodec.decode_sparse(frame) for frame in frames]
    for grad in grads:
        codec.encode(grad)
    assert [bytes(frame) for frame in frames] == copies
    for frame, (keys, values) in zip(frames, decoded, strict=True):
        again = gcodec.decode_sparse(frame)
        assert np.array_equal(again[0], keys)
        assert np.array_equal(again[1], values)


def test_threads_do_not_share_a_piece():
    wrong = []

    def work(number):
        for _ in range(300):
            own = scratch.empty(SIZE, np.float32)
            own[:] = number
            if not (own == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
