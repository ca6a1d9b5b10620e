"""Kernels with one instruction changed, and runs that must tell them from sound ones.

Mutants are generated from a kernel's text, not chosen:

- barrier: a `bar.sync` or `bar.warp.sync` is gone;
- bound: an integer comparison takes in one more number, or one fewer;
- publish: a word for other blocks (`st.relaxed`, or a ticket's `atom`) is written with its flag
  changed, or not at all;
- lane: a shuffle's distance is another.

`PYTHONPATH=tests python -m ptx.mutants` runs all of them and says which survive.
"""

import importlib.util
import re
import sys
from collections import Counter
from functools import cache
from itertools import product
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


def _each(file, test, *values):
    """Calls of a test with all combinations of values, under each schedule."""
    for given in product(*values):
        for schedule in compiled.SCHEDULES:
            yield file, test, (*given, *schedule)


def _plain(file, test, *values):
    for given in product(*values):
        yield file, test, given


U32, F32 = [np.uint32], [np.float32]
NINE = [(9, 0)]
COUNTS = [(31, 0, 33), (1023, 1, 1024), (1025, 2047)]
CASES = {
    "collect_uint32": lambda: [
        *_each("test_selection", "test_collect", (33, 4096, 4097, 70_001), U32),
        *_plain("test_selection", "test_collect_all_or_little_by_chunks", U32, (0, 1.5), (6, 12),
                NINE),
        *_each("test_selection", "test_arrays_that_start_anywhere", U32, (1,)),
        *_plain("test_selection", "test_what_there_is_no_room_for_is_counted", (0, 1, 500)),
    ],
    "collect_sum_uint32": lambda: [
        *_each("test_selection", "test_collect_sum", (33, 4097, 12_345), U32, (0, 1))
    ],
    "count_above_uint32": lambda: [
        *_each("test_selection", "test_count_above", (0, 1, 33, 4097, 12_345), U32, (0, 1))
    ],
    "histogram_uint32": lambda: [
        *_each("test_selection", "test_histogram", (0, 1, 33, 4097, 12_345), U32, (0, 1))
    ],
    "tail_sums_float32": lambda: [
        *_each("test_selection", "test_tail_sums", (0, 15, 17, 4097, 20_000), F32)
    ],
    "take_uint32": lambda: [*_plain("test_selection", "test_take", U32, (1, 256, 257))],
    "quantize_uint32_uint8": lambda: [
        ("test_values", "test_quantize", (n, levels, np.uint32, np.uint8, 1, 1))
        for n, levels in ((255, 1), (257, 100), (1000, 13))
    ],
    "write_fields_uint32": lambda: [
        *_each("test_values", "test_write_fields", (0, 1, 5, 7, 17, 32), COUNTS)
    ],
    "write_bitmap": lambda: [*_each("test_values", "test_write_bitmap", COUNTS)],
    "measure_blocks": lambda: [
        ("test_values", "test_blocks", (counts, length, *schedule, (9, 0)))
        for counts in COUNTS for length in (9_000, 1 << 22) for schedule in compiled.SCHEDULES
    ],
    "write_blocks": lambda: CASES["measure_blocks"](),
    "chunk_checks": lambda: [
        *_each("test_values", "test_chunk_checks", ([0], [2, 3, 0, 4], list(range(40))), (0, 5))
    ],
    "scatter_uint32": lambda: [*_each("test_values", "test_scatter_and_accumulate", COUNTS, F32)],
    "accumulate_float32": lambda: CASES["scatter_uint32"](),
    "write_codes": lambda: [
        *_each("test_codes", "test_same_bytes_and_symbols_as_the_cpu",
               ((0, 1, 2, 3, 4, 5), (127, 128, 129), (2896, 1448)))
    ],
    "read_codes": lambda: [
        *CASES["write_codes"](),
        *_each("test_codes", "test_damage_is_found_as_by_the_cpu"),
    ],
}  # fmt: skip
"""Tests of each kernel that mutants of it are run through."""


class Mutant(NamedTuple):
    """One change of a kernel: which kind, in which line, and the changed text."""

    kernel: str
    kind: str
    line: str
    text: str


def of(name, kinds=("barrier", "bound", "publish", "lane")):
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
            changes.append(("publish", ""))
            operand = rest.rsplit(",", 1)[1].strip()
            for flag in (1, 2):  # what says 1 or 2 says another
                changed = f"xor.b64 {operand}, {operand}, {flag << 62}; "
                changes.append(("publish", changed + whole.strip()))
        if opcode.startswith("atom") and ".add" in opcode and rest.rstrip().endswith(", 1"):
            changes.append(("publish", whole[: whole.rindex("1")] + "2;"))
        shuffle = re.fullmatch(r"shfl\.sync\.(up|bfly)\.b32", opcode)
        parts = rest.split(",")
        if shuffle and parts[2].strip().isdigit():
            parts[2] = f" {int(parts[2]) // 2 if int(parts[2]) > 1 else 2}"
            changes.append(("lane", f"{opcode}{','.join(parts)};"))
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
        for file, test, arguments in CASES[mutant.kernel]():
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
