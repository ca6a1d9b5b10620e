"""The closed set of errors that gcodec raises.

`GcodecError` is the base. The eight `FrameError` classes carry the names of `spec/gcodec-1.md`,
section 9, and mean the same in every decoder. All of them are also `ValueError`, except
`BackendUnavailableError`, which is an `ImportError`.
"""


class GcodecError(Exception):
    """Base of every error that gcodec raises on purpose."""


class FrameError(GcodecError, ValueError):
    """Bytes that were refused as a frame. Nothing was written to any output."""


class NotAFrame(FrameError):  # noqa: N818 - the spec's names
    """The bytes do not start with the magic number."""


class Truncated(FrameError):  # noqa: N818
    """The bytes end before the frame does."""


class UnsupportedVersion(FrameError):  # noqa: N818
    """The frame's major version is not one this reader knows."""


class UnsupportedFeature(FrameError):  # noqa: N818
    """The frame needs a feature, section, kind or codec that this reader does not know."""


class LimitExceeded(FrameError):  # noqa: N818
    """A size in the frame is past a limit of the format, or past one that the caller set."""


class Corrupt(FrameError):  # noqa: N818
    """A checksum does not match: the bytes changed after the frame was written."""


class Malformed(FrameError):  # noqa: N818
    """The checksums match, but the content breaks a rule of the format."""


class Mismatch(FrameError):  # noqa: N818
    """The frame is sound, but does not fit what the caller gave: length, dtype or layout."""


class NonFiniteError(GcodecError, ValueError):
    """A gradient holds NaN or infinity. No state changed."""


class UnknownRecipeError(GcodecError, ValueError):
    """A recipe or one of its parameters is not known; the message lists what is valid."""


class UnsupportedDtypeError(GcodecError, TypeError, ValueError):
    """An array's element type has no encoding here; the message says what to cast to."""


class StateError(GcodecError, ValueError):
    """Error feedback was used out of order, or with a tensor of another shape than before."""


class BackendUnavailableError(GcodecError, ImportError):
    """A backend or an optional package is missing; the message says how to install it."""


class RankMismatchError(GcodecError, ValueError):
    """Ranks of a collective disagree, or one failed; every rank raises this with the same text."""
