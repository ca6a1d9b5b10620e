"""Encodes in few kernel calls, without the Python that lies between kernels otherwise.

For what is asked of most gradients (`kernels.cpu.whole`). What the calls need of codec, shape and
name is worked out once, and kept with the codec as a plan.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import scratch
from .arrays import Gradient, Numbers, read_only
from .encoder import Encoded
from .format.elements import Patterns
from .format.frame import Frame
from .gathering import Kept
from .kernels import plans as told
from .kernels.plans import MORE_FRAME, MORE_WORK, NOT_TAKEN, WRITTEN
from .parallel import LEAST, Range, get_threads, run, split
from .plans import Plan, plan_of
from .request import Layout, Sender
from .select.contract import Decision
from .statistics import SLACK, STRIDE, Sum

if TYPE_CHECKING:
    from .codec import Codec

MOST_SPARE: Final = 1 << 17
"""Bytes of scratch that stay for the next call of any codec; `scratch` keeps what is larger."""

COPIED: Final = 1 << 16
"""Bytes of a frame that is copied out of its scratch; a larger one is left there."""

LARGEST_STEP: Final = (1 << 63) - 1
Scratch = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_Array: Final = np.ndarray
_BYTES: Final = np.dtype(np.uint8)
_NOTHING: Final = np.empty(0, np.uint8)
_NO_RESIDUAL: Final = np.empty(0, np.float32)
_spare: Final[list[Scratch]] = []


def encode(
    codec: "Codec",
    grad: Any,
    name: str,
    step: int,
    tensors: Layout | None,
    sender: Sender | None,
) -> Frame | None:
    """The frame of a gradient, or None if it must be made of parts: `gcodec.encoder` says why."""
    if type(grad) is not _Array or type(step) is not int:
        return None
    plan: Plan | None
    try:
        plan = codec.plans[grad.shape, grad.dtype, name, sender, tensors]
    except (KeyError, TypeError):  # or a layout that is no tuple
        plan = plan_of(codec, grad.shape, grad.dtype, name, tensors, sender)
    if plan is None or not 0 <= step <= LARGEST_STEP or not grad.flags.c_contiguous:
        return None
    bits = grad.view(plan.pattern)
    if bits.ndim != 1:
        bits = bits.reshape(-1)
    bits.setflags(False)  # type: ignore[call-arg] # by keyword it takes three times as long
    if plan.n >= 2 * LEAST and get_threads() > 1:
        return in_ranges(plan, bits, step)
    return _at_once(plan, bits, step)


def encode_sum(
    codec: "Codec",
    summed: Gradient,
    pending: Sum | None,
    total: Numbers,
    name: str,
    step: int,
    tensors: Layout | None,
    sender: Sender | None,
) -> Encoded | None:
    """The frame of what is `pending`, or of `total`, and what it does not carry in `total`.

    `summed` are the patterns of `total`. None if that must be made of parts, as by `encode`.
    """
    if type(step) is not int or not 0 <= step <= LARGEST_STEP:
        return None
    plan: Plan | None
    try:
        plan = codec.plans[summed.shape, total.dtype, name, sender, tensors]
    except (KeyError, TypeError):
        plan = plan_of(codec, summed.shape, total.dtype, name, tensors, sender)
    return None if plan is None else _collected(plan, summed.bits, step, pending, total)


def _at_once(plan: Plan, bits: Patterns, step: int) -> Frame | None:
    try:
        work, frame = _spare.pop()
    except IndexError:
        work = frame = _NOTHING
    if work.size < plan.work:
        work = scratch.empty(plan.work, np.uint8)
    if frame.size < plan.frame:
        frame = scratch.empty(plan.frame, np.uint8)
    what, size = plan.kernel(bits, plan.facts, step, work, frame)
    while what != WRITTEN:
        if what == NOT_TAKEN:
            return None
        if what == MORE_WORK:
            plan.work = size
            work = scratch.empty(size, np.uint8)
        else:
            plan.frame = size
            frame = scratch.empty(size, np.uint8)
        what, size = plan.kernel(bits, plan.facts, step, work, frame)
    if size > COPIED:
        return _cut(frame, size)
    if work.size + frame.size <= MOST_SPARE:
        _spare.append((work, frame))
    return _Array.__new__(Frame, size, _BYTES, frame[:size].tobytes())


def _cut(frame: NDArray[np.uint8], size: int) -> Frame:
    """The frame at the start of scratch: there if it is most of it and large, or else copied."""
    if size <= COPIED or size < frame.size // 8 * 7:
        own: Frame = _Array.__new__(Frame, size, _BYTES, frame[:size].tobytes())
        return own
    return read_only(frame[:size]).view(Frame)


class _Collected(NamedTuple):
    """What ranges hold from a magnitude on: `sizes[i]` elements from `starts[i]` on.

    looked : how many elements were looked at before room was short
    """

    keys: NDArray[np.uint32]
    values: Patterns
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    looked: int
    top: int


def in_ranges(plan: Plan, bits: Patterns, step: int) -> Frame | None:
    """The frame by several threads, or none as by `encode`."""
    if not plan.facts[told.WANTED] and plan.facts[told.LEVELS]:
        return _gathered(plan, bits, step)
    encoded = _collected(plan, bits, step, None, _NO_RESIDUAL)
    return None if encoded is None else encoded.frame


def _gathered(plan: Plan, bits: Patterns, step: int) -> Frame | None:
    """Elements of a range for each thread, rounded and measured, then written by as many."""
    kernels, kind, n, facts = plan.kernels, plan.pattern.type, plan.n, plan.facts
    floor = plan.known
    if floor is None:
        floor = kind(kernels.first_floor(bits, facts, step)[0])
    ranges = split(plan.chunks, max(LEAST >> plan.chunk_log2, 1))
    coded = 2 * told.MOST_LEVELS * plan.chunks
    rows = 0 if facts[told.FIXED] or coded > told.MOST_COUNTS else plan.chunks
    numbers = np.empty(told.MEASURES * plan.chunks, np.int64)
    tallies = np.empty((rows, 2 * told.MOST_LEVELS), np.uint32)
    while True:
        got, joint = _gather(plan, bits, floor, ranges, numbers, tallies)
        if got.looked == n:
            break
        if facts[told.SAMPLES]:
            return None
        plan.work *= 2
    frame = scratch.empty(plan.frame, np.uint8)
    while True:
        what, size, start, at, *how = kernels.lay_out_gathered(
            n, got.keys, got.values, joint, got.starts, got.sizes, got.counts, floor,
            kind(got.top), facts, step, numbers, tallies, frame,
        )  # fmt: skip
        if what != MORE_FRAME:
            break
        plan.frame = size
        frame = scratch.empty(size, np.uint8)
    if what != WRITTEN:
        return None
    directory, rests, columns, codes, symbols = how
    payload = frame[start:size].view(np.uint64)
    before = got.starts[:-1] - got.sizes.cumsum() + got.sizes
    unused = {begin: int(gap) for (begin, _), gap in zip(ranges, before, strict=True)}

    def write(begin: int, end: int) -> None:
        own = slice(unused[begin], None)  # where it would begin, had nothing before been left free
        kernels.write_chunks(
            begin, end, directory, rests, 8 * plan.pattern.itemsize, got.keys[own], columns,
            codes, joint[own], symbols, got.values, payload,
        )  # fmt: skip

    run(write, ranges)
    kernels.seal_gathered(directory, start, at, frame)
    return _cut(frame, size)


def _gather(
    plan: Plan,
    bits: Patterns,
    floor: Any,
    ranges: Sequence[Range],
    numbers: NDArray[np.int64],
    tallies: NDArray[np.uint32],
) -> tuple[_Collected, NDArray[np.uint8]]:
    """Elements from a magnitude on and their levels, and what is to be known of each chunk."""
    gather, log2, chunks = plan.kernels.range_gatherer(), plan.chunk_log2, plan.chunks
    share = plan.work / (plan.pattern.itemsize + 5) / chunks
    rooms = [int(share * (stop - start)) + SLACK for start, stop in ranges]
    ends = [0, *accumulate(rooms)]
    keys, values, joint = (
        scratch.empty(ends[-1], dtype) for dtype in (np.uint32, plan.pattern, np.uint8)
    )
    sizes, counts = np.zeros(len(ranges), np.int64), np.empty(chunks, np.int64)
    number = {start: part for part, (start, _) in enumerate(ranges)}

    def collect(start: int, stop: int) -> tuple[int, int]:
        part = number[start]
        place = slice(ends[part], ends[part + 1])
        at, sizes[part], top = gather(
            bits, start, stop, floor, keys[place], values[place], joint[place], counts, plan.facts,
            numbers, tallies,
        )  # fmt: skip
        return at - (start << log2), top

    looked, tops = zip(*run(collect, ranges), strict=True)
    found = _Collected(keys, values, np.array(ends), sizes, counts, sum(looked), max(tops))
    return found, joint


def _collected(
    plan: Plan, bits: Patterns, step: int, pending: Sum | None, residual: Numbers
) -> Encoded | None:
    """Elements of a range for each thread, then the frame of them all."""
    facts, kind, n = plan.facts, plan.pattern.type, plan.n
    each = plan.pattern.itemsize + 5
    while True:
        from_last = bool(facts[told.NEXT])
        floor, exact, pending = _first_floor(plan, bits, step, pending)
        got = _collect(plan, bits, floor, pending, plan.work // each / n)
        if from_last and (got.looked < n or got.sizes.sum() < facts[told.WANTED]):
            facts[told.NEXT], facts[told.PAUSE] = 0, told.PAUSED
            continue
        if got.looked == n:
            break
        if plan.known is None and not exact:
            return None
        likely = int(got.sizes.sum()) * n // max(got.looked, 1) * 9 // 8
        plan.work = (min(max(2 * got.keys.size, likely), n) + SLACK) * each
    joint = scratch.empty(got.keys.size, np.uint8)
    frame = scratch.empty(plan.frame, np.uint8)
    while True:
        what, size, kept = plan.finish(
            n, got.keys, got.values, joint, got.starts, got.sizes, got.counts, floor, exact,
            kind(got.top), residual, facts, step, frame,
        )  # fmt: skip
        if what != MORE_FRAME:
            break
        plan.frame = size
        frame = scratch.empty(size, np.uint8)
    if what != WRITTEN:
        return None
    chosen = got.keys[:kept], got.values[:kept], got.counts[0], plan.chunk_log2
    return Encoded(
        _cut(frame, size),
        Kept(*chosen, int(floor), got.top, None, ()),
        (Decision(int(floor) - 1, 0, kept),),
    )


def _first_floor(
    plan: Plan, bits: Patterns, step: int, pending: Sum | None
) -> tuple[Any, bool, Sum | None]:
    """Where to collect from, whether no others are kept, and the sum if it is still pending."""
    if plan.known is not None:
        return plan.known, False, pending
    if pending is None:
        found, exact = plan.kernels.first_floor(bits, plan.facts, step)
    else:
        found, exact, there = plan.kernels.first_floor_of_sum(*pending, bits, plan.facts, step)
        pending = None if there else pending
    return plan.pattern.type(found), exact, pending


def _collect(
    plan: Plan, bits: Patterns, floor: Any, pending: Sum | None, share: float
) -> _Collected:
    """Elements from a magnitude on, with room for a share of each range."""
    kernels, log2 = plan.kernels, plan.chunk_log2
    ranges = split(plan.n, LEAST, STRIDE) or [(0, plan.n)]
    rooms = [min(int(share * (stop - start)), stop - start) + SLACK for start, stop in ranges]
    ends = [0, *accumulate(rooms)]
    keys, values = (scratch.empty(ends[-1], kind) for kind in (np.uint32, plan.pattern))
    sizes, counts = np.zeros(len(ranges), np.int64), np.zeros((len(ranges), plan.chunks), np.int64)
    number = {start: part for part, (start, _) in enumerate(ranges)}

    def collect(start: int, stop: int) -> tuple[int, int]:
        part = number[start]
        place = slice(ends[part], ends[part + 1])
        where = start, floor, log2, 0, 0, keys[place], values[place], counts[part]
        if pending is None:
            at, sizes[part], top = kernels.collect(bits[start:stop], *where)
        else:
            sums = pending.part(start, stop)
            at, sizes[part], top = kernels.collect_sum(*sums, sums.out.view(plan.pattern), *where)
        return at, top

    looked, tops = zip(*run(collect, ranges), strict=True)
    return _Collected(keys, values, np.array(ends), sizes, counts, sum(looked), max(tops))
