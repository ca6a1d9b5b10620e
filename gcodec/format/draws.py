"""Random numbers by counter: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), as spec 8 has it."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GOLDEN: Final = 0x9E3779B97F4A7C15
STEP_STRIDE: Final = 0xD134_2543_DE82_EF95
"""By which the streams of one step and the next differ."""

LOW_64: Final = 0xFFFF_FFFF_FFFF_FFFF


def draw(seed: int, counters: NDArray[Any]) -> NDArray[np.uint64]:
    """A uint64 for each counter: the generator's output after so many steps from `seed`."""
    x = np.uint64(seed) + counters.astype(np.uint64) * np.uint64(GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    drawn: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return drawn


def mix(seed: int, stream: int) -> int:
    """One seed from two numbers."""
    return int(draw((seed * GOLDEN ^ stream) & LOW_64, np.array([0]))[0])


def one_of_each(
    seed: int, counters: NDArray[np.int64], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A position from each [begin, end), none of which is empty, by its counter."""
    drawn = draw(seed, counters) % (end - begin).astype(np.uint64)
    return begin + drawn.astype(np.int64)
