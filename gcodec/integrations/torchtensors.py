"""Tensors as arrays and back: gradients of a bucket, and what memories keep in a checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..errors import StateError
from ..feedback import ErrorFeedback
from . import missing

try:
    import torch
except ImportError as error:
    raise missing("torch", "torch") from error

AS_BITS: Final = {torch.bfloat16: torch.uint16}  # what NumPy has not, as gcodec takes it
Memory = Mapping[str, Mapping[str, Any]]


def as_laid_out(memory: Any, parameter: Any) -> Any:
    """A parameter's part of a bucket, in which elements lie as in the parameter if that has no
    gaps (as in channels_last), while DDP shows them as if they were in order."""
    shape, strides = parameter.shape, parameter.stride()
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return memory.as_strided(shape, strides) if extent == memory.numel() else memory


def as_array(grad: Any) -> Any:
    """A gradient on the host, as gcodec takes it."""
    host = grad.detach().cpu()
    return host.view(AS_BITS.get(host.dtype, host.dtype)).numpy()


def to_tensors(memory: ErrorFeedback | None) -> Memory:
    """Buffers by name, as tensors; nothing of no memory."""
    return _each({} if memory is None else memory.state_dict(), torch.from_numpy)


def to_arrays(memory: Memory) -> Memory:
    """What `to_tensors` made, for `ErrorFeedback.load_state_dict`."""
    return _each(memory, torch.Tensor.numpy)


def check_shapes(memory: Memory, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse residuals of what is not there, or of another shape.

    Raises
    ------
    StateError
        If there is one.
    """
    for name, buffers in memory.items():
        held = tuple(buffers["residual"].shape)
        if shapes.get(name) != held:
            has = f"has shape {shapes[name]}" if name in shapes else "is not there"
            raise StateError(f"{name!r} has a residual of shape {held}; in the model it {has}")


def _each(memory: Memory, convert: Callable[[Any], Any]) -> Memory:
    """The same with its buffers converted; what selectors keep are plain values."""
    return {
        name: {key: kept if key == "selector" else convert(kept) for key, kept in buffers.items()}
        for name, buffers in memory.items()
    }
