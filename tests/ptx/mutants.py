"""Kernels with one instruction changed, and runs that must tell them from sound ones.

Mutants are generated from a kernel's text, not chosen:

- barrier: a `bar.sync` or `bar.warp.sync` is gone;
- order: an atomic orders nothing but itself;
- bound: an integer comparison takes in one more number, or one fewer;
- publish: a word for other blocks has the other flag, or one more, or two tickets are drawn;
- unpublished: a word for other blocks is not written, which may only make them look further back.

`PYTHONPATH=tests python -m ptx.mutants` runs all of them and says which survive.
"""

import importlib.util
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import gcodec

from . import compiled, launch
from .text import Instruction, instructions, read

LIMIT = 1 << 26
"""Instructions after which a mutant is said to have no end."""

WEAKER = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "lo": "ls", "hi": "hs"}
TESTS = Path(__file__).parents[1] / "cuda"


@cache
def test_module(file):
    """A module of tests."""
    spec = importlib.util.spec_from_file_location(f"mutated_{file}", TESTS / f"{file}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


U32, F32 = (np.uint32,), (np.float32,)
PLACES = [(np.uint32, shift) for shift in (0, 1)]
PACKINGS = [("auto",), ("delta",), ("rice",), ("blocks",), ("bitmap",), ("coo",)]
BY_COLUMNS = [("columns", ("raw", gcodec.Raw(), "auto"))]
FED_BACK = [
    ("threshold:threshold=4,keys=coo", np.float32),
    ("reclog:threshold=4,per_octave=4,values=fixed,keys=blocks", np.float32),
    ("reclog:ratio=0.02,per_octave=4", np.float32),
    ("topk:k=90,keys=coo", np.float32),
]
MIXED = [("topk",), ("reclog:per_octave=4",)]
FRAMES = [
    ("test_frames", "test_edges_of_blocks_and_empty_chunks", PACKINGS[:1]),
    ("test_columns", "test_columns_and_other_packings", BY_COLUMNS),
    ("test_columns", "test_row_lengths", [("auto",)]),
    ("test_frames", "test_edges_of_blocks_and_empty_chunks", PACKINGS[1:]),
    ("test_columns", "test_long_rows", [(65_535,), (65_536,)]),
    ("test_columns", "test_many_pieces", [(255,), (256,)]),
    ("test_columns", "test_as_many_columns_as_an_entry_can_say", [(0,), (1,)]),
    ("test_columns", "test_when_listing_columns_pays", [()]),
    ("test_columns", "test_no_key_or_one_or_all", [("columns",)]),
    ("test_columns", "test_matrices_that_begin_with_chunks", [()]),
    ("test_columns", "test_when_listing_columns_takes_as_much", [(5, 1)]),
    ("test_ties", "test_one_code_for_two_densities_that_takes_as_much_as_two", [()]),
    ("test_ties", "test_codes_of_as_many_densities_as_there_can_be", [()]),
    ("test_ties", "test_codes_that_save_as_much_as_they_take", [()]),
    ("test_ties", "test_a_chunk_that_takes_as_much_whole", [(3_968, False)]),
    ("test_ties", "test_signs_with_levels_where_they_may_pay", [(44,)]),
    ("test_ties", "test_every_level_with_both_signs", [()]),
    ("test_ties", "test_codes_of_values_as_long_as_they_may_be", [()]),
    ("test_ties", "test_codes_of_more_levels_than_lanes", [(40,), (70,), (100,), (126,)]),
    ("test_ties", "test_fewer_levels_than_classes_of_gaps", [()]),
    ("test_ties", "test_gaps_of_every_class", [()]),
    ("test_frames", "test_blocks_of_many_words", [()]),
    ("test_frames", "test_as_many_gaps_of_each_bit_length", [()]),
    ("test_frames", "test_a_chunk_of_more_words_than_threads", [("blocks",), ("coo",)]),
    ("test_frames", "test_more_chunks_than_threads", [("auto",), ("rice",)]),
    (
        "test_frames",
        "test_one_level",
        [("reclog:threshold=2,per_octave=8,values=fixed",), ("reclog:threshold=2,per_octave=8",)],
    ),
    ("test_frames", "test_the_smallest_packing_of_each_chunk", MIXED),
    ("test_frames", "test_the_smallest_packing_of_values", [()]),
    ("test_frames", "test_a_chunk_that_is_smaller_whole", [(0.9,), (0.99,)]),
    ("test_frames", "test_many_levels", [(127,), (128,)]),
    ("test_frames", "test_nothing_is_kept", PACKINGS),
    ("test_frames", "test_levels_at_the_ends_of_their_ranges", [()]),
    ("test_frames", "test_the_least_and_the_largest_begin_a_level", [()]),
    ("test_frames", "test_selectors", PACKINGS),
    ("test_frames", "test_shapes_and_tensors_and_senders", [("blocks",)]),
    ("test_frames", "test_what_is_made_of_parts", [("no room",), ("one tie more",)]),
    ("test_frames", "test_as_many_as_there_is_room_for", [(4_096,)]),
    ("test_frames", "test_what_is_not_finite", [(np.inf,)]),
    ("test_feedback", "test_frames_and_residuals_of_the_cpu", FED_BACK),
]
CASES = {
    "collect_uint32": [
        ("test_selection", "test_collect", [U32]),
        ("test_selection", "test_collect_all_or_little_by_chunks", [(np.uint32, (9, 0))]),
        ("test_selection", "test_chunks_that_end_with_the_array", [U32]),
        ("test_selection", "test_arrays_that_start_anywhere", [U32]),
        ("test_selection", "test_what_there_is_no_room_for_is_counted", [()]),
    ],
    "collect_sum_uint32": [
        ("test_selection", "test_collect_sum", PLACES),
        ("test_selection", "test_sums_that_end_with_a_chunk_or_have_no_room", [U32]),
    ],
    "count_above_uint32": [("test_selection", "test_count_above", PLACES)],
    "histogram_uint32": [("test_selection", "test_histogram", PLACES)],
    "tail_sums_float32": [("test_selection", "test_tail_sums", [F32])],
    "take_uint32": [("test_selection", "test_take", [U32])],
    "scatter_uint32": [("test_values", "test_scatter_and_accumulate", [F32])],
    "accumulate_float32": [("test_values", "test_scatter_and_accumulate", [F32])],
    "correct_float32": [("test_values", "test_correct", [(np.float32, True)])],
    "widen_float16": [("test_values", "test_every_pattern_of_16_bits_is_widened", [("float16",)])],
    "insert_float32": [
        ("test_sketch", "test_insert_of_every_number_of_rows", [(1, 3)]),
        ("test_sketch", "test_insert", [F32]),
    ],
    "estimate_float32": [
        ("test_sketch", "test_estimate", [(rows, np.float32) for rows in range(1, 8)])
    ],
    "write_chunks_uint32": FRAMES,
    "measure_chunks_uint32": FRAMES,
}
"""Tests of each kernel that mutants of it are run through."""


class Mutant(NamedTuple):
    """One change of a kernel: of which kind and instruction, its number, and what is instead."""

    kernel: str
    kind: str
    line: str
    place: int
    instead: list[Instruction]


def of(name, kinds=("barrier", "order", "bound", "publish", "unpublished")):
    """All mutants of a kernel."""
    found = []
    for place, step in enumerate(read(compiled.ptx(name)).code):
        guard = f"@{'!' * step.negated}{step.guard} " if step.guard else ""
        opcode, line = ".".join(step.parts), f"{guard}{step.text};"
        changes = []
        if opcode in ("bar.sync", "bar.warp.sync"):
            changes.append(("barrier", ""))
        compare = re.fullmatch(r"setp\.(\w\w)((?:\.\w+)*\.[us]\d+)", opcode)
        if compare and compare[1] in WEAKER:
            other = f"setp.{WEAKER[compare[1]]}{compare[2]}"
            changes.append(("bound", line.replace(opcode, other)))
        if opcode.startswith("st.relaxed"):
            changes.append(("unpublished", ""))
            word = step.operands[1]
            swapped = f"xor.b64 {word}, {word}, {(3 << 62) - (1 << 64)}; "
            other = f"add.s64 {word}, {word}, 1; "
            changes += [("publish", each + line) for each in (swapped, other)]
        if (
            opcode.startswith("atom")
            and ".global" in opcode
            and ".add" in opcode
            and step.operands[-1] == "1"
        ):
            changes.append(("publish", f"{line[: line.rindex('1')]}2;"))
        if ".acq_rel" in opcode:
            changes.append(("order", line.replace(".acq_rel", ".relaxed")))
        found += [
            Mutant(name, kind, line, place, instructions(changed))
            for kind, changed in changes
            if kind in kinds
        ]
    return found


def surviving(made):
    """Mutants of one kernel with which all its tests pass. They are compiled as one.

    A test that notices one must pass without any, as they are compiled.
    """
    if not made:
        return []
    name = made[0].kernel
    cases = [(file, test, each) for file, test, calls in CASES[name] for each in calls]
    changes = [(mutant.place, mutant.instead) for mutant in made]
    kernel = launch.Kernel(compiled.ptx(name), changes=changes)
    before, launch.LIMIT = launch.LIMIT, LIMIT
    compiled.REPLACED[name] = kernel
    found, sound = [], set()
    try:
        for number, mutant in enumerate(made):
            at = next((i for i, case in enumerate(cases) if _notices(kernel, number, case)), None)
            if at is None:
                found.append(mutant)
            elif at not in sound:
                assert not _notices(kernel, -1, cases[at])
                sound.add(at)
    finally:
        del compiled.REPLACED[name]
        launch.LIMIT = before
    return found


def _notices(kernel, number, case):
    kernel.mutant = number
    file, test, arguments = case
    try:
        getattr(test_module(file), test)(*arguments)
    except (AssertionError, IndexError, ValueError, launch.DeviceError, pytest.fail.Exception):
        return True
    return False


def main(names):
    """Run all mutants of some kernels, or of all; print how many are caught, and which are not."""
    made, caught = Counter(), Counter()
    for name in names or CASES:
        mutants = of(name)
        survivors = surviving(mutants)
        made.update(mutant.kind for mutant in mutants)
        caught.update(mutant.kind for mutant in mutants if mutant not in survivors)
        for mutant in survivors:
            print(f"survives: {name}, {mutant.kind}: {mutant.line}", flush=True)
        print(f"{name}: {sum(caught.values())} of {sum(made.values())} so far", flush=True)
    for kind, count in made.items():
        print(f"{kind}: {caught[kind]} of {count} caught")


if __name__ == "__main__":
    main(sys.argv[1:])
