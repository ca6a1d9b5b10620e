"""A numcodecs codec: frames as chunks of Zarr format 2, or wherever numcodecs is spoken.

Registered as `gcodec` through the entry point group `numcodecs.codecs`, so that
`numcodecs.get_codec(dict(id="gcodec", codec=...))` finds it once gcodec is installed.
"""

from typing import Any

from ..codec import Codec
from ..decoder import decode
from ..errors import UnsupportedDtypeError
from ..format.frame import Frame
from ..quantize import Cast
from ..recipes import to_config
from . import as_codec, missing

try:
    from numcodecs.abc import Codec as Base
    from numcodecs.compat import ensure_ndarray_like, ndarray_copy
except ImportError as error:
    raise missing("numcodecs", "zarr") from error


class GCodec(Base):
    """Arrays as frames; lossy unless the codec selects everything and sends it as it is.

    Decoding needs nothing but the frame: the configuration says how to encode. The frame holds the
    array's shape as it lies in memory, with the axes of a Fortran array reversed.

    Parameters
    ----------
    codec : str, Codec or mapping
        A recipe, a codec, or the configuration of one as in `get_config()["codec"]`.

    Raises
    ------
    ValueError
        If the codec casts values: an array has to come back as the type that it was.
    UnknownRecipeError
        If there is no such recipe or configuration.

    Examples
    --------
    >>> import numpy
    >>> codec = GCodec("topk:k=2")
    >>> codec.decode(codec.encode(numpy.array([1, -3, 2], numpy.float32)))
    array([ 0., -3.,  2.], dtype=float32)
    """

    codec_id = "gcodec"

    def __init__(self, codec: Any = "reclog:ratio=0.01,per_octave=4") -> None:
        self._codec = as_codec(codec)
        if isinstance(self._codec.quantize, Cast):
            raise ValueError(f"{self._codec.quantize} changes the type of elements: leave it out")

    @property
    def codec(self) -> Codec:
        """How arrays are encoded."""
        return self._codec

    def encode(self, buf: Any) -> Frame:
        """The frame of a float16, float32 or float64 array.

        Raises
        ------
        UnsupportedDtypeError
            If it has other elements: integers are no gradient.
        NonFiniteError
            If one is NaN or infinite.
        """
        array = ensure_ndarray_like(buf)
        if array.dtype.kind != "f":
            raise UnsupportedDtypeError(f"elements are {array.dtype}, gcodec keeps floats only")
        in_memory_order = array.T if array.flags.f_contiguous else array
        return self._codec.encode(in_memory_order)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array of a frame, in C order; or fills `out`, which is untouched by a broken frame.

        Raises
        ------
        FrameError
            One of its eight subclasses.
        """
        return ndarray_copy(decode(buf), out)

    def get_config(self) -> dict[str, Any]:
        """For JSON; the registry makes an equal codec of it."""
        return {"id": self.codec_id, "codec": to_config(self._codec)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({to_config(self._codec)!r})"
