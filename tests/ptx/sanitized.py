"""All kernels under AddressSanitizer, in a process that has it loaded before Python.

The machine looks at no address then: what is outside of an array is found by the sanitizer alone,
which knows memory by how it was allocated. `tests/cuda/test_sanitizer.py` runs it.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from . import compiled, find_compiler
from .mutants import test_module

KINDS, WIDE = (np.uint16, np.uint32, np.uint64), (np.uint32, np.uint64)
PACKINGS = ("auto", "bitmap", "blocks", "coo", "delta", "rice")
CALLS = (
    ("test_selection", "test_collect", [(kind,) for kind in KINDS]),
    ("test_selection", "test_collect_sum", [(kind, 1) for kind in WIDE]),
    ("test_selection", "test_count_above", [(kind, 0) for kind in KINDS]),
    ("test_selection", "test_histogram", [(kind, 0) for kind in KINDS]),
    ("test_selection", "test_take", [(kind,) for kind in KINDS]),
    ("test_selection", "test_tail_sums", [(np.float32,), (np.float64,)]),
    ("test_selection", "test_what_there_is_no_room_for_is_counted", [()]),
    ("test_values", "test_scatter_and_accumulate", [(np.float16,), (np.float32,), (np.float64,)]),
    ("test_values", "test_correct", [(np.float32, False), (np.float64, True)]),
    ("test_values", "test_every_pattern_of_16_bits_is_widened", [("float16",), ("bfloat16",)]),
    ("test_frames", "test_types", [(keys,) for keys in PACKINGS[:2]]),
    ("test_frames", "test_the_smallest_packing_of_each_chunk", [("reclog:per_octave=4",)]),
    ("test_frames", "test_edges_of_blocks_and_empty_chunks", [(keys,) for keys in PACKINGS]),
    ("test_frames", "test_as_many_as_there_is_room_for", [(4_096,)]),
    ("test_sketch", "test_insert_of_every_number_of_rows", [(1, 3)]),
    ("test_sketch", "test_insert", [(np.float64,)]),
    ("test_sketch", "test_estimate", [(7, np.float32), (3, np.float64)]),
)
"""Tests that run every kernel."""


def environment():
    """Of a process with the sanitizer."""
    asked = [find_compiler(), "-print-file-name=libasan.so"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True)
    return {
        **os.environ,
        "LD_PRELOAD": found.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join(map(str, (Path(__file__).parents[1], *sys.path))),
        "PYTHONMALLOC": "malloc",
    }


def main(folder):
    """Run all calls by two schedules; says which kernels ran. PTX is kept in a folder."""
    compiled.keep_in(folder)
    compiled.sanitize, compiled.SCHEDULES = True, compiled.SCHEDULES[:2]
    for file, test, calls in CALLS:
        for arguments in calls:
            getattr(test_module(file), test)(*arguments)
    print(*sorted(compiled.launched))


if __name__ == "__main__":
    main(sys.argv[1])
