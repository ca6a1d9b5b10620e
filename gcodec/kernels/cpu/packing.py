"""Keys and values to planes and back (spec section 8).

Bit positions are unsigned: a signed sum would turn on wrap-around tests and, mixed with unsigned,
floats.
"""

import numpy as np

from ...format import ids
from ...format.directory import KEY_HIGH, KEY_LOW, PAD, SIGN, VALUE_HIGH, VALUE_LOW
from ..status import (
    KEY_ORDER,
    KEY_PLANE,
    KEY_RANGE,
    OK,
    SPARE_BITS,
    VALUE_PLANE,
    VALUE_RANGE,
)
from .jit import helper, kernel, trailing_zeros

KEY_RICE = int(ids.KeyCodec.RICE)
VALUE_RICE = int(ids.ValueCodec.RICE)
ZERO, ONE = np.uint64(0), np.uint64(1)
SIX, LOW_SIX, WORD = np.uint64(6), np.uint64(63), np.uint64(64)


@helper
def _put(words, bit, width, value):
    word, offset = bit >> SIX, bit & LOW_SIX
    words[word] |= value << offset
    if offset + width > WORD:
        words[word + ONE] |= value >> (WORD - offset)


@helper
def _get(words, bit, mask):
    word, offset = bit >> SIX, bit & LOW_SIX
    return ((words[word] >> offset) | ((words[word + ONE] << ONE) << (LOW_SIX - offset))) & mask


@kernel
def rice_fit(symbols, counts, limit, parameters, high_bits):
    """Smallest Rice parameter <= `limit` that costs least, and the unary bits, per chunk.

    Going from k to k + 1 adds one low bit per symbol and saves sum(ceil((symbol >> k) / 2)); the
    saving shrinks with k, so the first k that does not save is the optimum.
    """
    first = 0
    for chunk in range(counts.size):
        part = symbols[first : first + counts[chunk]]
        first += part.size
        k = np.uint64(0)
        while k < np.uint64(limit):
            saved = 0
            for j in range(part.size):
                saved += ((np.uint64(part[j]) >> k) + ONE) >> ONE
            if saved <= part.size:
                break
            k += ONE
        high = part.size
        for j in range(part.size):
            high += np.int64(np.uint64(part[j]) >> k)
        parameters[chunk] = k
        high_bits[chunk] = high


@kernel
def rice_fit_gaps(keys, counts, limit, parameters, high_bits):
    """`rice_fit` of the gaps between ascending keys."""
    first = 0
    for chunk in range(counts.size):
        part = keys[first : first + counts[chunk]]
        first += part.size
        k = np.uint64(0)
        while k < np.uint64(limit):
            saved = 0
            previous = np.int64(-1)
            for j in range(part.size):
                gap = np.int64(part[j]) - previous - 1
                previous = np.int64(part[j])
                saved += ((gap >> np.int64(k)) + 1) >> 1
            if saved <= part.size:
                break
            k += ONE
        high = part.size
        previous = np.int64(-1)
        for j in range(part.size):
            gap = np.int64(part[j]) - previous - 1
            previous = np.int64(part[j])
            high += gap >> np.int64(k)
        parameters[chunk] = k
        high_bits[chunk] = high


@helper
def _pack_keys(entry, plane, keys, payload):
    k = np.uint64(entry.key_param)
    low = np.uint64(plane[KEY_LOW]) << SIX
    if entry.key_codec != KEY_RICE:
        for j in range(keys.size):
            _put(payload, low, k, np.uint64(keys[j]))
            low += k
        return
    high = np.uint64(plane[KEY_HIGH]) << SIX
    mask = (ONE << k) - ONE
    following = ZERO
    for j in range(keys.size):
        gap = np.uint64(keys[j]) - following
        following = np.uint64(keys[j]) + ONE
        _put(payload, low, k, gap & mask)
        low += k
        high += gap >> k
        payload[high >> SIX] |= ONE << (high & LOW_SIX)
        high += ONE


@helper
def _pack_values(entry, plane, symbols, bits, payload):
    low = np.uint64(plane[VALUE_LOW]) << SIX
    if entry.val_codec != VALUE_RICE:
        for j in range(bits.size):
            _put(payload, low, np.uint64(32), np.uint64(bits[j]))
            low += np.uint64(32)
        return
    k = np.uint64(entry.val_param)
    mask = (ONE << k) - ONE
    sign = np.uint64(plane[SIGN]) << SIX
    high = np.uint64(plane[VALUE_HIGH]) << SIX
    for j in range(bits.size):
        symbol = np.uint64(symbols[j])
        payload[sign >> SIX] |= (np.uint64(bits[j]) >> np.uint64(31)) << (sign & LOW_SIX)
        sign += ONE
        _put(payload, low, k, symbol & mask)
        low += k
        high += symbol >> k
        payload[high >> SIX] |= ONE << (high & LOW_SIX)
        high += ONE


