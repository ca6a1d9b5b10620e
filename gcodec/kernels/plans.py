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
ALLOWED: Final = 8
"""From here on: whether each codec of keys may be used."""

WRITTEN, NOT_TAKEN, MORE_WORK, MORE_FRAME = range(4)
"""What comes of it. What is not taken is an error or a rare form: it needs the parts one by one."""
