"""A kernel as C: `step` runs one lane until it must wait, ends, or has gone back often enough.

A lane's registers outlive a call, so that it can go on from where it was: every place where it may
stop is a case of one switch.

With `changes`, the one whose number `mutant` is takes the place of an instruction.
"""

import re

from .arithmetic import Arithmetic, c_type
from .text import WARP, bits

SPECIAL = {
    "%tid.x": "t->id",
    "%ctaid.x": "t->block->number",
    "%ntid.x": "(uint32_t)t->block->launch->threads",
    "%nctaid.x": "(uint32_t)t->block->launch->blocks",
    "%laneid": f"(t->id % {WARP})",
}
SHUFFLES = {"up": "UP", "down": "DOWN", "bfly": "BUTTERFLY", "idx": "INDEX"}
VOTES = {"ballot": "BALLOT", "any": "ANY", "all": "ALL"}
REDUCTIONS = {"add": "SUM", "min": "LEAST", "max": "MOST", "and": "AND", "or": "OR", "xor": "XOR"}
ATOMIC = {"add": "old + x", "exch": "x", "or": "old | x", "and": "old & x", "xor": "old ^ x",
          "min": "x < old ? x : old", "max": "x > old ? x : old",
          "cas": "old == x ? y : old"}  # fmt: skip
SPACES = {"global": 0, "shared": 1}
HINTS = {"nc", "ca", "cg", "cs", "volatile", "relaxed", "gpu", "weak"}


