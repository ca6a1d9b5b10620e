"""Count-sketches: rows of cells that positions share, from which the large elements come back."""

from .countsketch import add, add_pairs, clear, estimate, estimate_pairs, heavy_hitters

__all__ = ["add", "add_pairs", "clear", "estimate", "estimate_pairs", "heavy_hitters"]
