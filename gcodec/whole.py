"""Encodes in one kernel call, without the Python that lies between kernels otherwise.

For what is asked of most gradients (`kernels.cpu.whole`). What the call needs of codec, shape and
name is worked out once, and kept with the codec as a plan.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from . import scratch
from .arrays import element_of, read_only
from .format import ids
from .format.directory import choose_chunk_log2, count_chunks
from .format.draws import GOLDEN, LOW_64
from .format.elements import Element
from .format.frame import Frame
from .format.header import Header
from .format.sections import build_tensors
from .kernels import plans as told
from .kernels.plans import MORE_WORK, NOT_TAKEN, WRITTEN
from .packing.compiled import ALLOWED
from .packing.layout import MAX_WIDTH
from .parallel import LEAST, get_threads
from .quantize import Raw, ReciprocalLog
from .request import Origin, Sender, origin
from .select import SampledQuantile, Threshold, TopK

if TYPE_CHECKING:
    from .codec import Codec

MOST_PLANS: Final = 1 << 12
MOST_SPARE: Final = 1 << 17
"""Bytes of scratch that stay for the next call of any codec; `scratch` keeps what is larger."""

COPIED: Final = 1 << 16
"""Bytes of a frame that is copied out of its scratch; a larger one is left there."""

LARGEST_STEP: Final = (1 << 63) - 1
Scratch = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_Array: Final = np.ndarray
_BYTES: Final = np.dtype(np.uint8)
_NOTHING: Final = np.empty(0, np.uint8)
_spare: Final[list[Scratch]] = []


class Plan:
    """What is the same for every gradient of a codec, shape, type, name and sender.

    facts : as `kernels.plans` has them
    work, frame : bytes that were enough the last time
    """

    __slots__ = ("facts", "frame", "kernel", "n", "pattern", "work")

    def __init__(self, codec: "Codec", element: Element, whence: Origin, n: int) -> None:
        recipe, item = codec.recipe(), element.pattern.itemsize
        (tensor,) = whence.tensors
        select, quantize = codec.select, codec.quantize
        self.kernel, self.n, self.pattern = recipe.kernels.whole_encoder(), n, element.pattern
        chunk_log2 = choose_chunk_log2(n, select.density(n))
        width = n // tensor.shape[0] if len(tensor.shape) > 1 else 0
        rows, dims = build_tensors(whence.tensors, element.type)
        bound_kind, bound, scale, levels = ids.BoundKind.EXACT, 0.0, b"", 0
        if isinstance(quantize, ReciprocalLog):
            starts, points, bound = quantize.ranges(element)
            bound_kind, levels = ids.BoundKind.RELATIVE, points.size
            scale = np.append(starts[1:-1], points).tobytes()
        header = Header(
            n_elements=n,
            n_chunks=count_chunks(n, chunk_log2),
            chunk_log2=chunk_log2,
            elem_dtype=element.type,
            bound_kind=bound_kind,
            bound=bound,
            contributions=whence.contributions,
            rank=whence.rank,
            world=whence.world,
            layout_key=recipe.kernels.xxh64(np.frombuffer(rows + dims, np.uint8), 0),
        )
        head, allowed = header.to_bytes() + rows + dims, ALLOWED[codec.keys]
        facts = np.zeros(told.ALLOWED, np.int64)
        facts[told.CHUNK_LOG2], facts[told.INFINITY] = chunk_log2, element.infinity
        if isinstance(select, TopK):
            facts[told.WANTED] = select.wanted(n)
        elif isinstance(select, Threshold):
            facts[told.THRESHOLD] = select.pattern(element)
        elif isinstance(select, SampledQuantile):
            k, samples, facts[told.RANK], facts[told.OFF] = select.sampling(n)
            facts[told.ABOUT if samples else told.WANTED], facts[told.SAMPLES] = k, samples
            seeds = np.array([select.seed * GOLDEN & LOW_64, tensor.name_hash], np.uint64)
            facts[[told.SEED, told.NAME]] = seeds.view(np.int64)
        facts[told.FIXED] = codec.values == "fixed"
        facts[told.WHOLE] = isinstance(quantize, Raw) and codec.keys == "auto"
        if allowed[ids.KeyCodec.COLUMNS] and width <= MAX_WIDTH:
            facts[told.WIDEST] = width
        facts[told.TENSORS], facts[told.HEAD], facts[told.LEVELS] = len(rows), len(head), levels
        parts = facts, allowed, [0, width], _words(head), _words(scale)
        self.facts = np.concatenate(parts, dtype=np.int64)
        wanted = int(facts[told.WANTED] + facts[told.ABOUT])
        likely, room = wanted or n // 64, wanted * 3 // 2 + n // 500 if wanted else n // 64
        self.work = (room + 256) * (item + 5)
        self.frame = 1024 + 2 * likely


def _words(data: bytes) -> NDArray[np.int64]:
    """Bytes as words, the last filled up with zeros."""
    return np.frombuffer(data + bytes(-len(data) % 8), np.uint8).view(np.int64)


class Plans(dict[Hashable, Plan | None]):
    """Plans by shape, dtype, name and sender; a copy of a codec makes its own."""

    def __reduce__(self) -> Any:
        return Plans, ()


def encode(codec: "Codec", grad: Any, name: str, step: int, sender: Sender | None) -> Frame | None:
    """The frame of a gradient, or None if it must be made of parts: `gcodec.encoder` says why."""
    if type(grad) is not _Array or type(step) is not int:
        return None
    try:
        plan = codec.plans[grad.shape, grad.dtype, name, sender]
    except KeyError:
        plan = _plan(codec, grad.shape, grad.dtype, name, sender)
    except TypeError:  # a sender that is no tuple
        return None
    if plan is None or not 0 <= step <= LARGEST_STEP or not grad.flags.c_contiguous:
        return None
    if plan.n >= 2 * LEAST and get_threads() > 1:
        return None
    bits = grad.view(plan.pattern)
    if bits.ndim != 1:
        bits = bits.reshape(-1)
    bits.setflags(False)  # type: ignore[call-arg] # by keyword it takes three times as long
    return _run(plan, bits, step)


def _run(plan: Plan, bits: NDArray[Any], step: int) -> Frame | None:
    try:
        work, frame = _spare.pop()
    except IndexError:
        work = frame = _NOTHING
    if work.size < plan.work:
        work = scratch.empty(plan.work, np.uint8)
    if frame.size < plan.frame:
        frame = scratch.empty(plan.frame, np.uint8)
    while True:
        what, size = plan.kernel(bits, plan.facts, step, work, frame)
        if what in (WRITTEN, NOT_TAKEN):
            break
        if what == MORE_WORK:
            plan.work = size
            work = scratch.empty(size, np.uint8)
        else:
            plan.frame = size
            frame = scratch.empty(size, np.uint8)
    if size <= COPIED or size < frame.size // 8 * 7:
        own = _Array.__new__(Frame, size, _BYTES, frame[:size].tobytes())
    else:
        own, frame = read_only(frame[:size]).view(Frame), _NOTHING
    if work.size + frame.size <= MOST_SPARE:
        _spare.append((work, frame))
    return own if what == WRITTEN else None


def _plan(
    codec: "Codec", shape: tuple[int, ...], dtype: np.dtype[Any], name: str, sender: Sender | None
) -> Plan | None:
    """The plan, which is kept; none if the codec or the gradient is not of the common kind."""
    plan, element, n = None, element_of(dtype), int(np.prod(shape, dtype=np.int64))
    if element is not None and n and _is_common(codec):
        whence = origin(codec.recipe(), name, shape, 0, None, sender)
        plan = Plan(codec, element, whence, n)
    if len(codec.plans) >= MOST_PLANS:
        codec.plans.clear()
    codec.plans[shape, dtype, name, sender] = plan
    return plan


def _is_common(codec: "Codec") -> bool:
    select, quantize = codec.select, codec.quantize
    chosen = isinstance(select, TopK | SampledQuantile) or (
        isinstance(select, Threshold) and select.relative_to == "absolute"
    )
    rounded = isinstance(quantize, Raw) or (
        isinstance(quantize, ReciprocalLog) and not quantize.stochastic and quantize.bits is None
    )
    plain = codec.scales is None and not codec.per_tensor and codec.backend == "cpu"
    return chosen and rounded and plain
