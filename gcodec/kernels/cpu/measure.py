"""Which packing of keys is smallest, and what it takes (spec section 13).

One pass counts gaps by class; sizes follow from these counts, from Rice parameters and from the
largest gaps of blocks.
"""

import numpy as np

from ...format.directory import BLOCK, HEAD_BITS, OFFSET_BITS, WIDTH_BITS
from ...format.ids import SECTION_ALIGNMENT, SECTION_ENTRY
from .bits import bit_length
from .directory import ALL, BITMAP, BLOCKS, COLUMNS, COO, DELTA, KEY_RICE
from .fold import LENGTH
from .huffman import code_lengths
from .huffman import codes as code_words
from .jit import copy, helper, inner, kernel, maker
from .skips import block_bits, count_classes, fit_rice, to_skips

KEY_CODECS = COLUMNS + 1
UNIT = 8 * SECTION_ALIGNMENT
CLASSES = 32
CODE_BITS = 4 * CLASSES
FIVE = np.uint32(LENGTH)
TOO_LARGE = np.iinfo(np.int64).max


@helper
def words_of(bits):
    """Words that hold so many bits."""
    return (bits + 63) >> 6


@helper
def section_bits(bits):
    """What a section of so many bits adds to a frame."""
    return 8 * SECTION_ENTRY + (bits + UNIT - 1) // UNIT * UNIT


@kernel
def measure_keys(keys, lengths, allowed, columns, classes, trials, codes, coded, directory):
    """Fill in the key fields of a directory with nnz, and `codes`; how many there are.

    Parameters
    ----------
    allowed : bool[KEY_CODECS]
    columns : int64[chunks, 2 + 2 * CLASSES]
        Active columns and pieces of each chunk, then how often each class occurs among the gaps of
        its keys and of its columns; all 0 if it has none, or too many. No rows if there are none.
    classes : int64[chunks, CLASSES]
        Scratch.
    trials : int64[5 + KEY_CODECS, chunks]
        Scratch; on return, the first row holds the bits of the rests of gaps.
    codes : uint8[2 * CLASSES, CLASSES]
        Lengths.
    coded : uint32[2 * CLASSES, CLASSES]
        Code << 5 | length.
    """
    most = 0
    for chunk in range(directory.size):
        most = max(most, np.int64(directory[chunk].nnz))
    skips, first = np.empty(most, np.uint32), 0
    for chunk in range(directory.size):
        count = np.int64(directory[chunk].nnz)
        own = keys[first : first + count]
        measure_chunk(chunk, own, lengths, allowed, classes, trials, skips)
        first += count
    return choose_keys(lengths, allowed, columns, classes, trials, codes, coded, directory)


@inner
def measure_chunk(chunk, keys, lengths, allowed, classes, trials, skips):
    """What the keys of a chunk take in each packing, and their classes.

    Arguments are those of `measure_keys`; `skips` is scratch of as many elements as `keys`.
    """
    parameter, unary, fields, words = trials[1], trials[2], trials[3], trials[5:]
    for codec in range(KEY_CODECS):
        words[codec, chunk] = TOO_LARGE
    count, length = keys.size, lengths[chunk]
    if count == 0:
        return
    own = skips[:count]
    to_skips(keys, own)
    blocks = (count + BLOCK - 1) // BLOCK
    if allowed[ALL] and count == length:
        words[ALL, chunk] = 0
    if allowed[BITMAP]:
        words[BITMAP, chunk] = words_of(length)
    if allowed[COO]:
        words[COO, chunk] = words_of(count * _width(lengths))
    if allowed[KEY_RICE]:
        all_skips = np.int64(keys[count - 1]) + 1 - count
        parameter[chunk], unary[chunk] = fit_rice(own, all_skips)
        words[KEY_RICE, chunk] = words_of(unary[chunk]) + words_of(count * parameter[chunk])
    if allowed[BLOCKS]:
        fields[chunk] = block_bits(own)
        words[BLOCKS, chunk] = words_of(WIDTH_BITS * blocks) + words_of(fields[chunk])
    if allowed[DELTA]:
        count_classes(own, classes[chunk])


