"""PTX run on the CPU: the text becomes C, gcc compiles it, and a scheduler runs blocks and warps.

Everything that gcodec's kernels use is here; any other instruction is refused by name. It is
stricter than a device: see `machine.c`. It is also weaker: memory is sequentially consistent, and
what ptxas makes of the text is not seen.
"""

from .launch import Counts, DeviceError, Kernel, find_compiler, find_ptxas
from .text import WARP

__all__ = ["WARP", "Counts", "DeviceError", "Kernel", "find_compiler", "find_ptxas"]
