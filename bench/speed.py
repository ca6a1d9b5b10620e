"""What `codec.py` times of gcodec itself: every function is one group of contenders.

A group has its own read pass (or plain NumPy addition), interleaved with the rest of the group, and
its figures are ratios to that. What is timed was checked before.
"""

import json
import os
import subprocess
import sys
from statistics import median
from time import perf_counter_ns

import numpy as np
from data import cut, window
from harness import READ, WARMUPS, interleave, read_pass

import gcodec
from gcodec.parallel import run

DENSITIES = (0.1, 0.01, 0.001)
PACKINGS = {
    **{keys: f"keys={keys}" for keys in ("blocks", "rice", "delta", "auto")},
    **{f"{keys}, fixed": f"keys={keys},values=fixed" for keys in ("blocks", "rice")},
}
RATIO = 0.01
SMALL, REPEATS = 1024, 200
BUCKETS = (1 << 14, 1 << 17, 1 << 20)
SETTLING = 250
"""Steps of error feedback at 1 % until as much comes in as goes out."""

FIRST_CALL = """
import json, time
start = time.process_time()
import numpy
numpy_import = time.process_time() - start
start = time.process_time()
import numba
numba_import = time.process_time() - start
grad = numpy.random.default_rng(0).laplace(size=1 << 20).astype(numpy.float32)
times = []
for _ in range(3):
    start = time.process_time()
    import gcodec
    gcodec.get_codec("reclog:ratio=0.01,per_octave=4").encode(grad)
    times.append(time.process_time() - start)
frame = gcodec.get_codec("reclog:ratio=0.01,per_octave=4").encode(grad)
start = time.process_time()
gcodec.accumulate(frame, grad)
times.append(time.process_time() - start)
print(json.dumps([numpy_import, numba_import, times[0], times[2], times[3]]))
"""


def timed(contenders, rounds, limit=READ, **how):
    """Milliseconds of each contender, and its time as a multiple and a share of the limit's.

    Neighbours in a round take different buffers, or one would find in the cache what the one before
    it has read.
    """
    shifted = {
        name: lambda i, at=at, call=call: call(i + at)
        for at, (name, call) in enumerate(contenders.items())
    }
    seconds = interleave(shifted, rounds=rounds, **how)
    return {
        name: {"ms": 1e3 * s, "passes": s / seconds[limit], "share": seconds[limit] / s}
        for name, s in seconds.items()
    }


def read(grads):
    """The limit."""
    return lambda i: read_pass(grads[i % 3].view(np.uint32))


def encoding(codec, grads):
    return lambda i: codec.encode(grads[i % 3])


def adding(frames, out):
    return lambda i: gcodec.accumulate(frames[i % 3], out)


def decoding(frames, out):
    return lambda i: gcodec.decode(frames[i % 3], out=out)


def checked(codec, grad):
    """What a frame costs, after its elements were found to be the right ones within its bound."""
    frame = codec.encode(grad)
    keys, values = gcodec.decode_sparse(frame)
    assert gcodec.verify(frame, grad).bound_met
    if isinstance(codec.select, gcodec.Threshold):
        limit = np.float32(codec.select.threshold)
        assert np.array_equal(keys, np.flatnonzero(np.abs(grad) > limit))
    elif keys.size:
        rest = np.abs(grad)
        rest[keys] = 0
        assert rest.max() <= np.abs(grad[keys]).min(), "one that was left is larger"
    both = gcodec.accumulate(frame, gcodec.decode(frame))
    assert np.array_equal(both[keys], 2 * values)
    assert np.count_nonzero(both) == np.count_nonzero(values)
    kept = max(keys.size, 1)
    return {"kept": keys.size / grad.size, "bytes per kept": len(frame) / kept}


def _rows(codecs, grads, rounds):
    costs = {name: checked(codec, grads[0]) for name, codec in codecs.items()}
    contenders = {name: encoding(codec, grads) for name, codec in codecs.items()}
    figures = timed({READ: read(grads), **contenders}, rounds)
    return {name: {**figure, **costs.get(name, {})} for name, figure in figures.items()}


def fell_back(codec, grad):
    """Whether a threshold was so far off that exact top-k took its place."""
    memory = gcodec.ErrorFeedback(codec)
    memory.encode("w", grad)
    return "yes" if memory.counters.fallbacks else "no"


def known(grads, rounds):
    """Encode above a threshold that is given."""
    cuts = {density: cut(grads[0], density) for density in DENSITIES}
    codecs = {
        f"{density:g} {title}": gcodec.get_codec(f"reclog:threshold={cuts[density]!r},{packing}")
        for density in DENSITIES
        for title, packing in PACKINGS.items()
    }
    return _rows(codecs, grads, rounds)


