"""Frames taken apart and put together again by `struct`: nothing here is from gcodec."""

import struct

import numpy as np
import xxhash

TENSORS, DIMS, CHUNKDIR, PAYLOAD = 1, 2, 5, 6
ENTRY = struct.Struct("<HHIQ")


def align(offset, kind):
    """Where a section of this type starts, after one that ends at `offset`."""
    step = 64 if kind == PAYLOAD else 8
    return -(-offset // step) * step


def low_hash(data, seed=0):
    return xxhash.xxh64_intdigest(bytes(data), seed) & 0xFFFF_FFFF


def own_type(frame):
    """NumPy's type for the elements that a frame says it has; float32 if it says nothing known."""
    said = frame[52] if len(frame) > 52 else 1
    return np.dtype({2: np.float16, 3: np.uint16, 4: np.float64}.get(said, np.float32))


def section_table(frame):
    """{section type: (count, offset, length)}, as far as the buffer goes."""
    header_len, n_sections = (struct.unpack_from("<H", frame, at)[0] for at in (6, 48))
    table, end = {}, header_len + ENTRY.size * n_sections
    for i in range(min(n_sections, 64)):
        at = header_len + ENTRY.size * i
        if at + ENTRY.size > len(frame):
            break
        kind, _, count, length = ENTRY.unpack_from(frame, at)
        offset = align(end, kind)
        table.setdefault(kind, (count, offset, length))
        end = offset + length
    return table


def reseal(data, *, layout=True, chunks=True):
    """Make every check of a changed frame right again: only the content is wrong.

    Follows the frame's own numbers as far as they stay inside the buffer.
    """
    frame = bytearray(data)
    table = section_table(frame)
    _, payload, payload_len = table.get(PAYLOAD, (0, len(frame), 0))
    _, directory, directory_len = table.get(CHUNKDIR, (0, 0, 0))
    for i in range(min(directory_len // 32, 4096) if chunks else 0):
        at = directory + 32 * i
        if at + 32 > len(frame):
            break
        off16, len16 = struct.unpack_from("<II", frame, at)
        part = frame[payload : payload + payload_len][off16 * 16 : (off16 + len16) * 16]
        struct.pack_into("<I", frame, at + 28, low_hash(part, i))
    if layout:
        spans = [table.get(kind, (0, 0, 0))[1:] for kind in (TENSORS, DIMS)]
        rows = b"".join(bytes(frame[start : start + size]) for start, size in spans)
        struct.pack_into("<Q", frame, 104, xxhash.xxh64_intdigest(rows))
    if frame[51] == 3 and 4 in table:
        _, offset, length = table[4]
        meaning = bytes(frame[104:112] + frame[offset : offset + length])
        struct.pack_into("<Q", frame, 96, xxhash.xxh64_intdigest(meaning))
    payload_offset = struct.unpack_from("<Q", frame, 112)[0]
    struct.pack_into("<I", frame, 120, low_hash(frame[128:payload_offset]))
    struct.pack_into("<I", frame, 124, low_hash(frame[:124]))
    return bytes(frame)


def compose(frame, *, header_len=128, header=(), sections=(), fill=b"\0", align=align):
    """Write a frame anew from the parts of another: a writer of the tests' own.

    `header` holds (offset, struct code, value); `sections` holds {type: (count, bytes)}, or None to
    leave one out. `fill` is what stands between sections, `align` says where they start.
    """
    frame = bytes(frame)
    parts = {
        kind: (count, frame[offset : offset + length])
        for kind, (count, offset, length) in section_table(frame).items()
    }
    parts.update(sections)
    order = sorted(
        (kind for kind in parts if parts[kind]), key=lambda kind: (kind == PAYLOAD, kind)
    )
    table, first = b"", header_len + ENTRY.size * len(order)
    offset, body = first, b""
    for kind in order:
        count, content = parts[kind]
        offset = align(first + len(body), kind)
        table += ENTRY.pack(kind, 0, count, len(content))
        body = body.ljust(offset - first, fill) + content
    whole = -(-(first + len(body)) // 64) * 64
    head = bytearray(frame[:128].ljust(header_len, b"\0"))
    struct.pack_into("<HQ", head, 6, header_len, whole)
    struct.pack_into("<H", head, 48, len(order))
    struct.pack_into("<Q", head, 112, offset)
    for at, form, value in header:
        struct.pack_into("<" + form, head, at, value)
    return reseal((head + table + body).ljust(whole, b"\0"))
