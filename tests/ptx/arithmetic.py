"""Instructions that only compute, as C.

Floats are rounded as the text says, and nothing else: what ptxas may fuse, or what is approximate,
is refused.
"""

import re

from .text import bits

BINARY = {"and": "&", "or": "|", "xor": "^"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
           "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}  # fmt: skip


def c_type(kind):
    """The C type that a PTX kind is worked on in."""
    if kind in ("f32", "f64"):
        return "float" if kind == "f32" else "double"
    return f"{'int' if kind[0] == 's' else 'uint'}{bits(kind)}_t"


class Arithmetic:
    """A method for each instruction; it returns None if it does not know what is asked of it.

    `value` and `assign` are the translator's.
    """

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
        """Of floats the one that is a number, and -0 below +0."""
        (kind,) = modes
        x, y = (self.value(operand, kind) for operand in operands[1:])
        chosen = f"{x} {sign} {y}"
        if kind[0] == "f":
            zeros = f"{'' if sign == '<' else '!'}__builtin_signbit({x})"
            chosen = f"{y} != {y} || {chosen} || ({x} == {y} && {zeros})"
            nan = f"as_{kind}({'0x7fffffffu' if kind == 'f32' else '0x7fffffffffffffffull'})"
            y = f"({x} == {x} ? {y} : {y} == {y} ? {y} : {nan})"
            chosen = f"{x} == {x} && ({chosen})"
        return self.assign(operands[0], kind, f"{chosen} ? {x} : {y}")

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