def choosing(grads, rounds):
    """Encode 1 %, the threshold found in the data."""
    rounding = gcodec.ReciprocalLog(4)
    codecs = {
        "sampled": gcodec.SampledQuantile(RATIO),
        "exact top-k": gcodec.TopK(RATIO),
        **{
            f"SIDCo exponential, {stages} stages": gcodec.SIDCo(
                RATIO, law="exponential", stages=stages, verified=False
            )
            for stages in (2, 3)
        },
        "SIDCo pareto, verified": gcodec.SIDCo(RATIO),
    }
    codecs = {name: gcodec.Codec(select, rounding) for name, select in codecs.items()}
    figures = _rows(codecs, grads, rounds)
    for name, codec in codecs.items():
        figures[name]["fallback"] = fell_back(codec, grads[0])
    return figures


def feedback(pool, rounds):
    """Error feedback once as much comes in as goes out, against a plain addition.

    Every step has another window of the pool for a gradient, or residuals would grow for ever. The
    known threshold is that of the settled exact top-k, and goes on from its residual.
    """
    n = pool.shape[1]
    plain = "numpy.add(r, g, out=r2)"
    exact = gcodec.ErrorFeedback(gcodec.get_codec(f"reclog:ratio={RATIO}"))
    steps = {"exact": 0, "known": 0}

    def step(memory, name):
        steps[name] += 1
        frame = memory.encode("w", window(pool, steps[name]))
        memory.commit("w")
        return frame

    for _ in range(SETTLING):
        frame = step(exact, "exact")
    before = exact.residual("w").copy()
    total = before + window(pool, steps["exact"] + 1)
    frame = step(exact, "exact")
    after = gcodec.accumulate(frame, exact.residual("w").copy())
    assert np.array_equal(after, total), "residual and frame are the sum again"
    threshold = cut(total, RATIO)
    held = gcodec.ErrorFeedback(gcodec.get_codec(f"reclog:threshold={threshold!r}"))
    held.load_state_dict(exact.state_dict())
    steps["known"] = steps["exact"]
    r, r2 = np.ascontiguousarray(total), np.empty(n, np.float32)
    memories = {"exact top-k": (exact, "exact"), "threshold known": (held, "known")}
    before_timing = {name: memory.counters.kept for name, (memory, _) in memories.items()}
    figures = timed(
        {
            plain: lambda i: np.add(r, window(pool, i), out=r2),
            READ: lambda i: read_pass(window(pool, i).view(np.uint32)),
            **{name: lambda i, m=m: step(*m) for name, m in memories.items()},
        },
        rounds,
        limit=plain,
    )
    for name, (memory, _) in memories.items():
        kept = memory.counters.kept - before_timing[name]
        figures[name]["kept"] = kept / (rounds + WARMUPS) / n
        figures[name]["share of read"] = figures[READ]["ms"] / figures[name]["ms"]
    return figures


def accumulating(grads, rounds):
    """Decode and add to a dense array; and decode to one that is there already."""
    out = np.zeros(grads.shape[1], np.float32)
    contenders = {READ: read(grads)}
    for density in DENSITIES:
        threshold = cut(grads[0], density)
        for title, packing in PACKINGS.items():
            codec = gcodec.get_codec(f"reclog:threshold={threshold!r},{packing}")
            checked(codec, grads[0])
            frames = [codec.encode(grad) for grad in grads]
            contenders[f"{density:g} {title}"] = adding(frames, out)
        if density == RATIO:
            contenders["decode to a reused array"] = decoding(frames, out)
    return timed(contenders, rounds)


