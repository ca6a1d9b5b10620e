"""A device that is none: host memory, and PTX that runs on the CPU."""

import ctypes
from contextlib import contextmanager

import numpy as np

import gcodec
from gcodec.kernels.cuda import launch, registry

from . import compiled


@contextmanager
def host_device(**how):
    """Arrays that claim to be on a device are worked on here; the launchers that calls make."""
    made, driver = [], launch.Driver

    def make(stream=None):
        made.append(HostLauncher(stream, **how))
        return made[-1]

    launch.Driver = make
    try:
        yield made
    finally:
        launch.Driver = driver


class HostLauncher:
    """A launcher whose handles are NumPy arrays.

    launched, counts : names of kernels in order, and what they executed
    copied : bytes to the host; waits : for the device
    """

    def __init__(self, stream=None, **how):
        self.stream, self.how = stream, how or {"seed": 1, "resident": 4}
        self.launched, self.counts, self.copied, self.waits = [], [], 0, 0

    def adopt(self, array):
        memory = (ctypes.c_char * (array.size * array.dtype.itemsize)).from_address(array.pointer)
        flat = np.frombuffer(memory, array.dtype) if array.size else np.empty(0, array.dtype)
        flat.setflags(write=not array.read_only)
        return flat

    def address(self, handle):
        return handle.ctypes.data

    def empty(self, size, dtype):
        return np.full(size * np.dtype(dtype).itemsize, 0xCD, np.uint8).view(dtype)

    def zeros(self, size, dtype):
        return np.zeros(size, dtype)

    def put(self, array):
        return array.copy()

    def clear(self, handle):
        handle[...] = 0

    def wait(self):
        self.waits += 1

    def get(self, handle, out):
        assert handle.dtype == out.dtype
        self.copied += out.nbytes
        self.wait()
        out[...] = handle

    def launch(self, name, grid, *arguments):
        kinds = [kind.removeprefix("const ") for kind in registry.kernels()[name].arguments]
        for kind, argument in zip(kinds, arguments, strict=True):
            assert argument.dtype == kind.partition("[")[0], f"{name}: {argument.dtype} for {kind}"
        self.launched.append(name)
        self.counts.append(compiled.launch(name, grid, *arguments, **self.how))


class OnDevice:
    """Claims, by the CUDA array interface, that a NumPy array is on a device."""

    def __init__(self, array, **said):
        self.array = array
        self.said = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data if array.size else 0, not array.flags.writeable),
            "strides": None if array.flags.c_contiguous else array.strides,
            "version": 3,
            **said,
        }

    @property
    def __cuda_array_interface__(self):
        return {key: value for key, value in self.said.items() if value != "left out"}


def check_feedback(codec, arrays, rolled_back=(), **factors):
    """Frames and residuals of a step for each array, there and on the CPU; some not committed."""
    ours, theirs = (gcodec.ErrorFeedback(codec, **factors) for _ in range(2))
    for step, array in enumerate(arrays):
        frame = theirs.encode("w", OnDevice(array), step=step)
        assert frame.tobytes() == ours.encode("w", array, step=step).tobytes()
        for memory in (ours, theirs):
            (memory.rollback if step in rolled_back else memory.commit)("w")
        left = (memory.state_dict()["w"]["residual"].tobytes() for memory in (ours, theirs))
        assert next(left) == next(left)
    assert theirs.counters == ours.counters
