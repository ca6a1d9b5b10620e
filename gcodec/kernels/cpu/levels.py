"""Which packing of values is smallest, and what it takes (spec section 13).

One pass counts values by level and sign; all sizes follow from these counts.
"""

import numpy as np

from ...format.directory import BLOCK, OFFSET_BITS
from ...format.ids import MAX_CODED_LEVELS, MAX_VALUE_RICE
from .bits import LOW_SIX, WORD, ZERO, bit_length
from .directory import FIXED, HUFFMAN, RAW, RICE, SIGN, SIGNED_FIXED
from .fold import lanes_of
from .huffman import code_lengths
from .jit import helper, inner, kernel, maker, ones
from .measure import TOO_LARGE, join, section_bits, words_of

FOUR = np.uint64(4)
SOUGHT = 32
"""Numbers that are looked for one by one."""

MANY = 8
"""Values for each level from which on they are counted apart."""

SIGNED = SIGNED_FIXED - FIXED
"""What a signed codec's id has more than the other's."""


@kernel
def measure_values(
    joint, width, signed_only, rows, merging, lists, order, symbols, lengths, directory
):
    """Fill in the value fields of a directory with nnz; how values are to be written.

    Parameters
    ----------
    joint : uint8 or uint32[n]
        2 * level + sign of each value.
    width : int
        Bits of a level in the codebook.
    signed_only : bool
        Whether negative levels are not those of positive values, so that signs have no plane.
    rows : uint32[chunks or 1, 2 * levels]
        Scratch for counts by chunk, or of one chunk at a time.
    merging : int64[16, 2 * min(2 * levels, MAX_CODED_LEVELS)]
        Scratch.
    lists : int64[4, 2 * levels]
        Scratch.
    order : int64[2, 2 * levels]
        Levels by frequency: unsigned, and signed as 2 * level + sign.
    symbols : uint32[2, 2 * levels]
        Of each `joint`, the place in the codebook, and code << 5 | length.
    lengths : uint8[2, 2 * levels]
        Of the codes of symbols.

    Returns
    -------
    signed, used, coded : whether levels carry signs, how many occur, whether there is a value code
    """
    first, totals = 0, lists[1]
    totals[:] = 0
    for chunk in range(directory.size):
        stop = first + np.int64(directory[chunk].nnz)
        row = rows[min(chunk, rows.shape[0] - 1)]
        count_levels(joint[first:stop], row)
        first = stop
        for level in range(row.size):
            totals[level] += row[level]
    return measure_counted(
        joint, width, signed_only, rows, merging, lists, order, symbols, lengths, directory
    )


@maker
def measure_counted(
    joint, width, signed_only, rows, merging, lists, order, symbols, lengths, directory
):
    """`measure_values`, of which `rows` and `lists[1]`, their sum, are filled in.

    Then `joint` is only read if there is one row for several chunks.
    """
    return _measure(
        joint, width, signed_only, rows, merging, lists, order, symbols, lengths, directory,
        np.zeros((4, 2), np.int64),
    )  # fmt: skip


