"""All CUDA kernels by name, with the types of their arguments and the threads of a block.

`collect_uint32` is `collect` for elements of 32 bits: a kernel is compiled for one set of types.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from ...format.ids import ElementType
from . import accumulate, compose, elementwise, planes, selection, sketch, target

WORDS: Final = "uint64[::1]"


class Entry(NamedTuple):
    """A kernel before it is compiled.

    make : the function, from the target's module and `target.memory()`
    arguments : types as Numba spells them; arrays that are only read are `const`
    threads : in a block
    """

    make: Callable[[Any, Any], Any]
    arguments: tuple[str, ...]
    threads: int

    def function(self) -> Any:
        """A function for `cuda.jit`, made afresh."""
        return self.make(target.load(), target.memory())

    def signature(self) -> Any:
        """Numba's signature of it."""
        types = target.kinds()
        return types.void(*(_type(types, argument) for argument in self.arguments))


def _type(types: Any, text: str) -> Any:
    name, _, axes = text.removeprefix("const ").partition("[")
    kind = getattr(types, name)
    if not axes:
        return kind
    return types.Array(kind, axes.count(",") + 1, "C", text.startswith("const "))


def _selection(table: dict[str, Entry]) -> None:
    threads = selection.THREADS
    for kind in (np.uint16, np.uint32, np.uint64):
        name = np.dtype(kind).name
        many, top = f"const {name}[::1]", np.dtype(selection.top_of(kind)).name
        kept = ("uint32[::1]", f"{name}[::1]", WORDS, f"{top}[::1]")
        table[f"collect_{name}"] = Entry(
            lambda cuda, memory, kind=kind: selection.collect(cuda, memory, kind),
            (many, name, "uint32", "uint64", WORDS, *kept),
            threads,
        )
        table[f"count_above_{name}"] = Entry(
            lambda cuda, memory, kind=kind: selection.count_above(cuda, memory, kind),
            (many, name, "uint32", WORDS, f"{top}[::1]"),
            threads,
        )
        table[f"histogram_{name}"] = Entry(
            lambda cuda, memory, kind=kind: selection.histogram(cuda, memory, kind),
            (many, name, name, "uint32", "uint32", WORDS),
            threads,
        )
        table[f"take_{name}"] = Entry(
            lambda cuda, memory: elementwise.take(cuda),
            (many, "const int64[::1]", f"{name}[::1]"),
            elementwise.THREADS,
        )
        if kind is np.uint16:
            continue
        number = f"float{np.dtype(kind).itemsize * 8}"
        table[f"collect_sum_{name}"] = Entry(
            lambda cuda, memory, kind=kind: selection.collect(cuda, memory, kind, summed=True),
            (many, many, number, number, f"{name}[::1]", name, "uint32", "uint64", WORDS, *kept),
            threads,
        )
        table[f"tail_sums_{number}"] = Entry(
            lambda cuda, memory: selection.tail_sums(cuda, memory),
            (f"const {number}[::1]", number, "float64[:, :, ::1]", WORDS),
            threads,
        )


def _values(table: dict[str, Entry]) -> None:
    for kind in (np.uint16, np.uint32, np.uint64):
        name = np.dtype(kind).name
        where = ("const uint32[::1]", f"const {WORDS}", "uint64", f"const {name}[::1]")
        table[f"scatter_{name}"] = Entry(
            lambda cuda, memory: accumulate.scatter(cuda),
            (*where, f"{name}[::1]"),
            accumulate.THREADS,
        )
    for number in ("float32", "float64"):
        where = ("const uint32[::1]", f"const {WORDS}", "uint64", f"const {number}[::1]")
        table[f"accumulate_{number}"] = Entry(
            lambda cuda, memory: accumulate.accumulate(cuda, memory),
            (*where, number, f"{number}[::1]"),
            accumulate.THREADS,
        )
        many, out = f"const {number}[::1]", f"{number}[::1]"
        table[f"correct_{number}"] = Entry(
            lambda cuda, memory: elementwise.correct(cuda, memory),
            (many, many, many, number, "uint32", out, out),
            elementwise.THREADS,
        )
    for element in (ElementType.FLOAT16, ElementType.BFLOAT16):
        table[f"widen_{element.name.lower()}"] = Entry(
            lambda cuda, memory, element=element: elementwise.widen(cuda, element),
            ("const uint16[::1]", "uint32[::1]"),
            elementwise.THREADS,
        )


def _frames(table: dict[str, Entry]) -> None:
    some, all_of = "uint32[::1]", f"const {WORDS}"
    for kind in (np.uint16, np.uint32, np.uint64):
        name, top = np.dtype(kind).name, np.dtype(selection.top_of(kind)).name
        kept = (all_of, f"const {some}", f"const {name}[::1]")
        table[f"measure_chunks_{name}"] = Entry(
            lambda cuda, memory, kind=kind: compose.measure_chunks(cuda, memory, kind),
            (all_of, *kept, f"const {top}[::1]", *[some] * 3, WORDS, *[some] * 3, WORDS, WORDS),
            planes.THREADS,
        )
        table[f"write_chunks_{name}"] = Entry(
            lambda cuda, memory, kind=kind: compose.write_chunks(cuda, memory, kind),
            (
                all_of, *kept, *[f"const {some}"] * 3, all_of, f"const {some}", WORDS,
                f"{name}[::1]", WORDS,
            ),
            planes.THREADS,
        )  # fmt: skip


def _sketches(table: dict[str, Entry]) -> None:
    tables = "const uint64[:, :, ::1]"
    for kind in (np.float32, np.float64):
        name = np.dtype(kind).name
        table[f"insert_{name}"] = Entry(
            lambda cuda, memory, kind=kind: sketch.insert(cuda, memory, kind),
            (f"const {name}[::1]", "uint64", tables, "uint64", f"{name}[:, ::1]"),
            sketch.THREADS,
        )
        table[f"estimate_{name}"] = Entry(
            lambda cuda, memory, kind=kind: sketch.estimate(cuda, memory, kind),
            ("uint64", tables, "uint64", f"const {name}[:, ::1]", "uint32", f"{name}[::1]"),
            sketch.THREADS,
        )


@cache
def kernels() -> dict[str, Entry]:
    """All of them."""
    table: dict[str, Entry] = {}
    _selection(table)
    _values(table)
    _frames(table)
    _sketches(table)
    return table
