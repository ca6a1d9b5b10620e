"""Kernels compiled to shared objects, and launched over NumPy arrays."""

import ctypes
import shutil
import struct
import subprocess
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .text import read
from .translate import Translator

HERE = Path(__file__).parent
FLAGS = (
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fwrapv",
    "-w",
)
SANITIZE = ("-fsanitize=address", "--param", "asan-instrumentation-with-call-threshold=0")
"""Checks are calls, which compiles in half the time."""

LIMIT = 1 << 31
"""Instructions after which a kernel is said to have no end."""

FAULTS = (
    "", "outside of every array", "a write to a read-only array", "not aligned",
    "a race with another thread", "a barrier that not all threads reach",
    "a vote or shuffle with a lane that is not there", "a lane that is not in its own mask",
    "lanes wait for each other", "no end",
)  # fmt: skip


class DeviceError(Exception):
    """What a device may let pass, or hang on."""


class Counts(NamedTuple):
    """What a launch executed: instructions of lanes, and accesses to global memory.

    requested : bytes; requests : of a warp, each; sectors : of 32 bytes that these touch
    """

    instructions: int
    requested: int
    requests: int
    sectors: int
    atomics: int
    barriers: int


class _Array(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64) for name in ("start", "size", "writable", "grain", "shadow")
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_uint64) for name in (
            "n_arrays", "blocks", "threads", "resident", "seed", "checked", "counting", "limit",
            "sites", "shared", "grain", "registers")],
        ("arrays", ctypes.POINTER(_Array)),
        *[(name, ctypes.c_uint64) for name in (
            "instructions", "requested", "sectors", "requests", "atomics", "barriers")],
        *[(name, ctypes.c_uint32) for name in ("fault", "site", "block", "thread", "stamps")],
        ("releases", ctypes.c_void_p),
    ]  # fmt: skip


@cache
def find_compiler():
    """The C compiler, or None."""
    return shutil.which("gcc") or shutil.which("cc")


@cache
def find_ptxas():
    """The assembler, or None."""
    from cuda.pathfinder import find_nvidia_binary_utility

    return find_nvidia_binary_utility("ptxas")


@cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="ptx-")


@cache
def _machine(sanitize):
    """The machine without a kernel, compiled once a session."""
    target = Path(_folder().name) / f"machine{'-asan' * sanitize}.o"
    _compile("-O2", "-c", HERE / "machine.c", "-o", target, sanitize=sanitize)
    return target


@cache
def _build(source, sanitize):
    """A library of a kernel; the same one is compiled once a session."""
    stem = sha256(source.encode()).hexdigest()[:16]
    path = Path(_folder().name) / f"{stem}{'-asan' * sanitize}.c"
    path.write_text(source, encoding="ascii")
    library = path.with_suffix(".so")
    what = path, _machine(sanitize), "-o", library, "-lm"
    _compile("-shared", "-I", HERE, *what, sanitize=sanitize)
    return ctypes.CDLL(str(library))


def _compile(*arguments, sanitize):
    flags = (*FLAGS, *SANITIZE) if sanitize else FLAGS
    subprocess.run([find_compiler(), *flags, *arguments], check=True, timeout=120)


class Kernel:
    """The only kernel of a PTX text, with changes that can be made in turn by setting `mutant`."""

    def __init__(self, ptx, *, sanitize=False, changes=()):
        self.text, self.sanitize = read(ptx), sanitize
        translated = Translator(self.text, changes)
        self.offsets = list(translated.offsets.values())
        self.parameter_bytes = translated.parameter_bytes
        self.library = _build(translated.source, sanitize)
        self._mutant = ctypes.c_int64.in_dll(self.library, "mutant")
        registers = ctypes.c_uint64.in_dll(self.library, "registers").value
        shared = -(-self.text.shared_bytes // 16) * 16
        self.sizes = len(self.text.code) + 1, shared, translated.grain, registers

    @property
    def mutant(self):
        """Which change is made, or -1."""
        return self._mutant.value

    @mutant.setter
    def mutant(self, number):
        self._mutant.value = number

    def __call__(self, grid, block, *arguments, seed=None, resident=1, counting=False):
        """Run over arrays and NumPy scalars, passed as numba-cuda does; what was executed.

        Without a seed, lanes, warps and blocks take turns. With one, they go on in any order, and
        `resident` blocks run at a time.
        """
        words, arrays = [], {}
        for argument in arguments:
            if not isinstance(argument, np.ndarray):
                words.append(argument)
                continue
            start = argument.ctypes.data if argument.size else 0
            words += [0, 0, argument.size, argument.itemsize, start]
            words += [*argument.shape, *argument.strides]
            if argument.size:
                kept = arrays.get(start)
                grain = min(argument.itemsize, 4, kept[1] if kept else 4)
                arrays[start] = (argument, grain)
        packed = bytearray(self.parameter_bytes + 16)
        for word, (kind, at) in zip(words, self.offsets, strict=True):
            raw = word.tobytes() if isinstance(word, np.generic) else struct.pack("<q", word)
            size = int(kind[1:]) // 8
            if isinstance(word, np.generic) and len(raw) != size:
                raise TypeError(f"{word!r} for a parameter of {kind}")
            packed[at : at + size] = raw[:size]
        table, shadows = (_Array * (len(arrays) + 1))(), []
        for row, (array, grain) in zip(table, arrays.values(), strict=False):
            shadows.append(np.zeros((array.nbytes // grain + 1) * 28, np.uint8))
            row.start, row.size, row.grain = array.ctypes.data, array.nbytes, grain
            row.writable, row.shadow = array.flags.writeable, shadows[-1].ctypes.data
        state = _Launch(
            len(arrays),
            grid,
            block,
            resident,
            seed or 0,
            not self.sanitize,
            counting,
            LIMIT,
            *self.sizes,
            table,
        )
        buffer = (ctypes.c_char * len(packed)).from_buffer(packed)
        if self.library.launch(ctypes.byref(state), buffer):
            what = FAULTS[state.fault]
            where = f"thread {state.thread} of block {state.block}"
            at = self.text.code[state.site].text if state.fault < 5 else ""
            raise DeviceError(f"{what}: {where}{': ' + at if at else ''}")
        return Counts(state.instructions, state.requested, state.requests, state.sectors,
                      state.atomics, state.barriers)  # fmt: skip
