"""Chunks of which every element goes: values as they are, or fields of one width."""

import numpy as np

from .bits import LOW_SIX, ONE, SIX, THREE, ZERO, window
from .checksum import digest, digest_of_lanes, lanes_of, mix
from .jit import inner, kernel, magnitude, viewed
from .lanes import FASTEST, NONE, index_lanes, way_of
from .quantize import cut, level_of
from .selection import compensate, magnitude_max
from .vector import LANES
from .write import write_fields

TILE = 1 << 12
LOW_32 = np.uint64(0xFFFF_FFFF)
BYTE = 8
"""The width of fields that are read as bytes."""


@kernel
def fields_are_sound(payload, directory, first, width, levels):
    """Whether chunks from number `first` on match their checks and hold `nnz` fields and zeros.

    Fields have so many bits, and are below `levels` unless that is 0.
    """
    data = viewed(payload, np.uint8)
    for i in range(directory.size):
        start, stop = _span(directory[i])
        check = digest(data[8 * start : 8 * stop], np.uint64(first + i))
        if check & LOW_32 != np.uint64(directory[i].check):
            return False
        part, count = payload[start:stop], np.int64(directory[i].nnz)
        if _is_spare(part, np.uint64(count) * np.uint64(width)):
            return False
        if levels and _largest(part, width, count) >= np.uint64(levels):
            return False
    return True


@inner
def _span(entry):
    """The words of a chunk."""
    start = np.int64(entry.off16) * 2
    return start, start + np.int64(entry.len16) * 2


@inner
def _is_spare(words, end):
    """Whether a bit from one on is set."""
    word = end >> SIX
    some = words[word] >> (end & LOW_SIX)
    for more in range(word + ONE, np.uint64(words.size)):
        some |= words[more]
    return some != ZERO


@inner
def _largest(words, width, count):
    """The largest of so many fields."""
    if width == BYTE:
        top, fields = np.uint8(0), viewed(words, np.uint8)[:count]
        for j in range(fields.size):
            top = max(top, fields[j])
        return np.uint64(top)
    largest, at, step = ZERO, ZERO, np.uint64(width)
    mask = (ONE << step) - ONE
    for _ in range(count):
        largest = max(largest, window(words, at) & mask)
        at += step
    return largest


@kernel
def put_fields(payload, directory, chunk_log2, width, table, out):
    """`out[position] = table[field]`, of chunks that `out` starts with.

    `table` has an entry for all that a field can hold: bytes may change under us.
    """
    for i in range(directory.size):
        start, stop = _span(directory[i])
        words, part = payload[start:stop], out[i << chunk_log2 :][: np.int64(directory[i].nnz)]
        if width == BYTE:
            fields = viewed(words, np.uint8)
            for j in range(part.size):
                part[j] = table[fields[j]]
        else:
            at, step = ZERO, np.uint64(width)
            mask = (ONE << step) - ONE
            for j in range(part.size):
                part[j] = table[window(words, at) & mask]
                at += step


@kernel
def add_fields(payload, directory, chunk_log2, width, table, out):
    """`out[position] += table[field]`, as `put_fields`."""
    for i in range(directory.size):
        start, stop = _span(directory[i])
        words, part = payload[start:stop], out[i << chunk_log2 :][: np.int64(directory[i].nnz)]
        if width == BYTE:
            fields = viewed(words, np.uint8)
            for j in range(part.size):
                part[j] += table[fields[j]]
        else:
            at, step = ZERO, np.uint64(width)
            mask = (ONE << step) - ONE
            for j in range(part.size):
                part[j] += table[window(words, at) & mask]
                at += step


@kernel
def put_values(payload, directory, chunk_log2, out):
    """`out[position] = value`, of patterns, as `put_fields`."""
    for i in range(directory.size):
        start, stop = _span(directory[i])
        values, part = viewed(payload[start:stop], out.dtype), out[i << chunk_log2 :]
        for j in range(np.int64(directory[i].nnz)):
            part[j] = values[j]


