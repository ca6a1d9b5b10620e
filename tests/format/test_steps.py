"""Section 9 of the specification: each step broken alone, then every two of them together."""

import re

import numpy as np
import pytest
from document import SPEC, STEPS
from faults import (
    ALL_FAULTS,
    BASES,
    ELSEWHERE,
    FAULTS,
    NO_TABLES,
    ONE,
    OTHER_FAULTS,
    broken,
    refusal,
    sealed,
)

import gcodec
from gcodec.format.directory import CHUNK
from gcodec.format.header import Header
from gcodec.format.sections import Tensor

FIRST_UNORDERED, LAST_UNORDERED = 96, 112


def without_numbers(error):
    return type(error).__name__, re.sub(r"-?[\d.]+(e-\d+)?|inf|nan|\(.*\)", "", str(error))


def without_places(error):
    """The error's class and text without numbers and names."""
    place = r"(section|tensor|chunk|code) \d+|^[A-Z]+|(?<=critical section )\w+"
    return without_numbers(type(error)(re.sub(place, "", str(error))))


def turn(step):
    """When a step is taken: those of count-sketches come between 94 and 95."""
    return 94 + (step - 114) / 100 if step > 114 else step


def test_every_step_has_a_fault():
    assert list(STEPS) == list(range(1, len(STEPS) + 1))
    assert set(FAULTS) | ELSEWHERE == set(STEPS)


def test_the_frames_to_be_broken_are_sound():
    for base in BASES:
        assert broken(base, []) == BASES[base]
        assert refusal(BASES[base]) is None


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("step", FAULTS)
def test_step_refuses_with_its_class(step, backend):
    error = refusal(broken(*FAULTS[step]), backend)
    assert type(error).__name__ == STEPS[step]["class"], error


def test_of_two_broken_steps_the_first_is_reported():
    alone = [without_numbers(refusal(broken(base, pokes))) for _, base, pokes in ALL_FAULTS]
    wrong, pairs = [], 0
    for (step, base, pokes), expected in zip(ALL_FAULTS, alone, strict=True):
        for later, other, more in ALL_FAULTS:
            touched = {poke[:2] for poke in pokes} & {poke[:2] for poke in more}
            if turn(later) <= turn(step) or other != base or touched:
                continue
            found = without_numbers(refusal(broken(base, pokes + more)))
            ordered = turn(step) < FIRST_UNORDERED or turn(later) > LAST_UNORDERED
            pairs += 1
            if found != expected if ordered else found[0] != expected[0]:
                wrong.append((step, later, base, pokes, more, found))
    assert pairs > 2500
    assert not wrong


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("step", "base", "pokes"), OTHER_FAULTS)
def test_other_ways_to_break_a_step(step, base, pokes, backend):
    found = refusal(broken(base, pokes), backend)
    if step < FIRST_UNORDERED:
        assert without_places(found) == without_places(refusal(broken(*FAULTS[step])))
    else:
        assert type(found).__name__ == STEPS[step]["class"]


def test_steps_without_an_order_have_one_class():
    unordered = range(FIRST_UNORDERED, LAST_UNORDERED + 1)
    assert f"**Steps {unordered[0]} to {unordered[-1]} have\nno order**" in SPEC
    assert {STEPS[step]["class"] for step in unordered} == {"Malformed"}


@pytest.mark.parametrize(
    ("base", "pokes"),
    [
        ("frame", [("header", "bound", 0.0)]),
        ("frame", [("header", "bound", 0.0), ("header", "bound_kind", 1)]),
        ("frame", [("header", "rank", 0), ("header", "world", 1)]),
        ("frame", [("header", "rank", 2**32 - 3), ("header", "world", 2**32 - 2)]),
        ("frame", [("level", 0, 0.0), ("level", 1, 1e-45)]),
        ("all", [("level", 0, 0.0), ("level", 1, 0.0)]),
        ("all", [("header", "frame_kind", 2)]),
        ("none", [("header", "frame_kind", 1)]),
        ("none", [("header", "frame_kind", 2)]),
        ("sign", [("chunk 0", "level_base", 1), ("chunk 1", "level_base", 0)]),
        ("columns", [("word", 2, 49)]),
        ("tail", [("byte", i, 0xD6) for i in range(128, 192)]),
        ("deep", [("dim", 0, 0), ("dim", 1, 2**48), ("header", "n_elements", 1)]),
    ],
)
def test_what_is_just_allowed(base, pokes):
    assert refusal(broken(base, pokes)) is None


