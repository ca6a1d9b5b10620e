"""Kernels with one instruction changed, and runs that must tell them from sound ones.

Mutants are generated from a kernel's text, not chosen:

- barrier: a `bar.sync` or `bar.warp.sync` is gone;
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

from . import compiled, launch

LIMIT = 1 << 24
"""Instructions after which a mutant is said to have no end."""

WEAKER = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "lo": "ls", "hi": "hs"}
TESTS = Path(__file__).parents[1] / "cuda"


@cache
def _tests(file):
    """A module of tests."""
    spec = importlib.util.spec_from_file_location(f"mutated_{file}", TESTS / f"{file}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


U32, F32 = (np.uint32,), (np.float32,)
COUNTS = ((31, 0, 33), (1023, 1, 1024), (1025, 2047))
PLACES = [(np.uint32, shift) for shift in (0, 1)]
WRITTEN = [((0, 1, 2, 3, 4, 5), None, 1), ((127, 128, 129), 1, 3), ((2896, 1448), 2, 16)]
CASES = {
    "collect_uint32": [
        ("test_selection", "test_collect", [U32]),
        ("test_selection", "test_collect_all_or_little_by_chunks", [(np.uint32, (9, 0))]),
        ("test_selection", "test_arrays_that_start_anywhere", [U32]),
        ("test_selection", "test_what_there_is_no_room_for_is_counted", [()]),
    ],
    "collect_sum_uint32": [("test_selection", "test_collect_sum", PLACES)],
    "count_above_uint32": [("test_selection", "test_count_above", PLACES)],
    "histogram_uint32": [("test_selection", "test_histogram", PLACES)],
    "tail_sums_float32": [("test_selection", "test_tail_sums", [F32])],
    "take_uint32": [("test_selection", "test_take", [U32])],
    "quantize_uint32_uint8": [("test_values", "test_quantize", [(np.uint32, np.uint8)])],
    "write_fields_uint32": [("test_values", "test_write_fields", [(each,) for each in COUNTS])],
    "write_bitmap": [("test_values", "test_write_bitmap", [(each,) for each in COUNTS])],
    "measure_blocks": [("test_values", "test_blocks", [(each,) for each in COUNTS])],
    "write_blocks": [("test_values", "test_blocks", [(each,) for each in COUNTS])],
    "chunk_checks": [("test_values", "test_chunk_checks", [()])],
    "scatter_uint32": [("test_values", "test_scatter_and_accumulate", [F32])],
    "accumulate_float32": [("test_values", "test_scatter_and_accumulate", [F32])],
    "write_codes": [("test_codes", "test_same_bytes_and_symbols_as_the_cpu", WRITTEN)],
    "read_codes": [
        ("test_codes", "test_same_bytes_and_symbols_as_the_cpu", WRITTEN),
        ("test_codes", "test_damage_is_found_as_by_the_cpu", [(1, 3)]),
    ],
}
"""Tests of each kernel that mutants of it are run through."""


class Mutant(NamedTuple):
    """One change of a kernel: which kind, in which line, and the changed text."""

    kernel: str
    kind: str
    line: str
    text: str


def of(name, kinds=("barrier", "bound", "publish", "unpublished")):
    """All mutants of a kernel."""
    text = compiled.ptx(name)
    found = []
    for match in re.finditer(r"^\s*(@!?%\w+ )?([a-z][\w.]*)\b([^;\n]*);", text, re.M):
        opcode, rest = match[2], match[3]
        whole = match[0]
        changes = []
        if opcode in ("bar.sync", "bar.warp.sync"):
            changes.append(("barrier", ""))
        compare = re.fullmatch(r"setp\.(\w\w)((?:\.\w+)*\.[us]\d+)", opcode)
        if compare and compare[1] in WEAKER:
            other = f"setp.{WEAKER[compare[1]]}{compare[2]}"
            changes.append(("bound", whole.replace(opcode, other)))
        if opcode.startswith("st.relaxed"):
            changes.append(("unpublished", ""))
            operand = rest.rsplit(",", 1)[1].strip()
            swapped = f"xor.b64 {operand}, {operand}, {(3 << 62) - (1 << 64)}; "
            other = f"add.s64 {operand}, {operand}, 1; "
            changes += [("publish", each + whole.strip()) for each in (swapped, other)]
        if opcode.startswith("atom.global") and ".add" in opcode and rest.rstrip().endswith(", 1"):
            changes.append(("publish", whole[: whole.rindex("1")] + "2;"))
        for kind, changed in changes:
            if kind in kinds:
                mutated = text[: match.start()] + "\n" + changed + text[match.end() :]
                found.append(Mutant(name, kind, " ".join(whole.split()), mutated))
    return found


def survives(mutant):
    """Whether all tests of the kernel pass with the mutant in its place."""
    before, launch.LIMIT = launch.LIMIT, LIMIT
    compiled.REPLACED[mutant.kernel] = launch.Kernel(mutant.text)
    try:
        for file, test, calls in CASES[mutant.kernel]:
            for arguments in calls:
                getattr(_tests(file), test)(*arguments)
    except (AssertionError, IndexError, launch.DeviceError):
        return False
    finally:
        del compiled.REPLACED[mutant.kernel]
        launch.LIMIT = before
    return True


def main(names):
    """Run all mutants of some kernels, or of all; print how many are caught, and which are not."""
    made, caught = Counter(), Counter()
    for name in names or CASES:
        for mutant in of(name):
            made[mutant.kind] += 1
            if survives(mutant):
                print(f"survives: {name}, {mutant.kind}: {mutant.line}", flush=True)
            else:
                caught[mutant.kind] += 1
        print(f"{name}: {sum(caught.values())} of {sum(made.values())} so far", flush=True)
    for kind, count in made.items():
        print(f"{kind}: {caught[kind]} of {count} caught")


if __name__ == "__main__":
    main(sys.argv[1:])
