"""One rank of the hook where tensors are on a device and the process group is NCCL's.

Both are stand-ins (`nccl.py`), which refuse what a device and NCCL would. Each scenario
prints lines of JSON: whether all is as on the host over gloo. Arguments: folder, scenario...
"""

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist

sys.path.append(str(Path(__file__).parents[2]))
from fake import run_ranks
from nccl import CONFIGURATION, Current, Device, DeviceTensor

import gcodec
from gcodec.collectives import ALGORITHMS, Allreduce
from gcodec.integrations import torchgroup
from gcodec.integrations.torch import HookState, hook
from gcodec.integrations.torchgroup import TorchCommunicator

FOLDER, SCENARIOS = Path(sys.argv[1]), sys.argv[2:]
RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


@contextmanager
def on_device():
    """Where there is a device, and groups are NCCL's: what was sent, and futures' devices."""
    future, asked = torch.futures.Future, []

    def of_devices(*, devices=None):
        asked.append(devices)
        return future()

    with (
        patch.object(dist, "get_backend_config", lambda group=None: CONFIGURATION),
        patch.object(torch.cuda, "get_device_capability", lambda device=None: (8, 0)),
        patch.object(torch.futures, "Future", of_devices),
        Current(),
        Device() as device,
    ):
        yield device.collectives, asked


def tell(name, **more):
    print(json.dumps({"scenario": name, **more}), flush=True)


def rounds(communicator, algorithm):
    """The bytes of three sums of integers, so that no order matters."""
    codec = gcodec.get_codec("topk:ratio=0.02")
    memory = None if algorithm == "plain" else gcodec.ErrorFeedback(codec)
    call = Allreduce(communicator, codec, feedback=memory, op="sum", algorithm=algorithm)
    draw = np.random.default_rng(communicator.rank)
    grads = [draw.integers(-99, 99, 30_001).astype(np.float32) for _ in range(3)]
    return [call("w", grad, step=step).tobytes() for step, grad in enumerate(grads)]


def sums():
    """All algorithms over the process group, on two nodes, beside ranks that are threads."""
    wrong = []
    for algorithm in ALGORITHMS:
        expected = run_ranks(WORLD, lambda end, how=algorithm: rounds(end, how), per_node=2)
        with on_device() as (sent, _):
            if rounds(TorchCommunicator(), algorithm) != expected[RANK] or not sent:
                wrong.append(algorithm)
    tell("sums", wrong=wrong)


def buckets():
    """Steps of the hook: dense, mixed and of messages only, beside the same over gloo."""
    for dtype in (torch.float32, torch.bfloat16):
        host = steps(dtype, lambda tensor: tensor)
        with on_device() as (sent, asked):
            device = steps(dtype, DeviceTensor)
        assert asked == [[torch.device("cuda", 0)]] * 4
        tell(f"buckets of {dtype}", same=host == device, sent=sorted(set(sent)))


def steps(dtype, place):
    """The bytes of buffers after three steps, each of two buckets: a layer each, of two tensors."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(40, 50), torch.nn.Linear(50, 40)).to(dtype)
    codec = gcodec.Exclude(gcodec.get_codec("reclog:ratio=0.05"), names=("*.bias",))
    state = HookState(model, codec, dense_steps=1)
    seen = []
    for step in range(3):
        for number, layer in enumerate(reversed(model)):
            parameters = list(layer.parameters())
            draw = torch.Generator().manual_seed(100 * step + 10 * number + RANK)
            size = sum(parameter.numel() for parameter in parameters)
            buffer = place(torch.randn(size, generator=draw).to(dtype))
            parts = buffer.split([parameter.numel() for parameter in parameters])
            gradients = [
                part.view(parameter.shape)
                for part, parameter in zip(parts, parameters, strict=True)
            ]
            bucket = SimpleNamespace(
                buffer=lambda buffer=buffer: buffer,
                gradients=lambda gradients=gradients: gradients,
                parameters=lambda parameters=parameters: parameters,
                is_last=lambda number=number: number == 1,
            )
            hook(state, bucket).wait()
            result = buffer.held if isinstance(buffer, DeviceTensor) else buffer
            seen.append(result.view(torch.uint8).numpy().tobytes())
    return seen


def refusals():
    """That the stand-ins refuse: host tensors, types that NCCL has not, host beside device."""
    said = []
    with on_device():
        far, near = DeviceTensor(torch.zeros(4)), torch.zeros(4)
        for wrong in (
            lambda: dist.all_reduce(near),
            lambda: dist.all_reduce(DeviceTensor(torch.zeros(4, dtype=torch.int16))),
            lambda: dist.all_reduce(DeviceTensor(torch.zeros(4, 4).t()[1:])),
            lambda: far + near,
            lambda: far.numpy(),
        ):
            try:
                wrong()
            except RuntimeError as error:
                said.append(str(error))
    tell("refusals", said=said)


def main():
    torchgroup.gethostname = lambda: f"node{RANK // 2}"
    torch.set_num_threads(1)
    gcodec.set_threads(1)
    store = f"file://{FOLDER}/store-{'-'.join(SCENARIOS)}"
    dist.init_process_group("gloo", init_method=store, rank=RANK, world_size=WORLD)
    for scenario in SCENARIOS:
        globals()[scenario]()
    dist.destroy_process_group()


main()