@pytest.mark.parametrize("at", [128, 191])
def test_meta_check_covers_the_tail_of_a_long_header(at):
    frame = bytearray(BASES["tail"])
    frame[at] ^= 1
    assert without_numbers(refusal(bytes(frame))) == without_numbers(refusal(broken(*FAULTS[33])))


@pytest.mark.parametrize(
    ("base", "pokes", "step", "where"),
    [
        ("frame", [("section 0", "length", 640), ("section 1", "reserved", 1)], 37, "section 0"),
        ("frame", [("byte", 319, 1), ("section 3", "length", 81)], 37, "section 3"),
        ("bitmap", [("after", 3, 1), ("section 4", "reserved", 1)], 36, "section 3"),
        ("deep", [("dim", 0, 2**48 + 1), ("tensor 1", "dtype", 2)], 47, "tensor 0"),
        ("columns", [("key code", 0, 0x20), ("key code", 16, 0xD0)], 55, "key code 0"),
        ("columns", [("key code", 0, 0x20), ("key code", 31, 1)], 53, "a key code"),
        ("two", [("chunk 0", "columns", 1), ("chunk 1", "key_codec", 0)], 67, "chunk 1"),
        ("two", [("chunk 1", "columns", 1), ("chunk 0", "columns", 1)], 80, "chunk 0"),
        ("two", [("flip", 8, 1), ("chunk 1", "check", 0)], 95, "chunk 1"),
    ],
)
def test_steps_of_one_bracket_go_item_by_item_others_step_by_step(base, pokes, step, where):
    error = refusal(broken(base, pokes))
    assert str(error).startswith(where)
    assert without_places(error) == without_places(refusal(broken(*FAULTS[step])))


@pytest.mark.parametrize(
    ("step", "most", "tables"),
    [
        (50, 2**16, lambda n: NO_TABLES._replace(levels=np.full(n, ONE))),
        (52, 2**8, lambda n: NO_TABLES._replace(key_codes=np.eye(1, 32, 1, np.uint8).repeat(n, 0))),
        (
            56,
            2**12,
            lambda n: NO_TABLES._replace(
                levels=np.full(n, ONE), value_code=np.resize([12], n).astype(np.uint8)
            ),
        ),
    ],
)
def test_steps_50_52_and_56_too_large_tables(step, most, tables):
    for size in (most, most + 1):
        frame = sealed(Header(), (Tensor(0, 0, (0,)),), tables(size), np.zeros(0, CHUNK))
        error = refusal(frame)
        assert (error is None) if size == most else type(error).__name__ == STEPS[step]["class"]


def test_steps_113_and_114_come_after_94_and_here_before_the_payload():
    frame, faulty, early = BASES["frame"], broken(*FAULTS[112]), broken(*FAULTS[91])
    for step, arguments in (
        (113, {"max_elements": 9}),
        (114, {"out": np.zeros(9, np.float32)}),
        (114, {"out": np.zeros(10)}),
    ):
        assert type(refusal(frame, **arguments)).__name__ == STEPS[step]["class"]
        assert type(refusal(faulty, **arguments)).__name__ == STEPS[step]["class"]
        assert type(refusal(early, **arguments)).__name__ == STEPS[91]["class"]


def test_a_part_of_a_frame_takes_steps_1_to_94_of_all_of_it():
    """And steps 95 to 112 of the chunks that hold the part alone."""
    early = broken("two", [("chunk 1", "columns", 1)])
    late = broken("two", [("flip", 16, 1), ("chunk 1", "check", 0)])
    size = 1 << gcodec.inspect(BASES["two"]).header["chunk_log2"]
    for backend in ("cpu", "reference"):
        with pytest.raises(gcodec.Malformed):
            gcodec.decode_sparse(early, stop=size, backend=backend)
        keys, _ = gcodec.decode_sparse(late, stop=size, backend=backend)
        assert keys.tolist() == list(range(size))
        with pytest.raises(gcodec.Corrupt):
            gcodec.decode_sparse(late, stop=size + 1, backend=backend)
