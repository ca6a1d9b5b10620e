"""Magnitude statistics and compaction on CUDA: factories of kernels.

Each element is read once, 16 bytes at a time by each thread where it starts at a multiple of that.
Elements are uint16, uint32 or uint64 patterns; numbers beside them are unsigned.
"""

import numpy as np

from .warps import FULL, LAST_LANE, WARP, largest, position, scan, total

WARPS = 8
THREADS = WARPS * WARP
"""In a block of every kernel here."""

ROUNDS = {2: 2, 4: 4, 8: 4}
"""Vectors that each thread has of a tile, by the bytes of an element."""

ZERO, ONE, SIX_TWO = np.uint64(0), np.uint64(1), np.uint64(62)
PART, WHOLE = ONE << SIX_TWO, np.uint64(2) << SIX_TWO
"""In `progress`: the number kept of a tile alone, or of that and all before."""

COUNT = PART - ONE


def tile_of(itemsize):
    """Elements that a block of `collect` takes."""
    return THREADS * 16 // itemsize * ROUNDS[itemsize]


def top_of(kind):
    """The type that patterns of a type are compared in by atomics."""
    return np.uint64 if kind is np.uint64 else np.uint32


def magnitude_of(cuda, kind):
    """Device function: a pattern without its highest bit."""
    low = kind(np.iinfo(kind).max >> 1)

    @cuda.jit(device=True, forceinline=True)
    def magnitude(pattern):
        return kind(pattern & low)

    return magnitude


def look_back(cuda, memory):
    """Device function: how many the tiles before one keep, which the first warp works out.

    Publishes what its own tile keeps, then adds up the tiles before, 32 at a time, back to one that
    knows all before it. Flag and number share a word, so that no fence is needed.
    """
    peek, poke, add_lanes = memory.peek, memory.poke, total(cuda)

    @cuda.jit(device=True, forceinline=True)
    def add_before(progress, tile, lane, own):
        before, back = ZERO, tile
        if lane == np.uint32(0):
            poke(progress, tile + ONE, (PART if tile else WHOLE) | own)
        while back > ZERO:
            word = WHOLE
            if np.uint64(lane) < back:
                word = peek(progress, back - np.uint64(lane))
                while word == ZERO:
                    word = peek(progress, back - np.uint64(lane))
            known = np.uint32(cuda.ballot_sync(FULL, word >= WHOLE))
            nearest = np.uint32(cuda.ffs(known) - 1)
            value = ZERO
            if known == np.uint32(0) or lane <= nearest:
                value = word & COUNT
            before += add_lanes(value)
            if known != np.uint32(0):
                break
            back -= np.uint64(WARP)
        if lane == np.uint32(0) and tile > ZERO:
            poke(progress, tile + ONE, WHOLE | (before + own))
        return before

    return add_before