@inner
def _measure(
    joint, width, signed_only, rows, merging, lists, order, symbols, lengths, directory, found
):
    """`measure_counted`, with scratch."""
    n_joint, totals = rows.shape[1], lists[:2]
    used, bits, best, coded = found[0], found[1], found[2], found[3]
    for level in range(n_joint // 2):
        totals[0, level] = totals[1, 2 * level] + totals[1, 2 * level + 1]
    for signed in range(2):
        levels = n_joint if signed else n_joint // 2
        used[signed] = _by_frequency(totals[signed, :levels], order[signed], lists[2])
        for place in range(used[signed]):
            level = order[signed, place]
            if signed:
                symbols[1, level] = place
            else:
                symbols[0, 2 * level] = symbols[0, 2 * level + 1] = place
    saved, more = joint.size - joint.size // 8, used[1] - used[0]
    told = more == 0 or (used[1] <= MAX_CODED_LEVELS and (width + 4) * more >= saved)
    for signed in range(2):  # codes that the answer does not depend on are not made
        bits[signed] = TOO_LARGE
        need = not (told or signed_only) or _code_may_pay(signed, used[signed], directory)
        if used[signed] <= MAX_CODED_LEVELS and need:
            histogram, code = lists[3, : used[signed]], lengths[signed, : used[signed]]
            for place in range(used[signed]):
                histogram[place] = totals[signed, order[signed, place]]
            bits[signed] = code_lengths(histogram, code, merging) + (width + 4) * used[signed]
    fewer = more == 0 < saved if told else -saved < bits[0] - bits[1]
    best[:] = TOO_LARGE
    for signed in range(2):
        if not signed_only if signed == 0 else signed_only or fewer:
            total, coded[signed] = _try(
                joint, signed, rows, lists, symbols[signed], lengths[signed], used[signed],
                bits[signed] < TOO_LARGE, directory,
            )  # fmt: skip
            best[signed] = total + width * used[signed]
    signed = np.int64(best[1] < best[0])
    if signed == 0 and best[1] < TOO_LARGE:  # the directory holds the other trial
        _try(
            joint, signed, rows, lists, symbols[signed], lengths[signed], used[signed],
            bits[signed] < TOO_LARGE, directory,
        )  # fmt: skip
    if signed:
        for level in range(n_joint):
            symbols[0, level] = symbols[1, level]
    if coded[signed]:
        _join_symbols(lengths[signed, : used[signed]], symbols[0], totals[1], symbols[1])
    return signed, used[signed], coded[signed]


@maker
def _join_symbols(lengths, places, totals, symbols):
    """Codes with their lengths, of symbols that occur, by the place of each."""
    entries = np.empty(lengths.size, np.uint32)
    join(lengths, entries)
    for symbol in range(places.size):
        symbols[symbol] = entries[places[symbol]] if totals[symbol] else np.uint32(0)


@maker
def count_levels(joint, row):
    """How often each number occurs.

    Few are looked for one by one, and more counted apart, since the same one often follows itself.
    """
    row[:] = 0
    one, start, size = np.uint32(1), np.uint64(0), np.uint64(joint.size)
    if row.size <= SOUGHT:
        start = size & ~LOW_SIX
        for number in range(row.size):
            wanted, found = joint.dtype.type(number), ZERO
            for at in range(ZERO, start, WORD):
                found += ones(lanes_of(joint, at, wanted))
            row[number] = found
    elif joint.size >= MANY * row.size:
        apart = np.zeros((3, row.size), np.uint32)
        a, b, c = apart[0], apart[1], apart[2]
        while start + FOUR <= size:
            row[joint[start]] += one
            a[joint[start + np.uint64(1)]] += one
            b[joint[start + np.uint64(2)]] += one
            c[joint[start + np.uint64(3)]] += one
            start += FOUR
        for level in range(row.size):
            row[level] += a[level] + b[level] + c[level]
    for j in range(start, size):
        row[joint[j]] += one


@inner
def _by_frequency(counts, order, other):
    """Symbols that occur, the more frequent first, then the lower: a merge sort. Their number."""
    used = 0
    for symbol in range(counts.size):
        if counts[symbol]:
            order[used] = symbol
            used += 1
    run = 1
    while run < used:
        for start in range(0, used, 2 * run):
            i, middle, end = start, min(start + run, used), min(start + 2 * run, used)
            j = middle
            for place in range(start, end):
                if j == end or (i < middle and counts[order[i]] >= counts[order[j]]):
                    other[place] = order[i]
                    i += 1
                else:
                    other[place] = order[j]
                    j += 1
        for place in range(used):
            order[place] = other[place]
        run *= 2
    return used


@inner
def _code_may_pay(signed, used, directory):
    """Whether fields for symbols of so many take more than the section of a code."""
    words, size = 0, np.int64(bit_length(max(used - 1, 1)))
    for chunk in range(directory.size):
        count = np.int64(directory[chunk].nnz)
        words += words_of(count * size) + (0 if signed else words_of(count))
    return 64 * words > section_bits(8 * ((used + 1) // 2))


@inner
def _try(joint, signed, rows, lists, symbols, lengths, used, can_code, directory):
    """Write the smallest value fields of a trial; its bits, and whether it has a value code."""
    plain = with_code = first = 0
    found, counts = lists[2], lists[3]
    for attempt in range(2):  # sizes first, then again with or without the code
        coded = (
            can_code
            and used > 0
            and (64 * with_code + section_bits(8 * ((used + 1) // 2)) < 64 * plain)
        )
        if attempt == 1 and not coded:
            return 64 * plain, 0
        first = 0
        for chunk in range(directory.size):
            entry = directory[chunk]
            count = np.int64(entry.nnz)
            entry.val_param = entry.val_hi_bits = entry.level_base = 0
            entry.val_codec = RAW
            if count == 0:
                continue
            row = rows[min(chunk, rows.shape[0] - 1)]
            if rows.shape[0] < directory.size:
                count_levels(joint[first : first + count], row)
            first += count
            occurring, low, high, huffman = 0, used, 0, 0
            for level in range(row.size):
                if row[level]:
                    symbol = np.int64(symbols[level])
                    found[occurring], counts[occurring] = symbol, row[level]
                    occurring += 1
                    low, high = min(low, symbol), max(high, symbol)
                    if can_code:
                        huffman += np.int64(row[level]) * np.int64(lengths[symbol])
            size = max(np.int64(bit_length(high)), np.int64(signed))
            k, unary = _fit_symbols(found[:occurring], counts[:occurring], count)
            signs = 0 if signed else words_of(count)
            words = signs + words_of(count * size)
            entry.val_codec, entry.val_param = FIXED + signed * SIGNED, size
            if signs + words_of(unary) + words_of(count * k) < words:
                words = signs + words_of(unary) + words_of(count * k)
                entry.val_codec, entry.val_param = RICE + signed * SIGNED, k
                entry.val_hi_bits = unary
            if not signed and low == high and signs < words:
                words = signs
                entry.val_codec, entry.val_param = SIGN, 0
                entry.val_hi_bits, entry.level_base = 0, low
            index = words_of(OFFSET_BITS * ((count - 1) // BLOCK))
            if attempt == 0:
                plain += words
                with_code += min(words, signs + index + words_of(huffman))
            elif signs + index + words_of(huffman) < words:
                entry.val_codec, entry.val_param = HUFFMAN + signed * SIGNED, 0
                entry.val_hi_bits, entry.level_base = huffman, 0
    return 64 * with_code + section_bits(8 * ((used + 1) // 2)), 1


@helper
def _fit_symbols(symbols, counts, total):
    """As `fit_rice`, of symbols with counts, from k = 0 on."""
    k = 0
    while k < MAX_VALUE_RICE:
        saved = 0
        for i in range(symbols.size):
            saved += counts[i] * (((symbols[i] >> k) + 1) >> 1)
        if saved <= total:
            break
        k += 1
    unary = total
    for i in range(symbols.size):
        unary += counts[i] * (symbols[i] >> k)
    return k, unary
