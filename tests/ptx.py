"""PTX run on the CPU, in NumPy: the instructions of gcodec's kernels, every other one is refused.

It is stricter than a device. Loads and stores must stay inside one array and be aligned; no two
lanes of a store may meet; a warp's shuffle and a block's barrier need every lane. Registers and
shared memory start as garbage. It is also weaker: memory is sequentially consistent, blocks of a
grid run one after another, and what ptxas makes of the text is not seen.
"""

import re
from typing import NamedTuple

import numpy as np

WARP = 32
SEGMENT = 40
"""Array i lies at address (i + 1) << 40; shared memory at 0."""

KINDS = {f"{c}{bits}": np.dtype(f"{'i' if c == 's' else 'u'}{bits // 8}")
         for c in "bsu" for bits in (8, 16, 32, 64)} | {"pred": np.dtype(bool)}  # fmt: skip


def _shift(x, count, shift):
    """Of unsigned numbers; counts past the width leave zeros."""
    if x.dtype.kind != "u":
        raise NotImplementedError("a signed shift")
    bits = x.dtype.itemsize * 8
    return np.where(count < bits, shift(x, (count % bits).astype(x.dtype)), x.dtype.type(0))


ARITHMETIC = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mad": lambda x, y, z: x * y + z,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "min": np.minimum,
    "mov": lambda x: x,
    "selp": lambda x, y, p: np.where(p, x, y),
    "shl": lambda x, y: _shift(x, y, np.left_shift),
    "shr": lambda x, y: _shift(x, y, np.right_shift),
}
COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal,
}  # fmt: skip
ATOMIC = {"or": np.bitwise_or, "min": np.minimum}
LAST = {"shl": "u32", "shr": "u32", "selp": "pred"}
"""Kinds of last operands that are not those of the others."""


class DeviceError(Exception):
    """What a device may let pass, or hang on."""


def _require(condition, what):
    if not condition:
        raise DeviceError(what)


class _Instruction(NamedTuple):
    guard: str
    negated: bool
    parts: list[str]
    operands: list[str]
    sync: str