class Translator(Arithmetic):
    """C of one `Text`, but for the machine.

    changes : (number of an instruction, instructions in its place) of each
    """

    def __init__(self, text, changes=()):
        self.text, self.states, self.site = text, 0, 0
        self.offsets, at = {}, 0
        for name, kind in text.parameters:
            size = bits(kind) // 8
            at = -(-at // size) * size
            self.offsets[name] = (kind, at)
            at += size
        self.parameter_bytes = at
        labels = [step.text for step in text.code if not step.parts]
        self.labels = {label: 1 + i for i, label in enumerate(labels)}
        self.states = len(labels)
        lines, counted = [], False
        for number, step in enumerate(text.code):
            if not step.parts:
                name = self.label(step.text)
                lines.append(f"  case {self.labels[step.text]}: {name}:;")
                counted = False
                continue
            if not counted:
                lines.append(f"  t->block->launch->instructions += {self.run_from(number)};")
            self.site = number
            others = "".join(
                f"if (mutant == {i}) {{ {''.join(map(self.guarded, instead))} }} else "
                for i, (place, instead) in enumerate(changes)
                if place == number
            )
            lines.append(f"  {others}{self.guarded(step)}")
            counted = not self.ends_run(step)
        fields = "".join(
            f"uint{bits(kind)}_t {self.field(name)};" for name, kind in text.registers.items()
        )
        lines = "\n".join(lines)
        self.source = (
            '#include "machine.h"\n'
            f"typedef struct {{ {fields} uint64_t last; }} Registers;\n"
            "EXPORT const uint64_t registers = sizeof(Registers);\n"
            "EXPORT int64_t mutant = -1;\n"
            "int step(Thread *t) {\n  Registers *r = (Registers *)t->r;\n"
            f"  switch (t->pc) {{\n  case 0:;\n{lines}\n  }}\n  return DONE;\n}}\n"
        )
        shared = [step for step in text.code if step.parts[1:2] == ["shared"]]
        self.grain = min([2, *(bits(step.parts[-1]) // 8 for step in shared)])
        """Bytes of shared memory that are told apart."""

    @staticmethod
    def ends_run(step):
        return step.parts[0] in ("bra", "ret", "bar", "shfl", "vote", "match", "redux")

    def run_from(self, number):
        """Instructions from one on that are taken together."""
        count = 0
        for step in self.text.code[number:]:
            if not step.parts:
                break
            count += 1
            if self.ends_run(step):
                break
        return count

    @staticmethod
    def field(name):
        return name.replace("%", "r_").replace("$", "_")

    @staticmethod
    def label(name):
        return name.replace("$", "at_")

    def register(self, name):
        return f"r->{self.field(name)}"

    def value(self, operand, kind):
        """An operand as C of a kind; a register may be wider."""
        if operand in SPECIAL:
            return f"(({c_type(kind)}){SPECIAL[operand]})"
        if operand.startswith("%"):
            held = self.text.registers[operand]
            if kind == "pred" or held == "pred":
                if kind != held:
                    raise NotImplementedError(f"{operand} as {kind}")
                return self.register(operand)
            if kind[0] == "f":
                if bits(held) != bits(kind):
                    raise NotImplementedError(f"{operand} as {kind}")
                return f"as_{kind}({self.register(operand)})"
            return f"(({c_type(kind)}){self.register(operand)})"
        if match := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})|0[dD]([0-9a-fA-F]{16})", operand):
            pattern = f"0x{match[1] or match[2]}ull"
            return f"as_{kind}({pattern})" if kind[0] == "f" else f"(({c_type(kind)}){pattern})"
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)U?", operand):
            number = int(operand.rstrip("U"), 0) & (1 << 64) - 1
            return f"(({c_type(kind)}){number}ull)"
        if operand in self.text.shared:
            return f"{self.text.shared[operand]}ull"
        raise NotImplementedError(f"operand {operand}")

    def assign(self, target, kind, value):
        """Of a kind; a register may be wider, and a signed number is then extended."""
        if target == "_":
            return f"(void)({value});"
        held = self.text.registers[target]
        if kind[0] == "f":
            if bits(held) != bits(kind):
                raise NotImplementedError(f"{target} of {kind}")
            value = f"bits_{kind}({value})"
        elif held != "pred":
            value = f"({c_type(kind)})({value})"
        return f"{self.register(target)} = {value};"

    def wait(self, state):
        """Stop here, and go on from the next instruction."""
        self.states += 1
        return f"t->pc = {self.states}; return {state}; case {self.states}:;"

    def guarded(self, step):
        """C of an instruction."""
        body = self.emit(step.parts, step.operands)
        if step.guard:
            body = f"if ({'!' if step.negated else ''}{self.register(step.guard)}) {{ {body} }}"
        return f"{{ {body} }}"

    def emit(self, parts, operands):
        method = getattr(self, f"on_{parts[0]}", None)
        code = method(parts[1:], operands) if method else None
        if code is None:
            raise NotImplementedError(".".join(parts))
        return code

    # control

    def on_bra(self, modes, operands):
        if modes not in ([], ["uni"]):
            return None
        pc, name = self.labels[operands[0]], self.label(operands[0])
        return f"if (--t->fuel < 0) {{ t->pc = {pc}; return RUN; }} goto {name};"

    def on_ret(self, modes, operands):
        return "return DONE;"

    def on_bar(self, modes, operands):
        if modes == ["sync"] and operands == ["0"]:
            return self.wait("BARRIER")
        if modes == ["warp", "sync"]:
            return f"t->op = SYNC; t->mask = {self.value(operands[0], 'u32')};" + self.wait(
                "TOGETHER"
            )
        return None

    def on_membar(self, modes, operands):
        return ";" if modes == ["gl"] else None

    def on_shfl(self, modes, operands):
        if modes[0] != "sync" or modes[2] != "b32":
            return None
        target, source, which, clamp, mask = operands
        target, _, found = target.partition("|")
        code = f"t->op = {SHUFFLES[modes[1]]}; t->a = {self.value(source, 'b32')};"
        code += f"t->b = {self.value(which, 'u32')}; t->c = {self.value(clamp, 'u32')};"
        code += f"t->mask = {self.value(mask, 'u32')};" + self.wait("TOGETHER")
        code += self.assign(target, "b32", "t->result")
        return code + (self.assign(found, "pred", "t->found") if found else "")

    def on_vote(self, modes, operands):
        if modes[0] != "sync" or modes[1] not in VOTES:
            return None
        source = operands[1]
        flag = (
            f"!{self.value(source[1:], 'pred')}" if source[0] == "!" else self.value(source, "pred")
        )
        code = (
            f"t->op = {VOTES[modes[1]]}; t->a = {flag}; t->mask = {self.value(operands[2], 'u32')};"
        )
        code += self.wait("TOGETHER")
        if modes[1] == "ballot":
            return code + self.assign(operands[0], "b32", "t->result")
        return code + self.assign(operands[0], "pred", "t->found")

    def on_match(self, modes, operands):
        if modes[:2] != ["any", "sync"]:
            return None
        code = f"t->op = MATCH; t->wide = {self.value(operands[1], modes[2])};"
        code += f"t->mask = {self.value(operands[2], 'u32')};" + self.wait("TOGETHER")
        return code + self.assign(operands[0], "b32", "t->result")

    def on_redux(self, modes, operands):
        if modes[0] != "sync" or modes[2] not in ("u32", "b32"):
            return None
        code = f"t->op = {REDUCTIONS[modes[1]]}; t->a = {self.value(operands[1], 'u32')};"
        code += f"t->mask = {self.value(operands[2], 'u32')};" + self.wait("TOGETHER")
        return code + self.assign(operands[0], "u32", "t->result")

    # memory

    def address(self, operand):
        name, _, offset = operand[1:-1].partition("+")
        return f"{self.value(name.strip(), 'u64')} + {int(offset or 0)}"

    def place(self, operand, kind, count, access, modes):
        """C that sets `p`, and the modes that are left."""
        spaces = [mode for mode in modes if mode in SPACES]
        space = SPACES[spaces[0]] if spaces else 2
        size = bits(kind) // 8 * count
        return (
            f"char *p = place(t, {self.address(operand)}, {size}, {access}, {space}, {self.site});"
            "if (!p) return FAULT;"
        )

    def vector(self, operand, modes):
        """Elements of an operand, if modes allow no more than that."""
        wide = [mode for mode in modes if mode in ("v2", "v4")]
        if set(modes) - set(wide) - set(SPACES) - HINTS:
            return None
        names = [name.strip() for name in operand.strip("{}").split(",")]
        return names if len(names) == (int(wide[0][1:]) if wide else 1) else None

    def on_ld(self, modes, operands):
        *modes, kind = modes
        if modes == ["param"]:
            held, at = self.offsets[operands[1][1:-1]]
            if bits(held) != bits(kind):
                return None
            load = f"{c_type(kind)} x; memcpy(&x, t->block->parameters + {at}, sizeof x);"
            return load + self.assign(operands[0], kind, "x")
        names = self.vector(operands[0], modes)
        if names is None:
            return None
        access = "READ | ATOMIC" if "relaxed" in modes else "READ"
        code = self.place(operands[1], kind, len(names), access, modes)
        code += f"{c_type(kind)} x[{len(names)}]; memcpy(x, p, sizeof x);"
        return code + "".join(self.assign(name, kind, f"x[{i}]") for i, name in enumerate(names))

    def on_st(self, modes, operands):
        *modes, kind = modes
        names = self.vector(operands[1], modes)
        if names is None:
            return None
        access = "WRITE | ATOMIC" if "relaxed" in modes else "WRITE"
        code = self.place(operands[0], kind, len(names), access, modes)
        values = ", ".join(self.value(name, kind) for name in names)
        return code + f"{c_type(kind)} x[{len(names)}] = {{ {values} }}; memcpy(p, x, sizeof x);"

    def on_atom(self, modes, operands, target=None):
        *modes, kind = modes
        known = [mode for mode in modes if mode in ATOMIC]
        if len(known) != 1 or set(modes) - set(SPACES) - set(ATOMIC) - {
            "relaxed",
            "acq_rel",
            "gpu",
        }:
            return None
        if kind[0] == "f":
            return None  # the order of additions would show
        target, where, *rest = operands
        code = self.place(where, kind, 1, "READ | WRITE | ATOMIC", modes)
        code += f"{c_type(kind)} old; memcpy(&old, p, sizeof old);"
        for name, operand in zip("xy", rest, strict=False):
            code += f"{c_type(kind)} {name} = {self.value(operand, kind)};"
        code += f"{c_type(kind)} z = {ATOMIC[known[0]]}; memcpy(p, &z, sizeof z);"
        if "acq_rel" in modes:
            code += "meet(t);"
        code += self.assign(target, kind, "old")
        return code + f"if (t->block->launch->seed && draw() % 4 == 0) {{ {self.wait('RUN')} }}"

    def on_red(self, modes, operands):
        return self.on_atom(modes, ["_", *operands])

    def on_cvta(self, modes, operands):
        add = {"global": "", "shared": " + GENERIC_SHARED"}.get(modes[0])
        if modes[0] == "to":
            add = {"global": "", "shared": " - GENERIC_SHARED"}[modes[1]]
        return self.assign(operands[0], modes[-1], self.value(operands[1], modes[-1]) + add)
