"""gcodec: gradient compression with a specified wire format.

>>> import numpy, gcodec
>>> codec = gcodec.get_codec("reclog:ratio=0.01,per_octave=4")
>>> frame = codec.encode(numpy.random.default_rng(0).normal(size=10_000).astype(numpy.float32))
>>> dense = gcodec.decode(frame)
>>> dense.shape, int(numpy.count_nonzero(dense))
((10000,), 100)

Importing this package imports neither Numba nor any framework; names are loaded when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codec import Codec
    from .decoder import accumulate, decode, decode_sparse, decode_tensor
    from .deviceframes import DeviceFrame
    from .errors import (
        BackendUnavailableError,
        Corrupt,
        FrameError,
        GcodecError,
        LimitExceeded,
        Malformed,
        Mismatch,
        NonFiniteError,
        NotAFrame,
        RankMismatchError,
        StateError,
        Truncated,
        UnknownRecipeError,
        UnsupportedDtypeError,
        UnsupportedFeature,
        UnsupportedVersion,
    )
    from .feedback import ErrorFeedback
    from .format.frame import Frame
    from .inspection import Inspection, inspect
    from .merging import merge
    from .momentum import MomentumFeedback
    from .policy import Exclude, WarmUp
    from .quantize import (
        QSGD,
        Cast,
        FewBit,
        Float8,
        LloydMax,
        Natural,
        Raw,
        ReciprocalLog,
        TernGrad,
        Uniform,
    )
    from .recipes import get_codec
    from .select import (
        BlockTopK,
        Dense,
        DGCSampling,
        GaussianK,
        LogThreshold,
        MSTopK,
        RandomBlock,
        RandomK,
        RedSync,
        SampledQuantile,
        SIDCo,
        Threshold,
        TopK,
    )
    from .sketching import CountSketch
    from .slicing import slice
    from .verification import Verification, verify

__version__ = "0.1.0"

_HOMES = {
    "codec": ("Codec",),
    "decoder": ("accumulate", "decode", "decode_sparse", "decode_tensor"),
    "deviceframes": ("DeviceFrame",),
    "errors": (
        "BackendUnavailableError",
        "Corrupt",
        "FrameError",
        "GcodecError",
        "LimitExceeded",
        "Malformed",
        "Mismatch",
        "NonFiniteError",
        "NotAFrame",
        "RankMismatchError",
        "StateError",
        "Truncated",
        "UnknownRecipeError",
        "UnsupportedDtypeError",
        "UnsupportedFeature",
        "UnsupportedVersion",
    ),
    "feedback": ("ErrorFeedback",),
    "momentum": ("MomentumFeedback",),
    "format.frame": ("Frame",),
    "inspection": ("Inspection", "inspect"),
    "merging": ("merge",),
    "parallel": ("get_threads", "set_threads"),
    "policy": ("Exclude", "WarmUp"),
    "quantize": (
        "Cast",
        "FewBit",
        "Float8",
        "LloydMax",
        "Natural",
        "QSGD",
        "Raw",
        "ReciprocalLog",
        "TernGrad",
        "Uniform",
    ),
    "recipes": ("get_codec",),
    "select": (
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
    ),
    "sketching": ("CountSketch",),
    "slicing": ("slice",),
    "verification": ("Verification", "verify"),
    "warming": ("warmup",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "QSGD",
    "BackendUnavailableError",
    "BlockTopK",
    "Cast",
    "Codec",
    "Corrupt",
    "CountSketch",
    "DGCSampling",
    "Dense",
    "DeviceFrame",
    "ErrorFeedback",
    "Exclude",
    "FewBit",
    "Float8",
    "Frame",
    "FrameError",
    "GaussianK",
    "GcodecError",
    "Inspection",
    "LimitExceeded",
    "LloydMax",
    "LogThreshold",
    "MSTopK",
    "Malformed",
    "Mismatch",
    "MomentumFeedback",
    "Natural",
    "NonFiniteError",
    "NotAFrame",
    "RandomBlock",
    "RandomK",
    "RankMismatchError",
    "Raw",
    "ReciprocalLog",
    "RedSync",
    "SIDCo",
    "SampledQuantile",
    "StateError",
    "TernGrad",
    "Threshold",
    "TopK",
    "Truncated",
    "Uniform",
    "UnknownRecipeError",
    "UnsupportedDtypeError",
    "UnsupportedFeature",
    "UnsupportedVersion",
    "Verification",
    "WarmUp",
    "accumulate",
    "decode",
    "decode_sparse",
    "decode_tensor",
    "get_codec",
    "get_threads",
    "inspect",
    "merge",
    "set_threads",
    "slice",
    "verify",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'gcodec' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