@kernel
def add_values(payload, directory, chunk_log2, scale, out):
    """`out[position] += value * scale`, of numbers, as `put_fields`."""
    for i in range(directory.size):
        start, stop = _span(directory[i])
        values, part = viewed(payload[start:stop], out.dtype), out[i << chunk_log2 :]
        for j in range(np.int64(directory[i].nnz)):
            part[j] += values[j] * scale


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
    code_chunks_with(
        FASTEST, bits, first, chunk_log2, boundaries, plain, width, directory, payload, decoded,
        residual,
    )  # fmt: skip


@kernel
def code_chunks_with(
    fastest, bits, first, chunk_log2, boundaries, plain, width, directory, payload, decoded,
    residual,
):  # fmt: skip
    """`code_chunks`, with the fastest code for levels that may be used."""
    found = way_of(fastest, bits, boundaries, plain)
    cells = cut(boundaries)
    numbers = np.empty(min(1 << chunk_log2, bits.size), np.uint32)
    small, data = np.empty(numbers.size, np.uint8), viewed(payload, np.uint8)
    for i in range(directory.size):
        count, seed = np.int64(directory[i].nnz), np.uint64(first + i)
        start, stop = _span(directory[i])
        in_lanes = found[0] != NONE and count % LANES == 0
        if in_lanes and width == BYTE:
            at = np.uint64(i << chunk_log2)
            check = _code_bytes(
                found, bits, at, count, payload, data, np.uint64(start), np.uint64(stop), seed
            )
        else:
            words, part = payload[start:stop], bits[i << chunk_log2 :][:count]
            words[(count * width) >> 6 :] = ZERO
            if in_lanes:
                fields = small[:count]
                _index_bytes(found, part, fields)
                write_fields(fields, width, words)
            else:
                own = numbers[:count]
                if width == BYTE:
                    _code_one_by_one(part, cells, plain, viewed(words, np.uint8))
                else:
                    _code_one_by_one(part, cells, plain, own)
                    write_fields(own, width, words)
            check = digest(viewed(words, np.uint8), seed)
        directory[i].check = check & LOW_32
        if residual.size:
            rest = residual[i << chunk_log2 :][:count]
            if width == BYTE:
                _settle(rest, data[8 * start :], decoded)
            elif in_lanes:
                _settle(rest, small, decoded)
            else:
                _settle(rest, numbers, decoded)


@inner
def _code_bytes(found, bits, at, count, payload, data, word, stop, seed):
    """Write a chunk; XXH64 of it. What was just written is hashed while more is looked up.

    Arrays are whole, since slices have their references counted.
    """
    size = np.uint64(8) * (stop - word)
    a, b, c, d = lanes_of(seed)
    for _ in range(count // LANES):
        index_lanes(found, bits, at, data, word << THREE)
        for _ in range(LANES // 32):
            a = mix(a, payload[word])
            b = mix(b, payload[word + ONE])
            c = mix(c, payload[word + np.uint64(2)])
            d = mix(d, payload[word + np.uint64(3)])
            word += np.uint64(4)
        at += np.uint64(LANES)
    zeros = stop - word
    for _ in range(zeros):
        payload[word] = ZERO
        word += ONE
    return digest_of_lanes(a, b, c, d, size, zeros)


@inner
def _index_bytes(found, part, fields):
    for at in range(np.uint64(0), np.uint64(part.size), np.uint64(LANES)):
        index_lanes(found, part, at, fields, at)


@inner
def _code_one_by_one(bits, cells, plain, fields):
    """What goes for each pattern."""
    lowest, shift, last, below, edges, most = cells
    sign = np.uint64(bits.itemsize * 8 - 1)
    for i in range(bits.size):
        size = np.uint64(magnitude(bits[i]))
        level = level_of(size, lowest, shift, last, below, edges, most)
        fields[i] = plain[level << ONE | np.uint64(bits[i]) >> sign]


@inner
def _settle(residual, numbers, decoded):
    for j in range(residual.size):
        residual[j] -= decoded[numbers[j]]


@kernel
def add_up(grad, residual, gamma, beta, out, bits):
    """`out = gamma * grad + beta * residual`; the largest magnitude pattern, `bits` being `out`'s.

    Factors are of the elements' type.
    """
    top = bits.dtype.type(0)
    for start in range(0, out.size, TILE):
        own = slice(start, start + TILE)
        compensate(grad[own], residual[own], gamma, beta, out[own])
        top = max(top, magnitude_max(bits[own]))
    return top
