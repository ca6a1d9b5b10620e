"""Cells of a count-sketch: adding to them, and estimates from them (spec section 8, *Sketches*).

A hash of 64 bits serves three rows, and three of its four look-ups are the same for 256 positions
in a row. Rows are separate arrays, so that a cell's address is one addition.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...format.ids import ROWS_PER_HASH
from .jit import helper, inner, kernel, magnitude, trailing_zeros, viewed
from .medians import reduce_rows
from .vector import AHEAD, LANES, LINE_BITS, data_of, lanes_at_least

BLOCK = 256
BATCH = 1024
"""Positions that few rows speak against are collected to so many before cells are looked at."""
PER_HASH = np.int64(ROWS_PER_HASH)
BYTE, ONE, TWO, FOUR = np.uint64(255), np.uint64(1), np.uint64(2), np.uint64(4)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
UNSIGNED, SIGN = np.uint64(0x7FFFFFFF), np.uint64(31)


@intrinsic
def signed(typing_context, number, sign):
    """A float or an integer, or its negative if the lowest bit of a uint64 is set."""

    def generate(context, builder, sig, args):
        kind, (number, sign) = args[0].type, args
        if isinstance(kind, ir.IntType):
            bit = builder.and_(builder.trunc(sign, kind) if kind.width < 64 else sign, kind(1))
            return builder.add(builder.xor(number, builder.neg(bit)), bit)
        width = 32 if isinstance(kind, ir.FloatType) else 64
        pattern = ir.IntType(width)
        flip = builder.shl(builder.trunc(sign, pattern) if width < 64 else sign, pattern(width - 1))
        return builder.bitcast(builder.xor(builder.bitcast(number, pattern), flip), kind)

    return number(number, types.uint64), generate


@intrinsic
def read_ahead(typing_context, values, start):
    """Ask for the cache lines of a block that is read some blocks on; they need not exist."""

    def generate(context, builder, sig, args):
        kind, number, byte = sig.args[0], ir.IntType(32), ir.IntType(8).as_pointer()
        data = data_of(context, builder, kind, args[0])
        signature = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
        for line in range(AHEAD, AHEAD + BLOCK, LINE_BITS // kind.dtype.bitwidth):
            place = builder.gep(data, [builder.add(args[1], args[1].type(line))])
            builder.call(function, [builder.bitcast(place, byte), *map(number, (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(values, types.uint64), generate


@helper
def _base(tables, position):
    """What positions of one block of 256 have in common in their hash."""
    at = np.uint64(position)
    low = tables[1, (at >> np.uint64(8)) & BYTE] ^ tables[2, (at >> np.uint64(16)) & BYTE]
    return low ^ tables[3, (at >> np.uint64(24)) & BYTE]


@kernel
def insert(values, start, tables, columns_log2, begin, end, cells):
    """Add values of the positions from `start` on to rows `begin` to `end`, in ascending order.

    `values` are of the type of `cells[rows, columns]`; `tables` are uint64[hashes, 4, 256].
    """
    width = np.uint64(columns_log2)
    words, columns = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint32)
    pairs, numbers = viewed(columns, np.uint64), np.empty(BLOCK, cells.dtype)
    for row in range(begin, end):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        _insert(values, start, of_hash, width, field, words, columns, pairs, numbers, cells[row])


@helper
def _word(hashed, width):
    """A column of 20 bits or less, and far above it its sign: 32 bits are as many lanes again."""
    return np.uint32(hashed & ((ONE << width) - ONE) | (hashed >> width & ONE) << SIGN)


@inner
def _insert(values, start, tables, width, field, words, columns, pairs, numbers, row):
    """One row, so that its cells stay in a cache: to hash again for the next costs less.

    Columns and signed values of a block are found first, by vectors; adding is one by one, and
    takes as long as the CPU's loads and stores do: two columns are one load. Adding keeps the CPU
    from seeing that values are read in order, so it is told.
    """
    for i in range(BLOCK):
        words[i] = _word(tables[0, i] >> field, width)
    done = 0
    while done < values.size:
        position = start + done
        low = np.uint64(position) & BYTE
        base = _word(_base(tables, position) >> field, width)
        count = np.uint64(min(np.int64(BLOCK - low), np.int64(values.size - done)))
        read_ahead(values, np.uint64(done))
        for i in range(count):
            word = words[low + i] ^ base
            columns[i] = word & UNSIGNED
            numbers[i] = signed(values[np.uint64(done) + i], word >> SIGN)
        whole = count & ~(FOUR - ONE)
        for i in range(np.uint64(0), whole, FOUR):
            one, two = pairs[i >> ONE], pairs[(i >> ONE) + ONE]
            row[one & LOW] += numbers[i]
            row[one >> HALF] += numbers[i + ONE]
            row[two & LOW] += numbers[i + TWO]
            row[two >> HALF] += numbers[i + TWO + ONE]
        for i in range(whole, count):
            row[columns[i]] += numbers[i]
        done += np.int64(count)


@kernel
def insert_pairs(keys, values, tables, columns_log2, begin, end, cells):
    """Add values of the positions `keys`, int64, in the order given; one may come again."""
    width = np.uint64(columns_log2)
    for row in range(begin, end):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        _insert_pairs(keys, values, of_hash, width, field, cells[row])


@inner
def _insert_pairs(keys, values, tables, width, field, row):
    mask = (ONE << width) - ONE
    for j in range(keys.size):
        g = (_base(tables, keys[j]) ^ tables[0, np.uint64(keys[j]) & BYTE]) >> field
        row[g & mask] += signed(values[j], g >> width)


@kernel
def clear_pairs(keys, tables, columns_log2, cells):
    """Set the cells of the positions `keys`, int64, to zero."""
    width = np.uint64(columns_log2)
    for row in range(cells.shape[0]):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        _clear_pairs(keys, of_hash, width, field, cells[row])


@inner
def _clear_pairs(keys, tables, width, field, row):
    mask = (ONE << width) - ONE
    for j in range(keys.size):
        g = (_base(tables, keys[j]) ^ tables[0, np.uint64(keys[j]) & BYTE]) >> field
        row[g & mask] = 0


@kernel
def estimate(start, tables, columns_log2, cells, agree, out):
    """Estimates of the positions from `start` on: medians of an odd number of rows.

    Or, with `agree`, the smallest magnitude where all rows have one sign, else 0. `cells` are
    float32 or float64 and `out` is of their type. Zero is +0.
    """
    gathered = np.empty((cells.shape[0], BLOCK), cells.dtype)
    done = 0
    while done < out.size:
        first = start + done
        count = min(BLOCK - (first & 255), out.size - done)
        _gather_block(first, count, tables, np.uint64(columns_log2), cells, gathered)
        reduce_rows(gathered, count, agree, out[done : done + count])
        done += count


@kernel
def estimate_pairs(keys, tables, columns_log2, cells, agree, out):
    """As `estimate`, of the positions `keys`, int64 in any order."""
    width = np.uint64(columns_log2)
    gathered = np.empty((cells.shape[0], BLOCK), cells.dtype)
    for done in range(0, keys.size, BLOCK):
        count = min(BLOCK, keys.size - done)
        for row in range(cells.shape[0]):
            of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
            part = keys[done : done + count]
            _gather_pairs(part, of_hash, width, field, cells[row], gathered[row])
        reduce_rows(gathered, count, agree, out[done : done + count])


@kernel
def select_estimates(start, stop, tables, columns_log2, cells, agree, floor, keys, values):
    """Append positions of [start, stop) whose estimate's magnitude is at least `floor` (above 0).

    `floor` and `values` are bit patterns of the type of the cells, `keys` int64. Returns how many
    there are, also where that is more than `keys` has room for.

    A median reaches the floor only where most rows do, and what rows agree on where all do: bytes
    say which cells do. All positions are looked at in as many rows as it takes until two of these
    must be heavy, which few are; those are collected, and looked at in the other rows.
    """
    rows, width = cells.shape[0], np.uint64(columns_log2)
    needed = rows if agree else rows // 2 + 1
    asked = min(rows, 3)
    while asked < rows and needed - (rows - asked) < 2:
        asked += 1
    heavy = np.empty(cells.shape, np.uint8)
    _mark(cells.view(values.dtype), floor, heavy)
    words, counts = np.empty(asked * BLOCK, np.uint32), np.empty(BLOCK, np.uint8)
    for row in range(asked):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        for i in range(BLOCK):
            words[row * BLOCK + i] = of_hash[0, i] >> field & ((ONE << width) - ONE)
    pairs = viewed(words, np.uint64)
    places, sums = np.empty(BATCH + BLOCK, np.int64), np.empty(BATCH + BLOCK, np.uint8)
    gathered = np.empty((rows, BATCH + BLOCK), cells.dtype)
    estimates = np.empty(BATCH + BLOCK, cells.dtype)
    bits = viewed(estimates, values.dtype)
    kept, waiting, first = 0, 0, start
    while first < stop:
        block = first & ~np.int64(255)
        _count(block, asked, tables, width, pairs, heavy, counts)
        counts[: first - block] = 0
        counts[stop - block :] = 0
        waiting = _collect(block, counts, needed - (rows - asked), places, sums, waiting)
        first = block + BLOCK
        if waiting >= BATCH or first >= stop:
            found = _narrow(places, sums, waiting, asked, needed, tables, width, heavy)
            for row in range(rows):
                of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
                _gather_pairs(places[:found], of_hash, width, field, cells[row], gathered[row])
            reduce_rows(gathered, found, agree, estimates)
            for j in range(found):
                if magnitude(bits[j]) >= floor:
                    if kept < keys.size:
                        keys[kept], values[kept] = places[j], bits[j]
                    kept += 1
            waiting = 0
    return kept


@inner
def _mark(bits, floor, heavy):
    """1 where a cell's magnitude is at least `floor`, else 0."""
    for row in range(bits.shape[0]):
        for column in range(bits.shape[1]):
            heavy[row, column] = magnitude(bits[row, column]) >= floor


