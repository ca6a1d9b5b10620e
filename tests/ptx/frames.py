"""Frames that are made on the device, as the CPU makes them, of chunks that tests choose."""

import numpy as np

import gcodec

from .compiled import SCHEDULES
from .host import OnDevice, host_device

HOW = [{"seed": seed, "resident": resident} for seed, resident in SCHEDULES]
CHUNK = 4_096


class Largest(gcodec.TopK):
    """The k largest; says that it keeps another share, so that chunks have the size for that."""

    def __init__(self, k, density=0.75):
        super().__init__(k=k)
        self.kept = density

    def density(self, n):
        return self.kept


class Above(gcodec.Threshold):
    """All from 2 on; says that it keeps some share."""

    def __init__(self, density=0.75):
        super().__init__(2.0)
        self.kept = density

    def density(self, n):
        return self.kept


def made(codec, array, how=HOW[1], **what):
    """The frame that is made on the device, which must not be made of parts: the CPU's bytes."""
    given = OnDevice(array.view(np.uint16) if array.dtype.name == "bfloat16" else array)
    with host_device(**how) as device:
        frame = codec.encode_on_device(given, **what)
        assert frame.stored is not None
    assert [name.partition("_uint")[0] for name in device[0].launched][-2:] == [
        "measure_chunks", "write_chunks",
    ]  # fmt: skip
    assert frame.get().tobytes() == codec.encode(array, **what).tobytes()
    return frame


def packed(recipe, keys, array, how=HOW[1], k=None, density=0.75, **what):
    """What inspection says of a frame of the elements from 2 on, or of the k largest.

    Chunks have 4,096 elements, if it is not said that fewer are kept.
    """
    plain = gcodec.get_codec(recipe)
    select = Above(density) if k is None else Largest(k, density)
    codec = gcodec.Codec(select, plain.quantize, keys=keys, values=plain.values)
    return gcodec.inspect(made(codec, array, how, **what).get())


def runs(counts, chunk=CHUNK):
    """As many elements above 2 in each chunk, wherever."""
    array = np.zeros(len(counts) * chunk, np.float32)
    rng = np.random.default_rng(1)
    for at, count in enumerate(counts):
        own = array[at * chunk : (at + 1) * chunk]
        own[rng.permutation(chunk)[:count]] = rng.uniform(2, 9, count) + 0.1
    return array
