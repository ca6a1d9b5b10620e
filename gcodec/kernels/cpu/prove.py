"""What a whole frame holds, proved in one call if it is of the common kind."""

import numpy as np

from ...format.codes import CODE_SPACE
from ...format.directory import CHUNK
from ...format.header import HEADER_SIZE
from .directory import ALL, check_directory, levels_are_sound
from .jit import inner, kernel, viewed
from .measure import CLASSES
from .sound import (
    CHUNK_BYTES,
    CHUNK_LOG2,
    CHUNKDIR,
    CODEBOOK,
    ELEMENTS,
    ITEM,
    KEYCODES,
    KINDS,
    MAX_ELEMENTS,
    PAYLOAD,
    STORED,
    VALUECODE,
    is_sound,
    length_at,
    length_of,
)
from .unpack import first_corrupt, read_keys, read_values

INFINITY = 0x7F80_0000


@kernel
def prove_whole(buffer, work):
    """Elements of a frame of float32: n or -1, log2 of a chunk, keys, patterns, numbers by chunk.

    -1 says that the frame is not sound, or of another kind: the parts say which. Everything is
    proved of a copy, since the buffer may change under us.

    Parameters
    ----------
    buffer : uint8
        Starts with the frame.
    work : uint64
        Scratch, of as many bytes as the buffer.
    """
    counts, nothing = np.empty(0, np.int64), np.empty(0, np.uint32)
    left = -1, 0, nothing, nothing, counts
    if buffer.size < HEADER_SIZE:
        return left
    data = viewed(work, np.uint8)
    _copy(buffer, data, 0, HEADER_SIZE)
    size = length_of(work, min(buffer.size, data.size))
    if size == 0:
        return left
    _copy(buffer, data, HEADER_SIZE, size)
    words, data = work[: size >> 3], data[:size]
    spans = np.zeros((KINDS, 2), np.int64)
    n = np.int64(words[ELEMENTS])
    if not 0 < n <= MAX_ELEMENTS or not is_sound(words, n, spans):
        return left
    start, levels = spans[CODEBOOK, 0], spans[CODEBOOK, 1]
    table = viewed(data[start : start + ITEM * levels], np.uint32)
    if not levels_are_sound(table, INFINITY):
        return left
    start, stored = spans[CHUNKDIR, 0], np.int64(words[STORED])
    directory = viewed(data[start : start + CHUNK_BYTES * spans[CHUNKDIR, 1]], CHUNK)
    log2, n_codes, coded = np.int64(data[CHUNK_LOG2]), spans[KEYCODES, 1], spans[VALUECODE, 1]
    payload = words[spans[PAYLOAD, 0] >> 3 : (spans[PAYLOAD, 0] >> 3) + 2 * spans[PAYLOAD, 1]]
    facts = (n, log2, stored, False, 8 * ITEM, 8 * payload.size, levels, n_codes, coded, 0)
    step, _ = check_directory(directory, facts)
    if step or first_corrupt(payload, directory, 0) >= 0:
        return left
    counts, most = np.empty(directory.size, np.int64), 0
    for chunk in range(directory.size):
        counts[chunk] = directory[chunk].nnz
        if directory[chunk].key_codec == ALL:
            return left
        if directory[chunk].columns:
            most = max(most, np.int64(directory[chunk].columns) + counts[chunk])
    lengths = np.empty(n_codes * CLASSES + coded, np.uint8)
    _unpack_lengths(data, spans[KEYCODES, 0], lengths[: n_codes * CLASSES])
    _unpack_lengths(data, spans[VALUECODE, 0], lengths[n_codes * CLASSES :])
    tables = np.zeros(CODE_SPACE * (n_codes + (coded > 0)), np.uint16)
    keys, bits = np.empty(stored, np.uint32), np.empty(stored, np.uint32)
    layout = n, log2, 8 * ITEM
    split = CODE_SPACE * n_codes
    code, value_table = lengths[n_codes * CLASSES :], tables[split:]
    step, _ = read_values(payload, directory, 0, layout, table, code, value_table, bits)
    if step:
        return left
    codes = lengths[: n_codes * CLASSES].reshape(n_codes, CLASSES)
    key_tables, scratch = tables[:split].reshape(n_codes, CODE_SPACE), np.empty(most, np.uint32)
    seeds = words[:0]
    step, _ = read_keys(payload, directory, 0, layout, codes, seeds, key_tables, scratch, keys)
    if step:
        return left
    return n, log2, keys, bits, counts


@inner
def _copy(source, target, start, stop):
    for i in range(start, stop):
        target[i] = source[i]


@inner
def _unpack_lengths(data, start, lengths):
    for symbol in range(lengths.size):
        lengths[symbol] = length_at(data, start, symbol)
