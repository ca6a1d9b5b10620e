"""Which elements go: statistics in, a decision on magnitudes out. One file per method."""

from .blocktopk import BlockTopK
from .dense import Dense
from .dgc import DGCSampling
from .gaussian import GaussianK
from .logthreshold import LogThreshold
from .mstopk import MSTopK
from .quantile import SampledQuantile
from .randomk import RandomBlock, RandomK
from .redsync import RedSync
from .sidco import SIDCo
from .threshold import Threshold
from .topk import TopK

__all__ = [
    "BlockTopK",
    "DGCSampling",
    "Dense",
    "GaussianK",
    "LogThreshold",
    "MSTopK",
    "RandomBlock",
    "RandomK",
    "RedSync",
    "SIDCo",
    "SampledQuantile",
    "Threshold",
    "TopK",
]
