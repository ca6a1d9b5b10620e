"""What an encode in one call is told of a codec and a gradient's shape, and what comes of it."""

from typing import Final

CHUNK_LOG2: Final = 0
WANTED: Final = 1
"""Elements that are kept, or 0 if all above a magnitude are."""
THRESHOLD: Final = 2
"""The pattern of that magnitude."""
INFINITY: Final = 3
"""The pattern from which on there is no number."""
FIXED: Final = 4
"""Whether values are indices of one width."""
WHOLE: Final = 5
"""Whether a chunk may be sent with all its elements if that is smaller."""
WIDEST: Final = 6
"""The length of a matrix's rows, or 0 if columns are of no use."""
TENSORS: Final = 7
"""Bytes of the tensor table."""
HEAD: Final = 8
"""Bytes of the header, the tensor table and the dimensions."""
LEVELS: Final = 9
"""How many levels there are; 0 if values go as they are."""
SAMPLES: Final = 10
"""How many elements are drawn to find the magnitude above which elements are kept, or 0."""
RANK: Final = 11
"""Which of those is that magnitude, from the largest on."""
ABOUT: Final = 12
"""How many elements are then to be kept."""
OFF: Final = 13
"""By how many they may be more or fewer."""
SEED: Final = 14
"""What the draws follow from, with the step and with this:"""
NAME: Final = 15
SHAPES: Final = 16
"""How many tensors have elements."""
NEXT: Final = 17
"""The magnitude that is collected from next time, since the last ones told of each other; or 0."""
LAST: Final = 18
"""The least magnitude that was kept of as many as are wanted, last time; or 0."""
GROWTH: Final = 19
"""How much larger it was than the time before."""
PAUSE: Final = 20
"""How many times not to rely on that, after it was wrong:"""
PAUSED: Final = 15
ALLOWED: Final = 21
"""From here on: whether each codec of keys may be used. Then: where each of these tensors starts,
and the length of its rows or 0; the head, up to a whole word; where the ranges of all levels but
the first start, and the levels, up to a whole word."""

WRITTEN, NOT_TAKEN, MORE_WORK, MORE_FRAME = range(4)
"""What comes of it. What is not taken is an error or a rare form: it needs the parts one by one."""

MEASURES: Final = 47
"""Numbers that are worked out of each chunk before its packing is chosen."""

MOST_LEVELS: Final = 128
"""Their numbers with a sign are bytes."""

MOST_COUNTS: Final = 1 << 20
"""Counts of levels, with signs, that are kept chunk by chunk."""
