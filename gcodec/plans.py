"""What an encode in few kernel calls needs of a codec, a shape and a name, worked out once."""

from collections.abc import Hashable
from operator import index
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import element_of
from .format import ids
from .format.directory import choose_chunk_log2, count_chunks
from .format.draws import GOLDEN, LOW_64
from .format.elements import Element, Patterns
from .format.header import Header
from .format.sections import build_tensors
from .kernels import plans as told
from .packing.compiled import ALLOWED, rows_of
from .quantize import Raw, ReciprocalLog
from .request import Layout, Origin, Sender, origin
from .select import SampledQuantile, Threshold, TopK

if TYPE_CHECKING:
    from .codec import Codec

MOST_PLANS: Final = 1 << 12


class Head(NamedTuple):
    """What a frame starts with, but for what an encode adds to it; and the levels of its values.

    header, rows, dims : bytes of the header, of the tensor table and of dimensions
    starts, levels : patterns from which ranges of all levels but the first start, and the levels
    """

    header: bytes
    rows: bytes
    dims: bytes
    starts: Patterns
    levels: Patterns


def head_of(
    quantize: Any, element: Element, whence: Origin, n: int, chunk_log2: int, xxh64: Any
) -> Head:
    """The head of frames of elements as they are, or in levels of `ReciprocalLog`."""
    rows, dims = build_tensors(whence.tensors, element.type)
    starts, levels = np.empty(1, element.pattern), np.empty(0, element.pattern)
    bound_kind, bound = ids.BoundKind.EXACT, 0.0
    if isinstance(quantize, ReciprocalLog):
        starts, levels, bound = quantize.ranges(element)
        bound_kind = ids.BoundKind.RELATIVE
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
        n_tensors=len(whence.tensors),
        layout_key=xxh64(np.frombuffer(rows + dims, np.uint8), 0),
    )
    return Head(header.to_bytes(), rows, dims, starts[1:-1], levels)


class Plan:
    """What is the same for every gradient of a codec, shape, type, name, sender and layout.

    facts : as `kernels.plans` has them
    known : the least magnitude pattern that is kept, or None if that is to be found
    work, frame : bytes that were enough the last time
    """

    __slots__ = (
        "chunk_log2", "chunks", "facts", "finish", "frame", "kernel", "kernels", "known", "n",
        "pattern", "work",
    )  # fmt: skip

    def __init__(self, codec: "Codec", element: Element, whence: Origin, n: int) -> None:
        item, select, quantize = element.pattern.itemsize, codec.select, codec.quantize
        self.kernels = kernels = codec.recipe().kernels
        self.kernel, self.finish = kernels.whole_encoder(), kernels.whole_finisher()
        self.n, self.pattern = n, element.pattern
        self.chunk_log2 = chunk_log2 = choose_chunk_log2(n, select.density(n))
        self.chunks = count_chunks(n, chunk_log2)
        shapes, widest = rows_of(whence.tensors)
        head = head_of(quantize, element, whence, n, chunk_log2, kernels.xxh64)
        start, allowed = b"".join(head[:3]), ALLOWED[codec.keys]
        facts = np.zeros(told.ALLOWED, np.int64)
        facts[told.CHUNK_LOG2], facts[told.INFINITY] = chunk_log2, element.infinity
        if isinstance(select, TopK):
            facts[told.WANTED] = select.wanted(n)
        elif isinstance(select, Threshold):
            facts[told.THRESHOLD] = select.pattern(element)
        elif isinstance(select, SampledQuantile):
            k, samples, facts[told.RANK], facts[told.OFF] = select.sampling(n)
            facts[told.ABOUT if samples else told.WANTED], facts[told.SAMPLES] = k, samples
            hashed = whence.tensors[0].name_hash
            seeds = np.array([select.seed * GOLDEN & LOW_64, hashed], np.uint64)
            facts[[told.SEED, told.NAME]] = seeds.view(np.int64)
        facts[told.FIXED] = codec.values == "fixed"
        facts[told.WHOLE] = isinstance(quantize, Raw) and codec.keys == "auto"
        if allowed[ids.KeyCodec.COLUMNS]:
            facts[told.WIDEST] = widest
        facts[told.TENSORS], facts[told.HEAD] = len(head.rows), len(start)
        facts[told.LEVELS], scale = head.levels.size, np.append(head.starts, head.levels)
        facts[told.SHAPES], table = len(shapes), np.array(shapes, np.int64).reshape(-1)
        parts = facts, allowed, table, _words(start), _words(scale.tobytes())
        self.facts = np.concatenate(parts, dtype=np.int64)
        estimated = facts[told.WANTED] or facts[told.SAMPLES]
        self.known = None if estimated else element.pattern.type(facts[told.THRESHOLD] + 1)
        wanted = int(facts[told.WANTED] + facts[told.ABOUT])
        likely, room = wanted or n // 64, wanted * 3 // 2 + n // 500 if wanted else n // 64
        self.work = (room + 256) * (item + 5)
        self.frame = 1024 + 2 * likely


def _words(data: bytes) -> NDArray[np.int64]:
    """Bytes as words, the last filled up with zeros."""
    return np.frombuffer(data + bytes(-len(data) % 8), np.uint8).view(np.int64)


class Plans(dict[Hashable, Plan]):
    """Plans by shape, dtype, name, sender and layout; a copy of a codec makes its own."""

    def __reduce__(self) -> Any:
        return Plans, ()


def plan_of(
    codec: "Codec",
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    name: str,
    tensors: Layout | None,
    sender: Sender | None,
) -> Plan | None:
    """The plan, which is kept; none if the codec or the gradient is not of the common kind."""
    element, n = element_of(dtype), int(np.prod(shape, dtype=np.int64))
    if element is None or not n or not is_common(codec):
        return None
    try:
        if tensors is not None:
            tensors = tuple((part, tuple(map(index, lengths))) for part, lengths in tensors)
        key = shape, dtype, name, sender, tensors
        plan = codec.plans.get(key)
    except (TypeError, ValueError):  # the parts say what is wrong
        return None
    if plan is None:
        plan = Plan(codec, element, origin(codec.recipe(), name, shape, 0, tensors, sender), n)
        if len(codec.plans) >= MOST_PLANS:
            codec.plans.clear()
        codec.plans[key] = plan
    return plan


def is_common(codec: "Codec") -> bool:
    select, quantize = codec.select, codec.quantize
    chosen = isinstance(select, TopK | SampledQuantile) or (
        isinstance(select, Threshold) and select.relative_to == "absolute"
    )
    rounded = isinstance(quantize, Raw) or (
        isinstance(quantize, ReciprocalLog) and not quantize.stochastic and quantize.bits is None
    )
    plain = codec.scales is None and not codec.per_tensor and codec.backend == "cpu"
    return chosen and rounded and plain
