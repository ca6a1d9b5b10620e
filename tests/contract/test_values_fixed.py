"""Values as indices of one width: the same values, whatever path they take."""

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
from kinds import KINDS, make
from strategies import make_gradient, same_bits

import gcodec
from gcodec import arrays, dense
from gcodec.format.frame import parse
from gcodec.format.ids import KeyCodec, ValueCodec
from gcodec.kernels import cpu
from gcodec.quantize.contract import Grid
from gcodec.recipes import from_config, get_codec, to_config

NEAREST = [
    gcodec.ReciprocalLog(4),
    gcodec.ReciprocalLog(16, bits=8),
    gcodec.ReciprocalLog(1, bits=2),
    gcodec.Uniform(8),
    gcodec.Uniform(12),
    gcodec.FewBit(1),
    gcodec.FewBit(3, centre="least"),
    gcodec.LloydMax(3),
    gcodec.Float8("e4m3"),
]
DRAWN = [
    gcodec.ReciprocalLog(1, stochastic=True),
    gcodec.Uniform(3, stochastic=True),
    gcodec.QSGD(7),
    gcodec.QSGD(3, "l2"),
    gcodec.TernGrad(2.5),
    gcodec.Natural(),
]
SELECTORS = [
    gcodec.TopK(0.05),
    gcodec.Threshold(0.5),
    gcodec.BlockTopK(3, 256),
    gcodec.RandomK(0.05),
    gcodec.RandomBlock(0.05),
    gcodec.Dense(),
]
SIZES = (1, 63, 64, 65, 1023, 1024, 1025, 4096, 5000)
RAW = gcodec.get_codec("dense")


def inputs():
    """Name to numbers: what ranges, means and levels can stumble over."""
    rng = np.random.default_rng(0)
    laplace = rng.laplace(size=3000)
    return {
        "laplace": laplace,
        "heavy": rng.standard_t(1.5, size=3000).clip(-1e4, 1e4),
        "zeros": np.zeros(3000),
        "constant": np.full(3000, 0.1),
        "two magnitudes": np.where(rng.random(3000) < 0.02, 3.0, 0.001),
        "ties": laplace.round(1),
        "one nonzero": np.where(np.arange(3000) == 2345, -2.5, 0.0),
        "smallest": rng.integers(-3, 4, 3000) * 6e-8,
        "largest": laplace / np.abs(laplace).max() * 6e4,
        "negative zeros": np.where(laplace > 0, -0.0, laplace),
        "n = 0": np.zeros(0),
        "n = 1": np.array([-0.3]),
        "n = 2": np.array([0.5, -0.5]),
    }


INPUTS = inputs()


@dataclasses.dataclass(frozen=True)
class Levels:
    """Evenly spaced levels, as many as wanted, of which the lowest may be other than zero."""

    count: int
    lowest: float = 0.0
    seed = 0

    def grid(self, kept):
        numbers = np.linspace(self.lowest, 4.0, self.count)
        levels = np.array([kept.element.nearest(x) for x in numbers], kept.element.pattern)
        middle = (numbers[1:] + numbers[:-1]) / 2
        boundaries = np.array([kept.element.nearest(x) for x in middle], kept.element.pattern)
        return Grid(levels, boundaries, gcodec.format.ids.BoundKind.ABSOLUTE, 1e30)


def fixed(select, quantize, **more):
    return gcodec.Codec(select, quantize, values="fixed", **more)


def parsed(frame):
    return parse(arrays.as_bytes(frame), cpu)


@pytest.fixture
def the_long_way(monkeypatch):
    """Function that calls another with neither of the short paths."""

    def call(function):
        with monkeypatch.context() as patch:
            patch.setattr(dense, "is_taken", lambda recipe, n: False)
            patch.setattr(dense, "prove", lambda parsed, dtype, kernels: None)
            return function()

    return call


@pytest.mark.parametrize("quantize", [*NEAREST, *DRAWN], ids=repr)
@pytest.mark.parametrize("select", SELECTORS, ids=repr)
def test_it_decodes_to_the_same(select, quantize):
    codec, auto = fixed(select, quantize), gcodec.Codec(select, quantize)
    slow = dataclasses.replace(codec, backend="reference")
    for case in INPUTS:
        grad = INPUTS[case].astype(np.float32)
        frame = codec.encode(grad, name="w", step=3)
        assert bytes(slow.encode(grad, name="w", step=3)) == bytes(frame)
        assert same_bits(gcodec.decode(frame), gcodec.decode(auto.encode(grad, name="w", step=3)))
        check_fields(parsed(frame))


