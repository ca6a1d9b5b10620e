"""Loops over elements, once per backend: the same function names and arguments in each.

`reference` is plain Python, slow and obvious; `cpu` is Numba. They share no code, and tests assert
that they write the same bytes. To write, `cpu` has kernels for whole chunks, `reference` has one
for each kind of plane. Kernels see integers: floats enter as their bit patterns,
because magnitudes of IEEE floats order like unsigned integers, and integer decisions are the same
everywhere.
"""

from importlib import import_module
from types import ModuleType
from typing import Final

from ..errors import BackendUnavailableError

BACKENDS: Final = ("cpu", "reference")


def load(backend: str) -> ModuleType:
    """Kernels of a backend, imported on first use."""
    if backend not in BACKENDS:
        raise BackendUnavailableError(
            f"backend {backend!r} is not known; valid backends: {', '.join(BACKENDS)}"
        )
    return import_module(f"{__name__}.{backend}")
