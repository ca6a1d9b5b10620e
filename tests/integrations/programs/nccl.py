"""What stands for a CUDA device and an NCCL group where there is neither, and refuses alike.

Tensors that say they are on a device hold their elements on the host; a mode sees every operation.
Host and device meet in copies only, NumPy sees no device tensor, and collectives take contiguous
device tensors of the types that NCCL has. What passes is then done by gloo. Streams, and how NCCL
does what it is asked for, are not shown.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

COPY = "aten::_to_copy"
TYPES = (
    torch.uint8, torch.int8, torch.bool, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64,
)  # fmt: skip
CONFIGURATION = "cuda:nccl"
"""What `dist.get_backend_config` says of an NCCL group."""


class DeviceTensor(torch.Tensor):
    """A tensor of `cuda:0` whose elements are those of a tensor on the host."""

    @staticmethod
    def __new__(cls, held):
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="cuda:0",
        )
        self.held = held
        return self

    # PyTorch's own of these ask the driver
    def __getitem__(self, part):
        return torch.ops.aten.slice(self, 0, part.start, part.stop)

    def copy_(self, source):
        self.held.copy_(source.held if isinstance(source, DeviceTensor) else source)
        return self

    @classmethod
    def __torch_dispatch__(cls, operation, types, arguments=(), options=None):
        raise RuntimeError(f"{operation} outside of the mode that stands for the device")


class Current(TorchFunctionMode):
    """Within it `cuda` is `cuda:0`, which PyTorch else asks the driver."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        bare, first = torch.device("cuda"), torch.device("cuda", 0)

        def name(device):
            return first if device == bare else device

        arguments, options = tree_map_only(torch.device, name, (arguments, options or {}))
        return function(*arguments, **options)


class Device(TorchDispatchMode):
    """Within it there is a device `cuda:0`, and all process groups are as NCCL's."""

    def __init__(self):
        super().__init__()
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE  # PyTorch then looks for no driver
        self.collectives = []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        options = dict(options or {})
        name = operation._schema.name
        leaves = tree_flatten((arguments, options))[0]
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
        if name.startswith("c10d::"):
            self.collectives.append(name.removeprefix("c10d::"))
            check(name, tensors)
        elif there and name != COPY and len(there) < sum(each.dim() > 0 for each in tensors):
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        to = options.get("device")
        if to is not None:
            options["device"] = torch.device("cpu")
        wrappers = {id(tensor.held): tensor for tensor in there}

        def wrap(held):
            return wrappers[id(held)] if id(held) in wrappers else DeviceTensor(held)

        arguments, options = tree_map_only(
            DeviceTensor, lambda tensor: tensor.held, (arguments, options)
        )
        result = operation(*arguments, **options)
        on_host = not there if to is None else to.type == "cpu"
        return result if on_host else tree_map_only(torch.Tensor, wrap, result)


def check(name, tensors):
    """What NCCL takes.

    Raises
    ------
    RuntimeError
        As NCCL's process group would, of a tensor that it does not take.
    """
    for tensor in tensors:
        if not isinstance(tensor, DeviceTensor):
            raise RuntimeError(f"{name}: no backend type associated with device type cpu")
        if tensor.dtype not in TYPES:
            raise RuntimeError(f"{name}: unsupported dtype {tensor.dtype}")
        if not tensor.is_contiguous():
            raise RuntimeError(f"{name}: tensors must be contiguous")
        if not tensor.numel():
            raise RuntimeError(f"{name}: an empty message")