@kernel
def pack(directory, planes, keys, symbols, bits, payload):
    """Write every chunk's planes into `payload` (zeroed uint64 words)."""
    first = 0
    for chunk in range(directory.size):
        entry = directory[chunk]
        stop = first + np.int64(entry.nnz)
        if stop > first:
            _pack_keys(entry, planes[chunk], keys[first:stop], payload)
            _pack_values(entry, planes[chunk], symbols[first:stop], bits[first:stop], payload)
        first = stop


@helper
def _read_unary(payload, start, stop, bits, out):
    """Each one's position less its rank, into `out`; False unless out.size ones end the plane."""
    found = 0
    last = np.int64(-1)
    for word in range(start, stop):
        rest = payload[word]
        base = (word - start) << 6
        while rest != ZERO:
            if found == out.size:
                return False
            last = base + np.int64(trailing_zeros(rest))
            out[found] = last - found
            found += 1
            rest &= rest - ONE
    return found == out.size and last == np.int64(bits) - 1


@helper
def _unpack_keys(entry, plane, length, payload, keys):
    k = np.uint64(entry.key_param)
    mask = (ONE << k) - ONE
    low = np.uint64(plane[KEY_LOW]) << SIX
    previous = np.int64(-1)
    if entry.key_codec != KEY_RICE:
        for j in range(keys.size):
            key = np.int64(_get(payload, low, mask))
            low += k
            if key <= previous:
                return KEY_ORDER
            if key >= length:
                return KEY_RANGE
            keys[j] = previous = key
        return OK
    if not _read_unary(payload, plane[KEY_HIGH], plane[SIGN], entry.key_hi_bits, keys):
        return KEY_PLANE
    before = np.int64(0)
    for j in range(keys.size):
        quotient = np.int64(keys[j]) - before
        before = np.int64(keys[j])
        key = previous + 1 + ((quotient << np.int64(k)) | np.int64(_get(payload, low, mask)))
        low += k
        if key >= length:
            return KEY_RANGE
        keys[j] = previous = key
    return OK


@helper
def _unpack_values(entry, plane, level_bits, payload, values):
    low = np.uint64(plane[VALUE_LOW]) << SIX
    if entry.val_codec != VALUE_RICE:
        for j in range(values.size):
            values[j] = _get(payload, low, np.uint64(0xFFFF_FFFF))
            low += np.uint64(32)
        return OK
    if not _read_unary(payload, plane[VALUE_HIGH], plane[PAD], entry.val_hi_bits, values):
        return VALUE_PLANE
    k = np.uint64(entry.val_param)
    mask = (ONE << k) - ONE
    levels = level_bits[np.int64(entry.level_base) :]
    sign = np.uint64(plane[SIGN]) << SIX
    before = np.uint64(0)
    for j in range(values.size):
        quotient = np.uint64(values[j]) - before
        before = np.uint64(values[j])
        index = (quotient << k) | _get(payload, low, mask)
        low += k
        if index >= np.uint64(levels.size):
            return VALUE_RANGE
        values[j] = np.uint64(levels[index]) | (_get(payload, sign, ONE) << np.uint64(31))
        sign += ONE
    return OK


@helper
def _is_zero_from(payload, start, stop, used):
    """Whether bits `used` and up of the plane in words [start, stop) are zero."""
    word = start + (np.int64(used) >> 6)
    if word < stop and payload[word] >> (np.uint64(used) & LOW_SIX) != ZERO:
        return False
    for rest in range(word + 1, stop):  # noqa: SIM110 - a kernel has no generators
        if payload[rest] != ZERO:
            return False
    return True


@helper
def _spare_is_zero(entry, plane, payload):
    count = np.int64(entry.nnz)
    width = np.int64(entry.val_param)
    signs = count
    if entry.val_codec != VALUE_RICE:
        width, signs = np.int64(32), np.int64(0)
    end = (np.int64(entry.off16) + np.int64(entry.len16)) * 2
    return (
        _is_zero_from(payload, plane[KEY_LOW], plane[KEY_HIGH], count * np.int64(entry.key_param))
        and _is_zero_from(payload, plane[SIGN], plane[VALUE_LOW], signs)
        and _is_zero_from(payload, plane[VALUE_LOW], plane[VALUE_HIGH], count * width)
        and _is_zero_from(payload, plane[PAD], end, 0)
    )


@kernel
def unpack(directory, planes, lengths, level_bits, payload, keys, values):
    """Read every chunk into `keys` (within the chunk) and `values` (bit patterns), and prove it.

    Returns (status, chunk): the first fault found, or (OK, 0).
    """
    first = 0
    for chunk in range(directory.size):
        entry = directory[chunk]
        plane = planes[chunk]
        stop = first + np.int64(entry.nnz)
        if stop > first:
            status = _unpack_keys(entry, plane, lengths[chunk], payload, keys[first:stop])
            if status == OK:
                status = _unpack_values(entry, plane, level_bits, payload, values[first:stop])
            if status == OK and not _spare_is_zero(entry, plane, payload):
                status = SPARE_BITS
            if status != OK:
                return status, chunk
        first = stop
    return OK, 0
