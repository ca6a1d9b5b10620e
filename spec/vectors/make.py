"""Writes the vectors that are not there yet: NAME.gc and NAME.json, and their lines in SHA256SUMS.

It only adds files. `valid`: what gcodec writes. `uncommon`: legal, but nothing that gcodec 0.1
writes. `faulty`: one defect each, all checks right unless the defect is one.

    PYTHONPATH=. python spec/vectors/make.py
"""

import hashlib
import json
import struct
from itertools import cycle, islice
from pathlib import Path

import sketches
from faulty import FAULTY
from uncommon import UNCOMMON
from valid import VALID
from writer import reference

FOLDER = Path(__file__).parent / "1"
LONG = 40


def described(data):
    """What a frame decodes to, by `reference.py`: hexadecimal for hashes and bit patterns."""
    decoded = reference.decode(data)
    header = decoded.header._asdict()
    for name in ("bound", "weight"):
        header[name] = struct.pack(">d", header[name]).hex()
    for name in ("step", "sum_key", "layout_key"):
        header[name] = f"{header[name]:016x}"
    for name in ("meta_check", "header_check"):
        header[name] = f"{header[name]:08x}"
    header["magic"] = header["magic"].hex()
    tensors = [
        {"name_hash": f"{t.name_hash:016x}", "start": t.start, "shape": t.shape}
        for t in decoded.tensors
    ]
    summary = reference.summary(decoded)
    content = {}
    if decoded.sketch:
        content["sketch"] = decoded.sketch._asdict() | {
            "seed": f"{decoded.sketch.seed:016x}",
            "unit": struct.pack(">d", decoded.sketch.unit).hex(),
        }
    content["nnz"] = summary["nnz"]
    if len(decoded.keys) <= LONG:
        content["keys"] = decoded.keys
        digits = reference.ELEMENTS[decoded.header.elem_dtype][0] // 4
        content["values"] = [f"{pattern:0{digits}x}" for pattern in decoded.values]
    content["keys_sha256"] = summary["keys_sha256"]
    content["values_sha256"] = summary["values_sha256"]
    return {"header": header, "tensors": tensors, **content}


def refused(data):
    """Class and step with which `reference.py` refuses a frame."""
    try:
        reference.decode(data)
    except reference.FrameError as error:
        return type(error).__name__, int(str(error).split(":")[0].removeprefix("step "))
    return None, 0


def write(folder, name, data, content):
    """Add a vector, unless it is there."""
    path = FOLDER / folder / f"{name}.gc"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    text = json.dumps(content, indent=1)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    with (FOLDER / "SHA256SUMS").open("a", encoding="utf-8") as sums:
        for file in (path, path.with_suffix(".json")):
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            sums.write(f"{digest}  {folder}/{file.name}\n")


def main():
    for folder, vectors in (
        ("valid", VALID() | sketches.valid()),
        ("uncommon", UNCOMMON() | sketches.uncommon()),
    ):
        for name, (about, data, keys, values) in vectors.items():
            content = {"about": about, **described(data)}
            decoded = reference.decode(data)
            assert decoded.keys == list(keys), name
            assert decoded.values == list(islice(cycle(values), len(decoded.keys))), name
            write(folder, name, data, content)
    for name, (defect, expected, step, data) in (FAULTY() | sketches.faulty()).items():
        assert refused(data) == (expected, step), (name, refused(data))
        write("faulty", name, data, {"defect": defect, "error": expected})


if __name__ == "__main__":
    main()
