"""Count-sketches: what gcodec writes, what else is legal, and frames with one defect."""

import numpy as np
from uncommon import LEVELS, ONE, TWO
from writer import (
    ALL,
    BITMAP,
    COO,
    DELTA,
    RAW,
    SIGNED_FIXED,
    Writer,
    make_chunk,
    put,
    reference,
    seal,
    table_of,
)

import gcodec

SEED = 0x0123456789ABCDEF


def gradient(n, dtype=np.float32):
    """Halves and quarters of either sign, zeros, and two that stand out."""
    values = (np.arange(n) * 7919 % 9 - 4) * 0.25
    values[:: n // 2 + 1] *= 100
    return values.astype(dtype)


def cells_of(flat, sketch):
    """Cells by the words of section 8, one position at a time; patterns."""
    kind = np.float64 if flat.dtype == np.float64 else np.float32
    cells = np.zeros(sketch.rows << sketch.columns_log2, np.int64 if sketch.unit else kind)
    for position, value in enumerate(flat):
        number = int(np.rint(float(value) / sketch.unit)) if sketch.unit else value
        for row in range(sketch.rows):
            cell, sign = reference.place(position, row, sketch)
            cells[cell] += sign * number
    if sketch.unit:
        cells = cells.astype(f"i{flat.itemsize}")
    return cells.view(f"u{flat.itemsize}")


def made(name):
    """(about, parameters, gradient, options of `encode`) of a valid sketch."""
    flat, bucket = gradient(300), [("a", (10, 20)), ("b", (100,))]
    return {
        "sketch": ("float32", {"rows": 3, "columns": 16, "seed": SEED}, flat, {}),
        "sketch-one-cell": ("one cell", {"rows": 1, "columns": 1}, gradient(5), {}),
        "sketch-bucket": ("7 rows of float64, two tensors, a step and a sender",
            {"rows": 7, "columns": 64, "seed": 2**64 - 1, "dtype": "float64", "tensors": bucket},
            gradient(300, np.float64), {"step": 9, "sender": (1, 4)}),
        "sketch-chunks": ("several chunks", {"rows": 5, "columns": 1024}, flat, {}),
        "sketch-int32": ("multiples of 2^-10", {"rows": 2, "columns": 32, "unit": 2.0**-10},
            flat, {}),
        "sketch-int64": ("multiples of 2^-40",
            {"rows": 5, "columns": 8, "unit": 2.0**-40, "dtype": "float64", "seed": 1},
            gradient(300, np.float64), {}),
    }[name]  # fmt: skip


NAMES = (
    "sketch", "sketch-one-cell", "sketch-bucket", "sketch-chunks", "sketch-int32", "sketch-int64",
)  # fmt: skip


def valid(backend="cpu"):
    """{name: (about, frame, numbers of cells, patterns)}."""
    vectors = {}
    for name in NAMES:
        about, parameters, flat, options = made(name)
        sketch = gcodec.CountSketch(flat.size, backend=backend, **parameters).insert(flat)
        patterns = cells_of(flat, sketch.parameters)
        frame = bytes(sketch.encode(**options))
        vectors[name] = f"a count-sketch: {about}", frame, range(patterns.size), patterns.tolist()
    _, frame, keys, values = vectors["sketch-int32"]
    tripled = (np.array(values, np.uint32) * np.uint32(3)).tolist()
    merged = bytes(gcodec.merge([frame] * 3))
    vectors["sketch-merged"] = "the sum of three sketch-int32, by merge", merged, keys, tripled
    return vectors


def writer(chunks, sketch=(3, 5, SEED, 0.0), n=96, log2=6, **options):
    """A sketch of 40 positions, unless told otherwise."""
    header = {"frame_kind": 3, "bound_kind": 1, "bound": 0.0} | options.pop("header", {})
    tensors = options.pop("tensors", [("w", (40,))])
    return Writer(n, log2, chunks, sketch=sketch, header=header, tensors=tensors, **options)


def chunk(keys, positions=64, key=(COO, 6), **options):
    return make_chunk(keys, options.pop("values", [ONE] * len(keys)), key, (RAW, 0),
        positions=positions, **options)  # fmt: skip


def full(n, values=None, bits=32):
    return chunk(list(range(n)), n, (ALL, 0), values=values or [ONE] * n, bits=bits)


def uncommon():
    """{name: (about, frame, numbers of cells, patterns)}."""
    code = [0, 1, *[0] * 30]
    few = [chunk([3, 9, 63]), chunk([0, 31], 32, (BITMAP, 0))]
    run = [chunk([0, 1, 2], key=(DELTA, 0), codes=(code, (), ())), chunk([], 32)]
    vectors = {
        "sketch-few-cells": ("cells with COO and BITMAP keys", writer(few), [3, 9, 63, 64, 95]),
        "sketch-empty-chunk": ("DELTA keys, and a chunk without cells",
            writer(run, key_codes=[code]), [0, 1, 2]),
        "sketch-no-cells": ("all cells are zero, of no positions",
            writer([chunk([]), chunk([], 32)], tensors=[("", (0, 3))]), []),
        "sketch-largest": ("7 rows of 2^20 cells, 2^32 positions",
            writer([chunk([]), chunk([])], (7, 20, 5, 2.0**1023), 7 << 20, 22,
                tensors=[("", (1 << 16, 1 << 16))]), []),
        "sketch-smallest-unit": ("a unit of 2^-1022", writer([full(1)], (1, 0, 0, 2.0**-1022), 1),
            [0]),
        "sketch-tables-unused": ("levels that no cell uses", writer(few, levels=LEVELS),
            [3, 9, 63, 64, 95]),
    }  # fmt: skip
    return {
        name: (f"a count-sketch: {about}", w.write(), keys, [ONE])
        for name, (about, w, keys) in vectors.items()
    }


def faulty():
    """{name: (defect, error class, step, frame)}."""
    few = [chunk([3, 9, 63]), chunk([0, 31], 32, (BITMAP, 0))]

    def of(*sketch, **options):
        return writer(few, sketch, **options).write()

    def changed(at, code, value):
        frame = writer(few).write()
        return seal(put(frame, table_of(frame)[4][1] + at, code, value))

    levels = [make_chunk([3], [1], (COO, 6), (SIGNED_FIXED, 1), positions=64), chunk([], 32)]
    halves = [
        make_chunk([3], [0x3C00], (COO, 6), (RAW, 0), positions=64, bits=16), chunk([], 32),
    ]  # fmt: skip
    plain = {"frame_kind": 2}
    two = b"".join(writer(few).sketch_entry() for _ in range(2))
    vectors = {
        "sketch-two-entries": ("two entries", "Malformed", 41,
            writer(few, None, sections={4: (2, two)}).write()),
        "sketch-missing": ("no SKETCH", "Malformed", 115, writer(few, None).write()),
        "sketch-no-entry": ("SKETCH without an entry", "Malformed", 115,
            writer(few, None, sections={4: (0, b"")}).write()),
        "sketch-of-elements": ("SKETCH in a sparse frame", "Malformed", 115,
            of(3, 5, SEED, 0.0, header=plain, tensors=[("w", (96,))])),
        "sketch-hash-0": ("hash is 0", "Malformed", 116, of(3, 5, 0, 0, SEED, 0.0)),
        "sketch-hash-2": ("hash is 2", "UnsupportedFeature", 117, of(3, 5, 2, 0, SEED, 0.0)),
        "sketch-hash-256": ("hash is 256", "UnsupportedFeature", 117, of(3, 5, 256, 0, SEED, 0.0)),
        "sketch-rows-0": ("no rows", "LimitExceeded", 118, of(0, 5, SEED, 0.0)),
        "sketch-rows-8": ("eight rows", "LimitExceeded", 118, of(8, 5, SEED, 0.0)),
        "sketch-columns-21": ("2^21 columns", "LimitExceeded", 118, of(3, 21, SEED, 0.0)),
        "sketch-columns-255": ("2^255 columns", "LimitExceeded", 118, of(3, 255, SEED, 0.0)),
        "sketch-reserved": ("the reserved field is 1", "Malformed", 119, of(3, 5, 1, 1, SEED, 0.0)),
        "sketch-unit-3": ("the unit is 3", "Malformed", 119, of(3, 5, SEED, 3.0)),
        "sketch-unit-minus": ("the unit is -1", "Malformed", 119, of(3, 5, SEED, -1.0)),
        "sketch-unit-minus-0": ("the unit is -0", "Malformed", 119, of(3, 5, SEED, -0.0)),
        "sketch-unit-nan": ("the unit is not a number", "Malformed", 119,
            changed(16, "Q", 0x7FF8_0000_0000_0000)),
        "sketch-unit-infinite": ("the unit is infinite", "Malformed", 119,
            of(3, 5, SEED, float("inf"))),
        "sketch-unit-subnormal": ("the unit is 2^-1074", "Malformed", 119, of(3, 5, SEED, 5e-324)),
        "sketch-float16": ("elements are float16", "Malformed", 120,
            writer(halves, element=2).write()),
        "sketch-cells": ("96 cells in two rows of 32", "Malformed", 121, of(2, 5, SEED, 0.0)),
        "sketch-cells-many": ("96 cells in 7 rows of 2^20", "Malformed", 121, of(7, 20, SEED, 0.0)),
        "sketch-positions": ("2^32 + 1 positions", "LimitExceeded", 122,
            writer(few, tensors=[("a", (2**32,)), ("b", ())]).write()),
        "sketch-positions-many": ("2^52 positions", "LimitExceeded", 122,
            writer(few, tensors=[("", (2**48,))] * 16).write()),
        "sketch-levels": ("cells that are levels", "Malformed", 123,
            writer(levels, levels=[ONE, TWO]).write()),
        "sketch-sum-key": ("sum_key is that of another seed", "Malformed", 124,
            writer(few, header={"sum_key": 1}).write()),
        "sketch-sum-key-0": ("sum_key is 0", "Malformed", 124,
            writer(few, header={"sum_key": 0}).write()),
        "sketch-check": ("a cell was changed", "Corrupt", 95,
            writer(few, entries={0: {"check": 5}}).write()),
    }  # fmt: skip
    return {name: (f"a count-sketch: {defect}", *rest) for name, (defect, *rest) in vectors.items()}