def check_fields(parts):
    """What spec section 13 says of these frames."""
    filled = parts.directory["nnz"] > 0
    entries = parts.tables.levels.size
    assert filled.any() == (entries > 0)
    assert not parts.tables.value_code.size
    assert (parts.directory["val_codec"][filled] == ValueCodec.SIGNED_FIXED).all()
    width = max((entries - 1).bit_length(), 1)
    assert (parts.directory["val_param"] == np.where(filled, width, 0)).all()
    assert not parts.directory["level_base"].any()
    positive, negative = parts.tables.levels.reshape(-1, 2).T
    assert (np.diff(positive.astype(np.int64)) >= 0).all()
    sign = parts.element.pattern.type(1 << parts.element.bits - 1)
    assert ((negative == 0) | (negative >= sign)).all()


def test_the_codebook_is_all_of_the_grid():
    frame = fixed(gcodec.Dense(), Levels(5)).encode(np.array([1, -4], np.float32))
    book = parsed(frame).tables.levels.view(np.float32)
    assert book.tolist() == [0, 0, 1, -1, 2, -2, 3, -3, 4, -4]
    assert not np.signbit(book[1])
    assert gcodec.inspect(frame).levels == 10
    assert gcodec.decode(frame).tolist() == [1, -4]


@pytest.mark.parametrize("quantize", [gcodec.Raw(), gcodec.Cast("bfloat16")], ids=repr)
def test_values_as_they_are_take_no_packing(quantize):
    with pytest.raises(ValueError, match="leave values out"):
        fixed(gcodec.Dense(), quantize)
    with pytest.raises(gcodec.UnknownRecipeError, match="leave values out"):
        get_codec("topk:k=3,values=fixed")


def test_only_known_packings_are_taken():
    with pytest.raises(ValueError, match="values is one of auto, fixed"):
        gcodec.Codec(quantize=gcodec.Uniform(8), values="huffman")


