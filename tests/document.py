"""`spec/gcodec-1.md` as data: its tables, its blocks of bytes, and the frames of its examples."""

import json
import re
from pathlib import Path

import numpy as np

import gcodec

SPEC = (Path(__file__).parents[1] / "spec" / "gcodec-1.md").read_text(encoding="utf-8")


def table(name):
    """Rows of the table under the marker `name`, as dictionaries by column."""
    lines = SPEC.split(f"<!-- table: {name} -->", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def table_after(heading):
    """Cells of the table with this head, which has no marker."""
    lines = SPEC.split(heading, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def block(kind):
    """Text of the fenced block `kind`."""
    return re.search(rf"^```{re.escape(kind)}\n(.*?)^```$", SPEC, re.M | re.S)[1]


def hex_lines(kind):
    """(bytes, note) of every line of an annotated block, whose offsets must be right."""
    size = 0
    for line in block(f"hex {kind}").splitlines():
        code, _, note = line.partition(";")
        offset, text = code.split(maxsplit=1)
        assert int(offset, 16) == size, line
        zeros = re.fullmatch(r"00\*(\d+)\s*", text)
        data = bytes(int(zeros[1])) if zeros else bytes.fromhex(text)
        size += len(data)
        yield data, note.strip()


def hex_block(kind):
    """Bytes of an annotated block."""
    return b"".join(data for data, _ in hex_lines(kind))


def fields(name):
    """Field name to (offset, width, type) of a layout table."""
    rows = [row for row in table(name) if row["offset"]]
    return {row["field"]: (int(row["offset"]), int(row["width"]), row["type"]) for row in rows}


LAYOUTS = {name: fields(name) for name in ("header", "section", "tensor", "chunk", "sketch")}
STEPS = {int(row["step"]): row for row in table("steps")}
REGISTRIES = re.findall(r"<!-- table: (registry (\w+) (\w+)) -->", SPEC)
EXAMPLES = re.findall(r"^```json ([a-z-]+)-input$", SPEC, re.M)[1:]


def example(kind, backend="cpu"):
    """Positions and values of an example's input, and its frame."""
    given = json.loads(block(f"json {kind}-input"))
    keys = [
        range(key[0], key[1] + 1, key[2]) if isinstance(key, list) else [key]
        for key in given["keys"]
    ]
    positions = np.array([position for part in keys for position in part])
    values = np.resize(np.array(given["values"], np.float32), positions.size)
    gradient = np.zeros(given["shape"], np.float32)
    gradient.reshape(-1)[positions] = values
    codec = gcodec.get_codec(given["recipe"], backend=backend)
    order = np.argsort(positions)
    return positions[order], values[order], codec.encode(gradient, tensors=given.get("tensors"))
