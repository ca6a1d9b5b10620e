"""One rank of DDP training with the hook, beside what a single process makes of the same data.

Each scenario trains and prints a line of JSON: its name, the hash of the parameters, whether they
are those of the oracle, and what it has counted. Arguments: folder, scenario...
"""

import gc
import hashlib
import io
import json
import os
import sys
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

sys.path.append(str(Path(__file__).parents[2]))
from fake import run_ranks

import gcodec
from gcodec.collectives import ALGORITHMS, Allreduce
from gcodec.integrations import torchgroup
from gcodec.integrations.torch import HookState, hook
from gcodec.integrations.torchgroup import TorchCommunicator

FOLDER, SCENARIOS = Path(sys.argv[1]), sys.argv[2:]
RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
RECIPE = "reclog:ratio=0.05,per_octave=4"


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 64),
        torch.nn.Tanh(),
        torch.nn.Linear(64, 10),
    ).to(dtype, memory_format=torch.channels_last if dtype == torch.float64 else None)


def loss(model, rank, step, part=0):
    draw = torch.Generator().manual_seed(1000 * step + 10 * part + rank)
    dtype = next(model.parameters()).dtype
    images = torch.randn(16, 1, 8, 8, generator=draw).to(dtype)
    labels = images.float().mean((1, 2, 3)).mul(20).long().clamp(-4, 5) + 4
    return torch.nn.functional.cross_entropy(model(images).float(), labels)


def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def wrapped(model):
    return DistributedDataParallel(model, bucket_cap_mb=0.01)


