"""XXH64 (spec section 2), after the published algorithm description."""

MASK = (1 << 64) - 1
PRIMES = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)


def xxh64(data, seed):
    """XXH64 of uint8[n] with a seed below 2**63."""
    data = bytes(data)
    p1, p2, p3, p4, p5 = PRIMES
    tail = len(data) // 32 * 32
    if tail:
        lanes = [seed + p1 + p2, seed + p2, seed, seed - p1]
        for start in range(0, tail, 32):
            for lane in range(4):
                word = data[start + 8 * lane : start + 8 * lane + 8]
                lanes[lane] = _round(lanes[lane], int.from_bytes(word, "little"))
        h = sum(_rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            h = (h ^ _round(0, lane)) * p1 + p4
    else:
        h = seed + p5
    h += len(data)
    while tail + 8 <= len(data):
        h = _rotate(h ^ _round(0, int.from_bytes(data[tail : tail + 8], "little")), 27) * p1 + p4
        tail += 8
    if tail + 4 <= len(data):
        h = _rotate(h ^ int.from_bytes(data[tail : tail + 4], "little") * p1, 23) * p2 + p3
        tail += 4
    for byte in data[tail:]:
        h = _rotate(h ^ byte * p5, 11) * p1
    h &= MASK
    h = (h ^ h >> 33) * p2 & MASK
    h = (h ^ h >> 29) * p3 & MASK
    return h ^ h >> 32


def chunk_checks(payload, directory, first, checks):
    """Low half of XXH64 of each chunk's bytes, seeded with its index, from `first` on."""
    for i, entry in enumerate(directory):
        start = int(entry["off16"]) * 16
        checks[i] = (
            xxh64(payload[start : start + int(entry["len16"]) * 16], first + i) & 0xFFFF_FFFF
        )


def _rotate(x, by):
    x &= MASK
    return (x << by | x >> 64 - by) & MASK


def _round(lane, word):
    return _rotate(lane + word * PRIMES[1], 31) * PRIMES[0] & MASK
