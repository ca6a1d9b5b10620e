"""Sound frames of a few small chunks: any codec beside any other, as no encoder would mix them."""

import sys
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "spec" / "vectors"))
import writer
from writer import reference

MAX_CLASS, CLASSES = 25, 32
DENSE = 0.1
"""Share of dense frames."""

SCALED = 0.5
"""Share of frames whose values are multiplied by scales."""

ALL_SYMBOLS = 0.6
"""Share of codes that all symbols have; else the first few do, or one alone."""

WITH_BASE = (writer.FIXED, writer.VALUE_RICE, writer.SIGN)


def draw_frame(rng):
    """A frame, as bytes."""
    chunk_log2 = rng.choice((6, 6, 6, 7, 8))
    n = rng.randrange(1, 3 << chunk_log2)
    element = rng.choice(tuple(reference.ELEMENTS))
    bits, significand = reference.ELEMENTS[element]
    infinity = (1 << bits - 1) - (1 << significand)
    levels = [rng.randrange(infinity) for _ in range(rng.choice((1, 2, 3, 5, 16, 40)))]
    key_codes = [[0, *draw_code(rng, MAX_CLASS)] for _ in range(2)]
    key_codes = [code + [0] * (CLASSES - len(code)) for code in key_codes]
    codes = (*key_codes, draw_code(rng, len(levels)))
    seeds = [rng.getrandbits(64), rng.choice((0, 1, 2**40 - 1, rng.getrandbits(64)))]
    dense = rng.random() < DENSE
    chunks = [
        draw_chunk(rng, i, min(1 << chunk_log2, n - start), chunk_log2, codes, seeds, bits, dense)
        for i, start in enumerate(range(0, n, 1 << chunk_log2))
    ]
    header = {"frame_kind": reference.DENSE} if dense else {}
    runs, scales = draw_scales(rng, n, max(levels), element) if rng.random() < SCALED else ([], [])
    parts = (chunks, levels, key_codes, codes[2], seeds, runs, scales)
    return writer.Writer(n, chunk_log2, *parts, header=header, element=element).write()


def draw_scales(rng, n, largest, element):
    """Runs of any lengths, and scales that make nothing infinite."""
    bits, significand = reference.ELEMENTS[element]
    infinity = (1 << bits - 1) - (1 << significand)
    ends = sorted({n, *(rng.randrange(1, n + 1) for _ in range(rng.randrange(4)))})
    lengths = [b - a for a, b in pairwise([0, *ends])]
    runs = [(length, rng.choice((1, 7, 64, length, 2**64 - 1))) for length in lengths]
    blocks = sum(-(-length // block) for length, block in runs)
    most = rng.choice((1, 1 << significand, infinity))
    while reference.product(largest, most - 1, bits, significand) >= infinity:
        most //= 2
    return runs, [rng.randrange(most) for _ in range(blocks * rng.choice((1, 2)))]


def draw_code(rng, symbols):
    """Lengths of a complete code."""
    occurring = symbols if rng.random() < ALL_SYMBOLS else rng.randrange(min(symbols, 8)) + 1
    lengths = [0] if occurring > 1 else [1]
    while len(lengths) < occurring:
        split = rng.choice([i for i, length in enumerate(lengths) if length < 12])
        lengths[split] += 1
        lengths.append(lengths[split])
    rng.shuffle(lengths)
    return lengths + [0] * (symbols - occurring)


def draw_chunk(rng, i, positions, chunk_log2, codes, seeds, bits, dense):
    """A chunk of any keys and values; of all keys, and ALL, if it is one of a dense frame."""
    nnz = rng.choice((0, 1, positions, *(rng.randrange(positions + 1) for _ in range(3))))
    nnz = positions if dense else nnz
    key = rng.choice(reference.KEY_CODECS if nnz == positions else reference.KEY_CODECS[1:])
    key = writer.ALL if dense else key
    keys = sorted(rng.sample(range(positions), nnz))
    if key == writer.SEEDED and nnz:
        keys = reference.draw_keys(i, nnz, positions, *seeds)
    pieces = draw_pieces(rng, keys, positions) if key == writer.COLUMNS else []
    if key == writer.COLUMNS and not 0 < sum(len(piece[3]) for piece in pieces) <= nnz:
        key, pieces = writer.DELTA, []
    widths = {writer.COO: rng.randrange(chunk_log2, 33), writer.RICE: rng.randrange(25)}
    value, n_levels = rng.choice(reference.VALUE_CODECS), len(codes[2])
    kind = value % reference.SIGNED
    base = rng.randrange(n_levels) if nnz and kind in WITH_BASE else 0
    value_widths = {writer.FIXED: rng.randrange(6, 17), writer.VALUE_RICE: rng.randrange(17)}
    end = {writer.RAW: 1 << bits, writer.SIGN: 1}.get(kind, n_levels - base)
    coded = [symbol for symbol, length in enumerate(codes[2]) if length]
    values = [rng.choice(coded) if kind == writer.HUFFMAN else rng.randrange(end) for _ in keys]
    if writer.RAW < value < reference.SIGNED:
        values = [(index, rng.random() < 0.5) for index in values]
    packing = (key, widths.get(key, 0)), (value, value_widths.get(kind, 0))
    more = base, positions, pieces, codes, bits
    try:
        return writer.make_chunk(keys, values, *packing, *more)
    except KeyError:  # a gap of a class that has no code
        return writer.make_chunk(keys, values, (writer.BLOCKS, 0), packing[1], *more)


def draw_pieces(rng, keys, positions):
    """Runs of positions as (w, f, l, active columns): the columns of all keys, and some more."""
    cuts = sorted({0, positions, *(rng.randrange(positions) for _ in range(rng.randrange(3)))})
    pieces = []
    for start, end in pairwise(cuts):
        w = rng.choice((0, 1, 2, rng.randrange(1, 40), rng.randrange(1, 2 * positions + 1)))
        f = rng.randrange(w) if w else 0
        active = {(key - start + f) % w for key in keys if w and start <= key < end}
        spare = {rng.randrange(w)} if w and rng.random() < 0.3 else set()
        pieces.append((w, f, end - start, sorted(active | spare)))
    return pieces
