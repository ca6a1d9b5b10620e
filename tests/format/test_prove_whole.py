"""What is proved in one call is what the parts prove; what is not sound is left to them."""

import random

import numpy as np
import pytest
from anatomy import reseal
from faults import ALL_FAULTS, BASES, broken
from frames import FRAMES
from fuzz import generator
from gradients import LAWS, RECIPES, make

import gcodec
from gcodec import decoder
from gcodec.arrays import as_bytes
from gcodec.kernels import cpu, reference

SHAPES = ((1,), (64,), (1000,), (40, 250), (100_000,))


def at_once(frame):
    return decoder.prove_at_once(as_bytes(frame), cpu)


def in_parts(frame):
    """What the parts make of a frame, or the error."""
    try:
        return decoder.unpack(frame, cpu)[1]
    except gcodec.FrameError as error:
        return error


def assert_same(content, expected):
    assert not isinstance(expected, Exception), expected
    for field, found in content._asdict().items():
        wanted = getattr(expected, field)
        assert np.array_equal(found, wanted), field
        assert np.asarray(found).dtype == np.asarray(wanted).dtype, field


@pytest.mark.parametrize("recipe", RECIPES)
def test_common_frames_are_taken(recipe):
    codec, taken, tried = gcodec.get_codec(recipe), 0, 0
    for shape in SHAPES:
        for law in LAWS:
            frame = codec.encode(make(law, shape, "float32"), name="w", step=3, sender=(1, 4))
            content = at_once(frame)
            tried += len(frame) <= decoder.MOST_AT_ONCE
            if content is not None:
                taken += 1
                assert_same(content, in_parts(frame))
    assert taken >= 0.6 * tried  # all elements of a chunk are another kind


def test_buckets_and_columns_are_taken():
    grad = make(LAWS[0], (300, 64), "float32")
    grad[:, 5::7] *= 50
    layout = [("a", (200, 64)), ("none", (0, 3)), ("b", (6400,))]
    frame = gcodec.get_codec("topk:ratio=0.1,keys=columns").encode(grad.reshape(-1), tensors=layout)
    assert "columns" in gcodec.inspect(frame).key_codecs
    assert_same(at_once(frame), in_parts(frame))


def test_other_frames_are_left():
    grad = make(LAWS[0], (640,), "float32")
    for codec, given in (
        (gcodec.Codec(gcodec.Dense()), grad),
        (gcodec.get_codec("topk:ratio=0.1"), grad.astype(np.float16)),
        (gcodec.get_codec("topk:ratio=0.1"), grad.astype(np.float64)),
        (gcodec.get_codec("qsgd:levels=4,scales=64"), grad),
        (gcodec.get_codec("topk:k=1"), grad[:0]),
    ):
        frame = codec.encode(given)
        assert at_once(frame) is None
        assert in_parts(frame).n == given.size
    sketch = gcodec.CountSketch(640, columns=64, rows=3, seed=5).insert(grad)
    assert at_once(sketch.encode()) is None
    assert decoder.prove_at_once(as_bytes(FRAMES["levels"]), reference) is None


@pytest.mark.parametrize("fault", range(len(ALL_FAULTS)))
def test_no_broken_frame_is_taken(fault):
    frame = broken(*ALL_FAULTS[fault][1:])
    content = at_once(frame)
    if content is not None:  # of frames that are broken only for their caller
        assert_same(content, in_parts(frame))


def test_faults_and_frames_meet():
    """Most frames that are to be broken would be taken."""
    assert sum(at_once(frame) is not None for frame in BASES.values()) > 4


def test_cut_frames_are_left():
    frame = bytes(FRAMES["levels"])
    assert at_once(frame + b"more") is not None
    assert all(at_once(frame[:size]) is None for size in range(len(frame)))


@pytest.mark.parametrize("seed", range(40))
def test_drawn_frames(seed):
    """Codecs that no encoder would mix, then bytes changed and every check made right again."""
    rng = random.Random(seed)
    frame = generator.draw_frame(rng)
    taken = 0
    for _ in range(60):
        content, expected = at_once(frame), in_parts(frame)
        if content is not None:
            taken += 1
            assert_same(content, expected)
        changed = bytearray(frame)
        start = int.from_bytes(changed[112:120], "little")
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.choice((rng.randrange(16, 124), rng.randrange(128, start),
                             rng.randrange(len(changed))))  # fmt: skip
            changed[at] = rng.choice((0, 1, 255, changed[at] ^ 1 << rng.randrange(8)))
        if changed[8:16] == frame[8:16] and changed[112:120] == frame[112:120]:
            changed = reseal(changed)
        content = at_once(bytes(changed))
        if content is not None:
            taken += 1
            assert_same(content, in_parts(bytes(changed)))


@pytest.mark.parametrize("part", ["payload", "rest"])
def test_the_buffer_may_change(part):
    """What is proved is of a copy."""
    frame = np.frombuffer(bytes(FRAMES["levels"]), np.uint8).copy()
    content = decoder.prove_at_once(frame, cpu)
    expected = [np.array(each) for each in (content.keys, content.bits, content.counts)]
    start = int.from_bytes(frame[112:120].tobytes(), "little")
    frame[slice(start, None) if part == "payload" else slice(start)] = 0xFF
    for found, wanted in zip((content.keys, content.bits, content.counts), expected, strict=True):
        assert np.array_equal(found, wanted)