def train(model, state, steps, parts=1):
    """Train with DDP; the numbers of parameters in the buckets of each step."""
    layouts = {}

    def watched(state, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        layouts.setdefault(state.step, []).append(len(bucket.parameters()))
        return hook(state, bucket)

    model.register_comm_hook(state, watched)
    optimize = optimizer(model)
    for step in steps:
        optimize.zero_grad()
        for part in range(parts):
            with model.no_sync() if part + 1 < parts else nullcontext():
                loss(model, RANK, step, part).backward()
        optimize.step()
    return [layouts[step] for step in sorted(layouts)]


def oracle(model, policy, memory, steps, parts=1, dense_steps=0):
    """The same in one process, with a memory for each rank and the sum in rank order."""
    memories = [memory() for _ in range(WORLD)]
    optimize = optimizer(model)
    for step in steps:
        means = {}
        for rank in range(WORLD):
            optimize.zero_grad()
            for part in range(parts):
                loss(model, rank, step, part).backward()
            for name, parameter in model.named_parameters():
                grad = parameter.grad
                codec = policy.at(name, grad.numel(), step)
                if step < dense_steps or codec == gcodec.Codec(gcodec.Dense(), gcodec.Raw()):
                    means[name] = means.get(name, 0) + grad / WORLD
                    continue
                bits = grad.view(torch.uint16) if grad.dtype == torch.bfloat16 else grad
                how = {"step": step, "sender": (rank, WORLD)}
                if memories[rank] is None:
                    frame = codec.encode(bits.numpy(), name=name, **how)
                else:
                    frame = memories[rank].encode(name, bits.numpy(), **how)
                    memories[rank].commit(name)
                wide = np.float64 if grad.dtype == torch.float64 else np.float32
                means.setdefault(name, np.zeros(grad.shape, wide))
                gcodec.accumulate(frame, means[name])
        for name, parameter in model.named_parameters():
            mean = means[name]
            if isinstance(mean, np.ndarray):
                mean = torch.from_numpy(mean / mean.dtype.type(WORLD))
            parameter.grad.copy_(mean)
        optimize.step()


def bits(model):
    whole = hashlib.sha256()
    for parameter in model.parameters():
        whole.update(parameter.detach().reshape(-1).view(torch.uint8).numpy())
    return whole.hexdigest()


def tell(name, model, **more):
    print(json.dumps({"scenario": name, "hash": bits(model), **more}), flush=True)


def compare(name, policy, memory, steps, *, dtype=torch.float32, parts=1, dense_steps=0):
    """A scenario: DDP against the oracle."""
    ddp, alone = wrapped(network(dtype)), network(dtype)
    feedback = memory() or False
    state = HookState(ddp, policy, feedback=feedback, dense_steps=dense_steps)
    layouts = train(ddp, state, range(steps), parts)
    oracle(alone, policy, memory, range(steps), parts, dense_steps)
    told = state.statistics()
    tell(name, ddp, same=bits(alone) == bits(ddp), layouts=layouts, statistics=told)


def plain():
    codec = gcodec.get_codec(RECIPE)
    compare("plain", codec, lambda: gcodec.ErrorFeedback(codec), 30)


def policy():
    """Dense steps, then a falling ratio; biases, the last layer and small tensors always dense."""
    warm = gcodec.WarmUp(gcodec.get_codec("topk:ratio=0.01"), every=2)
    codec = gcodec.Exclude(warm, names=("*.bias", "7.*"), smaller_than=100)
    compare("policy", codec, lambda: gcodec.ErrorFeedback(codec), 12, dense_steps=3)


def momentum():
    codec = gcodec.get_codec("dgc:ratio=0.05")

    def memory():
        return gcodec.MomentumFeedback(codec, momentum=0.9, masking=True, clip=1.0, world=WORLD)

    compare("momentum", codec, memory, 6)


def bfloat16():
    codec = gcodec.get_codec(RECIPE)
    compare("bfloat16", codec, lambda: gcodec.ErrorFeedback(codec), 4, dtype=torch.bfloat16)


def float64():
    codec = gcodec.get_codec("qsgd:seed=3")
    compare("float64", codec, lambda: None, 4, dtype=torch.float64)


def accumulation():
    codec = gcodec.get_codec(RECIPE)
    compare("accumulation", codec, lambda: gcodec.ErrorFeedback(codec), 4, parts=3)


def algorithms():
    """The hook with each way to form sums, on two nodes."""
    told = {}
    for algorithm in ("allgather", *(each for each in ALGORITHMS if each != "plain"), "auto"):
        model = wrapped(network())
        state = HookState(model, RECIPE, algorithm=algorithm)
        train(model, state, range(4))
        told[algorithm] = bits(model)
        assert state.statistics()["bytes_dense"] == 0
    plain = wrapped(network())
    train(plain, HookState(plain, "dense", feedback=False, algorithm="plain"), range(1))
    tell("algorithms", plain, hashes=told)


def sums():
    """Collectives over the process group, on two nodes, beside ranks that are threads."""
    wrong = []
    for algorithm in ALGORITHMS:
        expected = run_ranks(WORLD, lambda end, how=algorithm: rounds(end, how), per_node=2)
        if rounds(TorchCommunicator(), algorithm) != expected[RANK]:
            wrong.append(algorithm)
    part = dist.new_group([1, 2])
    nodes = [end and [end.rank, end.size] for end in TorchCommunicator().nodes()]
    if RANK:
        nodes += [[end.rank, end.size] for end in TorchCommunicator(part).nodes()]
    tell("sums", network(), wrong=wrong, nodes=nodes)


def rounds(communicator, algorithm):
    """The bytes of three sums with a memory; they are integers, so no order matters."""
    codec = gcodec.get_codec("topk:ratio=0.02")
    memory = None if algorithm == "plain" else gcodec.ErrorFeedback(codec)
    call = Allreduce(communicator, codec, feedback=memory, op="sum", algorithm=algorithm)
    draw = np.random.default_rng(communicator.rank)
    grads = [draw.integers(-99, 99, 30_001).astype(np.float32) for _ in range(3)]
    return [call("w", grad, step=step).tobytes() for step, grad in enumerate(grads)]


HOW = {
    "allgather": "sidco:ratio=0.05,verified=0,stages=0",  # a selector that has a state
    "quantized": "reclog:ratio=0.05",  # owners that owe something
}


def interrupted():
    """Six steps; what there is after three is kept for the next process."""
    for algorithm, recipe in HOW.items():
        model = wrapped(network())
        state = HookState(model, recipe, algorithm=algorithm)
        train(model, state, range(3))
        kept = {"model": model.module.state_dict(), "hook": state.state_dict()}
        torch.save(kept, saved(RANK, algorithm))
        optimize = optimizer(model)
        for step in range(3, 6):
            optimize.zero_grad()
            loss(model, RANK, step).backward()
            optimize.step()
        tell(f"interrupted {algorithm}", model, step=state.step)


def resumed():
    for algorithm, recipe in HOW.items():
        kept = torch.load(saved(RANK, algorithm), weights_only=True)
        model = network()
        model.load_state_dict(kept["model"])
        state = HookState(model, recipe, algorithm=algorithm)
        state.load_state_dict(kept["hook"])
        ddp = wrapped(model)
        train(ddp, state, range(3, 6))
        told = {"step": state.step, "owed": len(kept["hook"]["server"])}
        tell(f"resumed {algorithm}", ddp, **told, wrong=wrong_states(state, kept["hook"]))


def wrong_states(state, kept):
    """What is said of states that are not this one's, none of which changes anything."""
    said = []
    other = torch.load(saved((RANK + 1) % WORLD, "allgather"), weights_only=True)["hook"]
    owed = {"0.weight 0:72": kept["memory"]["0.weight"]}
    for wrong in (
        other,
        {**kept, "memory": {"no.such": kept["memory"]["0.weight"]}},
        {**kept, "memory": {"0.weight": kept["memory"]["2.weight"]}},
        {**kept, "server": {} if kept["server"] else owed},
    ):
        before = pickled(state)
        try:
            state.load_state_dict(wrong)
        except gcodec.StateError as error:
            said.append(str(error))
            assert pickled(state) == before
    return said


def saved(rank, algorithm):
    return FOLDER / f"rank{rank}-{algorithm}.pt"


def pickled(state):
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    return file.getvalue()


def failure():
    """A NaN on the last rank ends the step on all of them."""
    model = wrapped(network())
    state = HookState(model.module, RECIPE)
    model.register_comm_hook(state, hook)
    value = loss(model, RANK, 0)
    if RANK == WORLD - 1:
        value = value * float("nan")
    try:
        value.backward()
    except gcodec.RankMismatchError as error:
        said = [str(error), *error.__notes__]
    tell("failure", model, said=said, step=state.step, names=list(state.state_dict()["memory"]))


def disagreement():
    """Another step on one rank: after a state that only the others have loaded."""
    model = wrapped(network())
    state = HookState(model, RECIPE)
    if RANK == 0:
        state.load_state_dict({**state.state_dict(), "step": 7})
    model.register_comm_hook(state, hook)
    try:
        loss(model, RANK, 0).backward()
    except gcodec.RankMismatchError as error:
        tell("disagreement", model, said=str(error))


def strangers():
    """Parameters that the state has no name for, and gradients that are sparse."""
    said = []
    for model, named in (
        (torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)),
        (torch.nn.Embedding(9, 2, sparse=True),) * 2,
    ):
        ddp = DistributedDataParallel(model)
        ddp.register_comm_hook(HookState(named, RECIPE), hook)
        given = torch.ones(2, 2) if isinstance(model, torch.nn.Linear) else torch.tensor([1])
        try:
            ddp(given).sum().backward()
        except gcodec.GcodecError as error:
            said.append(str(error))
    tell("strangers", network(), said=said)


def main():
    torchgroup.gethostname = lambda: f"node{RANK // 2}"
    torch.set_num_threads(1)
    gcodec.set_threads(1)
    store = f"file://{FOLDER}/store-{'-'.join(SCENARIOS)}"
    dist.init_process_group(
        "gloo", init_method=store, rank=RANK, world_size=WORLD, timeout=timedelta(seconds=180)
    )
    for scenario in SCENARIOS:
        globals()[scenario]()
    gc.collect()  # PyTorch leaves its first DDP model in a cycle, with the group and its threads
    dist.destroy_process_group()


main()