@inner
def choose_keys(lengths, allowed, columns, classes, trials, codes, coded, directory):
    """`measure_keys`, after every chunk was measured."""
    rests, plain, words = trials[0], trials[4], trials[5:]
    for chunk in range(directory.size):
        if directory[chunk].nnz == 0:
            directory[chunk].key_codec = KEY_RICE
    without = allowed[ALL] or allowed[BITMAP] or allowed[COO]
    without = without or allowed[KEY_RICE] or allowed[BLOCKS]
    if without and _take_less(words, directory, section_bits(CODE_BITS)):
        return _settle(lengths, columns[:0], classes, trials, codes, directory)
    n_codes = _choose(allowed, lengths, columns, classes, trials, codes, directory)
    if n_codes and without:
        bits = total = 0
        for chunk in range(directory.size):
            if directory[chunk].nnz:
                bits += 64 * _final_words(directory[chunk], words[:, chunk], rests[chunk])
                total += 64 * plain[chunk]
        if total <= bits + section_bits(CODE_BITS * n_codes):
            words[DELTA] = TOO_LARGE
            words[COLUMNS] = TOO_LARGE
            n_codes = _settle(lengths, columns, classes, trials, codes, directory)
    for row in range(n_codes):
        join(codes[row], coded[row])
    return n_codes


@inner
def _width(lengths):
    """Bits of a position in a chunk."""
    return np.int64(bit_length(max(lengths[0] - 1, 1)))


@maker
def join(lengths, coded):
    """Codes with their lengths, as they are written."""
    words = np.empty(lengths.size, np.uint16)
    code_words(lengths, words)
    for symbol in range(lengths.size):
        coded[symbol] = np.uint32(words[symbol]) << FIVE | np.uint32(lengths[symbol])


@inner
def _take_less(words, directory, bits):
    """Whether keys take no more than so many bits without codes."""
    total = 0
    for chunk in range(directory.size):
        if directory[chunk].nnz:
            least = TOO_LARGE
            for codec in range(KEY_CODECS):
                least = min(least, words[codec, chunk])
            total += least
            if 64 * total > bits:
                return False
    return True


@inner
def _choose(allowed, lengths, columns, classes, trials, codes, directory):
    """Choose among all codecs, codes made first as if all chunks that can used them."""
    words, plain = trials[5:], trials[4]
    for chunk in range(directory.size):
        plain[chunk] = TOO_LARGE
        for codec in range(KEY_CODECS):
            plain[chunk] = min(plain[chunk], words[codec, chunk])
        if directory[chunk].nnz:
            directory[chunk].key_codec = DELTA
    if allowed[DELTA]:
        _code_gaps(lengths, classes, codes, directory)
        for chunk in range(directory.size):
            if directory[chunk].nnz:
                rests = _rests(classes[chunk])
                words[DELTA, chunk] = _final_words(directory[chunk], words[:, chunk], rests)
    if columns.shape[0]:
        for chunk in range(directory.size):
            if columns[chunk, 0]:
                directory[chunk].key_codec = COLUMNS
        _code_columns(columns, codes, directory)
        for chunk in range(directory.size):
            if directory[chunk].key_codec == COLUMNS:
                rests = _column_rests(columns[chunk])
                words[COLUMNS, chunk] = _final_words(directory[chunk], words[:, chunk], rests)
    return _settle(lengths, columns, classes, trials, codes, directory)


@inner
def _settle(lengths, columns, classes, trials, codes, directory):
    """The smallest of the trials for each chunk, then codes for those that have them."""
    rests, parameter, unary, fields = trials[0], trials[1], trials[2], trials[3]
    words, coded = trials[5:], False
    for chunk in range(directory.size):
        rests[chunk] = 0
        entry = directory[chunk]
        if entry.nnz == 0:
            continue
        codec = ALL
        for other in range(ALL, KEY_CODECS):
            if words[other, chunk] < words[codec, chunk]:
                codec = other
        entry.key_codec = codec
        entry.key_param = entry.key_hi_bits = entry.columns = 0
        if codec == BITMAP:
            entry.key_hi_bits = lengths[chunk]
        elif codec == COO:
            entry.key_param = _width(lengths)
        elif codec == KEY_RICE:
            entry.key_param, entry.key_hi_bits = parameter[chunk], unary[chunk]
        elif codec == BLOCKS:
            entry.key_hi_bits = fields[chunk]
        elif codec == DELTA:
            rests[chunk], coded = _rests(classes[chunk]), True
        elif codec == COLUMNS:
            rests[chunk], coded = _column_rests(columns[chunk]), True
    if not coded:
        return 0
    n_codes = _code_gaps(lengths, classes, codes, directory)
    return n_codes + _code_columns(columns, codes[n_codes:], directory)


