"""The compiler of CUDA kernels; no other module imports it, and this one only when asked."""

from importlib.util import find_spec

from ...errors import BackendUnavailableError


def load():
    """The module that kernel factories take.

    Numba's own `numba.cuda` is deprecated: it must be the one that numba-cuda puts in its place.
    """
    if find_spec("numba_cuda") is None:
        raise BackendUnavailableError("CUDA kernels need numba-cuda: pip install 'gcodec[cuda13]'")
    from numba import cuda

    return cuda


def compile_ptx(function, signature, capability):
    """PTX of a kernel for a compute capability such as (9, 0); needs no device."""
    ptx, _ = load().compile_ptx(function, signature, cc=capability)
    return ptx
