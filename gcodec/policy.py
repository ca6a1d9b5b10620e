"""Which codec goes for which tensor at which step."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

from .codec import Codec
from .quantize import Raw
from .select import Dense

AS_IT_IS = Codec(Dense(), Raw())


class Policy(Protocol):
    """A codec for each tensor and step."""

    def at(self, name: str, size: int, step: int) -> Codec:
        """The codec of a tensor of so many elements."""


@dataclass(frozen=True)
class WarmUp:
    """A codec whose `ratio` comes down in steps, as Deep Gradient Compression starts.

    Parameters
    ----------
    codec : Codec
        With a selector that takes a `ratio`: what it is after the warm-up.
    every : int
        Training steps that each ratio lasts.
    ratios : sequence of float
        Fractions kept before that (75 % sparse and so on, as published).
    """

    codec: Codec
    every: int
    ratios: tuple[float, ...] = (0.25, 0.0625, 0.015625, 0.004)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratios", tuple(self.ratios))
        if getattr(self.codec.select, "ratio", None) is None:
            raise ValueError(f"{self.codec.select!r} has no ratio to warm up")
        if self.every < 1:
            raise ValueError(f"every is a number of steps from 1 on, not {self.every}")
        for ratio in self.ratios:
            self._with(ratio)

    def at(self, name: str, size: int, step: int) -> Codec:
        phase = step // self.every
        return self._with(self.ratios[phase]) if phase < len(self.ratios) else self.codec

    def _with(self, ratio: float) -> Codec:
        select: Any = self.codec.select
        return replace(self.codec, select=replace(select, ratio=ratio))


@dataclass(frozen=True)
class Exclude:
    """A codec for most tensors; small ones, and some by name, are sent as they are.

    Parameters
    ----------
    codec : Codec or WarmUp
    names : sequence of str
        Patterns as of a shell: `"*.bias"`.
    smaller_than : int
        Elements.
    """

    codec: Policy
    names: tuple[str, ...] = ()
    smaller_than: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.names, str):  # type: ignore[unreachable]
            raise ValueError(f"names is a sequence of patterns, not {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))

    def at(self, name: str, size: int, step: int) -> Codec:
        if size < self.smaller_than or any(fnmatchcase(name, pattern) for pattern in self.names):
            return AS_IT_IS
        return self.codec.at(name, size, step)
