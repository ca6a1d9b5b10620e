"""What ptxas makes of every kernel, kept as a table: a new compiler shows as a difference.

To write the table anew: `GCODEC_WRITE_TABLES=1 pytest tests/cuda/test_resources.py`.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from ptx import find_ptxas
from ptx.compiled import CAPABILITIES, ptx

from gcodec.kernels.cuda import registry

pytestmark = pytest.mark.cuda

TABLE = Path(__file__).with_name("resources.json")
REGISTERS, SHARED = 64, 16_384
"""A block's budget: 1,024 threads of a multiprocessor at once, and 12 blocks' shared memory."""

OF_WHAT_IS_KEPT = "_chunks"
MORE_REGISTERS, MORE_SHARED = 128, 20_480
"""Of kernels that see only what was kept: 512 threads."""

DOUBLES = re.compile("uint64|float64|tail_sums")
"""Kernels that have business with float64."""

VECTORS = re.compile("collect|count_above|histogram")
ARCHITECTURES = [f"sm_{a}{b}" for a, b in CAPABILITIES]


def resources(name, capability, folder):
    """What ptxas says of a kernel, and the vector accesses of its text."""
    text = ptx(name, capability)
    source = folder / "kernel.ptx"
    source.write_text(text, encoding="ascii")
    architecture = f"-arch=sm_{capability[0]}{capability[1]}"
    command = [find_ptxas(), architecture, "-v", source, "-o", folder / "kernel.cubin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr
    stack, stores, loads = map(
        int, re.search(r"(\d+) bytes stack frame, (\d+) \D+(\d+) bytes spill loads", said).groups()
    )
    shared = re.search(r"(\d+) bytes smem", said)
    body = re.sub(r"\.(entry|param)[^{;]*", "", text)
    return {
        "registers": int(re.search(r"Used (\d+) registers", said)[1]),
        "shared": int(shared[1]) if shared else 0,
        "stack": stack,
        "spills": stores + loads,
        "vector_loads": len(re.findall(r"ld\.global\.(nc\.)?v[248]", body)),
        "vector_stores": len(re.findall(r"st\.global\.v[248]", body)),
        "float64": len(re.findall(r"\b(?:add|sub|mul|div|fma|cvt|setp|abs)\S*\.f64", body)),
        "instructions": len(re.findall(r";", body)),
    }


@pytest.mark.parametrize("capability", CAPABILITIES, ids=ARCHITECTURES)
@pytest.mark.parametrize("name", registry.kernels())
def test_budget_and_table(name, capability, tmp_path):
    found = resources(name, capability, tmp_path)
    assert found["stack"] == 0
    assert found["spills"] == 0
    of_all = OF_WHAT_IS_KEPT not in name
    assert found["registers"] <= (REGISTERS if of_all else MORE_REGISTERS)
    assert found["shared"] <= (SHARED if of_all else MORE_SHARED)
    assert found["float64"] == 0 or DOUBLES.search(name)
    assert not re.search(r"\.local\b|\bcall\b|\btrap\b|\.approx", ptx(name, capability))
    if VECTORS.search(name):
        assert found["vector_loads"] >= 1
    if "collect_sum" in name:
        assert found["vector_stores"] >= 1
    architecture = f"sm_{capability[0]}{capability[1]}"
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    if os.environ.get("GCODEC_WRITE_TABLES"):
        table = {name: rows for name, rows in table.items() if name in registry.kernels()}
        table.setdefault(name, {})[architecture] = found
        TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    assert table[name][architecture] == found


def test_the_table_has_no_more():
    table = json.loads(TABLE.read_text())
    assert set(table) == set(registry.kernels())
