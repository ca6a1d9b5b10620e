"""The four element types as layouts of bits, written down again: nothing here is from gcodec."""

from typing import Any, NamedTuple

import numpy as np


class Kind(NamedTuple):
    """An element type: what callers pass, what its bits are, what its sums are made in."""

    name: str
    dtype: np.dtype
    pattern: np.dtype
    precision: int
    wide: np.dtype

    @property
    def bits(self) -> int:
        return 8 * self.pattern.itemsize

    @property
    def infinity(self) -> int:
        return (1 << self.bits - 1) - (1 << self.precision)

    @property
    def lowest(self) -> int:
        """Exponent of the smallest number above zero."""
        return 2 - (1 << self.bits - 2 - self.precision) - self.precision

    @property
    def one(self) -> int:
        return (self.infinity >> self.precision + 1) << self.precision

    def of(self, patterns: Any) -> np.ndarray:
        """The array that a caller passes, of these patterns."""
        return np.asarray(patterns).astype(self.pattern).view(self.dtype)

    def magnitudes(self, array: np.ndarray) -> np.ndarray:
        return array.view(self.pattern) & self.pattern.type((1 << self.bits - 1) - 1)

    def widened(self, array: np.ndarray) -> np.ndarray:
        """The same numbers in the type of sums, exactly."""
        if self.name == "bfloat16":
            return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return array.astype(self.wide)

    def nearest(self, numbers: Any) -> np.ndarray:
        """Elements nearest to finite float64 numbers, ties to even, infinite past the end."""
        numbers = np.asarray(numbers, np.float64)
        if self.bits > 16:
            with np.errstate(over="ignore"):
                return numbers.astype(self.dtype)
        finite = self.widened(self.of(np.arange(self.infinity))).astype(np.float64)
        past = 2 * finite[-1] - finite[-2]
        finite = np.append(finite, past)
        above = np.minimum(np.searchsorted(finite, np.abs(numbers)), self.infinity)
        below = np.maximum(above - 1, 0)
        left, right = np.abs(numbers) - finite[below], finite[above] - np.abs(numbers)
        chosen = np.where((left < right) | ((left == right) & (below % 2 == 0)), below, above)
        return self.of(chosen | np.signbit(numbers).astype(np.int64) << self.bits - 1)


KINDS = {
    name: Kind(name, np.dtype(dtype), np.dtype(pattern), precision, np.dtype(wide))
    for name, dtype, pattern, precision, wide in (
        ("float16", np.float16, np.uint16, 10, np.float32),
        ("bfloat16", np.uint16, np.uint16, 7, np.float32),
        ("float32", np.float32, np.uint32, 23, np.float32),
        ("float64", np.float64, np.uint64, 52, np.float64),
    )
}
FLOAT32 = KINDS["float32"]


def kind_of(array: np.ndarray) -> Kind:
    """The element type of an array that was encoded."""
    return next(kind for kind in KINDS.values() if kind.dtype == array.dtype)


def exact(array: np.ndarray) -> np.ndarray:
    """The same numbers as float64."""
    return kind_of(array).widened(array).astype(np.float64)


def edges(kind: Kind) -> list[int]:
    """Magnitude patterns where a layout turns: zero, subnormals, ones, the largest."""
    normal = 1 << kind.precision
    return [0, 1, 2, 3, normal - 1, normal, normal + 1, kind.one, kind.infinity - 1]


VALUES = ("normal", "ties", "subnormal", "edges", "any")


def make(
    kind: Kind, seed: int, size: int, density: float = 1.0, values: str = "normal"
) -> np.ndarray:
    """A vector of one type; `density` of it, at random positions, holds `values`."""
    rng = np.random.default_rng(seed)
    sign = rng.integers(0, 2, size).astype(np.uint64) << np.uint64(kind.bits - 1)
    match values:
        case "normal":
            patterns = kind.magnitudes(kind.nearest(rng.normal(size=size)))
        case "ties":
            patterns = kind.magnitudes(kind.nearest(rng.integers(0, 4, size)))
        case "subnormal":
            patterns = rng.integers(0, min(1 << kind.precision, 3000), size)
        case "edges":
            patterns = rng.choice(np.array(edges(kind), np.uint64), size)
        case _:
            patterns = rng.integers(0, kind.infinity, size)
    patterns = patterns.astype(np.uint64) | sign
    patterns[rng.random(size) >= density] = 0
    return kind.of(patterns)
