"""gcodec inside other frameworks: one file each, which only importing it loads the framework."""

from collections.abc import Mapping
from typing import Any

from ..codec import Codec
from ..errors import BackendUnavailableError
from ..recipes import from_config, get_codec


def as_codec(given: Any) -> Codec:
    """The codec of a recipe or a configuration, or the codec itself.

    Raises
    ------
    UnknownRecipeError
        If the recipe or the configuration is not valid.
    TypeError
        If it is none of these.
    """
    if isinstance(given, str):
        return get_codec(given)
    if isinstance(given, Mapping):
        return from_config(given)
    if not isinstance(given, Codec):
        raise TypeError(f"codec is a recipe, a configuration or a Codec, not {given!r}")
    return given


def missing(package: str, extra: str) -> BackendUnavailableError:
    """The error that says which package is not there, and how to install it."""
    return BackendUnavailableError(f"{package} is missing: pip install 'gcodec[{extra}]'")
