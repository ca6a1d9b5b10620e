"""Keys and values to planes and back (spec section 8), one big integer per plane."""

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


def rice_fit(symbols, counts, limit, parameters, high_bits):
    """Smallest Rice parameter <= `limit` that costs least, and the unary bits, per chunk."""
    for chunk, values in enumerate(_split(symbols, counts)):
        parameters[chunk], high_bits[chunk] = _fit(values, limit)


def rice_fit_gaps(keys, counts, limit, parameters, high_bits):
    """`rice_fit` of the gaps between ascending keys."""
    for chunk, values in enumerate(_split(keys, counts)):
        parameters[chunk], high_bits[chunk] = _fit(_gaps(values), limit)


def pack(directory, planes, keys, symbols, bits, payload):
    """Write every chunk's planes into `payload` (zeroed uint64 words)."""
    counts = directory["nnz"]
    parts = zip(
        directory, planes, _split(keys, counts), _split(symbols, counts), _split(bits, counts),
        strict=True,
    )  # fmt: skip
    for entry, plane, chunk_keys, chunk_symbols, chunk_bits in parts:
        k, v = int(entry["key_param"]), int(entry["val_param"])
        if entry["key_codec"] == ids.KeyCodec.RICE:
            gaps = _gaps(chunk_keys)
            _write(payload, plane[KEY_LOW], [gap & (1 << k) - 1 for gap in gaps], k)
            _write_unary(payload, plane[KEY_HIGH], [gap >> k for gap in gaps])
        else:
            _write(payload, plane[KEY_LOW], chunk_keys, k)
        if entry["val_codec"] == ids.ValueCodec.RICE:
            _write(payload, plane[SIGN], [pattern >> 31 for pattern in chunk_bits], 1)
            _write(payload, plane[VALUE_LOW], [s & (1 << v) - 1 for s in chunk_symbols], v)
            _write_unary(payload, plane[VALUE_HIGH], [s >> v for s in chunk_symbols])
        else:
            _write(payload, plane[VALUE_LOW], chunk_bits, 32)


def unpack(directory, planes, lengths, level_bits, payload, keys, values):
    """Read every chunk into `keys` (within the chunk) and `values` (bit patterns), and prove it.

    Returns (status, chunk): the first fault found, or (OK, 0).
    """
    done = 0
    for chunk, (entry, plane) in enumerate(zip(directory, planes, strict=True)):
        count = int(entry["nnz"])
        if not count:
            continue
        status, chunk_keys = _read_keys(entry, plane, int(lengths[chunk]), payload)
        if status == OK:
            status, chunk_values = _read_values(entry, plane, level_bits.tolist(), payload)
        if status == OK and not _spare_is_zero(entry, plane, payload):
            status = SPARE_BITS
        if status != OK:
            return status, chunk
        keys[done : done + count] = chunk_keys
        values[done : done + count] = chunk_values
        done += count
    return OK, 0


def _read_keys(entry, plane, length, payload):
    count, k = int(entry["nnz"]), int(entry["key_param"])
    low = _read(payload, plane[KEY_LOW], count, k)
    if entry["key_codec"] == ids.KeyCodec.RICE:
        high = _read_unary(payload, plane[KEY_HIGH], plane[SIGN], count, int(entry["key_hi_bits"]))
        if high is None:
            return KEY_PLANE, None
        keys, position = [], -1
        for h, rest in zip(high, low, strict=True):
            position += (h << k | rest) + 1
            keys.append(position)
    else:
        keys = low
    previous = -1
    for key in keys:
        if key <= previous:
            return KEY_ORDER, None
        if key >= length:
            return KEY_RANGE, None
        previous = key
    return OK, keys


def _read_values(entry, plane, level_bits, payload):
    count, k = int(entry["nnz"]), int(entry["val_param"])
    if entry["val_codec"] == ids.ValueCodec.RAW:
        return OK, _read(payload, plane[VALUE_LOW], count, 32)
    low = _read(payload, plane[VALUE_LOW], count, k)
    high = _read_unary(payload, plane[VALUE_HIGH], plane[PAD], count, int(entry["val_hi_bits"]))
    if high is None:
        return VALUE_PLANE, None
    signs = _read(payload, plane[SIGN], count, 1)
    levels = level_bits[int(entry["level_base"]) :]
    indices = [h << k | rest for h, rest in zip(high, low, strict=True)]
    if max(indices) >= len(levels):
        return VALUE_RANGE, None
    return OK, [levels[i] | sign << 31 for i, sign in zip(indices, signs, strict=True)]


def _spare_is_zero(entry, plane, payload):
    count = int(entry["nnz"])
    raw = entry["val_codec"] == ids.ValueCodec.RAW
    for start, stop, used in (
        (plane[KEY_LOW], plane[KEY_HIGH], count * int(entry["key_param"])),
        (plane[SIGN], plane[VALUE_LOW], 0 if raw else count),
        (plane[VALUE_LOW], plane[VALUE_HIGH], count * (32 if raw else int(entry["val_param"]))),
        (plane[PAD], (int(entry["off16"]) + int(entry["len16"])) * 2, 0),
    ):
        if _integer(payload, start, stop) >> used:
            return False
    return True


def _split(values, counts):
    start = 0
    for count in counts.tolist():
        yield values[start : start + count].tolist()
        start += count


def _gaps(keys):
    return [key - previous - 1 for previous, key in zip([-1, *keys], keys, strict=False)]


def _fit(values, limit):
    highs = [len(values) + sum(value >> k for value in values) for k in range(limit + 1)]
    costs = [len(values) * k + high for k, high in enumerate(highs)]
    best = costs.index(min(costs))
    return best, highs[best]


def _write(payload, start, fields, width):
    plane = sum(field << width * i for i, field in enumerate(fields))
    _store(payload, start, plane)


def _write_unary(payload, start, quotients):
    plane = position = 0
    for quotient in quotients:
        position += quotient
        plane |= 1 << position
        position += 1
    _store(payload, start, plane)


def _store(payload, start, plane):
    for i in range(-(-plane.bit_length() // 64)):
        payload[start + i] = plane >> 64 * i & (1 << 64) - 1


def _integer(payload, start, stop):
    return int.from_bytes(payload[start:stop].tobytes(), "little")


def _read(payload, start, count, width):
    plane = _integer(payload, start, start + -(-count * width // 64))
    return [plane >> width * i & (1 << width) - 1 for i in range(count)]


def _read_unary(payload, start, stop, count, bits):
    plane = _integer(payload, start, stop)
    if plane.bit_count() != count or plane.bit_length() != bits:
        return None
    quotients, previous = [], -1
    for position in range(bits):
        if plane >> position & 1:
            quotients.append(position - previous - 1)
            previous = position
    return quotients
