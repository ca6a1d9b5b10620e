"""What the values of kept elements become: a grid of levels and the boundaries between them. One file per method."""

from .raw import Raw
from .reclog import ReciprocalLog

__all__ = ["Raw", "ReciprocalLog"]
