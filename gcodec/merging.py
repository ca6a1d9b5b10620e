"""Frames of the same layout added up without a dense array between."""

from collections.abc import Iterable
from functools import partial
from math import prod
from typing import Any

import numpy as np

from . import encoder, sketching
from .arrays import as_bytes, gradient
from .codec import Codec
from .decoder import unpack_chunks
from .errors import LimitExceeded, Mismatch
from .format import frame as wire
from .format.frame import Frame
from .quantize import Raw
from .request import Origin, check_finite
from .select import Threshold

LOSSLESS = Codec(Threshold(0.0), Raw())


def merge(frames: Iterable[Any], *, codec: Codec = LOSSLESS) -> Frame:
    """The sum of frames in the order given, as one frame, in time linear in what they hold.

    Parameters
    ----------
    frames : iterable of Frame or bytes-like
        At least one, all of the same tensors and step; or sketches, of the same hash as well.
    codec : Codec
        How to encode the sum; by default everything that is not zero, as it is. Its backend does
        the work. Sketches stay sketches.

    Returns
    -------
    Frame
        Decodes to the float32 sum, frame by frame (float64 of float64 frames); `contributions` are
        added up.

    Raises
    ------
    Mismatch
        If there is no frame, or tensors or steps differ, or only some frames are float64, or
        sketches.
    NonFiniteError
        If a sum is not finite.
    FrameError
        If a frame is not sound.

    Examples
    --------
    >>> import numpy, gcodec
    >>> one = gcodec.Codec(gcodec.TopK(k=1)).encode(numpy.array([1, 0, 3], numpy.float32))
    >>> two = gcodec.Codec(gcodec.TopK(k=1)).encode(numpy.array([5, 0, 2], numpy.float32))
    >>> gcodec.decode(gcodec.merge([one, two])).tolist()
    [5.0, 0.0, 3.0]
    """
    recipe = codec.recipe()
    kernels = recipe.kernels
    parsed_frames = [wire.parse(as_bytes(frame), kernels) for frame in frames]
    if not parsed_frames:
        raise Mismatch("nothing to merge: pass at least one frame")
    if any(parsed.sketch is not None for parsed in parsed_frames):
        return sketching.merge(parsed_frames, codec.backend)
    contents = [unpack_chunks(parsed, kernels, 0, None) for parsed in parsed_frames]
    first = parsed_frames[0]
    for i, (parsed, content) in enumerate(zip(parsed_frames, contents, strict=True)):
        if parsed.tensors != first.tensors or parsed.header.step != first.header.step:
            raise Mismatch(f"frame {i} holds other tensors or another step than frame 0")
        if content.values().dtype != contents[0].values().dtype:
            raise Mismatch(f"frame {i} holds {parsed.element.name}, frame 0 {first.element.name}")
    keys = np.empty(0, np.int64)
    values = contents[0].values()[:0]
    for content in contents:
        room = keys.size + content.keys.size
        merged, total = np.empty(room, np.int64), np.empty(room, values.dtype)
        more = content.positions(), content.values()
        size = kernels.add_pairs(keys, values, *more, merged, total)
        keys, values = merged[:size], total[:size]
    contributions = sum(parsed.header.contributions for parsed in parsed_frames)
    if contributions >= 1 << 32:
        raise LimitExceeded(f"{contributions} contributions do not fit the 32 bits of a frame")
    origin = Origin(first.tensors, first.header.step, contributions)
    n = sum(prod(tensor.shape) for tensor in first.tensors)
    pairs = gradient(values)
    check = partial(check_finite, gradient=pairs, name="", what="the sum", keys=keys)
    return encoder.encode_pairs(recipe, keys, pairs, check, origin, n)
