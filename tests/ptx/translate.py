"""A kernel as C: `step` runs one lane until it must wait, ends, or has gone back often enough.

A lane's registers outlive a call, so that it can go on from where it was: every place where it may
stop is a case of one switch.
"""

import re

from .text import WARP, bits

SPECIAL = {
    "%tid.x": "t->id",
    "%ctaid.x": "t->block->number",
    "%ntid.x": "(uint32_t)t->block->launch->threads",
    "%nctaid.x": "(uint32_t)t->block->launch->blocks",
    "%laneid": f"(t->id % {WARP})",
}
BINARY = {"and": "&", "or": "|", "xor": "^"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
           "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}  # fmt: skip
SHUFFLES = {"up": "UP", "down": "DOWN", "bfly": "BUTTERFLY", "idx": "INDEX"}
VOTES = {"ballot": "BALLOT", "any": "ANY", "all": "ALL"}
REDUCTIONS = {"add": "SUM", "min": "LEAST", "max": "MOST", "and": "AND", "or": "OR", "xor": "XOR"}
ATOMIC = {"add": "old + x", "exch": "x", "or": "old | x", "and": "old & x", "xor": "old ^ x",
          "min": "x < old ? x : old", "max": "x > old ? x : old",
          "cas": "old == x ? y : old"}  # fmt: skip
SPACES = {"global": 0, "shared": 1}
HINTS = {"nc", "ca", "cg", "cs", "volatile", "relaxed", "gpu", "weak"}


def c_type(kind):
    """The C type that a PTX kind is worked on in."""
    if kind in ("f32", "f64"):
        return "float" if kind == "f32" else "double"
    return f"{'int' if kind[0] == 's' else 'uint'}{bits(kind)}_t"


class Translator:
    """C of one `Text`, but for the machine."""

    def __init__(self, text):
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
            body = self.emit(step.parts, step.operands)
            if step.guard:
                body = f"if ({'!' if step.negated else ''}{self.register(step.guard)}) {{ {body} }}"
            lines.append(f"  {{ {body} }}")
            counted = not self.ends_run(step)
        fields = "".join(
            f"uint{bits(kind)}_t {self.field(name)};" for name, kind in text.registers.items()
        )
        lines = "\n".join(lines)
        self.source = (
            '#include "machine.h"\n'
            f"typedef struct {{ {fields} uint64_t last; }} Registers;\n"
            "EXPORT const uint64_t registers = sizeof(Registers);\n"
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
        if len(known) != 1 or set(modes) - set(SPACES) - set(ATOMIC) - {"relaxed", "gpu"}:
            return None
        if kind[0] == "f":
            return None  # the order of additions would show
        target, where, *rest = operands
        code = self.place(where, kind, 1, "READ | WRITE | ATOMIC", modes)
        code += f"{c_type(kind)} old; memcpy(&old, p, sizeof old);"
        for name, operand in zip("xy", rest, strict=False):
            code += f"{c_type(kind)} {name} = {self.value(operand, kind)};"
        code += f"{c_type(kind)} z = {ATOMIC[known[0]]}; memcpy(p, &z, sizeof z);"
        code += self.assign(target, kind, "old")
        return code + f"if (t->block->launch->seed && draw() % 4 == 0) {{ {self.wait('RUN')} }}"

    def on_red(self, modes, operands):
        return self.on_atom(modes, ["_", *operands])

    def on_cvta(self, modes, operands):
        add = {"global": "", "shared": " + GENERIC_SHARED"}.get(modes[0])
        if modes[0] == "to":
            add = {"global": "", "shared": " - GENERIC_SHARED"}[modes[1]]
        return self.assign(operands[0], modes[-1], self.value(operands[1], modes[-1]) + add)

    # arithmetic

    def on_mov(self, modes, operands):
        (kind,) = modes
        target, source = operands
        if source[0] == "{":
            names = [name.strip() for name in source[1:-1].split(",")]
            width = bits(kind) // len(names)
            whole = " | ".join(
                f"(uint{bits(kind)}_t){self.value(name, f'b{width}')} << {i * width}"
                for i, name in enumerate(names)
            )
            return self.assign(target, kind, whole)
        if target[0] == "{":
            names = [name.strip() for name in target[1:-1].split(",")]
            width = bits(kind) // len(names)
            return f"uint64_t x = {self.value(source, kind)};" + "".join(
                self.assign(name, f"b{width}", f"x >> {i * width}") for i, name in enumerate(names)
            )
        if kind == "pred" and re.fullmatch(r"-?\d+", source):
            return self.assign(target, kind, str(int(source != "0")))
        return self.assign(target, kind, self.value(source, kind))

    def binary(self, modes, operands, sign, least=32):
        """Of integers, wrapped; of floats only with the rounding said, or ptxas may fuse them."""
        *modes, kind = modes
        x, y = (self.value(operand, kind) for operand in operands[1:])
        if kind[0] == "f":
            return self.assign(operands[0], kind, f"{x} {sign} {y}") if modes == ["rn"] else None
        if modes:
            return None
        unsigned = f"uint{max(bits(kind), least)}_t"
        return self.assign(operands[0], kind, f"({unsigned}){x} {sign} ({unsigned}){y}")

    def on_add(self, modes, operands):
        return self.binary(modes, operands, "+")

    def on_sub(self, modes, operands):
        return self.binary(modes, operands, "-")

    def on_mul(self, modes, operands):
        if modes[-1][0] == "f":
            return self.binary(modes, operands, "*")
        mode, kind = modes
        return self.product(mode, kind, operands[:3], "")

    def on_mad(self, modes, operands):
        mode, kind = modes
        return self.product(mode, kind, operands[:3], operands[3])

    def product(self, mode, kind, operands, addend):
        signed, width = kind[0] == "s", bits(kind)
        wide = {16: "int32_t", 32: "int64_t", 64: "__int128"}[width]
        wide = wide if signed else {16: "uint32_t", 32: "uint64_t", 64: "unsigned __int128"}[width]
        x, y = (self.value(operand, kind) for operand in operands[1:])
        product, kinds = f"(({wide}){x} * ({wide}){y})", {"lo": kind, "hi": kind}
        if mode == "hi":
            product = f"({product} >> {width})"
        if mode == "wide":
            kinds["wide"] = f"{kind[0]}{2 * width}"
        kind = kinds[mode]
        if addend:
            product = f"(uint64_t){product} + (uint64_t){self.value(addend, kind)}"
        return self.assign(operands[0], kind, product)

    def on_div(self, modes, operands):
        *modes, kind = modes
        x, y = (self.value(operand, kind) for operand in operands[1:])
        if modes or kind[0] != "u":
            return None
        return self.assign(operands[0], kind, f"{y} ? {x} / {y} : 0")

    def on_rem(self, modes, operands):
        *modes, kind = modes
        x, y = (self.value(operand, kind) for operand in operands[1:])
        if modes or kind[0] != "u":
            return None
        return self.assign(operands[0], kind, f"{y} ? {x} % {y} : 0")

    def on_fma(self, modes, operands):
        return None  # nothing that bytes depend on is fused

    def on_neg(self, modes, operands):
        (kind,) = modes
        sign = "-" if kind[0] in "sf" else None
        return sign and self.assign(operands[0], kind, f"-{self.value(operands[1], kind)}")

    def on_abs(self, modes, operands):
        (kind,) = modes
        call = {"f32": "fabsf", "f64": "fabs"}.get(kind)
        return call and self.assign(operands[0], kind, f"{call}({self.value(operands[1], kind)})")

    def on_min(self, modes, operands, sign="<"):
        (kind,) = modes
        if kind[0] == "f":
            return None
        x, y = (self.value(operand, kind) for operand in operands[1:])
        return self.assign(operands[0], kind, f"{x} {sign} {y} ? {x} : {y}")

    def on_max(self, modes, operands):
        return self.on_min(modes, operands, ">")

    def logic(self, name, modes, operands):
        (kind,) = modes
        x, y = (self.value(operand, kind) for operand in operands[1:])
        return self.assign(operands[0], kind, f"{x} {BINARY[name]} {y}")

    def on_and(self, modes, operands):
        return self.logic("and", modes, operands)

    def on_or(self, modes, operands):
        return self.logic("or", modes, operands)

    def on_xor(self, modes, operands):
        return self.logic("xor", modes, operands)

    def on_not(self, modes, operands):
        (kind,) = modes
        sign = "!" if kind == "pred" else "~"
        return self.assign(operands[0], kind, f"{sign}{self.value(operands[1], kind)}")

    def on_shl(self, modes, operands):
        (kind,) = modes
        x, by = self.value(operands[1], f"u{bits(kind)}"), self.value(operands[2], "u32")
        return self.assign(operands[0], kind, f"{by} < {bits(kind)} ? {x} << {by} : 0")

    def on_shr(self, modes, operands):
        (kind,) = modes
        x, by = self.value(operands[1], kind), self.value(operands[2], "u32")
        beyond = f"{x} >> {bits(kind) - 1}" if kind[0] == "s" else "0"
        return self.assign(operands[0], kind, f"{by} < {bits(kind)} ? {x} >> {by} : {beyond}")

    def on_shf(self, modes, operands):
        side, mode, _ = modes
        low, high, by = (self.value(operand, "u32") for operand in operands[1:])
        by = f"({by} & 31)" if mode == "wrap" else f"({by} > 32 ? 32 : {by})"
        both = f"((uint64_t){high} << 32 | {low})"
        moved = f"({both} << {by}) >> 32" if side == "l" else f"{both} >> {by}"
        return self.assign(operands[0], "b32", moved)

    def on_setp(self, modes, operands):
        compare, *combine, kind = modes
        x, y = (self.value(operand, kind) for operand in operands[1:3])
        if kind[0] == "f" and compare[-1] == "u":
            flag = f"!({x} {COMPARE[{'eq': 'ne', 'ne': 'eq', 'lt': 'ge', 'ge': 'lt', 'gt': 'le', 'le': 'gt'}[compare[:-1]]]} {y})"  # noqa: E501
            if compare in ("equ", "neu"):
                flag = f"({x} {COMPARE[compare[:-1]]} {y} || {x} != {x} || {y} != {y})"
        elif kind[0] == "f" and compare in ("ne", "nan", "num"):
            numbers = f"({x} == {x} && {y} == {y})"
            flag = {"ne": f"({numbers} && {x} != {y})", "num": numbers, "nan": f"!{numbers}"}[
                compare
            ]
        else:
            flag = f"{x} {COMPARE[compare]} {y}"
        if combine:
            other = operands[3]
            more = self.value(other.lstrip("!"), "pred")
            flag = f"({flag}) {BINARY[combine[0]]} {'!' if other[0] == '!' else ''}{more}"
        return self.assign(operands[0], "pred", flag)

    def on_selp(self, modes, operands):
        (kind,) = modes
        x, y = (self.value(operand, kind) for operand in operands[1:3])
        return self.assign(operands[0], kind, f"{self.value(operands[3], 'pred')} ? {x} : {y}")

    def on_cvt(self, modes, operands):
        *modes, to, kind = modes
        x = self.value(operands[1], kind)
        exact = kind[0] != "f" and to[0] == "f" and modes == ["rn"]
        wider = (kind, to) == ("f32", "f64") or (kind[0] != "f" and to[0] != "f")
        if not (exact or ((wider or (kind, to, modes) == ("f64", "f32", ["rn"])) and
                          modes in ([], ["rn"]))):  # fmt: skip
            return None
        return self.assign(operands[0], to, f"({c_type(to)}){x}")

    def on_popc(self, modes, operands):
        (kind,) = modes
        return self.assign(
            operands[0], "u32", f"__builtin_popcountll({self.value(operands[1], kind)})"
        )

    def on_clz(self, modes, operands):
        (kind,) = modes
        x, width = self.value(operands[1], kind), bits(kind)
        return self.assign(
            operands[0], "u32", f"{x} ? __builtin_clzll({x}) - {64 - width} : {width}"
        )

    def on_bfind(self, modes, operands):
        *modes, kind = modes
        if kind[0] != "u" or modes not in ([], ["shiftamt"]):
            return None
        x = self.value(operands[1], kind)
        zeros = f"__builtin_clzll({x})"
        place = f"{zeros} - {64 - bits(kind)}" if modes else f"63 - {zeros}"
        return self.assign(operands[0], "u32", f"{x} ? {place} : -1")

    def on_brev(self, modes, operands):
        (kind,) = modes
        x = self.value(operands[1], kind)
        loop = (
            f"for (int i = 0; i < {bits(kind)}; i++) z |= (x >> i & 1) << ({bits(kind) - 1} - i);"
        )
        return f"uint64_t x = {x}, z = 0; {loop}" + self.assign(operands[0], kind, "z")

    def on_bfe(self, modes, operands):
        (kind,) = modes
        if kind[0] != "u":
            return None
        x, at, width = (
            self.value(o, k) for o, k in zip(operands[1:], (kind, "u32", "u32"), strict=True)
        )
        code = f"uint64_t x = {x}; uint32_t a = {at} & 255, w = {width} & 255;"
        code += f"x = a < {bits(kind)} ? x >> a : 0; if (w < 64) x &= (1ull << w) - 1;"
        return code + self.assign(operands[0], kind, "x")

    def on_bfi(self, modes, operands):
        (kind,) = modes
        x, into, at, width = (
            self.value(o, k) for o, k in zip(operands[1:], (kind, kind, "u32", "u32"), strict=True)
        )
        code = f"uint64_t x = {x}, y = {into}; uint32_t a = {at} & 255, w = {width} & 255;"
        code += "uint64_t m = w < 64 ? (1ull << w) - 1 : ~0ull; m = a < 64 ? m << a : 0;"
        return code + self.assign(operands[0], kind, "(y & ~m) | (a < 64 ? x << a & m : 0)")

    def on_prmt(self, modes, operands):
        if modes != ["b32"]:
            return None
        low, high, pick = (self.value(operand, "u32") for operand in operands[1:])
        code = f"uint64_t x = (uint64_t){high} << 32 | {low}; uint32_t s = {pick}, z = 0;"
        code += "for (int i = 0; i < 4; i++) {"
        code += "uint32_t k = s >> 4 * i & 15, b = x >> 8 * (k & 7) & 255;"
        code += "if (k & 8) b = b & 128 ? 255 : 0; z |= b << 8 * i; }"
        return code + self.assign(operands[0], "b32", "z")