def test_it_is_part_of_what_a_codec_is():
    codec = get_codec("u8bit:values=fixed")
    assert codec == fixed(gcodec.Dense(), gcodec.Uniform(8))
    assert codec != get_codec("u8bit")
    assert from_config(json.loads(json.dumps(to_config(codec)))) == codec


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("select", [gcodec.Dense(), gcodec.TopK(1.0)], ids=repr)
def test_more_levels_than_a_codebook_holds_are_refused(select, short, backend, the_long_way):
    codec = fixed(select, gcodec.ReciprocalLog(16), backend=backend)
    grad = np.array([5e-324, 1.5e308, 1.0])
    call = (lambda function: function()) if short else the_long_way
    with pytest.raises(gcodec.LimitExceeded, match="leave values out"):
        call(lambda: codec.encode(grad))
    memory = gcodec.ErrorFeedback(codec)
    with pytest.raises(gcodec.LimitExceeded):
        call(lambda: memory.encode("w", grad))
    memory.encode("w", grad[2:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantize", [*NEAREST, Levels(100), Levels(100, 0.5)], ids=repr)
def test_both_ways_write_the_same_bytes(quantize, kind, the_long_way):
    codec = fixed(gcodec.Dense(), quantize)
    slow = dataclasses.replace(codec, backend="reference")
    for size in SIZES:
        grad = make(KINDS[kind], size, size, values="normal")
        frame = bytes(codec.encode(grad, step=size))
        for each in (codec, slow):
            assert bytes(the_long_way(lambda each=each: each.encode(grad, step=size))) == frame  # noqa: B023
        assert bytes(slow.encode(grad, step=size)) == frame
        assert parsed(frame).header.frame_kind == 1


@pytest.mark.parametrize("case", INPUTS)
@pytest.mark.parametrize("quantize", NEAREST, ids=repr)
def test_both_ways_on_hard_inputs(quantize, case, the_long_way):
    codec = fixed(gcodec.Dense(), quantize, per_tensor=True)
    for dtype in ("float32", "float64", "float16"):
        grad = INPUTS[case].astype(dtype)
        tensors = [("a", (grad.size // 3,)), ("b", (grad.size - grad.size // 3, 1))]
        frame = codec.encode(grad, tensors=tensors)
        assert bytes(the_long_way(lambda: codec.encode(grad, tensors=tensors))) == bytes(frame)  # noqa: B023


@pytest.mark.parametrize("quantize", [gcodec.ReciprocalLog(16, bits=8), gcodec.FewBit(2)], ids=repr)
def test_threads_change_nothing(quantize, the_long_way):
    grad = np.random.default_rng(1).laplace(size=(1 << 21) + 12_345).astype(np.float32)
    codec, frames = fixed(gcodec.Dense(), quantize), []
    try:
        for threads in (1, 2, 3):
            gcodec.set_threads(threads)
            frame = codec.encode(grad)
            frames.append(bytes(frame))
            decoded = gcodec.decode(frame)
            total = gcodec.accumulate(frame, grad.copy(), scale=0.25)
            assert same_bits(total, grad + decoded * np.float32(0.25))
    finally:
        gcodec.set_threads(None)
    assert len(set(frames)) == 1
    assert bytes(the_long_way(lambda: codec.encode(grad))) == frames[0]
    assert same_bits(the_long_way(lambda: gcodec.decode(frame)), decoded)


@pytest.mark.parametrize("memory_of", [gcodec.ErrorFeedback, gcodec.MomentumFeedback])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantize", NEAREST, ids=repr)
def test_residuals_are_the_same_both_ways(quantize, kind, memory_of, the_long_way):
    codec = fixed(gcodec.Dense(), quantize)
    short, long = memory_of(codec), memory_of(codec)
    slow = memory_of(dataclasses.replace(codec, backend="reference"))
    for step in range(3):
        grad = make(KINDS[kind], step, 2500, values="normal")
        frames = []
        for memory in (short, slow, long):
            call = (lambda function: function()) if memory is not long else the_long_way
            frames.append(bytes(call(lambda m=memory: m.encode("w", grad, step=step))))  # noqa: B023
            memory.commit("w")
        assert len(set(frames)) == 1
        states = [memory.state_dict()["w"] for memory in (short, slow, long)]
        for buffer in short.BUFFERS:
            assert same_bits(states[0][buffer], states[1][buffer])
            assert same_bits(states[0][buffer], states[2][buffer])
        assert vars(short.counters) == vars(long.counters)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_and_changes_nothing(bad, backend):
    codec = fixed(gcodec.Dense(), gcodec.ReciprocalLog(16, bits=8), backend=backend)
    grad = make_gradient(1, 3000)
    memory = gcodec.ErrorFeedback(codec)
    memory.encode("w", grad)
    memory.commit("w")
    before = memory.residual("w").copy()
    grad[1234] = bad
    with pytest.raises(gcodec.NonFiniteError, match="flat index 1234"):
        codec.encode(grad)
    with pytest.raises(gcodec.NonFiniteError, match="flat index 1234"):
        memory.encode("w", grad)
    assert same_bits(memory.residual("w"), before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quantize", [*NEAREST, Levels(100), None], ids=repr)
def test_decoding_is_the_same_both_ways(quantize, kind, the_long_way, backend):
    codec = RAW if quantize is None else fixed(gcodec.Dense(), quantize)
    for size in SIZES:
        grad = make(KINDS[kind], size, size, values="normal")
        frame = codec.encode(grad)
        wide = KINDS[kind].wide
        readers = {
            "new": lambda f=frame: gcodec.decode(f, backend=backend),
            "reused": lambda f=frame, g=grad: gcodec.decode(f, out=g.copy(), backend=backend),
            "wide": lambda f=frame, w=wide: gcodec.decode(
                f, out=np.full(f_size(f), np.nan, w), backend=backend
            ),
            "added": lambda f=frame, w=wide: gcodec.accumulate(
                f, np.linspace(-1, 1, f_size(f)).astype(w), scale=-0.3, backend=backend
            ),
        }
        for read in readers.values():
            assert same_bits(read(), the_long_way(read))


def f_size(frame):
    return parsed(frame).header.n_elements


def test_patterns_of_any_kind_come_back_as_they_are():
    """NaNs and negative zeros of values as they are, through both writers of an output."""
    patterns = np.random.default_rng(0).integers(0, 1 << 32, 5000, dtype=np.uint32)
    patterns[patterns & 0x7F80_0000 == 0x7F80_0000] ^= 0x4000_0000
    frame = RAW.encode(patterns.view(np.float32))
    assert same_bits(gcodec.decode(frame).view(np.uint32), patterns)


@pytest.mark.parametrize("scale", [np.inf, np.nan, 3e38, 0.0, -0.0])
def test_any_scale(scale, backend, the_long_way):
    frame = fixed(gcodec.Dense(), Levels(7)).encode(make_gradient(3, 500))
    start = make_gradient(4, 500, density=0.5, negative_zeros=True)

    def add():
        return gcodec.accumulate(frame, start.copy(), scale=scale, backend=backend)

    with np.errstate(all="ignore"):
        assert same_bits(add(), the_long_way(add))


@pytest.mark.parametrize("levels", [5, 100, 128])
@pytest.mark.parametrize("seed", range(30))
def test_damage_is_refused_alike_and_writes_nothing(levels, seed, reseal, backend, the_long_way):
    """With checks that are wrong, and with checks made right again."""
    rng = np.random.default_rng(seed)
    frame = bytearray(fixed(gcodec.Dense(), Levels(levels)).encode(make_gradient(seed, 1700)))
    start = parsed(frame).header.payload_offset
    for at in rng.integers(8 * start, 8 * len(frame), 1 + seed % 3).tolist():
        frame[at // 8] ^= 1 << at % 8
    for whole in (bytes(frame), bytes(reseal(bytes(frame)))):
        found = []
        for call in (lambda function: function(), the_long_way):
            for write in (gcodec.decode, gcodec.accumulate):
                out = np.full(1700, 7, np.float32)
                try:
                    call(lambda w=write, o=out, f=whole: w(f, out=o, backend=backend))
                    found.append(out.tobytes())
                except gcodec.FrameError as error:
                    assert (out == 7).all()
                    found.append(str(error))
        assert found[0] == found[2]
        assert found[1] == found[3]


@pytest.mark.parametrize("levels", [5, 100])
def test_bytes_that_change_once_they_are_proved_stay_in_bounds(levels, backend):
    frame = np.array(fixed(gcodec.Dense(), Levels(levels)).encode(make_gradient(1, 3000)))
    kernels = gcodec.kernels.load(backend)
    parts = parse(arrays.as_bytes(frame), kernels)
    fields = dense.prove(parts, np.dtype(np.float32), kernels)
    frame[parts.header.payload_offset :] = 0xFF
    out = np.ones(3000, np.float32)
    fields.put(out)
    assert not out.any()
    fields.add(out, 1.0)
    assert not out.any()


def test_frames_of_others_are_read_too(encode_in_chunks, the_long_way):
    """A dense frame by the general packing; sparse frames with chunks that are whole."""
    dense_grad = make_gradient(0, 4000)
    frames = [
        gcodec.Codec(gcodec.Dense(), gcodec.Uniform(4)).encode(dense_grad),
        fixed(gcodec.TopK(1.0), gcodec.Uniform(4)).encode(dense_grad),
        fixed(gcodec.TopK(0.5), gcodec.Uniform(4)).encode(dense_grad),
        encode_in_chunks(fixed(gcodec.Dense(), gcodec.Uniform(4)), dense_grad, 6),
        encode_in_chunks(fixed(gcodec.Dense(), gcodec.Uniform(8)), dense_grad, 24),
        RAW.encode(dense_grad[:0]),
    ]
    for frame in frames:
        assert same_bits(gcodec.decode(frame), the_long_way(lambda f=frame: gcodec.decode(f)))
    every = [(parsed(f).directory["key_codec"] == KeyCodec.ALL).all() for f in frames]
    assert every == [True, True, False, True, True, True]


@pytest.mark.parametrize("bits", [5, 8])
@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_is_as_large_as_the_gradient(bits, threads):
    """Beside gradient, residuals, frame and output; of a quantiser that asks for the range only."""
    grad = np.random.default_rng(0).laplace(size=1 << 22).astype(np.float32)
    codec = fixed(gcodec.Dense(), gcodec.ReciprocalLog(16, bits=bits))
    memory, out = gcodec.ErrorFeedback(codec), np.zeros_like(grad)
    frame = codec.encode(grad)

    def remember():
        sent = memory.encode("w", grad)
        memory.rollback("w")
        return sent

    calls = {
        "encode": (lambda: codec.encode(grad), len(frame)),
        "feedback": (remember, len(frame)),
        "decode": (lambda: gcodec.decode(frame), grad.nbytes),
        "reuse": (lambda: gcodec.decode(frame, out=out), 0),
        "accumulate": (lambda: gcodec.accumulate(frame, out), 0),
    }
    gcodec.set_threads(threads)
    try:
        for name, (call, own) in calls.items():
            call()
            tracemalloc.start()
            try:
                kept = call()
                peak = tracemalloc.get_traced_memory()[1] - own
            finally:
                tracemalloc.stop()
            del kept
            assert peak < 0.02 * grad.nbytes, name
    finally:
        gcodec.set_threads(None)
