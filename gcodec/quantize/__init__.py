"""What kept values become: a grid of levels and their boundaries. One file per method."""

from .raw import Raw
from .reclog import ReciprocalLog

__all__ = ["Raw", "ReciprocalLog"]