def collect(cuda, memory, kind, summed=False):
    """Kernel that appends elements whose magnitude pattern is at least `floor`, in order.

    A single pass with decoupled look-back (Merrill and Garland, 2016). Arguments:

    bits : kind[n]; if `summed`, grad and residual instead, then gamma, beta and out, all floats:
        elements are `out = gamma * grad + beta * residual`, which it writes
    floor : kind; vectors : uint32, whether all arrays start at multiples of 16 bytes
    chunk_log2 : uint64
    progress : uint64[1 + tiles], zeroed
    keys, values : uint32[room], kind[room]; what there is no room for is only counted
    starts : uint64[chunks + 1], of which the kept elements of each chunk begin, and how many there
        are
    top : uint32[1] or uint64[1], zeroed; becomes the largest magnitude pattern of all elements
    """
    itemsize, most_kind = np.dtype(kind).itemsize, top_of(kind)
    per, rounds = 16 // itemsize, ROUNDS[itemsize]
    field = np.uint32(32 // rounds)
    low_field = np.uint32((1 << 32 // rounds) - 1)
    low_vector = np.uint32((1 << per) - 1)
    each, tile_size = np.uint64(per), np.uint64(tile_of(itemsize))
    strip = np.uint64(THREADS * per)
    magnitude, find_largest, add_below = magnitude_of(cuda, kind), largest(cuda, kind), scan(cuda)
    (lane_of, warp_of), add_before = position(cuda), look_back(cuda, memory)
    vector_load, vector_store = memory.vector_load, memory.vector_store
    multiply, add, as_float, as_bits = memory.multiply, memory.add, memory.as_float, memory.as_bits

    @cuda.jit(device=True, forceinline=True)
    def tile_number(progress, shared):
        if cuda.threadIdx.x == 0:
            shared[0] = cuda.atomic.add(progress, 0, ONE)
        cuda.syncthreads()
        return shared[0]

    @cuda.jit(device=True, forceinline=True)
    def places(progress, tile, mask, sums, offsets, base):
        """Where each round's elements of this thread go, counted from `base[0]` on, packed."""
        lane, warp = lane_of(), warp_of()
        counted = np.uint32(0)
        for r in range(rounds):
            own = np.uint32(cuda.popc(np.uint32(mask >> np.uint32(r * per)) & low_vector))
            counted |= np.uint32(own << np.uint32(np.uint32(r) * field))
        upto = add_below(lane, counted)
        if lane == LAST_LANE:
            sums[warp] = upto
        cuda.syncthreads()
        if warp == np.uint32(0):
            value = np.uint32(0)
            if lane < np.uint32(rounds * WARPS):
                packed = sums[lane & np.uint32(WARPS - 1)]
                which = np.uint32(lane >> np.uint32(3)) * field
                value = np.uint32(packed >> np.uint32(which)) & low_field
            end = add_below(lane, value)
            offsets[lane] = np.uint32(end - value)
            own = np.uint64(np.uint32(cuda.shfl_sync(FULL, np.int32(end), WARP - 1)))
            before = add_before(progress, tile, lane, own)
            if lane == np.uint32(0):
                base[0], base[1] = before, before + own
        cuda.syncthreads()
        return np.uint32(upto - counted)

    @cuda.jit(device=True, forceinline=True)
    def append(bits, n, chunk_log2, tile, mask, packed, offsets, base, keys, values, starts):
        warp, low = warp_of(), (ONE << chunk_log2) - ONE
        index = tile * tile_size + np.uint64(cuda.threadIdx.x) * each
        room = np.uint64(keys.size)
        for r in range(rounds):
            before = np.uint32(packed >> np.uint32(np.uint32(r) * field)) & low_field
            place = base[0] + np.uint64(offsets[np.uint32(r * WARPS) + warp]) + np.uint64(before)
            if index & low == ZERO and index < n:
                starts[index >> chunk_log2] = place
            left = np.uint32(mask >> np.uint32(r * per)) & low_vector
            while left != np.uint32(0):
                position = index + np.uint64(np.uint32(cuda.ffs(left) - 1))
                if place < room:
                    keys[place] = np.uint32(position & low)
                    values[place] = bits[position]
                place += ONE
                left &= np.uint32(left - np.uint32(1))
            index += strip
        if cuda.threadIdx.x == 0 and (tile + ONE) * tile_size >= n:
            starts[(n + low) >> chunk_log2] = base[1]

    @cuda.jit(device=True, forceinline=True)
    def note_largest(most, top):
        most = find_largest(most)
        if lane_of() == np.uint32(0):
            cuda.atomic.max(top, 0, most_kind(most))

    def collect_kernel(bits, floor, vectors, chunk_log2, progress, keys, values, starts, top):
        shared, base = cuda.shared.array(1, np.uint64), cuda.shared.array(2, np.uint64)
        sums, offsets = cuda.shared.array(WARPS, np.uint32), cuda.shared.array(WARP, np.uint32)
        n, tile = np.uint64(bits.size), tile_number(progress, shared)
        index = tile * tile_size + np.uint64(cuda.threadIdx.x) * each
        mask, bit, most = np.uint32(0), np.uint32(1), kind(0)
        if vectors != np.uint32(0) and (tile + ONE) * tile_size <= n:
            for _ in range(rounds):
                for pattern in vector_load(bits, index):
                    size = magnitude(pattern)
                    mask |= bit if size >= floor else np.uint32(0)
                    most = max(most, size)
                    bit = np.uint32(bit << np.uint32(1))
                index += strip
        else:
            for _ in range(rounds):
                for _ in range(per):
                    if index < n:
                        size = magnitude(bits[index])
                        mask |= bit if size >= floor else np.uint32(0)
                        most = max(most, size)
                    bit = np.uint32(bit << np.uint32(1))
                    index += ONE
                index += strip - each
        note_largest(most, top)
        packed = places(progress, tile, mask, sums, offsets, base)
        append(bits, n, chunk_log2, tile, mask, packed, offsets, base, keys, values, starts)

    def collect_sum_kernel(
        grad, residual, gamma, beta, out, floor, vectors, chunk_log2, progress, keys, values,
        starts, top,
    ):  # fmt: skip
        shared, base = cuda.shared.array(1, np.uint64), cuda.shared.array(2, np.uint64)
        sums, offsets = cuda.shared.array(WARPS, np.uint32), cuda.shared.array(WARP, np.uint32)
        n, tile = np.uint64(grad.size), tile_number(progress, shared)
        index = tile * tile_size + np.uint64(cuda.threadIdx.x) * each
        mask, bit, most = np.uint32(0), np.uint32(1), kind(0)
        if vectors != np.uint32(0) and (tile + ONE) * tile_size <= n:
            for _ in range(rounds):
                total = add_vectors(
                    vector_load(grad, index), vector_load(residual, index), gamma, beta
                )
                vector_store(out, index, total)
                for pattern in total:
                    size = magnitude(pattern)
                    mask |= bit if size >= floor else np.uint32(0)
                    most = max(most, size)
                    bit = np.uint32(bit << np.uint32(1))
                index += strip
        else:
            for _ in range(rounds):
                for _ in range(per):
                    if index < n:
                        pattern = add_one(grad[index], residual[index], gamma, beta)
                        out[index] = pattern
                        size = magnitude(pattern)
                        mask |= bit if size >= floor else np.uint32(0)
                        most = max(most, size)
                    bit = np.uint32(bit << np.uint32(1))
                    index += ONE
                index += strip - each
        note_largest(most, top)
        packed = places(progress, tile, mask, sums, offsets, base)
        append(out, n, chunk_log2, tile, mask, packed, offsets, base, keys, values, starts)

    @cuda.jit(device=True, forceinline=True)
    def add_one(ours, theirs, gamma, beta):
        return as_bits(add(multiply(as_float(ours), gamma), multiply(as_float(theirs), beta)))

    @cuda.jit(device=True, forceinline=True)
    def add_four(ours, theirs, gamma, beta):
        a, b, c, d = ours
        e, f, g, h = theirs
        return (
            add_one(a, e, gamma, beta), add_one(b, f, gamma, beta),
            add_one(c, g, gamma, beta), add_one(d, h, gamma, beta),
        )  # fmt: skip

    @cuda.jit(device=True, forceinline=True)
    def add_two(ours, theirs, gamma, beta):
        a, b = ours
        c, d = theirs
        return add_one(a, c, gamma, beta), add_one(b, d, gamma, beta)

    add_vectors = add_four if per == 4 else add_two
    return collect_sum_kernel if summed else collect_kernel


def count_above(cuda, memory, kind):
    """Kernel: how many magnitude patterns are above a threshold, and the largest of all.

    bits : kind[n]; limit : kind; vectors : as for `collect`; count : uint64[1], zeroed; top : as
    for `collect`. A block takes a tile.
    """
    itemsize, most_kind = np.dtype(kind).itemsize, top_of(kind)
    per, rounds = 16 // itemsize, ROUNDS[itemsize]
    each, tile_size = np.uint64(per), np.uint64(tile_of(itemsize))
    strip = np.uint64(THREADS * per)
    magnitude, find_largest, add_lanes = magnitude_of(cuda, kind), largest(cuda, kind), total(cuda)
    vector_load, (lane_of, _) = memory.vector_load, position(cuda)

    def kernel(bits, limit, vectors, count, top):
        n, tile = np.uint64(bits.size), np.uint64(cuda.blockIdx.x)
        index = tile * tile_size + np.uint64(cuda.threadIdx.x) * each
        above, most = np.uint32(0), kind(0)
        if vectors != np.uint32(0) and (tile + ONE) * tile_size <= n:
            for _ in range(rounds):
                for pattern in vector_load(bits, index):
                    size = magnitude(pattern)
                    above += np.uint32(size > limit)
                    most = max(most, size)
                index += strip
        else:
            for _ in range(rounds):
                for _ in range(per):
                    if index < n:
                        size = magnitude(bits[index])
                        above += np.uint32(size > limit)
                        most = max(most, size)
                    index += ONE
                index += strip - each
        found = add_lanes(np.uint64(above))
        most = find_largest(most)
        if lane_of() == np.uint32(0):
            cuda.atomic.add(count, 0, found)
            cuda.atomic.max(top, 0, most_kind(most))

    return kernel


BINS = 2048
"""Of a histogram of magnitudes."""

MOST_BLOCKS = 1056
"""That a histogram is worth: eight for each multiprocessor of a large device."""


def histogram(cuda, memory, kind):
    """Kernel: how many magnitudes from `low` to `high` are in each of BINS bins of 2**shift.

    bits : kind[n]; low, high : kind; shift : uint32; vectors : as for `collect`;
    bins : uint64[BINS], zeroed. A block takes several tiles, so that it seldom adds to `bins`.
    """
    itemsize = np.dtype(kind).itemsize
    per, rounds = 16 // itemsize, ROUNDS[itemsize]
    each, tile_size = np.uint64(per), np.uint64(tile_of(itemsize))
    strip = np.uint64(THREADS * per)
    magnitude, vector_load = magnitude_of(cuda, kind), memory.vector_load

    @cuda.jit(device=True, forceinline=True)
    def put(own, pattern, low, high, shift):
        size = magnitude(pattern)
        if low <= size and size <= high:
            cuda.atomic.add(own, np.uint64(kind(size - low)) >> np.uint64(shift), np.uint32(1))

    def kernel(bits, low, high, shift, vectors, bins):
        own = cuda.shared.array(BINS, np.uint32)
        n, thread = np.uint64(bits.size), np.uint64(cuda.threadIdx.x)
        place = thread
        while place < np.uint64(BINS):
            own[place] = np.uint32(0)
            place += np.uint64(THREADS)
        cuda.syncthreads()
        tile = np.uint64(cuda.blockIdx.x)
        while tile * tile_size < n:
            index = tile * tile_size + thread * each
            if vectors != np.uint32(0) and (tile + ONE) * tile_size <= n:
                for _ in range(rounds):
                    for pattern in vector_load(bits, index):
                        put(own, pattern, low, high, shift)
                    index += strip
            else:
                for _ in range(rounds):
                    for _ in range(per):
                        if index < n:
                            put(own, bits[index], low, high, shift)
                        index += ONE
                    index += strip - each
            tile += np.uint64(cuda.gridDim.x)
        cuda.syncthreads()
        place = thread
        while place < np.uint64(BINS):
            if own[place] != np.uint32(0):
                cuda.atomic.add(bins, place, np.uint64(own[place]))
            place += np.uint64(THREADS)

    return kernel


SUMMED = 4096
SUMS = 16
"""Elements of a tile whose sums are float64, and how many sums they are dealt out to."""


def tail_sums(cuda, memory):
    """Kernel: sums of |x| above a threshold, and of its squares, of each tile of SUMMED elements.

    numbers : float32[n] or float64[n]; threshold : of their type; sums : float64[tiles, 2, SUMS];
    count : uint64[1], zeroed. Element i goes to sum i mod SUMS, in order: added up in order, they
    are the sums of the other backends.
    """
    multiply, add, add_lanes = memory.multiply, memory.add, total(cuda)
    lane_of, _ = position(cuda)

    def kernel(numbers, threshold, sums, count):
        thread = np.uint64(cuda.threadIdx.x)
        own = thread & np.uint64(SUMS - 1)
        tile = np.uint64(cuda.blockIdx.x) * np.uint64(THREADS // SUMS) + thread // np.uint64(SUMS)
        n, index, above = np.uint64(numbers.size), tile * np.uint64(SUMMED) + own, ZERO
        first = second = np.float64(0.0)
        stop = min((tile + ONE) * np.uint64(SUMMED), n)
        while index < stop:
            size = np.float64(abs(numbers[index]))
            if size > threshold:
                first = add(first, size)
                second = add(second, multiply(size, size))
                above += ONE
            index += np.uint64(SUMS)
        if tile * np.uint64(SUMMED) < n:
            sums[tile, np.uint64(0), own] = first
            sums[tile, np.uint64(1), own] = second
        found = add_lanes(above)
        if lane_of() == np.uint32(0):
            cuda.atomic.add(count, 0, found)

    return kernel
