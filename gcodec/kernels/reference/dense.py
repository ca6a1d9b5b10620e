"""Chunks of which every element goes: values as they are, or fields of one width."""

import numpy as np

from .checksum import xxh64
from .quantize import quantize
from .selection import compensate, magnitude_max


def fields_are_sound(payload, directory, first, width, levels):
    """Whether chunks from number `first` on match their checks and hold `nnz` fields and zeros.

    Fields have so many bits, and are below `levels` unless that is 0.
    """
    for i, entry in enumerate(directory):
        data = _bytes(payload, entry)
        if xxh64(data, first + i) & 0xFFFF_FFFF != entry["check"]:
            return False
        count = int(entry["nnz"])
        if int.from_bytes(data, "little") >> count * width:
            return False
        if levels and max(_fields(data, width, count)) >= levels:
            return False
    return True


def put_fields(payload, directory, chunk_log2, width, table, out):
    """`out[position] = table[field]`, of chunks that `out` starts with.

    `table` has an entry for all that a field can hold: bytes may change under us.
    """
    for part, fields in _chunks(payload, directory, chunk_log2, width, out):
        part[:] = table[fields]


def add_fields(payload, directory, chunk_log2, width, table, out):
    """`out[position] += table[field]`, as `put_fields`."""
    with np.errstate(over="ignore", invalid="ignore"):
        for part, fields in _chunks(payload, directory, chunk_log2, width, out):
            part += table[fields]


def put_values(payload, directory, chunk_log2, out):
    """`out[position] = value`, of patterns, as `put_fields`."""
    for part, values in _chunks(payload, directory, chunk_log2, 0, out):
        part[:] = values


def add_values(payload, directory, chunk_log2, scale, out):
    """`out[position] += value * scale`, of numbers, as `put_fields`."""
    with np.errstate(over="ignore", invalid="ignore"):
        for part, values in _chunks(payload, directory, chunk_log2, 0, out):
            part += values * scale


def _bytes(payload, entry):
    start = 2 * int(entry["off16"])
    return payload[start : start + 2 * int(entry["len16"])].tobytes()


def _fields(data, width, count):
    bits, mask = int.from_bytes(data, "little"), (1 << width) - 1
    return [bits >> width * j & mask for j in range(count)]


def _chunks(payload, directory, chunk_log2, width, out):
    """Each chunk's part of `out`, and its fields; of no bits: what it holds as `out` does."""
    for i, entry in enumerate(directory):
        count, data = int(entry["nnz"]), _bytes(payload, entry)
        part = out[i << chunk_log2 :][:count]
        values = np.frombuffer(data, np.uint8).view(out.dtype)[:count]
        yield part, _fields(data, width, count) if width else values


def code_chunks(
    bits, first, chunk_log2, boundaries, plain, width, directory, payload, decoded, residual
):
    """Write chunks from number `first` on, which `bits` are all elements of, and their checks.

    Parameters
    ----------
    bits : uint16, uint32 or uint64[n]
        Patterns, none of them infinite.
    boundaries : ascending magnitude patterns
    plain : uint32[2 * levels]
        What goes for 2 * level + sign.
    width : int
        Bits that goes in.
    directory : with offsets and lengths
    decoded : float32 or float64[2 * levels]
        What each decodes to.
    residual : of the same type, [n] or none
        What each element decodes to is taken off. May be the same memory as `bits`.
    """
    joint = np.empty(bits.size, np.uint32)
    quantize(bits, boundaries, joint)
    joint = plain[joint]
    for i, entry in enumerate(directory):
        fields = joint[i << chunk_log2 :][: entry["nnz"]].tolist()
        whole = sum(field << width * j for j, field in enumerate(fields))
        data = whole.to_bytes(16 * int(entry["len16"]), "little")
        start = 2 * int(entry["off16"])
        payload[start : start + len(data) // 8] = np.frombuffer(data, np.uint8).view(np.uint64)
        entry["check"] = xxh64(data, first + i) & 0xFFFF_FFFF
    if residual.size:
        residual -= decoded[joint]


def add_up(grad, residual, gamma, beta, out, bits):
    """`out = gamma * grad + beta * residual`; the largest magnitude pattern, `bits` being `out`'s.

    Factors are of the elements' type.
    """
    compensate(grad, residual, gamma, beta, out)
    return magnitude_max(bits)