def dense(grads, rounds):
    """Every element coded in eight bits, and in as few as there can be."""
    out = np.zeros(grads.shape[1], np.float32)
    contenders, costs = {READ: read(grads)}, {}
    log = gcodec.ReciprocalLog
    for title, rounding, values in (
        ("8 bits, 16 log levels per octave", log(16, bits=8), "fixed"),
        ("8 bits, 8 log levels per octave", log(8, bits=8), "fixed"),
        ("8 bits, even levels", gcodec.Uniform(8), "fixed"),
        ("smallest, 16 log levels per octave", log(16, bits=8), "auto"),
        ("smallest, even levels", gcodec.Uniform(8), "auto"),
    ):
        codec = gcodec.Codec(gcodec.Dense(), rounding, values=values)
        frames = [codec.encode(grad) for grad in grads]
        told, verified = gcodec.inspect(frames[0]), gcodec.verify(frames[0], grads[0])
        assert verified.bound_met
        cost = {
            "levels": told.levels,
            "bits per element": 8 * len(frames[0]) / grads.shape[1],
            "coded": "+".join(told.value_codecs),
            "error": verified.error,
        }
        contenders[f"encode, {title}"] = encoding(codec, grads)
        contenders[f"decode, {title}"] = decoding(frames, out)
        contenders[f"accumulate, {title}"] = adding(frames, out)
        costs |= {f"{way}, {title}": cost for way in ("encode", "decode", "accumulate")}
    figures = timed(contenders, max(rounds // 3, 3))
    return {name: {**figure, **costs.get(name, {})} for name, figure in figures.items()}


def small(pool, rounds):
    """1,024 elements, which stay in the cache, against a NumPy addition of them."""
    plain = "numpy.add(x, y, out=z)"
    grad = np.ascontiguousarray(pool[0, :SMALL])
    other, out = grad.copy(), np.zeros(SMALL, np.float32)
    exact = gcodec.get_codec(f"reclog:ratio={RATIO}")
    held = gcodec.get_codec(f"reclog:threshold={cut(grad, RATIO)!r}")
    checked(exact, grad)
    frame = exact.encode(grad)

    def often(call):
        def repeated(_):
            for _ in range(REPEATS):
                call()

        return repeated

    figures = timed(
        {
            plain: often(lambda: np.add(grad, other, out=out)),
            "encode, threshold known": often(lambda: held.encode(grad)),
            "encode, exact top-k": often(lambda: exact.encode(grad)),
            "decode + accumulate": often(lambda: gcodec.accumulate(frame, out)),
        },
        rounds,
        limit=plain,
    )
    for figure in figures.values():
        figure["us"] = 1e3 * figure.pop("ms") / REPEATS
        figure["additions"] = figure.pop("passes")
        del figure["share"]
    return figures


def threads(grads, rounds):
    """What a second thread gains, in wall time, and as a share of what it gains for a read.

    Times are those of the best round, since other work takes cores.
    """
    n = grads.shape[1]
    cuts = {density: cut(grads[0], density) for density in DENSITIES}
    held = {d: gcodec.get_codec(f"reclog:threshold={limit!r}") for d, limit in cuts.items()}
    exact = gcodec.get_codec(f"reclog:ratio={RATIO}")
    frames, out = [held[RATIO].encode(grad) for grad in grads], np.zeros(n, np.float32)
    halves = [(0, n // 2), (n // 2, n)]

    def read_halves(i):
        words = grads[i % 3].view(np.uint32)
        if gcodec.get_threads() == 1:
            read_pass(words)
        else:
            run(lambda start, stop: read_pass(words[start:stop]), halves)

    calls = {
        READ: read_halves,
        **{f"encode {d:g}, threshold known": encoding(codec, grads) for d, codec in held.items()},
        "encode 0.01, exact top-k": encoding(exact, grads),
        "decode + accumulate 0.01": adding(frames, out),
    }

    def using(number, call):
        def timed_call(i):
            gcodec.set_threads(number)
            call(i)

        return timed_call

    contenders = {
        (name, number): using(number, call) for name, call in calls.items() for number in (1, 2)
    }
    try:
        found = timed(contenders, 3 * rounds, limit=(READ, 1), clock=perf_counter_ns, pick=min)
    finally:
        gcodec.set_threads(1)
    gains = {name: found[name, 1]["ms"] / found[name, 2]["ms"] for name in calls}
    return {
        name: {
            "one, ms": found[name, 1]["ms"],
            "two, ms": found[name, 2]["ms"],
            "gain": gain,
            "share of the gain of a read": gain / gains[READ],
        }
        for name, gain in gains.items()
    }


def buckets(pool, rounds):
    """Gradients of the sizes that buckets have, beside the key-value pairs of NumPy."""
    figures = {}
    for n in BUCKETS:
        grads = pool[:, :n]
        threshold = cut(grads[0], RATIO)
        held = gcodec.get_codec(f"reclog:threshold={threshold!r}")
        exact = gcodec.get_codec(f"reclog:ratio={RATIO}")
        costs = checked(held, grads[0])
        frames, out = [held.encode(grad) for grad in grads], np.zeros(n, np.float32)
        rows = timed(
            {
                READ: read(grads),
                "encode, threshold known": encoding(held, grads),
                "encode, exact top-k": encoding(exact, grads),
                "decode + accumulate": adding(frames, out),
                "numpy flatnonzero COO": lambda i, g=grads, t=threshold: pairs(g[i % 3], t),
            },
            4 * rounds,
        )
        rows["encode, threshold known"] |= costs
        figures |= {f"{n:,}: {name}": figure for name, figure in rows.items()}
    return figures


def pairs(grad, limit):
    """The NumPy way: 32-bit keys and values above a limit."""
    keys = np.flatnonzero(np.abs(grad) > limit)
    return keys.astype(np.uint32), grad[keys]


def first_call(children=7):
    """CPU seconds of fresh processes; kernels come from the cache, which the first one fills.

    With what is installed, and as if SciPy was not: Numba imports it with the first kernel. Modules
    have their bytecode on disk, as those of an installed package have.
    """
    figures = {}
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    for without, hide in (("", ""), (", no SciPy", "import sys; sys.modules['scipy'] = None\n")):
        rows = []
        for child in range(-1, children):
            done = subprocess.run(
                [sys.executable, "-c", hide + FIRST_CALL],
                capture_output=True, text=True, check=True, env=environment,
            )  # fmt: skip
            if child >= 0:
                rows.append(json.loads(done.stdout))
        names = (
            "import numpy",
            "import numba",
            "import gcodec, first encode",
            "third encode",
            "first accumulate",
        )
        for name, times in zip(names, zip(*rows, strict=True), strict=True):
            figures[name + without] = {"ms": 1e3 * median(times)}
    return figures
