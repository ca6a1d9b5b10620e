"""A Zarr v3 serializer: each chunk of an array is a frame.

Registered as `gcodec` through the entry point group `zarr.codecs`, so that any process in which
gcodec is installed opens such arrays; no other can. A codec from arrays to bytes takes the place of
Zarr's `serializer`, not of a compressor.
"""

from asyncio import to_thread
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..codec import Codec
from ..decoder import decode
from ..errors import UnsupportedDtypeError
from ..quantize import Cast
from ..recipes import to_config
from . import as_codec, missing

try:
    from zarr.abc.codec import ArrayBytesCodec
    from zarr.core.common import parse_named_configuration
except ImportError as error:
    raise missing("zarr", "zarr") from error

NAME = "gcodec"


@dataclass(frozen=True, init=False)
class GCodec(ArrayBytesCodec):
    """Chunks as frames; lossy unless the codec selects everything and sends it as it is.

    `ratio` and `k` count in each chunk. Chunks that reach over the edge of the array are filled up
    with the fill value, which therefore has to be finite; Zarr's is 0 by default.

    Parameters
    ----------
    codec : str, Codec or mapping
        A recipe, a codec, or the configuration of one.

    Raises
    ------
    UnknownRecipeError
        If there is no such recipe or configuration.

    Examples
    --------
    >>> import numpy, zarr
    >>> how = dict(shape=6, chunks=3, dtype="float32", compressors=None)
    >>> array = zarr.create_array({}, serializer=GCodec("topk:k=1"), **how)
    >>> array[:] = numpy.array([1, -3, 2, 0, 5, 4], numpy.float32)
    >>> array[:]
    array([ 0., -3.,  0.,  0.,  5.,  0.], dtype=float32)
    """

    is_fixed_size: ClassVar[bool] = False
    codec: Codec

    def __init__(self, codec: Any = "reclog:ratio=0.01,per_octave=4") -> None:
        object.__setattr__(self, "codec", as_codec(codec))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "GCodec":
        """The serializer of an array's metadata."""
        return cls(**parse_named_configuration(data, NAME)[1])

    def to_dict(self) -> dict[str, Any]:
        """What goes into an array's metadata: plain values, for JSON."""
        return {"name": NAME, "configuration": {"codec": to_config(self.codec)}}

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Refuse an array of what is no gradient when it is made, not when it is written."""
        kind = dtype.to_native_dtype()
        if kind.kind != "f" or kind.itemsize > 8:
            raise UnsupportedDtypeError(f"elements are {kind}, gcodec keeps float16, 32 and 64")

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Unknown: it depends on the data."""
        raise NotImplementedError("the size of a frame depends on the data")

    def _encode_sync(self, chunk: Any, spec: Any) -> Any:
        array = chunk.as_numpy_array()
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        frame = self.codec.encode(native)
        return spec.prototype.buffer.from_array_like(np.asarray(frame))

    def _decode_sync(self, frame: Any, spec: Any) -> Any:
        kind = spec.dtype.to_native_dtype()
        held = np.float32 if isinstance(self.codec.quantize, Cast) else kind.newbyteorder("=")
        array = decode(frame.as_numpy_array(), out=np.empty(spec.shape, held))
        return spec.prototype.nd_buffer.from_numpy_array(array.astype(kind, copy=False))

    async def _encode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        return await to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Any, chunk_spec: Any) -> Any:
        return await to_thread(self._decode_sync, chunk_data, chunk_spec)
