"""Where CUDA kernels run: memory, copies and launches of a device, on one stream."""

from functools import cache
from typing import Any, Protocol

from numpy.typing import NDArray

from ...errors import BackendUnavailableError
from . import registry, target


class Launcher(Protocol):
    """A device and a stream of it. Handles are arrays there, to be sliced; work is in order.

    stream : the handle of the stream that it was made for, or None
    """

    stream: int | None

    def adopt(self, array: Any) -> Any:
        """A handle of an array that is there already, by the CUDA array interface."""

    def address(self, handle: Any) -> int:
        """Where an array starts."""

    def empty(self, size: int, dtype: Any) -> Any:
        """A handle of new memory that holds anything."""

    def zeros(self, size: int, dtype: Any) -> Any:
        """A handle of new memory that holds zeros."""

    def put(self, array: NDArray[Any]) -> Any:
        """A handle of a copy."""

    def get(self, handle: Any, out: NDArray[Any]) -> None:
        """Copy to the host, once all work before is done."""

    def clear(self, handle: Any) -> None:
        """Make all of it zeros."""

    def wait(self) -> None:
        """Until all work is done: what it read or wrote may go."""

    def launch(self, name: str, grid: int, *arguments: Any) -> None:
        """Start a kernel of `registry`; numbers are of the types that it says."""


@cache
def _kernel(name: str) -> Any:
    """A kernel, compiled for the types that tests have run it with."""
    entry = registry.kernels()[name]
    return target.load().jit(entry.signature())(entry.function())


class Driver:
    """A launcher over the CUDA driver, by numba-cuda.

    Raises
    ------
    BackendUnavailableError
        If there is no numba-cuda, no driver or no device.
    """

    def __init__(self, stream: int | None = None) -> None:
        self._cuda = target.load()
        if not self._cuda.is_available():
            raise BackendUnavailableError(
                "no CUDA driver or device is to be found: install the NVIDIA driver (nvidia-smi "
                "shows it), or copy the array to the host"
            )
        self.stream = stream
        external = self._cuda.external_stream
        self._stream = external(stream) if stream else self._cuda.default_stream()

    def adopt(self, array: Any) -> Any:
        return self._cuda.as_cuda_array(array, sync=False)

    def address(self, handle: Any) -> int:
        return int(handle.device_ctypes_pointer.value or 0)

    def empty(self, size: int, dtype: Any) -> Any:
        return self._cuda.device_array(size, dtype, stream=self._stream)

    def zeros(self, size: int, dtype: Any) -> Any:
        handle = self.empty(size, dtype)
        self.clear(handle)
        return handle

    def clear(self, handle: Any) -> None:
        if handle.size:
            memset = self._cuda.cudadrv.driver.device_memset
            memset(handle, 0, handle.nbytes, stream=self._stream)

    def wait(self) -> None:
        self._stream.synchronize()

    def put(self, array: NDArray[Any]) -> Any:
        return self._cuda.to_device(array, stream=self._stream)

    def get(self, handle: Any, out: NDArray[Any]) -> None:
        if out.size:
            handle.copy_to_host(out, stream=self._stream)
        self.wait()

    def launch(self, name: str, grid: int, *arguments: Any) -> None:
        _kernel(name)[grid, registry.kernels()[name].threads, self._stream](*arguments)
