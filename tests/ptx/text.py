"""PTX text taken apart: one kernel, its parameters, registers, shared arrays and instructions."""

import re
from typing import NamedTuple

WARP = 32


class Instruction(NamedTuple):
    """One instruction, or the label before one if `parts` is empty.

    guard : predicate register, or empty; negated : whether it must be false
    """

    text: str
    guard: str
    negated: bool
    parts: list[str]
    operands: list[str]


class Text(NamedTuple):
    """registers : kind by name; shared : offset by name; parameters : (name, kind) in order."""

    parameters: list[tuple[str, str]]
    registers: dict[str, str]
    shared: dict[str, int]
    shared_bytes: int
    code: list[Instruction]


def bits(kind):
    """Width of a PTX kind such as `u32`."""
    return 8 if kind == "pred" else int(re.search(r"\d+", kind)[0])


def read(ptx):
    """The only kernel of a module."""
    source = re.sub(r"//.*", "", ptx)
    shared, size = {}, 0
    for align, name, length in re.findall(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", source):
        size = -(-size // int(align)) * int(align)
        shared[name], size = size, size + int(length)
    entries = re.findall(r"\.visible \.entry (\w+)\s*\((.*?)\)[^{]*\{(.*)\}", source, re.S)
    if len(entries) != 1:
        raise NotImplementedError(f"{len(entries)} kernels in one module")
    _, head, body = entries[0]
    parameters = [
        (match[2], match[1])
        for match in re.finditer(r"\.param \.(\w+)(?:\s+\.\w+(?:\s+\d+)?)*\s+(\w+)", head)
    ]
    registers = {}
    for kind, names in re.findall(r"\.reg \.(\w+)\s+([^;]*);", body):
        for one in names.split(","):
            bank, _, count = one.strip().rstrip(">").partition("<")
            numbered = [f"{bank}{i}" for i in range(int(count))] if count else [bank]
            for name in numbered:  # a scope of its own may have a name again
                if registers.setdefault(name, kind) != kind:
                    raise NotImplementedError(f"{name} of two kinds")
    return Text(parameters, registers, shared, size, instructions(body))


def instructions(body):
    """Those of a text, and its labels."""
    code = []
    for label, guard, text in re.findall(
        r"(\$\w+):|(?:@(!?%\w+)\s+)?\b([a-z][^;]*);", re.sub(r"\.(reg|pragma)[^;]*;", "", body)
    ):
        if label:
            code.append(Instruction(label, "", False, [], []))
            continue
        opcode, *rest = text.split(None, 1)
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", "".join(rest))
        code.append(
            Instruction(
                " ".join(text.split()), guard.lstrip("!"), guard[:1] == "!", opcode.split("."),
                operands,
            )
        )  # fmt: skip
    return code
