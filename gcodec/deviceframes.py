"""Frames that are made whole on a CUDA device: three launches if the threshold is known.

For what `kernels.cuda.compose` packs: keys by any packing, and values as they are or as levels of a
logarithm. The bytes are those of the parts that `gcodec.encoder` puts together, which take over
where anything is unusual.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import DeviceArray, Gradient, Shown
from .errors import Mismatch
from .format import ids
from .format.directory import BLOCK, choose_chunk_log2, count_chunks
from .format.elements import Element
from .format.frame import Frame
from .format.ids import KeyCodec
from .packing.compiled import rows_of
from .packing.keys import CLASSES, KEY_PACKINGS
from .packing.values import fixed_width
from .plans import head_of
from .quantize import Raw, ReciprocalLog
from .request import Origin, Recipe
from .select import Threshold
from .select.contract import Decision
from .statistics import Sum

OVERHEAD: Final = 10
"""Words of a chunk beside its fields: what is left of its planes, and a spare unit."""

CODES: Final = 2 * CLASSES + 64
"""Words of all codes, of keys and of values, and of what sections are filled up with."""

CODED: Final = 7
"""Bits that a key takes at most, of a code or in unary, beside a field of its width; of a value's
sign too. Over columns keys take no more, but for a word of a chunk: these are taken only where
they make it smaller."""


def is_taken(recipe: Recipe, whence: Origin, n: int) -> bool:
    """Whether a recipe's frames can be made on a device, if its selector keeps by magnitude."""
    quantize = recipe.quantize
    rounded = (
        isinstance(quantize, ReciprocalLog) and not quantize.stochastic and quantize.bits is None
    )
    if not n or recipe.scales is not None or recipe.per_tensor:
        return False
    return rounded or isinstance(quantize, Raw)


def known(recipe: Recipe, element: Element) -> Decision | None:
    """The decision, if it needs no look at the elements; how many are kept is not known then."""
    select = recipe.select
    if isinstance(select, Threshold) and select.relative_to == "absolute":
        return Decision(select.pattern(element), 0, -1)
    return None


class _Facts(NamedTuple):
    """What is the same for every gradient of a recipe and a shape.

    words : as kernels read them, but for those of a call; meta : words before the payload, at most
    tensors : of which columns are looked for
    key, value : bits of a field, at most
    counted : whether it matters how often each level occurs
    """

    words: NDArray[np.uint64]
    meta: int
    tensors: int
    key: int
    value: int
    counted: bool


