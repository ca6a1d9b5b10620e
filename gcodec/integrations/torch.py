"""A communication hook for PyTorch's DistributedDataParallel: gradients travel as frames.

    state = HookState(model, codec)
    model.register_comm_hook(state, hook)

Every parameter is a message of its own, so that what is sent does not depend on how DDP cuts its
buckets, which it does anew after the first iteration, and after a run was resumed. Collectives are
posted from the body of the hook only, in the order of the buckets, which is that of all ranks.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..collectives import Allreduce
from ..collectives.allreduce import check_algorithm
from ..errors import GcodecError, RankMismatchError, StateError
from ..feedback import ErrorFeedback
from ..momentum import MomentumFeedback
from ..policy import AS_IT_IS, Policy
from ..recipes import get_codec
from . import missing
from .torchgroup import TorchCommunicator
from .torchtensors import as_array, as_laid_out, check_shapes, to_arrays, to_tensors

try:
    import torch
    import torch.distributed as dist
except ImportError as error:
    raise missing("torch", "torch") from error


class HookState:
    """What `hook` keeps between calls: the codec, the residuals by parameter name, the step.

    Parameters
    ----------
    model : torch.nn.Module
        That is trained, before or after `DistributedDataParallel` wraps it; it names parameters.
    codec : str, Codec, WarmUp or Exclude
        The same on every rank. Parameters that it sends as they are go through one dense allreduce
        for each bucket; every other one takes two collectives of its own, so exclude small
        ones: `Exclude(codec, names=("*.bias",), smaller_than=1024)`.
    feedback : bool or ErrorFeedback
        Whether what is not sent stays behind for the next message, or a memory of the same codec.
        With a `MomentumFeedback`, the optimizer has momentum for excluded parameters only.
    dense_steps : int
        First steps in which everything goes through the dense allreduce. A `WarmUp` counts from
        step 0, so these are among its steps.
    algorithm : str
        How sums are formed, as for `gcodec.collectives.Allreduce`: `auto` has the bits of the
        default, and takes the fastest way to them.
    group : ProcessGroup, optional
        The default group if it is left out. DDP itself must use the same.

    Attributes
    ----------
    step : int
        Exchanges so far: an iteration within `no_sync` is none.

    Notes
    -----
    The gradient that comes back is the mean, with the same bits on every rank; frames are summed in
    float32, what goes dense in its own type. Gradients on a device are compressed on the host.

    A NaN, an infinity or a broken message on one rank is a `RankMismatchError` on all, out of
    `backward`. Parameters exchanged before in that step have committed: go on from a checkpoint.
    `model.state_dict()` does not hold this: save `state_dict()` beside it, on every rank.
    """

    def __init__(
        self,
        model: Any,
        codec: str | Policy,
        *,
        feedback: bool | ErrorFeedback = True,
        dense_steps: int = 0,
        algorithm: str = "allgather",
        group: Any = None,
    ) -> None:
        policy = get_codec(codec) if isinstance(codec, str) else codec
        memory = ErrorFeedback(policy) if feedback is True else feedback or None
        if memory is not None and memory.codec != policy:
            raise ValueError(f"feedback is for {memory.codec}, not for {policy}")
        if dense_steps < 0:
            raise ValueError(f"dense_steps is at least 0, not {dense_steps}")
        if dense_steps and isinstance(memory, MomentumFeedback):
            raise ValueError(
                "dense steps go past the memory, so they would have no momentum: leave dense_steps "
                "out, and let the ratios of a WarmUp begin at 1"
            )
        check_algorithm(algorithm, memory)
        wrapped = isinstance(model, torch.nn.parallel.DistributedDataParallel)
        named = (model.module if wrapped else model).named_parameters()
        self.codec, self.feedback, self.dense_steps = policy, memory, dense_steps
        self.algorithm, self.step = algorithm, 0
        self._names = {parameter: name for name, parameter in named}
        self._group = group
        self._allreduce: Allreduce | None = None
        self._agreed = False
        self._dense_bytes = self._all_bytes = 0
        self._room = np.empty(0, np.uint8)

    def reduce(self, bucket: Any) -> Any:
        """The future of the mean of a bucket over all ranks, which is written into its buffer."""
        allreduce, buffer = self._agreed_on(), bucket.buffer()
        if buffer.is_sparse:
            raise GcodecError("the gradient of an embedding is sparse: make it with sparse=False")
        messages, dense = [], []
        for parameter, memory in zip(bucket.parameters(), bucket.gradients(), strict=True):
            grad = as_laid_out(memory, parameter)
            if parameter not in self._names:
                raise GcodecError(
                    f"a parameter of shape {tuple(parameter.shape)} has no name: the hook's state "
                    "was made for another model"
                )
            name = self._names[parameter]
            codec = self.codec.at(name, grad.numel(), self.step)
            if self.step < self.dense_steps or codec == AS_IT_IS:
                dense.append(grad)
            else:
                messages.append((name, grad))
        whole = not messages
        flat = buffer if whole else torch.cat([buffer[:0], *map(torch.flatten, dense)])
        self._all_bytes += buffer.nbytes
        self._dense_bytes += flat.nbytes
        flat.div_(dist.get_world_size(self._group))
        summed = dist.all_reduce(flat, group=self._group, async_op=True) if flat.numel() else None
        try:
            for name, grad in messages:
                self._exchange(allreduce, name, grad)
        finally:
            if summed is not None and not whole:
                summed.wait()
        if bucket.is_last():
            allreduce.finish()
            self.step += 1
        if whole and summed is not None:
            return summed.get_future().then(lambda done: done.value()[0])
        parts = flat.split([grad.numel() for grad in dense])
        for grad, part in zip(dense, parts, strict=True):
            grad.copy_(part.view(grad.shape))
        done: Any = torch.futures.Future(devices=[buffer.device] if buffer.is_cuda else None)
        done.set_result(buffer)
        return done

    def _connected(self) -> Allreduce:
        """The allreduce; the group need not exist when this object is made."""
        if self._allreduce is None:
            group, how = TorchCommunicator(self._group), self.algorithm
            self._allreduce = Allreduce(group, self.codec, feedback=self.feedback, algorithm=how)
        return self._allreduce

    def _agreed_on(self) -> Allreduce:
        """The allreduce, once all ranks will do the same with it."""
        allreduce = self._connected()
        plan = [self.codec, self.algorithm, self.dense_steps, self.step, *self._names.values()]
        if not self._agreed and not TorchCommunicator(self._group).same(repr(plan)):
            raise RankMismatchError(
                "ranks disagree on codec, algorithm, dense_steps, step or parameter names"
            )
        self._agreed = True
        return allreduce

    def _exchange(self, allreduce: Allreduce, name: str, grad: Any) -> None:
        """Put the mean over all ranks into a gradient."""
        array = as_array(grad)
        wide = np.dtype(np.float64 if array.dtype == np.float64 else np.float32)
        if self._room.size < array.size * wide.itemsize:
            self._room = np.empty(array.size * wide.itemsize, np.uint8)
        out = self._room[: array.size * wide.itemsize].view(wide).reshape(array.shape)
        try:
            grad.copy_(torch.from_numpy(allreduce(name, array, step=self.step, out=out)))
        except RankMismatchError as error:
            error.add_note(f"in the exchange of {name!r} at step {self.step}")
            raise

    def statistics(self) -> dict[str, Any]:
        """What this rank has handed over so far, and what it took.

        Returns
        -------
        dict of str to number
            `steps`; `bytes_sent`, of which `bytes_dense` in dense allreduces; `bytes_uncompressed`,
            which all gradients take, and how many times as much that is (`compression_ratio`);
            `codec_seconds`; with a memory, `kept` elements and `fallbacks`, replaced thresholds.
        """
        allreduce = self._allreduce
        sent = self._dense_bytes + (allreduce.bytes_sent if allreduce else 0)
        told = {
            "steps": self.step,
            "bytes_sent": sent,
            "bytes_dense": self._dense_bytes,
            "bytes_uncompressed": self._all_bytes,
            "compression_ratio": self._all_bytes / sent if sent else 1.0,
            "codec_seconds": allreduce.codec_seconds if allreduce else 0.0,
        }
        if self.feedback is not None:
            counters = self.feedback.counters
            told |= {"kept": counters.kept, "fallbacks": counters.fallbacks}
        return told

    def state_dict(self) -> dict[str, Any]:
        """This rank's step and residuals, for `torch.save`: tensors and plain values only."""
        group, server = TorchCommunicator(self._group), self._connected().server
        return {
            "step": self.step,
            "rank": group.rank,
            "world": group.size,
            "memory": to_tensors(self.feedback),
            "server": to_tensors(server),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, with the same bits as without an interruption.

        In a world of another size, what a rank has not sent goes on wherever its state is loaded.

        Raises
        ------
        StateError
            If the state is that of another rank, or of parameters that the model has not. Nothing
            changes.
        """
        group, allreduce = TorchCommunicator(self._group), self._connected()
        if state["world"] == group.size and state["rank"] != group.rank:
            raise StateError(
                f"the state is that of rank {state['rank']}, this is rank {group.rank}"
            )
        memory, server = state["memory"], state["server"]
        shapes = {name: tuple(parameter.shape) for parameter, name in self._names.items()}
        check_shapes(memory, shapes)
        if memory and self.feedback is None:
            raise StateError("the state has residuals, and this one was made with feedback=False")
        if server and allreduce.server is None:
            raise StateError("the state is of algorithm='quantized' with feedback")
        owed = ErrorFeedback(self.codec)
        owed.load_state_dict(to_arrays(server))
        if self.feedback is not None:
            self.feedback.load_state_dict(to_arrays(memory))
        if allreduce.server is not None:
            allreduce.server = owed
        self.step, self._agreed = int(state["step"]), False


def hook(state: HookState, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """For `DistributedDataParallel.register_comm_hook(state, hook)`."""
    return state.reduce(bucket)