@helper
def _final_words(entry, words, rests):
    """Words of the key planes of a chunk; what `words` says where no code is involved."""
    count = np.int64(entry.nnz)
    codec = np.int64(entry.key_codec)
    if codec != DELTA and codec != COLUMNS:
        return words[codec]
    index = OFFSET_BITS * ((count + np.int64(entry.columns) - 1) // BLOCK)
    if codec == COLUMNS:
        index += HEAD_BITS * np.int64(entry.key_param)
    return words_of(index) + words_of(np.int64(entry.key_hi_bits)) + words_of(rests)


@helper
def _rests(classes):
    """Bits below the leading ones."""
    bits = 0
    for size in range(2, CLASSES):
        bits += classes[size] * (size - 1)
    return bits


@helper
def _column_rests(columns):
    return _rests(columns[2 : 2 + CLASSES]) + _rests(columns[2 + CLASSES :])


@maker
def _code_gaps(lengths, classes, codes, directory):
    """Code the DELTA chunks: with one code, or one per density if smaller; the number of codes.

    Sets `key_param` and `key_hi_bits`.
    """
    scratch = np.empty((16, 2 * CLASSES), np.int64)
    histograms = np.zeros((CLASSES + 1, CLASSES), np.int64)  # by density, and all together
    for chunk in range(directory.size):
        if directory[chunk].nnz and directory[chunk].key_codec == DELTA:
            group = _density(lengths[chunk], directory[chunk].nnz)
            for size in range(CLASSES):
                histograms[group, size] += classes[chunk, size]
                histograms[CLASSES, size] += classes[chunk, size]
    rows = np.zeros(CLASSES, np.int64)
    n_codes, bits = 0, 0
    for group in range(CLASSES):
        if _total(histograms[group]):
            rows[group] = n_codes
            bits += CODE_BITS + code_lengths(histograms[group], codes[n_codes], scratch)
            n_codes += 1
    if n_codes == 0:
        return 0
    one = np.zeros(CLASSES, np.uint8)
    if n_codes > 1 and CODE_BITS + code_lengths(histograms[CLASSES], one, scratch) <= bits:
        copy(one, codes[0])
        rows[:] = 0
        n_codes = 1
    for chunk in range(directory.size):
        if directory[chunk].nnz and directory[chunk].key_codec == DELTA:
            row = rows[_density(lengths[chunk], directory[chunk].nnz)]
            directory[chunk].key_param = row
            directory[chunk].key_hi_bits = _coded_bits(classes[chunk], codes[row])
    return n_codes


@maker
def _code_columns(columns, codes, directory):
    """Code the COLUMNS chunks with two codes, of gaps of keys and of columns; their number."""
    histograms = np.zeros((2, CLASSES), np.int64)
    for chunk in range(columns.shape[0]):
        if directory[chunk].key_codec == COLUMNS:
            for size in range(CLASSES):
                histograms[0, size] += columns[chunk, 2 + size]
                histograms[1, size] += columns[chunk, 2 + CLASSES + size]
    if _total(histograms[0]) == 0:
        return 0
    scratch = np.empty((16, 2 * CLASSES), np.int64)
    for row in range(2):
        code_lengths(histograms[row], codes[row], scratch)
    for chunk in range(columns.shape[0]):
        if directory[chunk].key_codec == COLUMNS:
            of_keys = _coded_bits(columns[chunk, 2 : 2 + CLASSES], codes[0])
            of_columns = _coded_bits(columns[chunk, 2 + CLASSES :], codes[1])
            directory[chunk].columns = columns[chunk, 0]
            directory[chunk].key_param = columns[chunk, 1]
            directory[chunk].key_hi_bits = of_keys + of_columns
    return 2


@inner
def _total(counts):
    total = 0
    for count in counts:
        total += count
    return total


@helper
def _density(length, count):
    return np.int64(bit_length(length // np.int64(count)))


@helper
def _coded_bits(histogram, code):
    bits = 0
    for symbol in range(histogram.size):
        bits += histogram[symbol] * np.int64(code[symbol])
    return bits
