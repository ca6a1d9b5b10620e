"""Which elements go: statistics in, a decision on magnitudes out. One file per method."""

from .quantile import SampledQuantile
from .threshold import Threshold
from .topk import TopK

__all__ = ["SampledQuantile", "Threshold", "TopK"]