class Kernel:
    """The only kernel of a PTX text; `executed` counts instructions of lanes and of warps."""

    def __init__(self, ptx):
        self.shared, self.shared_bytes = {}, 0
        for name, size in re.findall(r"\.shared \.align \d+ \.b8 (\w+)\[(\d+)\]", ptx):
            self.shared[name] = self.shared_bytes
            self.shared_bytes += -(-int(size) // 16) * 16
        head, body = re.sub(r"//.*", "", ptx).split("{", 1)
        self.parameters = re.findall(r"\.param [^,)]*?(\w+)\s*[,)]", head)
        self.banks = re.findall(r"\.reg \.(\w+)\s+(%\w+)<(\d+)>", body)
        self.code, self.labels = [], {}
        for label, guard, text in re.findall(
            r"(\$\w+):|(?:@(!?%\w+)\s+)?\b([a-z][^;]*);", re.sub(r"\.reg[^;]*;", "", body)
        ):
            if label:
                self.labels[label] = len(self.code)
                continue
            name, *rest = text.split(None, 1)
            parts = name.split(".")
            operands = [part.strip() for part in "".join(rest).split(",")]
            sync = "warp" if parts[:2] in (["shfl", "sync"], ["bar", "warp"]) else ""
            sync = "block" if parts == ["bar", "sync"] else sync
            self.code.append(
                _Instruction(guard.lstrip("!"), guard.startswith("!"), parts, operands, sync)
            )
        jumps = [i + 1 for i, step in enumerate(self.code) if step.parts[0] in ("bra", "ret")]
        waits = [i for i, step in enumerate(self.code) if step.sync]
        self.seams = {*jumps, *waits, *self.labels.values(), len(self.code)}
        """Instructions that lanes do not reach together with those that took the one before."""
        self.executed = np.zeros(2, np.int64)

    def __call__(self, grid, block, *arrays, seed=None):
        """Run over contiguous arrays, passed as numba-cuda does.

        Without a seed, all lanes that are at the lowest instruction take it. With one, blocks run
        in any order, and some lanes of one warp run for a while before others do.
        """
        words = []
        for i, array in enumerate(arrays):
            assert array.flags.c_contiguous
            words += [0, 0, array.size, array.itemsize, (i + 1) << SEGMENT]
            words += [*array.shape, *array.strides]
        self.values = dict(zip(self.parameters, words, strict=True))
        self.lanes = np.arange(block)
        rng = None if seed is None else np.random.default_rng(seed)
        for number in range(grid) if rng is None else rng.permutation(grid):
            self._start(int(number), arrays)
            self._run(rng)

    def _start(self, number, arrays):
        garbage = np.random.default_rng(number)
        self.memory = [garbage.integers(0, 256, self.shared_bytes, np.uint8), *arrays]
        self.registers = {
            f"{bank}{i}": garbage.integers(0, 2**63, self.lanes.size).astype(KINDS[kind])
            for kind, bank, count in self.banks
            for i in range(int(count))
        }
        self.registers["%tid.x"] = self.lanes.astype(np.uint32)
        self.registers["%ctaid.x"] = np.full(self.lanes.size, number, np.uint32)
        self.pc = np.zeros(self.lanes.size, np.intp)

    def _run(self, rng):
        """Every lane of a block to its end."""
        everyone = np.ones(self.lanes.size, bool)
        favoured = everyone
        while (self.pc < len(self.code)).any():
            if rng is not None and rng.random() < 0.05:
                favoured = self.lanes // WARP == rng.integers(self.lanes.size // WARP)
                if rng.random() < 0.5:
                    favoured &= rng.random(favoured.size) < 0.5
            lanes = self._ready(favoured, rng)
            if lanes is None:
                if favoured is everyone:
                    raise DeviceError("a shuffle or barrier that not all lanes reach")
                favoured = everyone
                continue
            pc = self.pc[lanes[0]]
            self._step(self.code[pc], lanes)
            while pc + 1 not in self.seams and (rng is None or rng.random() < 0.9):
                pc += 1
                self._step(self.code[pc], lanes)

    def _ready(self, favoured, rng):
        """Lanes at one instruction: the favoured ones, or all of a warp or block that needs all."""
        at = np.unique(self.pc[favoured])
        for pc in at if rng is None else rng.permutation(at):
            if pc == len(self.code):
                continue
            here, sync = self.pc == pc, self.code[pc].sync
            if sync == "warp":
                here &= np.repeat(here.reshape(-1, WARP).all(axis=1), WARP)
            elif sync == "block":
                here &= here.all()
            else:
                here &= favoured
            if here.any():
                return np.flatnonzero(here)
        return None

    def _step(self, instruction, lanes):
        guard, negated, parts, operands, _ = instruction
        self.executed += lanes.size, np.unique(lanes // WARP).size
        self.pc[lanes] += 1
        if guard:
            lanes = lanes[self.registers[guard][lanes] != negated]
            if not lanes.size:
                return
        match parts:
            case ["bra", *_]:
                self.pc[lanes] = self.labels[operands[0]]
            case ["ret"]:
                self.pc[lanes] = len(self.code)
            case ["bar", "warp", "sync"]:
                self._whole(operands[0], lanes)
            case ["bar", "sync"]:
                pass
            case ["ld", "param", kind]:
                self._set(operands[0], np.asarray(self.values[operands[1][1:-1]]), lanes)
            case ["ld", "global" | "shared", kind]:
                flat, index = self._place(operands[1], KINDS[kind], lanes)
                self._set(operands[0], flat[index], lanes)
            case ["st", "global" | "shared", kind]:
                flat, index = self._place(operands[0], KINDS[kind], lanes)
                _require(np.unique(index).size == index.size, "lanes of one store meet")
                flat[index] = self._get(operands[1], kind, lanes)
            case ["atom", "global", function, kind]:
                flat, index = self._place(operands[1], KINDS[kind], lanes)
                ATOMIC[function].at(flat, index, self._get(operands[2], kind, lanes))
                self.registers.pop(operands[0], None)  # a kernel that reads it fails
            case ["shfl", "sync", how, "b32"]:
                self._shuffle(how, operands, lanes)
            case ["setp", compare, *combine, kind]:
                x, y = (self._get(name, kind, lanes) for name in operands[1:3])
                flag = COMPARE[compare](x, y)
                if combine:
                    flag = ARITHMETIC[combine[0]](flag, self._get(operands[3], "pred", lanes))
                self._set(operands[0], flag, lanes)
            case ["cvt", to, kind]:
                self._set(operands[0], self._get(operands[1], kind, lanes).astype(KINDS[to]), lanes)
            case ["cvta", "to", "global", kind]:
                self._set(operands[0], self._get(operands[1], kind, lanes), lanes)
            case ["mul", "wide", ("s32" | "u32") as kind]:
                x, y = (self._get(name, kind, lanes).astype(kind[0].replace("s", "i") + "8")
                        for name in operands[1:])  # fmt: skip
                self._set(operands[0], x * y, lanes)
            case [name, *modes, kind] if name in ARITHMETIC and set(modes) <= {"lo"}:
                kinds = [kind] * (len(operands) - 1)
                kinds[-1] = LAST.get(name, kind)
                values = map(self._get, operands[1:], kinds, [lanes] * len(kinds))
                self._set(operands[0], ARITHMETIC[name](*values), lanes)
            case _:
                raise NotImplementedError(".".join(parts))

    def _get(self, name, kind, lanes):
        """An operand as a kind; a register may be wider, and a number negative."""
        dtype = KINDS[kind]
        if name in self.registers:
            values = self.registers[name][lanes]
            return values if kind == "pred" else values.astype(dtype)
        number = self.shared[name] if name in self.shared else int(name, 0)
        return np.full(lanes.size, number, "i8").astype(dtype)

    def _set(self, name, values, lanes):
        self.registers[name][lanes] = values

    def _place(self, operand, dtype, lanes):
        """The array that an address is in, as `dtype`, and the index of each lane."""
        name, _, offset = operand[1:-1].partition("+")
        address = self._get(name, "s64", lanes) + int(offset or 0)
        segment, byte = address >> SEGMENT, address & ((1 << SEGMENT) - 1)
        _require((segment == segment[0]).all(), "lanes in several arrays")
        _require(0 <= segment[0] < len(self.memory), "outside of all arrays")
        flat, size = self.memory[segment[0]].reshape(-1).view(np.uint8), dtype.itemsize
        _require((byte + size <= flat.size).all(), "past the end of an array")
        _require((byte % size == 0).all(), "not aligned")
        return flat[: flat.size // size * size].view(dtype), byte // size

    def _whole(self, mask, lanes):
        _require((self._get(mask, "u32", lanes) == 2**32 - 1).all(), "not for a whole warp")

    def _shuffle(self, how, operands, lanes):
        target, source, which, clamp, mask = operands
        self._whole(mask, lanes)
        _require(self._get(clamp, "u32", lanes)[0] == {"up": 0, "idx": WARP - 1}[how], "a width")
        lane, which = lanes % WARP, self._get(which, "s64", lanes)
        wanted = lane - which if how == "up" else which % WARP
        inside = wanted >= 0
        base = np.arange(lanes.size) - lane
        values = self._get(source, "b32", lanes)
        register, _, found = target.partition("|")
        self._set(register, values[base + np.where(inside, wanted, lane)], lanes)
        self._set(found, inside, lanes)