@helper
def _in_both(tables, row, width, block):
    """What positions of a block have in common in a row's column, in both halves of 64 bits."""
    field = np.uint64(row % PER_HASH) * (width + ONE)
    column = _base(tables[row // PER_HASH], block) >> field & ((ONE << width) - ONE)
    return column | column << HALF


@inner
def _count(block, asked, tables, width, pairs, heavy, counts):
    """How many of the first rows are heavy at each position of a block of 256."""
    row = 0
    if asked >= 3:
        x, y, z = (
            _in_both(tables, 0, width, block),
            _in_both(tables, 1, width, block),
            _in_both(tables, 2, width, block),
        )
        _count_three(pairs, x, y, z, heavy[0], heavy[1], heavy[2], counts)
        row = 3
    else:
        counts[:] = 0
    while row < asked:
        own = pairs[row * (BLOCK // 2) :]
        _count_one(own, _in_both(tables, row, width, block), heavy[row], counts)
        row += 1


@inner
def _count_three(pairs, x, y, z, one, two, three, counts):
    for i in range(np.uint64(BLOCK // 2)):
        p = pairs[i] ^ x
        q = pairs[i + np.uint64(BLOCK // 2)] ^ y
        r = pairs[i + np.uint64(BLOCK)] ^ z
        counts[TWO * i] = one[p & LOW] + two[q & LOW] + three[r & LOW]
        counts[TWO * i + ONE] = one[p >> HALF] + two[q >> HALF] + three[r >> HALF]


@inner
def _count_one(pairs, x, heavy, counts):
    for i in range(np.uint64(BLOCK // 2)):
        p = pairs[i] ^ x
        counts[TWO * i] += heavy[p & LOW]
        counts[TWO * i + ONE] += heavy[p >> HALF]


@inner
def _collect(block, counts, least, places, sums, waiting):
    """Append positions of a block that count at least so much; how many wait then."""
    for start in range(0, BLOCK, LANES):
        mask = lanes_at_least(counts, start, np.uint8(least))
        while mask:
            lane = start + np.int64(trailing_zeros(mask))
            places[waiting], sums[waiting] = block + lane, counts[lane]
            waiting += 1
            mask &= mask - ONE
    return waiting


@inner
def _narrow(places, sums, waiting, asked, needed, tables, width, heavy):
    """Ask the other rows too, and keep the positions that `needed` are heavy at."""
    for row in range(asked, heavy.shape[0]):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        _count_pairs(places, waiting, of_hash, width, field, heavy[row], sums)
    kept = 0
    for j in range(waiting):
        places[kept] = places[j]
        kept += np.int64(sums[j]) >= needed
    return kept


@inner
def _count_pairs(places, waiting, tables, width, field, heavy, sums):
    mask = (ONE << width) - ONE
    for j in range(waiting):
        g = (_base(tables, places[j]) ^ tables[0, np.uint64(places[j]) & BYTE]) >> field
        sums[j] += heavy[g & mask]


@inner
def _gather_block(first, count, tables, width, cells, gathered):
    """What the rows say of positions of one block of 256."""
    rows, row = cells.shape[0], 0
    while row < rows:
        of_hash = tables[row // PER_HASH]
        if rows - row >= 3:
            _gather_three(
                first, count, of_hash, width, cells[row], cells[row + 1], cells[row + 2],
                gathered[row], gathered[row + 1], gathered[row + 2],
            )  # fmt: skip
            row += 3
        elif rows - row == 2:
            _gather_two(
                first, count, of_hash, width, cells[row], cells[row + 1], gathered[row],
                gathered[row + 1],
            )  # fmt: skip
            row += 2
        else:
            _gather_one(first, count, of_hash, width, cells[row], gathered[row])
            row += 1


@inner
def _gather_three(first, count, tables, width, one, two, three, to_one, to_two, to_three):
    mask, step, last = (ONE << width) - ONE, width + ONE, tables[0]
    base, low = _base(tables, first), np.uint64(first) & BYTE
    for i in range(np.uint64(count)):
        g = last[low + i] ^ base
        to_one[i] = signed(one[g & mask], g >> width)
        g >>= step
        to_two[i] = signed(two[g & mask], g >> width)
        g >>= step
        to_three[i] = signed(three[g & mask], g >> width)


@inner
def _gather_two(first, count, tables, width, one, two, to_one, to_two):
    mask, step, last = (ONE << width) - ONE, width + ONE, tables[0]
    base, low = _base(tables, first), np.uint64(first) & BYTE
    for i in range(np.uint64(count)):
        g = last[low + i] ^ base
        to_one[i] = signed(one[g & mask], g >> width)
        g >>= step
        to_two[i] = signed(two[g & mask], g >> width)


@inner
def _gather_one(first, count, tables, width, one, to_one):
    mask, last = (ONE << width) - ONE, tables[0]
    base, low = _base(tables, first), np.uint64(first) & BYTE
    for i in range(np.uint64(count)):
        g = last[low + i] ^ base
        to_one[i] = signed(one[g & mask], g >> width)


@inner
def _gather_pairs(keys, tables, width, field, row, gathered):
    mask = (ONE << width) - ONE
    for j in range(keys.size):
        g = (_base(tables, keys[j]) ^ tables[0, np.uint64(keys[j]) & BYTE]) >> field
        gathered[j] = signed(row[g & mask], g >> width)
