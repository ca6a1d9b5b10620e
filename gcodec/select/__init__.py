"""Which elements go: statistics in, a decision on magnitudes out. One file per method."""

from .dense import Dense
from .quantile import SampledQuantile
from .threshold import Threshold
from .topk import TopK

__all__ = ["Dense", "SampledQuantile", "Threshold", "TopK"]
