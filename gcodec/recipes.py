"""Named codecs: `name:key=value,...`."""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from typing import Any

from .codec import Codec
from .errors import UnknownRecipeError
from .quantize import Raw, ReciprocalLog
from .select import Dense, SampledQuantile, Threshold, TopK
from .select.contract import Selector


def dense(*, keys: str = "auto") -> Codec:
    """Every element as it is."""
    return Codec(Dense(), Raw(), keys)


def topk(
    *,
    ratio: float | None = None,
    k: int | None = None,
    keys: str = "auto",
    per_tensor: bool = False,
) -> Codec:
    """Exact top-k, values as they are (1 % unless said)."""
    return Codec(_largest(ratio, k), Raw(), keys, per_tensor)


def threshold(*, threshold: float, keys: str = "auto") -> Codec:
    """Everything above a magnitude, values as they are."""
    return Codec(Threshold(threshold), Raw(), keys)


def quantile(
    *, ratio: float = 0.01, seed: int = 0, keys: str = "auto", per_tensor: bool = False
) -> Codec:
    """About `ratio` of all elements by a sampled threshold, values as they are."""
    return Codec(SampledQuantile(ratio, seed), Raw(), keys, per_tensor)


def reclog(
    *,
    ratio: float | None = None,
    k: int | None = None,
    threshold: float | None = None,
    per_octave: int = 4,
    keys: str = "auto",
    per_tensor: bool = False,
) -> Codec:
    """Exact top-k (1 % unless said) or a threshold, values by reciprocal + log quantisation."""
    if threshold is not None and (ratio is not None or k is not None):
        raise ValueError("give one of ratio, k and threshold")
    select = Threshold(threshold) if threshold is not None else _largest(ratio, k)
    return Codec(select, ReciprocalLog(per_octave), keys, per_tensor)


RECIPES: dict[str, Callable[..., Codec]] = {
    recipe.__name__: recipe for recipe in (dense, quantile, reclog, threshold, topk)
}


def get_codec(recipe: str, *, backend: str = "cpu") -> Codec:
    """The codec of a recipe such as `"reclog:ratio=0.01,per_octave=4"`.

    Raises
    ------
    UnknownRecipeError
        If the name, a parameter or a value is not valid; the message lists what is.

    Examples
    --------
    >>> import gcodec
    >>> gcodec.get_codec("topk:k=10")
    Codec(select=TopK(ratio=None, k=10), quantize=Raw(), keys='auto', per_tensor=False)
    """
    name, _, text = recipe.partition(":")
    if name not in RECIPES:
        raise UnknownRecipeError(f"no recipe {name!r}; valid recipes: {', '.join(RECIPES)}")
    make = RECIPES[name]
    valid = signature(make).parameters
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
    try:
        codec = make(**arguments)
    except (TypeError, ValueError) as error:
        raise UnknownRecipeError(f"recipe {recipe!r}: {error}") from error
    return replace(codec, backend=backend)


def _literal(text: str) -> int | float | str:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _largest(ratio: float | None, k: int | None) -> Selector:
    return TopK(ratio=0.01) if ratio is None and k is None else TopK(ratio=ratio, k=k)