@lru_cache(maxsize=1 << 10)
def _facts(
    quantize: Hashable, keys: str, values: str, element: Element, whence: Origin, chunk_log2: int,
    n: int, xxh64: Any,
) -> _Facts:  # fmt: skip
    from .kernels.cuda import layout

    head = head_of(quantize, element, whence, n, chunk_log2, xxh64)
    levels = head.levels
    width = max(min(1 << chunk_log2, n) - 1, 1).bit_length()
    value = fixed_width(2 * levels.size) if levels.size else element.bits
    told = np.zeros(layout.FACTS, np.uint64)
    told[layout.CHUNK_LOG2], told[layout.INFINITY] = chunk_log2, element.infinity
    tensors, widest = rows_of(whence.tensors)
    none = {KeyCodec.SEEDED} if widest >= 2 else {KeyCodec.SEEDED, KeyCodec.COLUMNS}
    allowed = set(KEY_PACKINGS[keys]) - none
    told[layout.KEYS] = sum(1 << codec for codec in allowed)
    matrices = np.array(tensors if KeyCodec.COLUMNS in allowed else [], np.uint64).reshape(-1)
    told[layout.KEY_WIDTH], told[layout.BITS] = width, element.bits
    told[layout.LEVELS], told[layout.FIXED] = levels.size, values == "fixed"
    told[layout.WHOLE] = not levels.size and keys == "auto"
    told[layout.ROWS], told[layout.DIMS] = len(head.rows) // 8, len(head.dims) // 8
    start = np.frombuffer(b"".join(head[:3]), np.uint8).view(np.uint64)
    told[layout.MATRICES] = matrices.size // 2
    told[layout.MATRICES_AT] = told.size + start.size + head.starts.size + levels.size
    parts = told, start, head.starts, levels, matrices
    words = np.concatenate(parts, dtype=np.uint64, casting="unsafe")
    book = 2 * levels.size * element.bits // 64
    meta = start.size + 2 * len(ids.Section) + book + 4 * count_chunks(n, chunk_log2) + CODES
    counted = levels.size > 0 and values != "fixed"
    return _Facts(words, meta, matrices.size // 2, width, value, counted)


class DeviceFrame(Shown):
    """A frame in a device's memory, for transports that read it there.

    Nothing waits for the device until something is asked of it; what was encoded, and the array
    that it was encoded from, must not change before that. `nbytes` is its size, `get` copies it to
    the host, and by the CUDA array interface it is an array of bytes.
    """

    def __init__(
        self, launcher: Any, words: Any, told: Any, held: Any, parts: Callable[[], Frame]
    ) -> None:
        self._launcher, self._words, self._told = launcher, words, told
        self._held, self._parts = held, parts
        self._size = self._stored = -1

    @classmethod
    def of(cls, launcher: Any, frame: Frame) -> "DeviceFrame":
        """A copy of a frame on the host."""
        words = launcher.put(np.asarray(frame).view(np.uint64))
        made = cls(launcher, words, None, None, frame.__copy__)
        launcher.wait()
        made._size = frame.size
        return made

    @property
    def nbytes(self) -> int:
        """Bytes, once they are there.

        Raises
        ------
        NonFiniteError
            If there was a NaN or an infinity.
        """
        if self._size < 0:
            from .kernels.cuda import layout

            told = np.empty(layout.TOLD, np.uint64)
            self._launcher.get(self._told, told)
            if told[layout.STATE] == layout.WRITTEN:
                self._size, self._stored = 8 * int(told[layout.SIZE]), int(told[layout.KEPT])
            else:
                self.__dict__.update(vars(DeviceFrame.of(self._launcher, self._parts())))
            self._told = self._held = None
        return self._size

    @property
    def stored(self) -> int | None:
        """How many elements it holds, or None if it is made of parts."""
        return self._stored if self.nbytes and self._stored >= 0 else None

    def __len__(self) -> int:
        return self.nbytes

    def there(self) -> DeviceArray:
        size, pointer = self.nbytes, self._launcher.address(self._words)
        return DeviceArray(pointer, (size,), np.dtype(np.uint8), True, None, self)

    def get(self, out: NDArray[np.uint8] | None = None) -> Frame:
        """The frame on the host.

        Parameters
        ----------
        out : uint8 array, optional
            Where it goes, such as pinned memory; of at least `nbytes`, and starting at a multiple
            of eight.

        Raises
        ------
        Mismatch
            If `out` is too small, not contiguous or not aligned.
        """
        words = self.nbytes // 8
        room = np.empty(words, np.uint64) if out is None else _words_of(out, words)
        self._launcher.get(self._words[:words], room)
        return Frame(room.view(np.uint8))

    def __repr__(self) -> str:
        return "<gcodec.DeviceFrame>"


def _words_of(out: NDArray[np.uint8], words: int) -> NDArray[np.uint64]:
    part = out[: 8 * words]
    whole = part.dtype == np.uint8 and part.ndim == 1 and part.size == 8 * words
    if not whole or not part.flags.c_contiguous or out.ctypes.data % 8:
        raise Mismatch(f"out is not {8 * words} bytes of uint8 in a row from a multiple of 8 on")
    return part.view(np.uint64)


def make(
    recipe: Recipe,
    gradient: Gradient,
    choice: Decision,
    whence: Origin,
    parts: Callable[[], Frame],
    pending: Sum | None = None,
    residual: Any = None,
) -> tuple[DeviceFrame, Any]:
    """Launch what makes a frame of a decision; and what is collected for it.

    `parts` makes the frame if the elements are not what the selector meant, or no numbers.
    `gradient.bits` are on a device; they become a `pending` sum first. What is sent is taken off
    from `residual`, if there is one.
    """
    from .kernels.cuda import choose, layout, measure, twins

    bits: Any = gradient.bits
    n, launcher, kind = bits.size, bits.launcher, bits.dtype
    chunk_log2 = choose_chunk_log2(n, recipe.select.density(n))
    quantize: Any = recipe.quantize
    facts = _facts(
        quantize, recipe.keys, recipe.values, gradient.element, whence._replace(step=0),
        chunk_log2, n, recipe.kernels.xxh64,
    )  # fmt: skip
    floor = choice.threshold + (choice.ties == 0)
    found = recipe.kernels.found(bits, floor, chunk_log2) if pending is None else None
    if found is None:
        room = min(n, max(n // twins.ROOM, 1 << 12)) if choice.kept < 0 else choice.kept
        sums = None if pending is None else pending[:4]
        found = twins.launch_collect(bits, floor, chunk_log2, room, sums)
    room, chunks = found.keys.size, found.starts.size - 1
    words = facts.words.copy()
    words[layout.LOW], words[layout.STEP] = floor, whence.step
    words[layout.LEAST] = max(choice.kept, 0)
    words[layout.MOST] = n if choice.kept < 0 else choice.kept
    fields = room * (facts.key + facts.value + CODED) + n + 5 * (room // BLOCK + chunks)
    empty, rounded = launcher.empty, isinstance(quantize, ReciprocalLog)
    frame = empty(facts.meta + fields // 64 + OVERHEAD * chunks, np.uint64)
    plan, given = launcher.zeros(layout.PLAN, np.uint64), launcher.put(words)
    numbers = empty(room if rounded else 0, np.uint32)
    widths = empty(room // BLOCK + chunks, np.uint32)
    items = empty(2 * room if facts.tensors else 0, np.uint32)
    heads = empty(2 * (chunks + facts.tensors) if facts.tensors else 0, np.uint64)
    counted = empty(chunks * measure.NUMBERS if facts.counted else 0, np.uint32)
    measures, tables = empty(chunks * measure.ROW, np.uint32), empty(choose.TABLES, np.uint32)
    off = empty(0, kind) if residual is None else residual.view(kind).handle
    kept = given, found.starts, found.keys, found.values
    work = numbers, widths, items, heads, counted, measures, tables, plan, frame
    launcher.launch(f"measure_chunks_{kind}", chunks, *kept, found.top, *work)
    rest = numbers, widths, items, heads, tables, plan, off, frame
    launcher.launch(f"write_chunks_{kind}", chunks, *kept, *rest)
    held = kept, work, gradient
    return DeviceFrame(launcher, frame, plan[: layout.TOLD], held, parts), found
