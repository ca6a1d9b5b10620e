"""Cells of a count-sketch: adding to them, and estimates from them (spec section 8, *Sketches*).

A hash of 64 bits serves three rows, and three of its four look-ups are the same for 256 positions
in a row. Rows are separate arrays, so that a cell's address is one addition.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ...format.ids import ROWS_PER_HASH
from .jit import helper, inner, kernel, trailing_zeros
from .vector import LANES, lanes_at_least

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
    row = np.int64(begin)
    while row < end:
        of_hash, field = tables[row // PER_HASH], np.uint64(row % PER_HASH) * (width + ONE)
        together = min(end - row, PER_HASH - row % PER_HASH)
        if together == 3:
            _insert_three(
                values, start, of_hash, width, field, cells[row], cells[row + 1], cells[row + 2]
            )
        elif together == 2:
            _insert_two(values, start, of_hash, width, field, cells[row], cells[row + 1])
        else:
            _insert_one(values, start, of_hash, width, field, cells[row])
        row += together


@inner
def _insert_three(values, start, tables, width, field, one, two, three):
    mask, step, last = (ONE << width) - ONE, width + ONE, tables[0]
    done = 0
    while done < values.size:
        position = start + done
        base, low = _base(tables, position), np.uint64(position) & BYTE
        count = np.uint64(min(np.int64(BLOCK - low), np.int64(values.size - done)))
        for i in range(count):
            value = values[np.uint64(done) + i]
            g = (last[low + i] ^ base) >> field
            one[g & mask] += signed(value, g >> width)
            g >>= step
            two[g & mask] += signed(value, g >> width)
            g >>= step
            three[g & mask] += signed(value, g >> width)
        done += np.int64(count)


@inner
def _insert_two(values, start, tables, width, field, one, two):
    mask, step, last = (ONE << width) - ONE, width + ONE, tables[0]
    done = 0
    while done < values.size:
        position = start + done
        base, low = _base(tables, position), np.uint64(position) & BYTE
        count = np.uint64(min(np.int64(BLOCK - low), np.int64(values.size - done)))
        for i in range(count):
            value = values[np.uint64(done) + i]
            g = (last[low + i] ^ base) >> field
            one[g & mask] += signed(value, g >> width)
            g >>= step
            two[g & mask] += signed(value, g >> width)
        done += np.int64(count)


@inner
def _insert_one(values, start, tables, width, field, one):
    mask, last = (ONE << width) - ONE, tables[0]
    done = 0
    while done < values.size:
        position = start + done
        base, low = _base(tables, position), np.uint64(position) & BYTE
        count = np.uint64(min(np.int64(BLOCK - low), np.int64(values.size - done)))
        for i in range(count):
            g = (last[low + i] ^ base) >> field
            one[g & mask] += signed(values[np.uint64(done) + i], g >> width)
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
        _reduce(gathered, count, agree, out[done : done + count])
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
        _reduce(gathered, count, agree, out[done : done + count])


@kernel
def select_estimates(start, stop, tables, columns_log2, cells, agree, floor, keys, values):
    """Append positions of [start, stop) whose estimate's magnitude is at least `floor` (above 0).

    `floor` and `values` are bit patterns of the type of the cells, `keys` int64. Returns how many
    there are, also where that is more than `keys` has room for.
    """
    gathered = np.empty((cells.shape[0], BLOCK), cells.dtype)
    block = np.zeros(BLOCK, cells.dtype)
    bits = block.view(values.dtype)
    kept, first = 0, start
    while first < stop:
        count = min(BLOCK - (first & 255), stop - first)
        _gather_block(first, count, tables, np.uint64(columns_log2), cells, gathered)
        _reduce(gathered, count, agree, block[:count])
        block[count:] = 0
        for lane in range(0, BLOCK, LANES):
            mask = lanes_at_least(bits, lane, floor)
            while mask:
                at = lane + np.int64(trailing_zeros(mask))
                if kept < keys.size:
                    keys[kept], values[kept] = first + at, bits[at]
                kept += 1
                mask &= mask - ONE
        first += count
    return kept


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


@inner
def _reduce(gathered, count, agree, out):
    """One number of those that all rows say of a position; zero is +0."""
    rows = gathered.shape[0]
    if agree and rows == 2:
        _agree_of_two(gathered[0], gathered[1], count, out)
    elif agree and rows == 3:
        _agree_of_three(gathered[0], gathered[1], gathered[2], count, out)
    elif agree:
        _agree(gathered, count, out)
    elif rows == 1:
        _plus_zero(gathered[0], count, out)
    elif rows == 3:
        _median_of_three(gathered[0], gathered[1], gathered[2], count, out)
    elif rows == 5:
        _median_of_five(gathered[0], gathered[1], gathered[2], gathered[3], gathered[4], count, out)
    else:
        _median_of_seven(gathered, count, out)


@inner
def _agree_of_two(a, b, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        low, high = _smaller(a[i], b[i]), _larger(a[i], b[i])
        least = low if low > zero else zero
        out[i] = high if high < zero else least


@inner
def _agree_of_three(a, b, c, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        low = _smaller(_smaller(a[i], b[i]), c[i])
        high = _larger(_larger(a[i], b[i]), c[i])
        least = low if low > zero else zero
        out[i] = high if high < zero else least


@inner
def _agree(gathered, count, out):
    zero = out.dtype.type(0)
    high = gathered[0]  # becomes the largest of all rows, and `out` the least
    for i in range(count):
        out[i] = high[i]
    for row in range(1, gathered.shape[0]):
        _least_and_largest(gathered[row], count, out, high)
    for i in range(count):
        least = out[i] if out[i] > zero else zero
        out[i] = high[i] if high[i] < zero else least


@inner
def _least_and_largest(numbers, count, low, high):
    for i in range(count):
        x = numbers[i]
        low[i] = _smaller(low[i], x)
        high[i] = _larger(high[i], x)


# Comparisons without a rule for NaN, which are one instruction each; cells are numbers.


@helper
def _smaller(a, b):
    return a if a < b else b


@helper
def _larger(a, b):
    return a if a > b else b


@helper
def _middle(a, b, c):
    return _larger(_smaller(a, b), _smaller(_larger(a, b), c))


@inner
def _plus_zero(a, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        out[i] = a[i] + zero


@inner
def _median_of_three(a, b, c, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        out[i] = _middle(a[i], b[i], c[i]) + zero


@inner
def _median_of_five(a, b, c, d, e, count, out):
    zero = out.dtype.type(0)
    for i in range(count):
        low = _larger(_smaller(a[i], b[i]), _smaller(c[i], d[i]))
        high = _smaller(_larger(a[i], b[i]), _larger(c[i], d[i]))
        out[i] = _middle(low, high, e[i]) + zero


@inner
def _median_of_seven(gathered, count, out):
    """The two that are neither among the least nor the largest of six go; five are left."""
    a, b, c, d = gathered[0], gathered[1], gathered[2], gathered[3]
    e, f, g = gathered[4], gathered[5], gathered[6]
    zero = out.dtype.type(0)
    for i in range(count):
        p, q = _smaller(a[i], b[i]), _larger(a[i], b[i])
        r, s = _smaller(c[i], d[i]), _larger(c[i], d[i])
        t, u = _smaller(e[i], f[i]), _larger(e[i], f[i])
        # The least of the lesser and the largest of the larger of three pairs are not the median.
        x, y = _larger(p, r), _smaller(p, r)
        least_gone, v = _larger(y, t), x
        z, w = _smaller(q, s), _larger(q, s)
        most_gone, o = _smaller(w, u), z
        low = _larger(_smaller(least_gone, v), _smaller(most_gone, o))
        high = _smaller(_larger(least_gone, v), _larger(most_gone, o))
        out[i] = _middle(low, high, g[i]) + zero
