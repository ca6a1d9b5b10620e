"""Any number of threads: the same bytes, the same numbers, the same errors."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import gcodec
from gcodec import decoder, parallel, rounding, statistics
from gcodec.packing import compiled, read

N = 300_000
RECIPES = (
    "reclog:ratio=0.01",
    "reclog:ratio=0.2,keys=delta",
    "topk:ratio=0.05,keys=blocks",
    "reclog:threshold=0.5,keys=bitmap",
    "sidco:ratio=0.01",
    "gradient-dropping:bits=2",
    "randomk:ratio=0.01",
    "qsgd:levels=255",
    "natural",
    "terngrad",
    "sparseloco",
)


@pytest.fixture(autouse=True)
def small_shares(monkeypatch):
    """Threads also where they are not worth it."""
    monkeypatch.setattr(statistics, "LEAST", 1 << 12)
    for module in (rounding, compiled, read, decoder):
        monkeypatch.setattr(module, "LEAST_KEPT", 16)
    yield
    gcodec.set_threads(None)


@pytest.fixture(scope="module")
def grads():
    rng = np.random.default_rng(0)
    return [rng.laplace(size=N).astype(np.float32) for _ in range(3)]


def results(recipe, grads):
    """Frames with and without a memory, and what they decode to."""
    codec = gcodec.get_codec(recipe)
    frames = [bytes(codec.encode(grad, step=step)) for step, grad in enumerate(grads)]
    frames.append(bytes(codec.encode(grads[0].reshape(600, 500))))
    sums = [np.zeros(N, np.float32) for _ in frames]
    for frame, total in zip(frames, sums, strict=True):
        gcodec.accumulate(frame, total, scale=0.5)
    dense = [gcodec.decode(frame).tobytes() for frame in frames]
    if not getattr(codec.select, "unbiased", False):
        memory = gcodec.ErrorFeedback(codec, beta=0.5)
        for step, grad in enumerate(grads):
            frames.append(bytes(memory.encode("w", grad, step=step)))
            memory.commit("w")
        dense.append(memory.residual("w").tobytes())
    return frames, dense, [total.tobytes() for total in sums]


@pytest.mark.parametrize("recipe", RECIPES)
def test_any_number_of_threads(recipe, grads):
    gcodec.set_threads(1)
    expected = results(recipe, grads)
    for number in (2, 3, 7):
        gcodec.set_threads(number)
        assert results(recipe, grads) == expected


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_element_types(kind, grads):
    grads = [grad.astype(kind) for grad in grads]
    frames = []
    for number in (1, 3):
        gcodec.set_threads(number)
        memory = gcodec.ErrorFeedback(gcodec.get_codec("reclog:ratio=0.03"))
        frames.append([bytes(memory.encode(str(i), grad)) for i, grad in enumerate(grads)])
    assert frames[0] == frames[1]


def test_from_several_threads_of_the_caller(grads):
    codec = gcodec.get_codec("reclog:ratio=0.05")
    expected = [bytes(codec.encode(grad)) for grad in grads] * 8
    gcodec.set_threads(3)
    with ThreadPoolExecutor(6) as pool:
        assert [bytes(frame) for frame in pool.map(codec.encode, grads * 8)] == expected


def test_errors_are_those_of_one_thread(grads):
    frame = np.array(gcodec.get_codec("reclog:ratio=0.05").encode(grads[0]))
    bad = np.full(N, 1, np.float32)
    bad[[5, N - 1]] = np.nan, np.inf
    said = []
    for number in (1, 4):
        gcodec.set_threads(number)
        for at in (frame.size // 2, frame.size * 3 // 4):
            broken = frame.copy()
            broken[at] ^= 1
            out = np.zeros(N, np.float32)
            with pytest.raises(gcodec.Corrupt) as error:
                gcodec.accumulate(broken, out)
            assert not out.any()
            said.append(str(error.value))
        with pytest.raises(gcodec.NonFiniteError, match=r"2 NaN.* index 5\b") as error:
            gcodec.Codec().encode(bad)
        said.append(str(error.value))
    assert said[: len(said) // 2] == said[len(said) // 2 :]


def test_an_error_in_a_thread_reaches_the_caller_when_all_have_ended():
    ended = []

    def work(start, stop):
        if start == 0:
            raise ValueError("first")
        ended.append(start)
        if start == 20:
            raise KeyError("third")

    gcodec.set_threads(3)
    with pytest.raises(ValueError, match="first"):
        parallel.run(work, parallel.split(30, 10))
    assert sorted(ended) == [10, 20]
    with pytest.raises(KeyError, match="third"):
        parallel.run(lambda start, stop: work(start + 1, stop - 1) or work(20, 0), [(0, 1), (1, 2)])


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_below_one_is_refused(number):
    with pytest.raises(ValueError, match="at least 1"):
        gcodec.set_threads(number)
    with pytest.raises(TypeError):
        gcodec.set_threads("2")
    assert gcodec.get_threads() >= 1


@pytest.mark.parametrize("unit", [1, 64])
def test_ranges_make_up_the_whole(unit):
    gcodec.set_threads(4)
    for size in (0, 1, 99, 100, 199, 200, 201, 1000, 12345):
        ranges = parallel.split(size, 100, unit)
        assert [at for each in ranges for at in range(*each)] == list(range(size))
        assert len(ranges) <= min(4, max(size // 100, 1))
        assert all(start % unit == 0 for start, _ in ranges)


def in_a_child(queue, grad):
    queue.put(bytes(gcodec.get_codec("reclog:ratio=0.05").encode(grad)))


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context"), reason="no fork here")
@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # JAX's, if it has been imported
def test_a_forked_child_has_threads_of_its_own(grads):
    gcodec.set_threads(2)
    expected = bytes(gcodec.get_codec("reclog:ratio=0.05").encode(grads[0]))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_a_child, args=(queue, grads[0]))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0


def test_no_thread_is_started_for_little():
    code = (
        "import threading, numpy, gcodec; gcodec.set_threads(8);"
        "gcodec.decode(gcodec.Codec().encode(numpy.ones(1 << 20, numpy.float32)));"
        "print(threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_at_the_end_of_the_interpreter():
    """No thread starts then; the caller's does it all."""
    code = (
        "import atexit, numpy, gcodec; grad = numpy.arange(1 << 22, dtype=numpy.float32);"
        "gcodec.set_threads(3); codec = gcodec.Codec(); frame = bytes(codec.encode(grad));"
        "atexit.register(lambda: print(bytes(codec.encode(grad)) == frame))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["True"], "")


def test_processes_of_a_node_share_its_cores(monkeypatch):
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: 12)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(parallel._ours, "number", None)
    monkeypatch.setattr(parallel._ours, "processes", 1)
    assert gcodec.get_threads() == 8
    for processes, threads in ((2, 6), (4, 3), (12, 1), (50, 1)):
        parallel.share_cores(processes)
        assert gcodec.get_threads() == threads
    gcodec.set_threads(5)
    assert gcodec.get_threads() == 5
