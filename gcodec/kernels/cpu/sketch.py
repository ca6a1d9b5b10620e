"""Cells of a count-sketch: adding to them, and estimates from them (spec section 8, *Sketches*).

A hash of 64 bits serves three rows, and three of its four look-ups are the same for 256 positions
in a row. Rows are separate arrays, so that a cell's address is one addition.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...format.ids import ROWS_PER_HASH
from .jit import helper, inner, kernel, magnitude, trailing_zeros
from .medians import reduce_rows
from .vector import AHEAD, LANES, LINE_BITS, data_of, lanes_at_least

BLOCK = 256
PER_HASH = np.int64(ROWS_PER_HASH)
BYTE, ONE = np.uint64(255), np.uint64(1)


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
    columns, numbers = np.empty(BLOCK, np.uint32), np.empty(BLOCK, cells.dtype)
    for row in range(begin, end):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        _insert(values, start, of_hash, width, field, columns, numbers, cells[row])


@inner
def _insert(values, start, tables, width, field, columns, numbers, row):
    """One row, so that its cells stay in a cache: to hash again for the next costs less.

    Columns and signed values of a block are found first, by vectors; adding is one by one. That
    keeps the CPU from seeing that values are read in order, so it is told.
    """
    mask, last = (ONE << width) - ONE, tables[0]
    done = 0
    while done < values.size:
        position = start + done
        base, low = _base(tables, position), np.uint64(position) & BYTE
        count = np.uint64(min(np.int64(BLOCK - low), np.int64(values.size - done)))
        read_ahead(values, np.uint64(done))
        for i in range(count):
            g = (last[low + i] ^ base) >> field
            columns[i] = g & mask
            numbers[i] = signed(values[np.uint64(done) + i], g >> width)
        for i in range(count):
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
    say which cells do, and only where enough of them are 1 are cells looked at.
    """
    rows, width = cells.shape[0], np.uint64(columns_log2)
    needed = rows if agree else rows // 2 + 1
    heavy = np.empty(cells.shape, np.uint8)
    _mark(cells.view(values.dtype), floor, heavy)
    counts, lanes = np.zeros(BLOCK, np.uint8), np.empty(BLOCK, np.uint8)
    gathered = np.empty((rows, BLOCK), cells.dtype)
    block = np.empty(BLOCK, cells.dtype)
    bits = block.view(values.dtype)
    kept, first = 0, start
    while first < stop:
        count = min(BLOCK - (first & 255), stop - first)
        found = _candidates(first, count, tables, width, heavy, needed, counts, lanes)
        if found:
            _gather_lanes(first, lanes, found, tables, width, cells, gathered)
            reduce_rows(gathered, found, agree, block)
            for j in range(found):
                if magnitude(bits[j]) >= floor:
                    if kept < keys.size:
                        keys[kept], values[kept] = first + np.int64(lanes[j]), bits[j]
                    kept += 1
        first += count
    return kept


@inner
def _mark(bits, floor, heavy):
    """1 where a cell's magnitude is at least `floor`, else 0."""
    for row in range(bits.shape[0]):
        for column in range(bits.shape[1]):
            heavy[row, column] = magnitude(bits[row, column]) >= floor


@inner
def _candidates(first, count, tables, width, heavy, needed, counts, lanes):
    """Lanes of a block of 256 that at least `needed` rows are heavy at; how many there are.

    Those that too few rows are left for after the first three are not asked for more.
    """
    rows, row = heavy.shape[0], 0
    if rows >= 3:
        _count_three(first, count, tables[0], width, heavy[0], heavy[1], heavy[2], counts)
        row = 3
    else:
        counts[:] = 0
    found = _list(counts, count, needed - (rows - row), lanes)
    while row < rows and found:
        end = min(row + PER_HASH, rows)
        least = needed - (rows - end)
        found = _count_listed(
            first, lanes, found, tables[row // PER_HASH], width, heavy[row:end], counts, least
        )
        row = end
    return found


@inner
def _count_three(first, count, tables, width, one, two, three, counts):
    mask, step, last = (ONE << width) - ONE, width + ONE, tables[0]
    base, low = _base(tables, first), np.uint64(first) & BYTE
    for i in range(np.uint64(count)):
        g = last[low + i] ^ base
        counts[i] = one[g & mask] + two[g >> step & mask] + three[g >> step + step & mask]
    for i in range(count, BLOCK):
        counts[i] = 0


@inner
def _list(counts, count, least, lanes):
    """Lanes that count at least so much, of all `count`; how many there are."""
    if least <= 0:
        for lane in range(count):
            lanes[lane] = lane
        return count
    found = 0
    for start in range(0, BLOCK, LANES):
        mask = lanes_at_least(counts, start, np.uint8(least))
        while mask:
            lanes[found] = start + np.int64(trailing_zeros(mask))
            found += 1
            mask &= mask - ONE
    return found


@inner
def _count_listed(first, lanes, found, tables, width, heavy, counts, least):
    """Add rows of one hash to the counts of some lanes, and keep those of at least so much."""
    mask, step, last, kept = (ONE << width) - ONE, width + ONE, tables[0], 0
    base, low = _base(tables, first), np.uint64(first) & BYTE
    for j in range(found):
        lane = np.uint64(lanes[j])
        g, count = last[low + lane] ^ base, counts[lane]
        for row in range(heavy.shape[0]):
            count += heavy[row, g & mask]
            g >>= step
        counts[lane], lanes[kept] = count, lane
        kept += np.int64(count) >= least
    return kept


@inner
def _gather_lanes(first, lanes, found, tables, width, cells, gathered):
    """What the rows say of some lanes of a block of 256."""
    for row in range(cells.shape[0]):
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        _gather_listed(first, lanes, found, of_hash, width, field, cells[row], gathered[row])


@inner
def _gather_listed(first, lanes, found, tables, width, field, row, gathered):
    mask, last = (ONE << width) - ONE, tables[0]
    base, low = _base(tables, first), np.uint64(first) & BYTE
    for j in range(found):
        g = (last[low + np.uint64(lanes[j])] ^ base) >> field
        gathered[j] = signed(row[g & mask], g >> width)


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
