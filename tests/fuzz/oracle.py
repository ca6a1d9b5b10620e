"""What holds for any bytes: every decoder reads the same out of them, or refuses them alike.

As a program it prints, as JSON, what the compiled kernels make of each file in a folder, with every
index of an array checked.
"""

import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
from anatomy import own_type

import gcodec

sys.path.insert(0, str(Path(__file__).parents[2] / "spec"))
import reference

DENSE = 2**16
"""Frames of so many elements and fewer are decoded to arrays too."""

MARGIN = 64
CANARY, CANARY_BITS = -12345.678, 12345


def by_spec(data):
    """Verdict of `spec/reference.py`: the class of the error, or a digest of keys and values."""
    try:
        decoded = reference.decode(data)
    except reference.FrameError as error:
        return type(error).__name__
    n = len(decoded.keys)
    return _digest(struct.pack(f"<{n}Q{n}Q", *decoded.keys, *decoded.values))


def by_library(data, backend, every_reader=True):
    """Verdict of `decode_sparse`, which no other reader of the library may contradict.

    Any other exception than a `FrameError` escapes.
    """
    refused, pairs = _attempt(gcodec.decode_sparse, data, backend=backend)
    n = int.from_bytes(data[24:32], "little")
    if n > DENSE:
        error, _ = _attempt(gcodec.decode, data, max_elements=DENSE, backend=backend)
        # The size may be refused before the payload is looked at (spec section 9).
        allowed = (refused or "LimitExceeded", "LimitExceeded")
        assert error in allowed, f"decode says {error}, decode_sparse {refused}"
    else:
        dense = np.zeros(n, own_type(data))
        if not refused:
            assert pairs[1].dtype == dense.dtype
            dense[pairs[0]] = pairs[1]
        _between_canaries(gcodec.decode, data, backend, refused, dense)
        if every_reader:
            wide = _widened(dense)
            if wide.dtype != dense.dtype:
                _between_canaries(gcodec.decode, data, backend, refused, wide)
            with np.errstate(over="ignore", invalid="ignore"):
                total = _canary(wide.dtype) + wide
            _between_canaries(gcodec.accumulate, data, backend, refused, total)
    if every_reader:
        error, said = _attempt(gcodec.inspect, data, backend=backend)
        assert error == refused, f"inspect says {error}, decode_sparse {refused}"
        assert refused or (said.header["n_stored"] == pairs[0].size and str(said))
    if refused:
        return refused
    keys, patterns = pairs[0], pairs[1].view(f"u{pairs[1].itemsize}")
    return _digest(keys.astype("<u8").tobytes() + patterns.astype("<u8").tobytes())


def _canary(dtype):
    return dtype.type(CANARY_BITS if dtype.kind == "u" else CANARY)


def _widened(numbers):
    """The same as float32, or as float64 if they are; uint16 holds bfloat16."""
    if numbers.dtype == np.uint16:
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers if numbers.dtype == np.float64 else numbers.astype(np.float32)


def _between_canaries(read, data, backend, refused, expected):
    """Read into the middle of an array: all of the answer or nothing, and nothing around it."""
    inside = slice(MARGIN, MARGIN + expected.size)
    whole = np.full(expected.size + 2 * MARGIN, _canary(expected.dtype))
    answer = whole.copy()
    if not refused:
        answer[inside] = expected
    error, _ = _attempt(read, data, out=whole[inside], backend=backend)
    assert error == refused, f"{read.__name__} says {error}, decode_sparse {refused}"
    assert whole.tobytes() == answer.tobytes(), f"{read.__name__} wrote something else"


def _attempt(read, *arguments, **options):
    try:
        return None, read(*arguments, **options)
    except gcodec.FrameError as error:
        return type(error).__name__, None


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def variants(data, reseal):
    """The bytes as they are, and with start, length and checks right: only the content is wrong."""
    yield data
    size = len(data) // 64 * 64
    if size < 128:
        return
    frame = bytearray(data)
    frame[:5] = reference.MAGIC + b"\1"
    frame_len = int.from_bytes(data[8:16], "little")
    if frame_len > size or frame_len % 64:
        frame[8:16] = size.to_bytes(8, "little")
    sealed = reseal(frame)
    if sealed != data:
        yield sealed


def _check_that_bounds_are_checked():
    """Read past the end of a payload; cached kernels of another process would not notice."""
    from gcodec.format.directory import CHUNK
    from gcodec.kernels import cpu

    payload, directory = np.zeros(1, np.uint64), np.zeros(1, CHUNK)
    directory["off16"], directory["len16"], directory["nnz"], directory["key_codec"] = 5, 1, 1, 1
    codes, seeds, tables = np.zeros((0, 32), np.uint8), payload[:0], np.zeros((0, 4096), np.uint16)
    for array in (payload, directory, codes, seeds):
        array.flags.writeable = False
    keys = np.zeros(1, np.uint32)
    try:
        cpu.read_keys(payload, directory, 0, (1, 6, 32), codes, seeds, tables, keys[:0], keys)
    except IndexError:
        return
    sys.exit("bounds are not checked: set NUMBA_BOUNDSCHECK and a NUMBA_CACHE_DIR of its own")


if __name__ == "__main__":
    _check_that_bounds_are_checked()
    files = sorted(Path(sys.argv[1]).iterdir())
    json.dump({file.name: by_library(file.read_bytes(), "cpu") for file in files}, sys.stdout)
