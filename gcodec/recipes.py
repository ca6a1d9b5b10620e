"""Named codecs: `name:key=value,...`.

A recipe says what is selected and how it is rounded. All of them also take the other parameters of
a `Codec`: `keys`, `values`, `scales` and `per_tensor`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from inspect import signature
from typing import Any

from . import quantize, select
from .codec import Codec
from .errors import UnknownRecipeError
from .quantize import QSGD, Cast, FewBit, Natural, Raw, ReciprocalLog, TernGrad, Uniform
from .quantize.contract import Quantizer
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
from .select.amount import Amount
from .select.contract import Selector

Parts = tuple[Selector, Quantizer]
Ratio = float | None
Count = int | None
ONE_PERCENT = 0.01
COMMON = ("keys", "values", "scales", "per_tensor")


def _of(selector: type[Amount], ratio: Ratio, k: Count, **more: Any) -> Any:
    """A selector of `ratio` or `k`, 1 % if neither is said."""
    return selector(ONE_PERCENT if ratio is None and k is None else ratio, k, **more)


def adaq(*, ratio: Ratio = None, k: Count = None) -> Parts:
    """Top-k and a mean for each sign (Dryden et al.)."""
    return _of(TopK, ratio, k), FewBit(1)


def dense() -> Parts:
    """Every element as it is."""
    return Dense(), Raw()


def dgc(*, ratio: Ratio = None, k: Count = None, seed: int = 0) -> Parts:
    """The sampling of Deep Gradient Compression; its momentum is `MomentumFeedback`."""
    return _of(DGCSampling, ratio, k, seed=seed), Raw()


def efsignsgd() -> Parts:
    """The sign of every element and the mean magnitude; for error feedback."""
    return Dense(), FewBit(1, per_sign=False)


def gaussiank(*, ratio: Ratio = None, k: Count = None) -> Parts:
    """The threshold of a normal law."""
    return _of(GaussianK, ratio, k), Raw()


def gradient_dropping(*, ratio: float = ONE_PERCENT, bits: int = 32, seed: int = 0) -> Parts:
    """A sampled threshold; values as they are, or means in 1 to 3 bits."""
    return SampledQuantile(ratio, seed), Raw() if bits == 32 else FewBit(bits)


def inceptionn(*, bound: float = 2.0**-10) -> Parts:
    """What is above an error bound, in bfloat16."""
    return Threshold(bound), Cast("bfloat16")


def mstopk(*, ratio: Ratio = None, k: Count = None, rounds: int = 30, seed: int = 0) -> Parts:
    """A threshold by bisection."""
    return _of(MSTopK, ratio, k, rounds=rounds, seed=seed), Raw()


def natural(*, seed: int = 0) -> Parts:
    """Every element to a power of two, right on average."""
    return Dense(), Natural(seed)


def onebit() -> Parts:
    """The sign of every element, and a mean for each sign; for error feedback."""
    return Dense(), FewBit(1)


def qsgd(*, levels: int = 255, norm: str = "l2", seed: int = 0) -> Parts:
    """Every element to a multiple of norm / levels, right on average."""
    return Dense(), QSGD(levels, norm, seed)


def quantile(*, ratio: float = ONE_PERCENT, seed: int = 0) -> Parts:
    """About `ratio` of all elements by a sampled threshold."""
    return SampledQuantile(ratio, seed), Raw()


def randomblock(
    *, ratio: Ratio = None, k: Count = None, seed: int = 0, unbiased: bool = False
) -> Parts:
    """A run of elements from a shared random place on."""
    return _of(RandomBlock, ratio, k, seed=seed, unbiased=unbiased), Raw()


def randomk(
    *, ratio: Ratio = None, k: Count = None, seed: int = 0, unbiased: bool = False
) -> Parts:
    """Elements drawn by a shared seed, which takes the place of their positions."""
    return _of(RandomK, ratio, k, seed=seed, unbiased=unbiased), Raw()


def reclog(
    *,
    ratio: Ratio = None,
    k: Count = None,
    threshold: float | None = None,
    tau: int | None = None,
    per_octave: int | None = None,
    base: float | None = None,
    bits: int | None = None,
    stochastic: bool = False,
    seed: int = 0,
) -> Parts:
    """Exact top-k or a threshold, values by reciprocal + log quantisation (FastSGD)."""
    if sum(amount is not None for amount in (ratio, k, threshold, tau)) > 1:
        raise ValueError("give one of ratio, k, threshold and tau")
    chosen: Selector
    if tau is not None:
        chosen = LogThreshold(tau, per_octave, base)
    elif threshold is not None:
        chosen = Threshold(threshold)
    else:
        chosen = _of(TopK, ratio, k)
    return chosen, ReciprocalLog(per_octave, base, bits, stochastic, seed)


def redsync(*, ratio: Ratio = None, k: Count = None) -> Parts:
    """Trimmed top-k."""
    return _of(RedSync, ratio, k), Raw()


def sidco(
    *,
    ratio: Ratio = None,
    k: Count = None,
    law: str = "pareto",
    stages: int = 3,
    verified: bool = True,
) -> Parts:
    """A fitted threshold."""
    return _of(SIDCo, ratio, k, law=law, stages=stages, verified=verified), Raw()


def signum() -> Parts:
    """Signs with one magnitude; its momentum is `MomentumFeedback`."""
    return efsignsgd()


def sparseloco(*, k: int = 64, block: int = 4096, bits: int = 2) -> Parts:
    """The k largest of every block in few bits; for error feedback."""
    return BlockTopK(k, block), FewBit(bits)


def terngrad(*, clip: float | None = 2.5, seed: int = 0) -> Parts:
    """Every element to 0 or plus or minus the largest, right on average but for clipping."""
    return Dense(), TernGrad(clip, seed)


def threshold(*, threshold: float, relative_to: str = "absolute") -> Parts:
    """Everything above a magnitude."""
    return Threshold(threshold, relative_to), Raw()


def topk(*, ratio: Ratio = None, k: Count = None) -> Parts:
    """Exact top-k."""
    return _of(TopK, ratio, k), Raw()


def u8bit() -> Parts:
    """Every element in eight bits, evenly spaced."""
    return Dense(), Uniform(8)


RECIPES: dict[str, Callable[..., Parts]] = {
    recipe.__name__.replace("_", "-"): recipe
    for recipe in (
        adaq, dense, dgc, efsignsgd, gaussiank, gradient_dropping, inceptionn, mstopk, natural,
        onebit, qsgd, quantile, randomblock, randomk, reclog, redsync, sidco, signum, sparseloco,
        terngrad, threshold, topk, u8bit,
    )
}  # fmt: skip


def get_codec(recipe: str, *, backend: str = "cpu") -> Codec:
    """The codec of a recipe such as `"reclog:ratio=0.01,per_octave=4"`.

    Where a recipe takes `ratio` or `k` and neither is given, it keeps 1 %.

    Raises
    ------
    UnknownRecipeError
        If the name, a parameter or a value is not valid; the message lists what is.

    Examples
    --------
    >>> import gcodec
    >>> gcodec.get_codec("topk:k=10") == gcodec.Codec(gcodec.TopK(k=10), gcodec.Raw())
    True
    """
    name, _, text = recipe.partition(":")
    if name == "sketch":
        raise UnknownRecipeError("sketch is no recipe: see gcodec.CountSketch and SketchAllreduce")
    if name not in RECIPES:
        raise UnknownRecipeError(f"no recipe {name!r}; valid recipes: {', '.join(RECIPES)}")
    make = RECIPES[name]
    valid = (*signature(make).parameters, *COMMON)
    arguments: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if key not in valid or not equals:
            raise UnknownRecipeError(
                f"{part!r} in {recipe!r}: {name} takes {', '.join(f'{key}=' for key in valid)}"
            )
        if key in arguments:
            raise UnknownRecipeError(f"{key} is given twice in recipe {recipe!r}")
        arguments[key] = _literal(value)
    common = {key: arguments.pop(key) for key in COMMON if key in arguments}
    try:
        return replace(Codec(*make(**arguments), backend=backend), **common)
    except (TypeError, ValueError) as error:
        raise UnknownRecipeError(f"recipe {recipe!r}: {error}") from error


def to_config(codec: Codec) -> dict[str, Any]:
    """What a codec is, as plain values for JSON; `from_config` gives it back."""
    return {
        "select": {"method": type(codec.select).__name__, **_plain(codec.select)},
        "quantize": {"method": type(codec.quantize).__name__, **_plain(codec.quantize)},
        "keys": codec.keys,
        "values": codec.values,
        "scales": codec.scales,
        "per_tensor": codec.per_tensor,
    }


def _plain(part: Any) -> dict[str, Any]:
    return asdict(part)


def from_config(config: Mapping[str, Any], *, backend: str = "cpu") -> Codec:
    """The codec of a configuration.

    Raises
    ------
    UnknownRecipeError
        If a method or a parameter is not known, or not valid.
    """
    try:
        chosen = _build(select, dict(config["select"]))
        rounding = _build(quantize, dict(config["quantize"]))
        common = {key: config[key] for key in COMMON}
        return Codec(chosen, rounding, **common, backend=backend)
    except (KeyError, TypeError, ValueError) as error:
        raise UnknownRecipeError(f"not the configuration of a codec: {error}") from error


def _build(room: Any, parameters: dict[str, Any]) -> Any:
    method = parameters.pop("method")
    if method not in room.__all__:
        raise ValueError(f"no method {method!r}; there are {', '.join(room.__all__)}")
    return getattr(room, method)(**parameters)


def _literal(text: str) -> int | float | str:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
